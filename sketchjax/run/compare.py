"""Which objective suits these drawings: a head for each, on the features of finished runs.

Encoders stay as they are, so a head trains in seconds. Learning rates are chosen, and heads
compared, by the exact MAP of the validation sketches among themselves: no query is looked at.
`run.compare_scores` scores what was chosen.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import msgspec
import numpy as np

from sketchjax.data.folder.manifest import NAME
from sketchjax.data.folder.shards import same_drawings
from sketchjax.errors import ConfigError, DataError, NotFiniteError, Stopped
from sketchjax.files import read_json, sha256, write_whole
from sketchjax.models.table import POSTERIOR
from sketchjax.ops.precision import in_32_bits
from sketchjax.retrieval.passes import Task
from sketchjax.run.material import Material, material_of
from sketchjax.run.objectives import (
    CODERS,
    FIRST_RATES,
    OBJECTIVES,
    RATES,
    Arrays,
    Coder,
    MakeCoder,
    Setting,
    next_rates,
)
from sketchjax.run.posterior.choice import map_of_codes
from sketchjax.run.posterior.finding import find_source
from sketchjax.run.posterior.lengths import check_codebooks, checked
from sketchjax.run.posterior.source import Source
from sketchjax.run.results import device_name
from sketchjax.tensors import SUFFIX, load_tensors, save_tensors
from sketchjax.train.workdir import locked

FILE = "compare.json"
_HEAD = "sketchjax head 1"
# Learning rates by objective and length; None where no rate gave a finite loss.
Rates = Mapping[tuple[str, int], float | None]


class Row(msgspec.Struct, frozen=True):
    """What a way to codes reached.

    objective: its name; bits: of its codes.
    learning_rate: chosen on the first run by its first seed; None for a way that has none.
    map_validation: of each run and seed, all seeds of a run together; None where no codes could be
      made. Empty where even the first could not.
    seconds: the median of the fits; None without any.
    bytes: of the arrays that decide the codes; 0 without any.
    device: that fitted them; empty in files of older versions.
    """

    objective: str
    bits: int
    learning_rate: float | None
    map_validation: tuple[float | None, ...]
    seconds: float | None
    bytes: int
    device: str = ""

    @property
    def mean(self) -> float:
        """The mean of `map_validation`; 0 without any."""
        found = [each for each in self.map_validation if each is not None]
        return float(np.mean(found)) if found else 0.0


class Head(msgspec.Struct, frozen=True):
    """What the file of a kept head says: the row, the run's model and the seed it belongs to."""

    objective: str
    bits: int
    model: str
    seed: int
    learning_rate: float | None


class _Kept(msgspec.Struct, frozen=True):
    """OUT/compare.json. mark: the models, the data and the settings that the rows are of."""

    mark: dict[str, Any]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Comparison:
    """Rows of finished runs, with the heads that they kept.

    sources: the runs.
    seeds: heads of each run in a row; epochs: of each head.
    out: the folder with the rows and the heads.
    mark: the models, the data and the settings that the rows are of.
    makers: what makes the coders, by name.
    rows: by length and falling mean.
    """

    sources: list[Source]
    seeds: int
    epochs: int
    out: Path
    mark: dict[str, Any]
    makers: Mapping[str, MakeCoder]
    rows: list[Row]

    def coder(self, name: str, bits: int, reads: int) -> Coder:
        """What fits and encodes for a row. reads: e, the fused features of a sketch."""
        architecture = self.sources[0].model.architecture
        return self.makers[name](Setting(architecture, reads, bits, self.epochs))

    def write(self) -> None:
        """Write the rows."""
        content = msgspec.json.encode(_Kept(self.mark, tuple(self.rows)))
        write_whole(self.out / FILE, msgspec.json.format(content))

    def head(self, row: Row, run: int, seed: int) -> Arrays:
        """What decides the codes of a row, run and seed, as it was kept."""
        path = _head_file(self.out, row.objective, row.bits, run, seed)
        arrays, about = load_tensors(
            path,
            Head,
            format=_HEAD,
            noun="head",
            error=DataError,
            remedy=f"delete {self.out} to fit again, or give another folder",
        )
        if about.model != self.sources[run].model.fingerprint:
            raise DataError(f"{path} is a head of another model; give another folder")
        return arrays


