"""WORKDIR/report of a study: index.html with its figures and tables, readable offline."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from jinja2 import Environment

from sketchjax.errors import on_disk
from sketchjax.files import sole_writer, write_whole
from sketchjax.paper.report import wording
from sketchjax.paper.report.claims import claims
from sketchjax.paper.report.comparison import comparison_picture
from sketchjax.paper.report.figures import entropy_figure, precision_recall_panels
from sketchjax.paper.report.layout import Grid, file_name
from sketchjax.paper.report.material import StudyMaterial, load_study, save_study
from sketchjax.paper.report.scores import value_text
from sketchjax.paper.report.tables import csv_table, grids
from sketchjax.report import mosaic, plots
from sketchjax.report.tables import Cell, Table, write_csv
from sketchjax.report.template import environment

TEMPLATES = Path(__file__).parent / "templates"


def write_study(workdir: str | Path, material: StudyMaterial) -> Path:
    """Write WORKDIR/report with its material.json; returns its index.html, which is written last.

    An unfinished study has a page, too, which shows what is still to do.
    Raises InUseError when another process writes to the folder; DiskError.
    """
    folder = Path(workdir) / "report"
    save_study(folder / "material.json", material)
    return _write(folder, material)


def rebuild_study(workdir: str | Path) -> Path:
    """Rebuild WORKDIR/report from its material.json; returns its index.html.

    Raises DataError when material.json is missing or damaged, and as `write_study` does.
    """
    folder = Path(workdir) / "report"
    return _write(folder, load_study(folder / "material.json"))


def _write(folder: Path, material: StudyMaterial) -> Path:
    # Not the lock of the workdir: a study that is running has a page, too.
    with on_disk(f"{folder} cannot be written"), sole_writer(folder):
        return _write_files(folder, material)


def _write_files(folder: Path, material: StudyMaterial) -> Path:
    """Write tables, figures and pictures, and last of all index.html; returns its path."""
    for table in material.tables:
        write_csv(folder, csv_table(material, table))
    page = _environment().get_template("study.html.j2").render(
        material=material,
        wording=wording,
        unfinished=wording.unfinished_text(material),
        grids=grids(material),
        claims=claims(material) if material.rows else [],
        drawn=_write_figures(folder, material),
        comparisons=_write_comparisons(folder, material),
    )  # fmt: skip
    path = folder / "index.html"
    write_whole(path, page.encode())
    return path


def _write_figures(folder: Path, material: StudyMaterial) -> set[str]:
    """Draw figures 4 and 5 if there is material for them; returns their names."""
    draws = {"precision_recall": partial(precision_recall_panels, material)}
    if material.entropy is not None:
        draws["entropy"] = partial(entropy_figure, material.entropy)
    if material.curves:
        write_csv(folder, _curve_table(material))
    return {name for name, draw in draws.items() if plots.write_figure(folder, name, draw)}


def _write_comparisons(folder: Path, material: StudyMaterial) -> list[tuple[str, str]]:
    """Write a picture of figure 6 for each comparison; returns (name, what it shows)."""
    written = []
    for number, comparison in enumerate(material.comparisons, 1):
        name = f"comparison-{number}"
        for theme in plots.THEMES:
            suffix = "" if theme is plots.LIGHT else f"-{theme.name}"
            picture = comparison_picture(comparison, theme)
            write_whole(folder / f"{name}{suffix}.png", mosaic.small_png(picture))
        written.append((name, wording.comparison_text(comparison)))
    return written


def _curve_table(material: StudyMaterial) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (bits, model, recall, precision)
        for bits, model, curve in material.curves
        for recall, precision in zip(
            np.asarray(curve.recall).tolist(), np.asarray(curve.precision).tolist(), strict=True
        )
    ]
    columns = ("bits", "model", "recall", "precision")
    return Table("precision_recall", "Precision and recall.", columns, tuple(rows))


def _starts(grid: Grid) -> set[int]:
    """The first column of each group of columns, except the first group."""
    metrics = [column.metric for column in grid.columns]
    return {place for place in range(1, len(metrics)) if metrics[place] != metrics[place - 1]}


def _environment() -> Environment:
    own = environment(TEMPLATES)
    own.globals.update(value=value_text, starts=_starts, file_name=file_name)
    return own
