"""A study from its config to its report: data, runs, other measurements, page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sketchjax.config import Config
from sketchjax.data.folder.unseen import unseen_categories
from sketchjax.data.sources.word_vectors import read_word_vectors
from sketchjax.errors import ConfigError, Stopped
from sketchjax.files import write_whole
from sketchjax.paper.reference import reference
from sketchjax.paper.report.material import save_study
from sketchjax.paper.report.page import write_study
from sketchjax.paper.report.terminal import progress_table
from sketchjax.paper.study.collect import collect, run_states, seconds_so_far
from sketchjax.paper.study.config import validate_study
from sketchjax.paper.study.measure import measurements
from sketchjax.paper.study.plan import plan_runs, run_folder, run_problems
from sketchjax.paper.study.state import Study
from sketchjax.paper.workdir import bound
from sketchjax.run import experiment
from sketchjax.run.writers import read_results
from sketchjax.train.data import check_data, check_selection, prepare_data


def run_study(
    config: Config, workdir: Path, should_stop: Callable[[], bool] = lambda: False
) -> Study:
    """Do what remains of a study, and write its report.

    A run that fails shows in its row, and so do those that start from it; all others are still
    done.

    config: of the study.
    workdir: of the study; made where it does not exist.
    should_stop: whether a stop was asked for.
    Raises ConfigError before any training when anything in the config is invalid, Stopped when
    `should_stop` asked for it, DiskError.
    """
    validate_study(config)
    with bound(config, workdir) as warning:
        folder = prepare_data(config.base, workdir)
        manifest = check_data(folder, config.base)
        study = Study(config, workdir, folder, manifest, plan_runs(config, workdir, folder))
        problems = run_problems(config, study.runs, workdir) + data_problems(study)
        if problems:
            raise ConfigError(problems)
        if warning:
            study.out.print(warning, markup=False)
        started = time.monotonic()
        try:
            train(study, should_stop)
            measure(study, should_stop)
        finally:
            keep_seconds(workdir, time.monotonic() - started)
            page = write_study(workdir, collect(study))
            study.out.print(progress_table(run_states(study)))
            study.out.print(f"report: {page}", markup=False)
    return study


def train(study: Study, should_stop: Callable[[], bool]) -> None:
    """Do the runs that have not finished. Raises Stopped when `should_stop` says so."""
    for planned in study.runs:
        folder = run_folder(study.workdir, planned.name)
        if read_results(folder) is not None:
            continue
        study.out.print(f"\n{planned.name}: {planned.label}", markup=False)
        work = partial(experiment.run, planned.config, folder, should_stop, reference)
        study.attempt(planned.name, folder, planned.needs, work)
        if should_stop():
            raise Stopped("stopped between two runs; rerun the same command to resume")
        # `sketchjax study` shows a study in progress.
        save_study(study.workdir / "report" / "material.json", collect(study))


def measure(study: Study, should_stop: Callable[[], bool]) -> None:
    """Take the measurements that are missing. Raises Stopped when `should_stop` says so."""
    for measurement in measurements(study):
        if not measurement.missing():
            continue
        folder = run_folder(study.workdir, measurement.name)
        study.attempt(measurement.name, folder, measurement.needs, measurement.take)
        if should_stop():
            raise Stopped("stopped between two measurements; rerun the same command to resume")


def data_problems(study: Study) -> list[str]:
    """What the study's config asks for and the data, or the word vectors, lack."""
    config, categories, problems = study.config, study.manifest.categories, []
    if config.query not in categories and "1" in config.tables:  # figure 6 comes with table 1
        problems.append(
            f"query={config.query!r}: the data has no such category; it has "
            f"{', '.join(categories[:8])}, ..."
        )
    checks: list[Callable[[], Any]] = [
        lambda: check_selection(config.base, study.folder, study.manifest)
    ]
    if "zero-shot" in config.tables:
        count = 0 if config.unseen else config.unseen_count
        checks.append(lambda: unseen_categories(categories, config.unseen, count, config.seeds[0]))
    vectors = config.base.data.word_vectors
    if vectors and any(run.method == "dsh_sketch" for run in study.runs):
        checks.append(lambda: read_word_vectors(Path(vectors).expanduser(), categories))
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems += error.problems
    return problems


def keep_seconds(workdir: Path, seconds: float) -> None:
    """Add to the time that the study has taken in all its calls."""
    write_whole(workdir / "seconds.json", json.dumps(seconds_so_far(workdir) + seconds).encode())