@in_32_bits
def compare(
    paths: Sequence[Path],
    out: Path,
    bits: Sequence[int],
    *,
    objectives: Sequence[str] = (),
    others: Mapping[str, MakeCoder] | None = None,
    rates: Rates | None = None,
    seeds: int | None = None,
    epochs: int = 10,
    copies: int = 0,
    data: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    task: Task,
    note: Callable[[str], None],
) -> Comparison:
    """Fit each way to codes at each length, and score its codes on validation sketches.

    paths: the workdirs of finished runs of one config, or model files of such; they differ by their
      seeds.
    out: gets compare.json after each row, the heads, and the features that they read; a rerun
      computes only what is missing.
    bits: lengths of the codes, multiples of 8.
    objectives: rows of CODERS and `others`; empty: all.
    others: ways to codes that the core does not know, by name.
    rates: learning rates that are taken as they are; None: they are chosen.
    seeds: heads of each run; by default 3 for one run, 1 for several.
    epochs: over the training sketches and their copies.
    copies: augmented copies of each training sketch.
    data: the data folder; by default the runs' own.
    should_stop: asked after each row.
    task: shows progress; note: gets what was decided, line by line.

    Raises ConfigError for names and numbers out of range and for runs that do not belong together,
    InUseError, CheckpointError and DataError as `recode` does, all before any work; Stopped.
    """
    makers = {**CODERS, **(others or {})}
    names = list(dict.fromkeys(objectives)) or list(makers)
    seeds = (3 if len(paths) == 1 else 1) if seeds is None else seeds
    numbers = {"seeds": (seeds, 1), "epochs": (epochs, 1), "copies": (copies, 0)}
    lengths = checked(bits, numbers, _unknown(names, makers))
    wanted = [(name, length) for length in lengths for name in names]
    sources = [find_source(path, data, task) for path in paths]
    _check_runs(paths, sources)
    if POSTERIOR in names:
        check_codebooks(sources[0].unseen, lengths)
    mark = {
        "models": [source.model.fingerprint for source in sources],
        "data": sha256(sources[0].folder / NAME),
        "seeds": seeds,
        "epochs": epochs,
        "copies": copies,
        "rates": [*RATES],
    }
    with locked(out, "OUT") as warning:
        if warning:
            note(warning)
        done = {(row.objective, row.bits): row for row in _kept(out, mark)}
        _check_rates(wanted, rates, done, out)
        comparison = Comparison(sources, seeds, epochs, out, mark, makers, list(done.values()))
        if missing := [key for key in wanted if key not in done]:
            _fill(comparison, missing, rates, should_stop, task, note)
    asked = [row for row in comparison.rows if (row.objective, row.bits) in wanted]
    return replace(comparison, rows=sorted(asked, key=lambda row: (row.bits, -row.mean)))


def _fill(
    comparison: Comparison,
    missing: Sequence[tuple[str, int]],
    rates: Rates | None,
    should_stop: Callable[[], bool],
    task: Task,
    note: Callable[[str], None],
) -> None:
    """Fit and write the missing rows of a comparison, each an objective and a length.

    The other arguments are those of `compare`. Raises Stopped.
    """
    out, mark = comparison.out, comparison.mark
    materials = [
        material_of(
            source, out / "features" / f"run{run}{SUFFIX}", mark["data"], mark["copies"], note
        )
        for run, source in enumerate(comparison.sources)
    ]
    contest = _Contest(comparison, materials, note)
    with task("rows", len(missing)) as advance:
        for name, length in missing:
            comparison.rows.append(contest.row(name, length, rates))
            comparison.write()
            advance(1)
            # The programs of one row serve no other, and a hundred rows would keep gigabytes.
            jax.clear_caches()
            if should_stop():
                raise Stopped("stopped between two rows; rerun the same command to resume")


def _unknown(names: Sequence[str], makers: Mapping[str, MakeCoder]) -> list[str]:
    """One line for each name that is no row."""
    problems = []
    for name in names:
        if name not in makers:
            near = difflib.get_close_matches(name, makers, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(makers)}"
            problems.append(f"{name!r} is no objective; {hint}")
    return problems


def _check_runs(paths: Sequence[Path], sources: Sequence[Source]) -> None:
    """Raise ConfigError unless the runs read strokes and differ by their seeds only."""
    first, problems = sources[0], []
    if pictures := [path for path, own in zip(paths, sources, strict=True) if own.embedded]:
        raise ConfigError(
            [
                f"{path} reads photos or raster sketches; give runs of strokes to compare"
                for path in pictures
            ]
        )
    models = [source.model.fingerprint for source in sources]
    for number, (path, source) in enumerate(zip(paths, sources, strict=True)):
        if (same := models.index(models[number])) < number:
            problems.append(f"{path} has the same model as {paths[same]}")
        elif not same_drawings(first.folder, source.folder):
            problems.append(f"{path} was trained on other drawings or splits than {paths[0]}")
        elif (source.model.architecture, source.pairs) != (first.model.architecture, first.pairs):
            problems.append(f"{path} has another architecture or other rankings than {paths[0]}")
        elif source.unseen.any() != first.unseen.any():
            problems.append(f"only one of {path} and {paths[0]} kept categories out of training")
    if problems:
        raise ConfigError([f"{problem}; compare seeds of one config" for problem in problems])


