"""A study as a Markdown document with small pictures beside it, such as docs/results.md."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from sketchjax.files import write_whole
from sketchjax.paper import numbers as paper
from sketchjax.paper.report import words
from sketchjax.paper.report.claims import claims
from sketchjax.paper.report.comparison import comparison_picture
from sketchjax.paper.report.figures import entropy_figure, precision_recall_panels
from sketchjax.paper.report.layout import Block, Column, Grid
from sketchjax.paper.report.material import StudyMaterial
from sketchjax.paper.report.scores import METRICS, Score, shown, shown_ours
from sketchjax.paper.report.tables import grids
from sketchjax.report import mosaic, plots

IMAGES = "images"
_SPECIAL = {ord(character): f"\\{character}" for character in "\\`*_[]|<#"}


def write_markdown(path: str | Path, material: StudyMaterial) -> Path:
    """Write the document and its pictures, FOLDER/images/study-NAME.png on light ground.

    Tables have a cell "ours / paper" a method and length. Returns the document's path.
    """
    path = Path(path)
    pictures = _write_pictures(path.parent / IMAGES, material)
    parts = [
        *_opening(material),
        *_tables(material),
        *_claims(material),
        *_figures(material, pictures),
        *_closing(material),
    ]
    write_whole(path, ("\n\n".join(parts) + "\n").encode())
    return path


def _opening(material: StudyMaterial) -> list[str]:
    facts = " · ".join(f"{_plain(name)} **{_plain(fact)}**" for name, fact in words.facts(material))
    parts = [
        f"# {_plain(material.title)}",
        f"The tables and figures of SketchMate, measured anew. {paper.source()}.",
        facts,
        _plain(words.unfinished(material)),
    ]
    if material.commands:
        parts += ["## How it was made", "```bash\n" + "\n".join(material.commands) + "\n```"]
    return [part for part in parts if part]


def _tables(material: StudyMaterial) -> list[str]:
    made = grids(material)
    if not made:
        return []
    parts = [
        "## Tables",
        f"A cell is *ours / paper*; {shown(None, 'map')}: no figure. Ours is the mean over the "
        "seeds ± their standard deviation where there are several; our best of a column is bold. "
        "Ours and the paper's were not measured on the same data: compare methods, not figures, "
        "across the two.",
    ]
    for grid in made:
        name = f"Table {grid.table}" if grid.table.isdigit() else "Zero-shot"
        parts += [f"### {name}: {_plain(grid.title)}", _plain(grid.caption)]
        for block in grid.blocks:
            parts += _block(grid, block)
    return parts


def _block(grid: Grid, block: Block) -> list[str]:
    """A block as one table, or as one a metric where lengths are columns."""
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
        cells = [_cell(line.scores[place], grid.columns[place]) for place in places]
        remark = [_plain(line.remark)] if remarks else []
        lines.append(_row([_plain(line.label), *cells, *remark]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(score: Score, column: Column) -> str:
    ours = shown_ours(score, column.metric)
    return f"{f'**{ours}**' if score.best else ours} / {shown(score.paper, column.metric)}"


def _claims(material: StudyMaterial) -> list[str]:
    if not material.rows:
        return []
    told = [
        f"- {_plain(claim.text)} **{words.verdict(claim).capitalize()}**: "
        f"{_plain(claim.evidence)}. In the paper: {_plain(claim.in_paper)}."
        for claim in claims(material)
    ]
    return ["## What the paper claims, and what these runs say", words.RULE, "\n".join(told)]


def _figures(material: StudyMaterial, pictures: dict[str, str]) -> list[str]:
    """Each picture under its heading. pictures: by name its description."""
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
        lines = [f"- {_plain(run.what)}: {_plain(run.why or 'no reason told')}" for run in failed]
        parts += ["## What failed", "\n".join(lines)]
    return parts


def _write_pictures(folder: Path, material: StudyMaterial) -> dict[str, str]:
    """Write figures 4, 5 and 6 as far as there is material; returns name and description."""
    written: dict[str, str] = {}
    curves = plots.figure_png(partial(precision_recall_panels, material), plots.LIGHT)
    if curves is not None:
        write_whole(folder / "study-precision-recall.png", _smaller(curves))
        written["precision-recall"] = "Precision over recall by code length (figure 5)."
    example = material.entropy
    histogram = example and plots.figure_png(partial(entropy_figure, example), plots.LIGHT)
    if example and histogram:
        write_whole(folder / "study-entropy.png", _smaller(histogram))
        written["entropy"] = (
            f"Image entropy of the {len(example.entropies):,} training sketches of "
            f"“{example.category}” (figure 4)."
        )
    for number, comparison in enumerate(material.comparisons, 1):
        picture = comparison_picture(comparison, size=56)
        write_whole(folder / f"study-comparison-{number}.png", mosaic.small_png(picture))
        described = words.comparison_words(comparison)
        written[f"comparison-{number}"] = f"{described} False positives are red (figure 6)."
    return written


def _smaller(png: bytes) -> bytes:
    """A figure in 64 colours: a fourth of its bytes, and it looks the same."""
    with Image.open(io.BytesIO(png)) as picture:
        return mosaic.small_png(picture.convert("RGB"))


def _plain(text: str) -> str:
    """Words that Markdown takes as words, on one line."""
    return " ".join(text.split()).translate(_SPECIAL)
