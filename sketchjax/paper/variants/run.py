"""The study of variants from its config to its table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orjson

from sketchjax.config import Config, flat
from sketchjax.errors import NotFiniteError, Stopped
from sketchjax.files import write_whole
from sketchjax.paper.reference import reference
from sketchjax.paper.variants.config import config_of, run_folder, validate_variants
from sketchjax.paper.variants.results import Results, Row, value_of, write
from sketchjax.paper.variants.table import print_results
from sketchjax.run import experiment
from sketchjax.run.output import console
from sketchjax.run.results import device_name, versions
from sketchjax.run.writers import read_results
from sketchjax.train.data import prepare_data
from sketchjax.train.workdir import locked

# What decides the data folder; a variant that changes one of these has a folder of its own.
_OF_DATA = ("data", "photos")


def run_variants(
    study: Config, workdir: Path, should_stop: Callable[[], bool] = lambda: False
) -> Results:
    """Do what remains of a study, one seed of all variants after another; resume where it stopped.

    WORKDIR/variants.json has what is known after every run. A run whose loss is not finite shows
    as missing in its row, and is tried again by the next call; the others continue.

    study: its config.
    workdir: of the study; made where it does not exist.
    should_stop: whether a stop was asked for.
    Raises the errors of `sketchjax.errors`; Stopped when `should_stop` asked for it.
    """
    validate_variants(study)
    out = console()
    with locked(workdir) as warning:
        if warning:
            out.print(warning, markup=False)
        write_whole(workdir / "study.json", orjson.dumps(flat(study), option=orjson.OPT_INDENT_2))
        for seed in study.seeds:
            for name in study.rows:
                given, folder = study.variants[name], run_folder(workdir, name, seed)
                if read_results(folder) is not None:
                    continue
                own = any(section in given.changes for section in _OF_DATA)
                data = "" if own else str(prepare_data(study.base, workdir))
                out.print(f"\n{folder.name}: {given.label}", markup=False)
                config = config_of(study, name, seed, workdir, data)
                try:
                    experiment.run(config, folder, should_stop, reference)
                except NotFiniteError as error:
                    out.print(f"{folder.name} failed: {error}", markup=False)
                # The programs of one run serve no other.
                jax.clear_caches()
                write(workdir, collect(study, workdir))
                if should_stop():
                    raise Stopped("stopped between two runs; rerun the same command to resume")
        results = collect(study, workdir)
        write(workdir, results)
    print_results(results)
    return results


def collect(study: Config, workdir: Path) -> Results:
    """What the runs of a study have reached so far."""

    def figures(name: str) -> dict[str, tuple[float | None, ...]]:
        found: list[dict[str, Any]] = [
            read_results(run_folder(workdir, name, seed)) or {} for seed in study.seeds
        ]
        return {
            figure: tuple(value_of(results, figure) for results in found)
            for figure in study.figures
        }

    rows = [Row(study.variants[name].label, figures(name)) for name in study.rows]
    return Results(study.name, list(study.seeds), rows, versions(), device_name())
