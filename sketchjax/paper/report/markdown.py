"""A study as a Markdown document with small pictures next to it, such as docs/results.md."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from sketchjax.files import write_whole
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
_SPECIAL = {ord(character): f"\\{character}" for character in "\\`*_[]|<#"}


def write_markdown(path: str | Path, material: StudyMaterial) -> Path:
    """Write the document, and its pictures as images/study-NAME.png on a light ground.

    A cell of a table is "ours / paper". Returns the document's path.
    """
    path = Path(path)
    pictures = _write_pictures(path.parent / IMAGES, material)
    parts = [
        *_opening(material),
        *_tables(material),
        *_claims(material),
        *_figures(pictures),
        *_closing(material),
    ]
    write_whole(path, ("\n\n".join(parts) + "\n").encode())
    return path


def _opening(material: StudyMaterial) -> list[str]:
    facts = [f"{_plain(name)} **{_plain(fact)}**" for name, fact in wording.facts(material)]
    parts = [
        f"# {_plain(material.title)}",
        wording.INTRODUCTION,
        " · ".join(facts),
        _plain(wording.unfinished_text(material)),
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
        parts += [f"### {_plain(grid.title)}", _plain(grid.caption)]
        for block in grid.blocks:
            parts += _block(grid, block)
    return parts


def _block(grid: Grid, block: Block) -> list[str]:
    """A block as one table, or as one table per metric where lengths are columns."""
    places = range(len(grid.columns))
    if not grid.groups:
        return [f"**{_plain(block.heading)}**"] * bool(block.heading) + [
            _table(grid, block, places)
        ]
    parts = []
    for metric in dict.fromkeys(column.metric for column in grid.columns):
        heading = ", ".join(part for part in (block.heading, METRICS[metric].label) if part)
        own = [place for place in places if grid.columns[place].metric == metric]
        parts += [f"**{_plain(heading)}**", _table(grid, block, own)]
    return parts


def _table(grid: Grid, block: Block, places: Sequence[int]) -> str:
    remarks = any(line.remark for line in block.lines)
    heads = ["method", *(grid.columns[place].heading for place in places), *["remark"] * remarks]
    lines = [_row(heads), "|---|" + "---:|" * len(places) + "---|" * remarks]
    for line in block.lines:
        cells = [pair_text(line.scores[i], grid.columns[i].metric, "**{}**") for i in places]
        remark = [_plain(line.remark)] if remarks else []
        lines.append(_row([_plain(line.label), *cells, *remark]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _claims(material: StudyMaterial) -> list[str]:
    if not material.rows:
        return []
    items = [
        f"- {_plain(claim.text)} **{wording.verdict_text(claim).capitalize()}**: "
        f"{_plain(claim.evidence)}. In the paper: {_plain(claim.in_paper)}."
        for claim in claims(material)
    ]
    return [f"## {wording.CLAIMS_HEADING}", wording.RULE, "\n".join(items)]


def _figures(pictures: dict[str, str]) -> list[str]:
    """Each picture with its description below; pictures: descriptions by name."""
    if not pictures:
        return []
    parts = ["## Figures"]
    for name, description in pictures.items():
        parts += [f"![{_plain(description)}]({IMAGES}/study-{name}.png)", _plain(description)]
    return parts


def _closing(material: StudyMaterial) -> list[str]:
    parts = []
    if material.notes:
        parts += ["## Notes", "\n".join(f"- {_plain(note)}" for note in material.notes)]
    failed = [run for run in material.runs if run.state == "failed"]
    if failed:
        lines = [f"- {_plain(run.what)}: {_plain(run.why or 'cause unknown')}" for run in failed]
        parts += ["## Failed runs", "\n".join(lines)]
    return parts


def _write_pictures(folder: Path, material: StudyMaterial) -> dict[str, str]:
    """Write the figures 4, 5 and 6 that there is material for; returns descriptions by name."""
    written: dict[str, str] = {}
    curves = plots.figure_png(partial(precision_recall_panels, material), plots.LIGHT)
    if curves is not None:
        write_whole(folder / "study-precision-recall.png", _smaller(curves))
        written["precision-recall"] = "Figure 5. Precision-recall curves by code length."
    example = material.entropy
    histogram = example and plots.figure_png(partial(entropy_figure, example), plots.LIGHT)
    if example and histogram:
        write_whole(folder / "study-entropy.png", _smaller(histogram))
        written["entropy"] = (
            f"Figure 4. Image entropy of the {len(example.entropies):,} training sketches of "
            f"“{example.category}”."
        )
    for number, comparison in enumerate(material.comparisons, 1):
        picture = comparison_picture(comparison, size=56)
        write_whole(folder / f"study-comparison-{number}.png", mosaic.small_png(picture))
        written[f"comparison-{number}"] = f"Figure 6. {wording.comparison_text(comparison)}"
    return written


def _smaller(png: bytes) -> bytes:
    """A figure in 64 colours: a quarter of the bytes, and it looks the same."""
    with Image.open(io.BytesIO(png)) as picture:
        return mosaic.small_png(picture.convert("RGB"))


def _plain(text: str) -> str:
    """Text on one line, with Markdown's special characters escaped."""
    return " ".join(text.split()).translate(_SPECIAL)
