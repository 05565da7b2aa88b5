"""A study as a Markdown document with small pictures next to it, such as docs/results.md."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from sketchjax.errors import on_disk
from sketchjax.files import write_whole
from sketchjax.paper.marked import plain, write_marked
from sketchjax.paper.report import wording
from sketchjax.paper.report.claims import claims
from sketchjax.paper.report.comparison import comparison_picture
from sketchjax.paper.report.figures import entropy_figure, precision_recall_panels
from sketchjax.paper.report.layout import Block, Grid
from sketchjax.paper.report.material import StudyMaterial
from sketchjax.paper.report.scores import METRICS, pair_text
from sketchjax.paper.report.tables import grids
from sketchjax.report import mosaic, plots
from sketchjax.report.tables import NO_NUMBER

IMAGES = "images"
MARK = "tables"  # of the study's place in a document


def write_markdown(path: str | Path, material: StudyMaterial) -> Path:
    """Write the document, and its pictures as images/DOCUMENT-NAME.png on a light ground.

    A cell of a table is "ours / paper". Returns the document's path.
    Raises as `write_marked` does.
    """
    path = Path(path)
    pictures = {
        f"{path.stem}-{name}.png": (png, description)
        for name, png, description in _pictures(material)
    }
    parts = [
        *_opening(material),
        *_tables(material),
        *_claims(material),
        *_figures({name: description for name, (_, description) in pictures.items()}),
        *_closing(material),
    ]
    write_marked(path, MARK, "\n\n".join(parts), title=material.title)
    with on_disk(f"the pictures of {path} cannot be written"):
        for name, (png, _) in pictures.items():
            write_whole(path.parent / IMAGES / name, png)
    return path


def _opening(material: StudyMaterial) -> list[str]:
    facts = [f"{plain(name)} **{plain(fact)}**" for name, fact in wording.facts(material)]
    parts = [
        wording.INTRODUCTION,
        " · ".join(facts),
        plain(wording.unfinished_text(material)),
    ]
    if material.commands:
        parts += [f"## {wording.PRODUCED}", "```bash\n" + "\n".join(material.commands) + "\n```"]
    return [part for part in parts if part]


def _tables(material: StudyMaterial) -> list[str]:
    made = grids(material)
    if not made:
        return []
    parts = [
        "## Tables",
        f"Each cell is *ours / paper*; {NO_NUMBER} means no score. With several seeds, ours is "
        "their mean ± standard deviation. Our best score in each column is bold. "
        f"{wording.NOT_COMPARABLE}",
    ]
    for grid in made:
        parts += [f"### {plain(grid.title)}", plain(grid.caption)]
        for block in grid.blocks:
            parts += _block(grid, block)
    return parts


def _block(grid: Grid, block: Block) -> list[str]:
    """A block as one table, or as one table per metric where lengths are columns."""
    places = range(len(grid.columns))
    if not grid.groups:
        return [f"**{plain(block.heading)}**"] * bool(block.heading) + [_table(grid, block, places)]
    parts = []
    for metric in dict.fromkeys(column.metric for column in grid.columns):
        heading = ", ".join(part for part in (block.heading, METRICS[metric].label) if part)
        own = [place for place in places if grid.columns[place].metric == metric]
        parts += [f"**{plain(heading)}**", _table(grid, block, own)]
    return parts


def _table(grid: Grid, block: Block, places: Sequence[int]) -> str:
    remarks = any(line.remark for line in block.lines)
    heads = ["method", *(grid.columns[place].heading for place in places), *["remark"] * remarks]
    lines = [_row(heads), "|---|" + "---:|" * len(places) + "---|" * remarks]
    for line in block.lines:
        cells = [pair_text(line.scores[i], grid.columns[i].metric, "**{}**") for i in places]
        remark = [plain(line.remark)] if remarks else []
        lines.append(_row([plain(line.label), *cells, *remark]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _claims(material: StudyMaterial) -> list[str]:
    if not material.rows:
        return []
    items = [
        f"- {plain(claim.text)} **{wording.verdict_text(claim).capitalize()}**: "
        f"{plain(claim.evidence)}. In the paper: {plain(claim.in_paper)}."
        for claim in claims(material)
    ]
    return [f"## {wording.CLAIMS_HEADING}", wording.RULE, "\n".join(items)]


def _figures(pictures: dict[str, str]) -> list[str]:
    """Each picture with its description below; pictures: descriptions by file."""
    if not pictures:
        return []
    parts = ["## Figures"]
    for name, description in pictures.items():
        parts += [f"![{plain(description)}]({IMAGES}/{name})", plain(description)]
    return parts


def _closing(material: StudyMaterial) -> list[str]:
    parts = []
    if material.notes:
        parts += ["## Notes", "\n".join(f"- {plain(note)}" for note in material.notes)]
    failed = [run for run in material.runs if run.state == "failed"]
    if failed:
        lines = [f"- {plain(run.what)}: {plain(run.why or 'cause unknown')}" for run in failed]
        parts += ["## Failed runs", "\n".join(lines)]
    return parts


def _pictures(material: StudyMaterial) -> Iterator[tuple[str, bytes, str]]:
    """The figures 4, 5 and 6 that there is material for: name, PNG and description."""
    curves = plots.figure_png(partial(precision_recall_panels, material), plots.LIGHT)
    if curves is not None:
        description = "Figure 5. Precision-recall curves by code length."
        yield "precision-recall", _smaller(curves), description
    example = material.entropy
    histogram = example and plots.figure_png(partial(entropy_figure, example), plots.LIGHT)
    if example and histogram:
        description = (
            f"Figure 4. Image entropy of the {len(example.entropies):,} training sketches of "
            f"“{example.category}”."
        )
        yield "entropy", _smaller(histogram), description
    for number, comparison in enumerate(material.comparisons, 1):
        picture = comparison_picture(comparison, size=56)
        description = f"Figure 6. {wording.comparison_text(comparison)}"
        yield f"comparison-{number}", mosaic.small_png(picture), description


def _smaller(png: bytes) -> bytes:
    """A figure in 64 colours: a quarter of the bytes, and it looks the same."""
    with Image.open(io.BytesIO(png)) as picture:
        return mosaic.small_png(picture.convert("RGB"))
