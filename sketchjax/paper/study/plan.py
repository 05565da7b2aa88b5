"""From a study's config to its runs: which there are, what each needs first, in what order."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sketchjax.config import Config, flat, validate
from sketchjax.config.relations import STAGES, shown
from sketchjax.errors import ConfigError
from sketchjax.paper.study.methods import METHODS, ROWS, Method, own_method
from sketchjax.train.workdir import check_config

# A run may be at home with its own length of stages, never with other drawings.
_SHARED = ("data.", "drawing.")
_OWN = ("data.unseen", "data.unseen_count")


@dataclass(frozen=True)
class Planned:
    """A run of the study. name: its folder under WORKDIR/runs; needs: runs that end before it."""

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
    """What tells runs apart."""

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
    """All runs, each after those it needs; folder: the converted data of all of them."""
    methods = all_methods(study)
    planned: dict[str, Planned] = {}
    for key in wanted(study):
        _add(study, methods, key, workdir, folder, planned)
    return list(planned.values())


def all_methods(study: Config) -> dict[str, Method]:
    """The paper's methods and the study's own."""
    own = {name: own_method(method) for name, method in study.methods.items()}
    return {**METHODS, **own}


def table_methods(study: Config, table: str) -> tuple[str, ...]:
    """The methods of a table's rows; the study's own stand below those of table 1."""
    names = ROWS[table] + (tuple(study.methods) if table == "1" else ())
    return tuple(name for name in names if not study.rows or name in study.rows)


def wanted(study: Config) -> Iterator[Key]:
    """The runs that the tables show, of the first seed first."""
    methods = all_methods(study)
    for seed in study.seeds:
        for table in study.tables:
            if table not in ROWS:
                continue
            lengths = (study.zero_shot_bits,) if table == "zero-shot" else tuple(study.bits)
            # The longest codes first: what tells most of a study is done early.
            for bits in sorted(lengths, reverse=True):
                for name in table_methods(study, table):
                    by_bits = methods[name].by_bits
                    yield Key(name, bits if by_bits else None, seed, table == "zero-shot")


def _add(
    study: Config,
    methods: dict[str, Method],
    key: Key,
    workdir: Path,
    folder: Path,
    planned: dict[str, Planned],
) -> None:
    """Plan a run after those it begins from."""
    if key.name in planned:
        return
    method, needs = methods[key.method], []
    for name in method.begins:
        before = Key(name, key.bits if methods[name].by_bits else None, key.seed, key.zero_shot)
        _add(study, methods, before, workdir, folder, planned)
        needs.append(before.name)
    planned[key.name] = Planned(
        key.name,
        key.method,
        method.label,
        key.bits,
        key.seed,
        key.zero_shot,
        run_config(study, method, key, workdir, folder, [planned[name] for name in needs]),
        tuple(needs),
    )


def run_config(
    study: Config, method: Method, key: Key, workdir: Path, folder: Path, needs: list[Planned]
) -> Config:
    """The base config as a method changes it."""
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
    method.change(config)
    if key.method in ("sketch_a_net", "resnet50"):
        config.model.cnn.update(study[key.method].to_dict())
    config.train.pretrained = ",".join(str(last_weights(workdir, run)) for run in needs)
    # The page of each run; scores are taken once, at its end.
    config.evaluation.after_stages = ()
    return config


def last_weights(workdir: Path, run: Planned) -> Path:
    """The file of weights that a run leaves when it ends."""
    stages = [name for name in STAGES if run.config.stages[name].epochs]
    return run_folder(workdir, run.name) / "weights" / f"{stages[-1]}.safetensors"


def run_folder(workdir: Path, name: str) -> Path:
    """The workdir of one run."""
    return workdir / "runs" / name


def run_problems(study: Config, runs: list[Planned], workdir: Path) -> list[str]:
    """What is wrong with any of the runs: fields that cannot be, other drawings than the base's, a
    folder in the workdir that holds a run of another config.
    """
    problems: list[str] = []
    base = flat(study.base)
    for run in runs:
        try:
            validate(run.config)
            check_config(run.config, run_folder(workdir, run.name))
        except ConfigError as error:
            problems += [f"{run.name}: {problem}" for problem in error.problems]
        now = flat(run.config)
        problems += [
            f"{run.name}: {field}={shown(now[field])}, but the base has {shown(base[field])}; "
            "the runs of a study have the same drawings"
            for field in base
            if field.startswith(_SHARED)
            and field not in (*_OWN, "data.dir")
            and now.get(field) != base[field]
        ]
    return list(dict.fromkeys(problems))