def _check_rates(
    wanted: Sequence[tuple[str, int]],
    rates: Rates | None,
    done: Mapping[tuple[str, int], Row],
    out: Path,
) -> None:
    """Raise ConfigError where learning rates are given, but not all, or not those of kept rows."""
    if rates is None:
        return
    problems = []
    for name, length in wanted:
        if name not in OBJECTIVES:
            continue
        if (name, length) not in rates:
            problems.append(f"{name}, {length} bits: no learning rate is given")
            continue
        row = done.get((name, length))
        if row and row.map_validation and row.learning_rate != rates[name, length]:
            problems.append(
                f"{name}, {length} bits: the row has learning rate {row.learning_rate}, but "
                f"{rates[name, length]} is given; delete {out} to fit again, or give another folder"
            )
    if problems:
        raise ConfigError(problems)


def _kept(out: Path, mark: dict[str, Any]) -> tuple[Row, ...]:
    """The rows of an earlier call with the same models, data and settings.

    Raises ConfigError when the folder has rows of others: they would be lost.
    """
    path = out / FILE
    if not path.exists():
        return ()
    remedy = (
        f"an earlier version of sketchjax may have written it: delete {out}, or give another folder"
    )
    kept = read_json(path, _Kept, remedy=remedy, error=ConfigError)
    if kept.mark != mark:
        raise ConfigError(
            f"{out} has rows of other models, other data or other settings; delete it, or give "
            "another folder"
        )
    return kept.rows


class _Fit(NamedTuple):
    """What was fitted, the MAP of its validation codes, and the seconds that the fit took."""

    arrays: Arrays
    map_validation: float
    seconds: float


@dataclass(frozen=True)
class _Contest:
    """What fits the missing rows.

    comparison: that they are of; its folder gets the heads.
    materials: what is fitted to, of each run.
    note: gets why codes could not be made.
    """

    comparison: Comparison
    materials: Sequence[Material]
    note: Callable[[str], None]

    def row(self, name: str, bits: int, rates: Rates | None) -> Row:
        """Choose a learning rate by the first seed of the first run, then fit all with it."""
        seeds = self.comparison.seeds
        coder = self.comparison.coder(name, bits, self.materials[0].frozen.features.shape[1])
        fit = partial(self._fit, f"{name}, {bits} bits", coder)
        if name not in OBJECTIVES:
            tried = {None: fit(None, 0, 0)}
        elif rates is None:
            tried = _searched(lambda rate: fit(rate, 0, 0))
        else:
            given = rates[name, bits]
            tried = {given: fit(given, 0, 0)} if given is not None else {}
        finite = {rate: found for rate, found in tried.items() if found}
        if not finite:
            return Row(name, bits, None, (), None, 0)
        best = _best(finite)
        others = [divmod(number, seeds) for number in range(1, len(self.materials) * seeds)]
        fits = [finite[best], *(fit(best, run, seed) for run, seed in others)]
        for number, found in enumerate(fits):
            if found:
                self._keep(found, name, bits, best, *divmod(number, seeds))
        seconds = [found.seconds for found in (*finite.values(), *fits[1:]) if found]
        return Row(
            name,
            bits,
            best,
            tuple(found and found.map_validation for found in fits),
            round(float(np.median(seconds)), 3),
            sum(array.nbytes for array in finite[best].arrays.values()),
            device_name(),
        )

    def _keep(
        self, fit: _Fit, name: str, bits: int, rate: float | None, run: int, seed: int
    ) -> None:
        this = self.comparison
        about = Head(name, bits, this.sources[run].model.fingerprint, seed, rate)
        save_tensors(_head_file(this.out, name, bits, run, seed), fit.arrays, about, format=_HEAD)

    def _fit(self, what: str, coder: Coder, rate: float | None, run: int, seed: int) -> _Fit | None:
        """None when a loss is not finite or such codes cannot be made; the reason is noted."""
        material = self.materials[run]
        started = time.perf_counter()
        try:
            arrays = coder.fit(material, rate, seed)
        except (ConfigError, DataError, NotFiniteError) as error:
            self.note(f"{what}, run {run}, seed {seed}: {error}")
            return None
        seconds = time.perf_counter() - started
        codes = coder.encode(arrays, material.validation.features)
        score = map_of_codes([codes], [material.validation.labels])
        return _Fit(arrays, score, seconds)


def _searched(fit: Callable[[float], _Fit | None]) -> dict[float, _Fit | None]:
    """Fits at FIRST_RATES, and at further RATES until the best one lies between two others."""
    tried: dict[float, _Fit | None] = {}
    missing = list(FIRST_RATES)
    while missing:
        tried |= {rate: fit(rate) for rate in missing}
        found = {rate: each for rate, each in tried.items() if each}
        missing = next_rates(_best(found), tried) if found else []
    return tried


def _best(tried: Mapping[Any, _Fit]) -> Any:
    """The learning rate of the highest validation MAP."""
    return max(tried, key=lambda rate: tried[rate].map_validation)


def _head_file(out: Path, name: str, bits: int, run: int, seed: int) -> Path:
    return out / "heads" / f"{name}-{bits}" / f"run{run}-seed{seed}{SUFFIX}"
