"""A study from its config to its report: data, runs, measurements beside them, page."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orjson
from rich.console import Console

from sketchjax.config import Config, flat
from sketchjax.data.folder.unseen import unseen_categories
from sketchjax.data.sources.word_vectors import read_word_vectors
from sketchjax.errors import ConfigError, DiskError, SketchjaxError, Stopped
from sketchjax.files import write_whole
from sketchjax.paper.report.material import save_study
from sketchjax.paper.report.page import write_study
from sketchjax.paper.report.terminal import progress_table
from sketchjax.paper.study.collect import collect, run_states, seconds_so_far
from sketchjax.paper.study.config import validate_study
from sketchjax.paper.study.measure import measured, measurements
from sketchjax.paper.study.plan import plan_runs, run_folder, run_problems
from sketchjax.paper.study.state import Study
from sketchjax.run import experiment
from sketchjax.run.writers import read_results
from sketchjax.train.data import check_categories, check_data, prepare_data
from sketchjax.train.workdir import alone

FAILED = "failed.json"


def run_study(
    config: Config, workdir: Path, should_stop: Callable[[], bool] = lambda: False
) -> Study:
    """Do what is left of a study, and write its report.

    A run that fails is told in its row, and those that begin from it with it; the others go on.
    Raises ConfigError before any training where anything of it cannot be, Stopped when asked to.
    """
    validate_study(config)
    out = Console(soft_wrap=True, highlight=False)
    with alone(workdir):
        folder = prepare_data(config.base, workdir)
        manifest = check_data(folder, config.base.evaluation.queries)
        study = Study(config, workdir, folder, manifest, plan_runs(config, workdir, folder))
        problems = run_problems(config, study.runs, workdir) + data_problems(study)
        if problems:
            raise ConfigError(problems)
        write_whole(workdir / "study.json", orjson.dumps(flat(config), option=orjson.OPT_INDENT_2))
        started = time.monotonic()
        try:
            for planned in study.runs:
                if read_results(run_folder(workdir, planned.name)) is None:
                    out.print(f"\n{planned.name}: {planned.label}")
                    attempt(
                        study,
                        planned.name,
                        planned.needs,
                        lambda planned=planned: experiment.run(
                            planned.config, run_folder(workdir, planned.name), should_stop
                        ),
                    )
                    if should_stop():
                        raise Stopped("stopped between two runs; run the same command to go on")
                    # `sketchjax study` shows a study under way.
                    save_study(workdir / "report" / "material.json", collect(study))
            for name, needs, measure in measurements(study):
                if measured(workdir, name) is not None:
                    continue
                attempt(study, name, needs, measure)
                if should_stop():
                    raise Stopped("stopped between two measurements; run the same command again")
        finally:
            keep_seconds(workdir, time.monotonic() - started)
            page = write_study(workdir, collect(study))
            out.print(progress_table(run_states(study)))
            out.print(f"report: {page}")
    return study


def attempt(study: Study, name: str, needs: tuple[str, ...], work: Callable[[], Any]) -> None:
    """Do one part of the study; what goes wrong stands in its row and does not end the others."""
    lacking = [other for other in needs if other in study.failures]
    path = run_folder(study.workdir, name) / FAILED
    if lacking:
        study.failures[name] = f"begins from {', '.join(lacking)}, which failed"
        return
    try:
        work()
    except (Stopped, DiskError):
        raise
    except Exception as error:
        told = (
            str(error) if isinstance(error, SketchjaxError) else f"{type(error).__name__}: {error}"
        )
        study.failures[name] = told
        study.exit_code = study.exit_code or getattr(error, "exit_code", 70)
        content = {"what": told, "traceback": traceback.format_exc()}
        write_whole(path, json.dumps(content, indent=1).encode())
        print(f"{name} failed: {told}", flush=True)
    else:
        path.unlink(missing_ok=True)
    finally:
        # Compiled programs of a run serve no other: thirty runs would keep gigabytes of them.
        jax.clear_caches()


def data_problems(study: Study) -> list[str]:
    """What the study's config asks for and the data, or the word vectors, do not have."""
    config, categories, problems = study.config, study.manifest.categories, []
    if config.query not in categories and "1" in config.tables:  # figure 6 comes with table 1
        problems.append(
            f"query={config.query!r}: the data has no such category; it has "
            f"{', '.join(categories[:8])}, ..."
        )
    checks: list[Callable[[], Any]] = [lambda: check_categories(config.base, study.manifest)]
    if "zero-shot" in config.tables:
        count = 0 if config.unseen else config.unseen_count
        checks.append(lambda: unseen_categories(categories, config.unseen, count, config.seeds[0]))
    vectors = config.base.data.word_vectors
    if vectors and any(run.method == "dsh_sketch" for run in study.runs):
        checks.append(lambda: read_word_vectors(Path(vectors), categories))
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems += error.problems
    return problems


def keep_seconds(workdir: Path, seconds: float) -> None:
    """Add to the time that the study has taken in all its calls."""
    write_whole(workdir / "seconds.json", json.dumps(seconds_so_far(workdir) + seconds).encode())
