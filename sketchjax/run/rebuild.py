"""Make the report of a finished run again, from the files that the run left."""

from __future__ import annotations

from pathlib import Path

from sketchjax.errors import DataError
from sketchjax.report.material import load_material
from sketchjax.report.page import write_page
from sketchjax.run.writers import read_metrics, read_results


def rebuild(workdir: str | Path) -> Path:
    """Make WORKDIR/report again; returns its index.html.

    It reads results.json, metrics.jsonl and report/material.json.
    Raises DataError when there is no run, it has not finished or one of the files is damaged.
    """
    results = read_results(workdir)
    if results is None and not (Path(workdir) / "config.json").exists():
        raise DataError(
            f"{workdir} has no results.json: give the workdir of a run, or what "
            "`sketchjax evaluate` wrote, once it has finished"
        )
    if results is None:
        raise DataError(
            f"{Path(workdir) / 'results.json'} does not exist: the run has not finished; "
            "rerun its command with the same --workdir to finish it"
        )
    folder = Path(workdir) / "report"
    material = load_material(folder / "material.json")
    return write_page(folder, results, read_metrics(workdir), material)
