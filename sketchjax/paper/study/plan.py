"""From a study's config to its runs: which there are, what each needs first, in what order."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sketchjax.config import Config, flat, stage_rows, validate
from sketchjax.errors import ConfigError
from sketchjax.fields import one_line
from sketchjax.paper.study.methods import METHODS, ROWS, Method, own_method
from sketchjax.paper.workdir import by_run, of_another_config

# A run may have epochs and losses of its own, but no other drawings.
_SHARED = ("data.", "drawing.")
_OWN = ("data.dir", "data.unseen", "data.unseen_count")


@dataclass(frozen=True)
class Planned:
    """A run of the study.

    name: its folder under WORKDIR/runs.
    method: a name in METHODS or in the study's own methods; label: the method's.
    bits: length of its codes; None for a method that does not depend on it.
    needs: the runs that have to finish first.
    """

    name: str
    method: str
    label: str
    bits: int | None
    seed: int
    zero_shot: bool
    config: Config
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """What distinguishes the runs of a study."""

    method: str
    bits: int | None
    seed: int
    zero_shot: bool = False

    @property
    def name(self) -> str:
        """The run's folder: full-64, zero-shot/full-32, seed1/full-64."""
        parts = [f"seed{self.seed}"] if self.seed else []
        parts += ["zero-shot"] if self.zero_shot else []
        parts.append(self.method if self.bits is None else f"{self.method}-{self.bits}")
        return "/".join(parts)


def plan_runs(study: Config, workdir: Path, folder: Path) -> list[Planned]:
    """All runs of a study, each after those it needs.

    study: a valid config of a study.
    workdir: of the study.
    folder: the data folder of all runs.
    Raises ConfigError when the base config lacks what a method changes, or methods start from each
    other.
    """
    methods = all_methods(study)
    planned: dict[str, Planned] = {}

    def add(key: Key, waiting: tuple[str, ...] = ()) -> Planned:
        """Plan a run after those it starts from. waiting: the runs that wait for it."""
        if key.name in waiting:
            raise ConfigError(f"methods: {' starts from '.join([*waiting, key.name])}")
        if key.name not in planned:
            method = methods[key.method]
            keys = [
                Key(name, key.bits if methods[name].by_bits else None, key.seed, key.zero_shot)
                for name in method.begins
            ]
            needs = [add(before, (*waiting, key.name)) for before in keys]
            planned[key.name] = Planned(
                key.name,
                key.method,
                method.label,
                key.bits,
                key.seed,
                key.zero_shot,
                run_config(study, method, key, workdir, folder, needs),
                tuple(run.name for run in needs),
            )
        return planned[key.name]

    for key in wanted(study):
        add(key)
    return list(planned.values())


def all_methods(study: Config) -> dict[str, Method]:
    """The paper's methods and the study's own."""
    own = {name: own_method(method) for name, method in study.methods.items()}
    return {**METHODS, **own}


def table_methods(study: Config, table: str) -> tuple[str, ...]:
    """The methods in a table's rows; the study's own come last in table 1."""
    names = ROWS[table] + (tuple(study.methods) if table == "1" else ())
    return tuple(name for name in names if not study.rows or name in study.rows)


def wanted(study: Config) -> Iterator[Key]:
    """The runs that the tables show, seed by seed."""
    methods = all_methods(study)
    for seed in study.seeds:
        for table in study.tables:
            if table not in ROWS:
                continue
            lengths = (study.zero_shot_bits,) if table == "zero-shot" else tuple(study.bits)
            # The longest codes first: they say most about a study, and early.
            for bits in sorted(lengths, reverse=True):
                for name in table_methods(study, table):
                    by_bits = methods[name].by_bits
                    yield Key(name, bits if by_bits else None, seed, table == "zero-shot")


def run_config(
    study: Config, method: Method, key: Key, workdir: Path, folder: Path, needs: list[Planned]
) -> Config:
    """The base config as a method changes it.

    study, workdir, folder: as for `plan_runs`.
    method, key: of the run.
    needs: the runs that it starts from.
    """
    config = copy.deepcopy(study.base)
    config.name = f"{method.label}, {key.bits} bits" if key.bits else method.label
    config.seed = key.seed
    config.data.dir = str(folder)
    if key.bits:
        config.model.bits = key.bits
        config.train.head_rate = dict(study.head_rates).get(key.bits, config.train.head_rate)
    if key.zero_shot:
        config.name += ", zero-shot"
        config.data.unseen = tuple(study.unseen)
        config.data.unseen_count = 0 if study.unseen else study.unseen_count
    try:
        method.change(config)
        if key.method in ("sketch_a_net", "resnet50"):
            config.model.encoders.cnn.update(study[key.method].to_dict())
    except (AttributeError, KeyError) as error:
        missing = str(error).strip("\"'")
        raise ConfigError(f"{key.name}: base has no {missing}, which it needs") from error
    config.train.pretrained = ",".join(str(last_weights(workdir, run)) for run in needs)
    # Each run has its own page; its scores are computed once, at its end.
    config.evaluation.after_stages = ()
    return config


def last_weights(workdir: Path, run: Planned) -> Path:
    """The model file that the last stage of a run leaves."""
    stages = stage_rows(run.config)
    if not stages:
        raise ConfigError(f"{run.name} trains no stage, so no other run can start from it")
    return run_folder(workdir, run.name) / "weights" / f"{stages[-1].name}.safetensors"


def run_folder(workdir: Path, name: str) -> Path:
    """The workdir of one run of a study."""
    return workdir / "runs" / name


def run_problems(study: Config, runs: list[Planned], workdir: Path) -> list[str]:
    """What is wrong with any of the runs, one line per problem.

    That is an invalid config, other drawings than the base's, or a folder in the workdir that holds
    a run of another config.
    """
    return by_run((run.name, problem) for run in runs for problem in _problems(study, run, workdir))


def _problems(study: Config, run: Planned, workdir: Path) -> Iterator[str]:
    try:
        validate(run.config)
    except ConfigError as error:
        yield from error.problems
    else:
        yield from of_another_config(run.config, run_folder(workdir, run.name))
    now = flat(run.config)
    for field, value in flat(study.base).items():
        if field.startswith(_SHARED) and field not in _OWN and now.get(field) != value:
            yield (
                f"{field}={one_line(now.get(field))}, but the base has {one_line(value)}; all runs "
                "of a study use the same drawings"
            )
