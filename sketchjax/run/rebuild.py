"""Make the report of a finished run again, from the files that the run left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sketchjax.errors import DataError, on_disk
from sketchjax.report.material import load_material
from sketchjax.report.page import write_page
from sketchjax.run.writers import read_metrics, read_results
from sketchjax.train.workdir import locked


def rebuild(workdir: str | Path) -> Path:
    """Make WORKDIR/report again; returns its index.html.

    It reads results.json, metrics.jsonl and report/material.json.
    Raises DataError when there is no run, it has not finished or one of the files is damaged;
    InUseError when another process writes to the workdir; DiskError.
    """
    workdir = Path(workdir)
    _results(workdir)  # a folder that has none gets no lock
    with locked(workdir, "WORKDIR"), on_disk(f"the report in {workdir} cannot be written"):
        folder = workdir / "report"
        material = load_material(folder / "material.json")
        return write_page(folder, _results(workdir), read_metrics(workdir), material)


def _results(workdir: Path) -> dict[str, Any]:
    results = read_results(workdir)
    if results is None and not (workdir / "config.json").exists():
        raise DataError(
            f"{workdir} has no results.json: give the workdir of a run, or what "
            "`sketchjax evaluate` wrote, once it has finished"
        )
    if results is None:
        raise DataError(
            f"{workdir / 'results.json'} does not exist: the run has not finished; "
            "rerun its command with the same --workdir to finish it"
        )
    return results
