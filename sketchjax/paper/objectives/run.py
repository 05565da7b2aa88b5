"""The study of objectives from its config to its table: runs, choices, scores."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import jax
import msgspec

from sketchjax.config import Config
from sketchjax.errors import ConfigError
from sketchjax.fields import home_path
from sketchjax.files import read_json, write_whole
from sketchjax.paper.objectives.config import validate_objectives
from sketchjax.paper.objectives.results import FILE, Results, collect
from sketchjax.paper.objectives.shallow import SHALLOW
from sketchjax.paper.objectives.table import print_results
from sketchjax.paper.reference import reference
from sketchjax.paper.workdir import bound
from sketchjax.run import experiment
from sketchjax.run.compare import Comparison, Rates, compare
from sketchjax.run.compare_scores import score
from sketchjax.run.objectives import OBJECTIVES
from sketchjax.run.posterior.finding import workdir_of
from sketchjax.run.progress import TrainingProgress
from sketchjax.run.writers import read_results
from sketchjax.train.data import prepare_data
from sketchjax.train.workdir import read_fields

SETTINGS = "settings.json"


class Chosen(msgspec.Struct, frozen=True):
    """A file of chosen settings. learning_rates: by objective and length."""

    learning_rates: dict[str, dict[int, Annotated[float, msgspec.Meta(gt=0)] | None]]


def run_objectives(
    config: Config, workdir: Path, should_stop: Callable[[], bool] = lambda: False
) -> Results:
    """Do what remains of a study of objectives; resume where an earlier call ended.

    Learning rates are chosen on the first run's validation sketches, or taken from a file, and
    written to WORKDIR/settings.json before any query is looked at.

    config: of the study.
    workdir: of the study; made where it does not exist.
    should_stop: whether a stop was asked for.
    Raises the errors of `sketchjax.errors`; Stopped when `should_stop` asked for it.
    """
    validate_objectives(config)
    given = read_settings(home_path(config.settings)) if config.settings else None
    with bound(config, workdir) as warning:
        check_given(config)
        runs, unseen = train_runs(config, workdir, should_stop)
        with TrainingProgress() as progress:
            if warning:
                progress.note(warning)

            def compared(paths: list[Path], name: str, rates: Rates | None) -> Comparison:
                return compare(
                    paths,
                    workdir / name,
                    config.bits,
                    objectives=config.objectives,
                    others=SHALLOW,
                    rates=rates,
                    seeds=1,
                    epochs=config.epochs,
                    copies=config.copies,
                    should_stop=should_stop,
                    task=task,
                    note=progress.note,
                )

            task = lambda name, total: progress.task(name, total=total)  # noqa: E731
            comparisons = [compared(runs, "compared", given)]
            chosen = rates_of(comparisons[0])
            write_settings(workdir / SETTINGS, chosen)
            if unseen:
                comparisons.append(compared([unseen], "compared-unseen", chosen))
            scores = [score(each, task, should_stop) for each in comparisons]
        folders = [*runs, *([unseen] if unseen else [])]
        finished = [read_results(workdir_of(folder) or folder) or {} for folder in folders]
        results = collect(config, comparisons, scores, finished)
        write_whole(workdir / FILE, msgspec.json.format(msgspec.json.encode(results)))
    print_results(results)
    return results


def check_given(config: Config) -> None:
    """Refuse given runs that are not of the column they are given for.

    Raises ConfigError where one of `runs` kept categories out of training, or `unseen_run` none.
    """
    problems = [
        f"runs names {path}, which kept categories out of training; give it as unseen_run"
        for path in given_runs(config)
        if _keeps_out(path)
    ]
    if config.unseen_run and not _keeps_out(path := home_path(config.unseen_run)):
        problems.append(f"unseen_run={path} kept no category out of training; leave it empty")
    if problems:
        raise ConfigError(problems)


def _keeps_out(run: Path) -> bool:
    fields = read_fields((workdir_of(run) or run) / "config.json") or {}
    return bool(fields.get("data.unseen") or fields.get("data.unseen_count"))


def given_runs(config: Config) -> list[Path]:
    """The runs that a study is given."""
    return [home_path(path.strip()) for path in config.runs.split(",") if path.strip()]


def train_runs(
    config: Config, workdir: Path, should_stop: Callable[[], bool]
) -> tuple[list[Path], Path | None]:
    """The runs that all rows read, trained where they are not given.

    Returns the workdirs of the runs, and that of the run with categories kept out of training.
    """
    given = given_runs(config)
    unseen = home_path(config.unseen_run) if config.unseen_run else None
    trained: dict[str, dict[str, Any]] = {}
    if not given:
        trained = {f"seed{seed}": {"seed": seed} for seed in config.seeds}
    if not unseen and config.unseen_count:
        trained["unseen"] = {"seed": config.seeds[0], "data.unseen_count": config.unseen_count}
    if trained:
        data = str(prepare_data(config.base, workdir))
        for name, fields in trained.items():
            own = copy.deepcopy(config.base)
            own.update_from_flattened_dict(
                {**fields, "name": f"{own.name}, {name}", "data.dir": data}
            )
            experiment.run(own, workdir / "runs" / name, should_stop, reference)
            # The programs of one run serve no other.
            jax.clear_caches()
    folders = {name: workdir / "runs" / name for name in trained}
    unseen = folders.pop("unseen", unseen)
    return given or [*folders.values()], unseen


def rates_of(comparison: Comparison) -> Rates:
    """The learning rates of a comparison's rows."""
    return {
        (row.objective, row.bits): row.learning_rate
        for row in comparison.rows
        if row.objective in OBJECTIVES
    }


def write_settings(path: Path, rates: Rates) -> None:
    """Write learning rates as `read_settings` reads them."""
    found: dict[str, dict[int, float | None]] = {}
    for (name, bits), rate in sorted(rates.items()):
        found.setdefault(name, {})[bits] = rate
    write_whole(path, msgspec.json.format(msgspec.json.encode(Chosen(found))))


def read_settings(path: Path) -> Rates:
    """Chosen learning rates. Raises ConfigError when the file is missing or is something else."""
    remedy = "give settings= the settings.json of a study, or leave it empty to choose again"
    chosen = read_json(path, Chosen, remedy=remedy, error=ConfigError)
    return {
        (name, bits): rate
        for name, own in chosen.learning_rates.items()
        for bits, rate in own.items()
    }
