"""The study of variants from its config to its table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

from sketchjax.config import Config
from sketchjax.errors import ConfigError, Stopped
from sketchjax.paper.attempts import Attempts
from sketchjax.paper.reference import reference
from sketchjax.paper.variants.config import config_of, run_folder, validate_variants
from sketchjax.paper.variants.results import Results, Row, value_of, write
from sketchjax.paper.variants.table import print_results
from sketchjax.paper.workdir import bound, by_run, of_another_config
from sketchjax.run import experiment
from sketchjax.run.results import devices_and_versions
from sketchjax.run.writers import read_results
from sketchjax.train.data import data_folder, prepare_data
from sketchjax.train.workdir import read_fields

# What decides the data folder; a variant that changes one of these has a folder of its own.
_OF_DATA = ("data", "photos")


def run_variants(
    study: Config, workdir: Path, should_stop: Callable[[], bool] = lambda: False
) -> Attempts:
    """Do what remains of a study, one seed of all variants after another; resume where it stopped.

    WORKDIR/variants.json has what is known after every run. A run that fails shows as missing in
    its row, as do those that learn from it, and is tried again by the next call; the others
    continue. Returns what failed.

    study: its config.
    workdir: of the study; made where it does not exist.
    should_stop: whether a stop was asked for.
    Raises ConfigError before any training when anything in the config is invalid, Stopped when
    `should_stop` asked for it, InUseError, DiskError.
    """
    validate_variants(study)
    attempts = Attempts()
    with bound(study, workdir) as warning:
        if warning:
            attempts.out.print(warning, markup=False)
        check_runs(study, workdir)
        for seed in study.seeds:
            for name in study.rows:
                given, folder = study.variants[name], run_folder(workdir, name, seed)
                if read_results(folder) is not None:
                    continue
                attempts.out.print(f"\n{folder.name}: {given.label}", markup=False)
                teacher = run_folder(workdir, given.teacher, seed).name if given.teacher else ""
                work = partial(_train, study, name, seed, workdir, should_stop)
                attempts.attempt(folder.name, folder, (teacher,), work)
                results = collect(study, workdir)
                write(workdir, results)
                for line in absent_figures(results):
                    attempts.out.print(line, markup=False)
                if should_stop():
                    raise Stopped("stopped between two runs; rerun the same command to resume")
        results = collect(study, workdir)
        write(workdir, results)
    print_results(results)
    return attempts


def _train(
    study: Config, name: str, seed: int, workdir: Path, should_stop: Callable[[], bool]
) -> None:
    config = run_config(study, name, seed, workdir)
    if not _has_own_data(study, name):
        prepare_data(study.base, workdir)
    experiment.run(config, run_folder(workdir, name, seed), should_stop, reference)


def run_config(study: Config, name: str, seed: int, workdir: Path) -> Config:
    """The config of one run, which reads the drawings of the study unless it has its own."""
    data = "" if _has_own_data(study, name) else str(data_folder(study.base, workdir))
    return config_of(study, name, seed, workdir, data)


def _has_own_data(study: Config, name: str) -> bool:
    return any(section in study.variants[name].changes for section in _OF_DATA)


def check_runs(study: Config, workdir: Path) -> None:
    """Raise ConfigError where the folder of a run holds one of another config."""
    problems = []
    for seed in study.seeds:
        for name in study.rows:
            folder = run_folder(workdir, name, seed)
            config = run_config(study, name, seed, workdir)
            before = (read_fields(folder / "config.json") or {}).get("train.teacher", "")
            if Path(before).name == Path(config.train.teacher).name:  # it moved with the study
                config.train.teacher = before
            problems += [(folder.name, line) for line in of_another_config(config, folder)]
    if problems:
        raise ConfigError(by_run(problems))


def collect(study: Config, workdir: Path) -> Results:
    """What the runs of a study have reached so far."""

    found = {
        name: [read_results(run_folder(workdir, name, seed)) or {} for seed in study.seeds]
        for name in study.rows
    }
    device, versions = devices_and_versions(chain(*found.values()))
    rows = []
    for name, results in found.items():
        figures = {
            figure: tuple(value_of(each, figure) for each in results) for figure in study.figures
        }
        rows.append(Row(study.variants[name].label, figures))
    return Results(study.name, list(study.seeds), rows, versions, device)


def absent_figures(results: Results) -> list[str]:
    """One line for each figure that no run has so far; none before the first run has finished."""
    there = {
        figure: any(value is not None for row in results.rows for value in row.figures[figure])
        for figure in results.rows[0].figures
    }
    if not results.device:
        return []
    return [
        f"figures: no run has {figure} so far; if it is misspelt, stop the study and correct it, "
        "as figures may change"
        for figure, found in there.items()
        if not found
    ]
