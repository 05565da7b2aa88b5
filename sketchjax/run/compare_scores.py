"""Scores of kept heads: what `run.compare` chose, on the rankings of each run.

Nothing is fitted here, and nothing that is found here changes a choice. Where a run kept categories
out of training, their sketches are ranked, and only theirs, as at the end of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import msgspec

from sketchjax.errors import ConfigError, Stopped
from sketchjax.files import read_json, write_whole
from sketchjax.models.table import CLASSIFIER, FUSION, POSTERIOR
from sketchjax.ops.precision import in_32_bits
from sketchjax.retrieval.encode import Encoded
from sketchjax.retrieval.passes import Task
from sketchjax.run.compare import Comparison, Row
from sketchjax.run.posterior.choice import posterior_map
from sketchjax.run.posterior.classifier import classified
from sketchjax.run.posterior.source import Source
from sketchjax.run.scoring import Ranking, rank
from sketchjax.train.classifier import LinearClassifier
from sketchjax.train.workdir import locked

FILE = "scores.json"
CEILING = "posteriors"  # ranked as floats: what posterior codes could reach at best


class Score(msgspec.Struct, frozen=True):
    """What the heads of a row reach on one ranking.

    objective, bits: of the row; bits is None for CEILING, which has one value for each run.
    queries, gallery: splits.
    map, precision_at_100: of each run and seed, as in `Row.map_validation`; None where there are no
      codes or no query can be scored.
    """

    objective: str
    bits: int | None
    queries: str
    gallery: str
    map: tuple[float | None, ...]
    precision_at_100: tuple[float | None, ...] = ()


class _Kept(msgspec.Struct, frozen=True):
    """OUT/scores.json. mark: that of the rows."""

    mark: dict[str, Any]
    scores: list[Score]


_Key = tuple[str, int | None]  # objective and bits


@in_32_bits
def score(
    comparison: Comparison, task: Task, should_stop: Callable[[], bool] = lambda: False
) -> list[Score]:
    """Score every row of a comparison, and the posteriors themselves if they have a row.

    comparison: its rows are complete and written. Its folder gets scores.json after each row; a
      rerun computes only what is missing.
    task: shows progress.
    should_stop: asked after each row.
    Raises ConfigError when the folder has scores of other rows or another process writes to it,
    DataError for a head that is missing or damaged, Stopped.
    """
    rows: dict[_Key, Row] = {
        (row.objective, row.bits): row for row in comparison.rows if any(row.map_validation)
    }
    posterior = [row for row in rows.values() if row.objective == POSTERIOR]
    if posterior:
        rows[CEILING, None] = posterior[0]
    with locked(comparison.out, "OUT"):
        done = _kept(comparison)
        if missing := [key for key in rows if key not in done]:
            _fill(comparison, rows, missing, done, should_stop, task)
    return [each for key in rows for each in done[key]]


def _fill(
    comparison: Comparison,
    rows: dict[_Key, Row],
    missing: list[_Key],
    done: dict[_Key, list[Score]],
    should_stop: Callable[[], bool],
    task: Task,
) -> None:
    """Add the scores of the missing rows to those that are done, and write them."""
    runs = [_ranked(source) for source in comparison.sources]
    with task("scores", len(missing)) as advance:
        for key in missing:
            measure = _ceiling if key[0] == CEILING else _scores
            done[key] = measure(comparison, rows[key], runs)
            content = _Kept(comparison.mark, [each for own in done.values() for each in own])
            encoded = msgspec.json.format(msgspec.json.encode(content))
            write_whole(comparison.out / FILE, encoded)
            advance(1)
            jax.clear_caches()  # as after a row
            if should_stop():
                raise Stopped("stopped between two scores; rerun the same command to resume")


def _kept(comparison: Comparison) -> dict[_Key, list[Score]]:
    """The scores of an earlier call."""
    path = comparison.out / FILE
    if not path.exists():
        return {}
    kept = read_json(path, _Kept, remedy="remove it", error=ConfigError)
    if kept.mark != comparison.mark:
        raise ConfigError(f"{path} has scores of other rows; remove it")
    found: dict[_Key, list[Score]] = {}
    for each in kept.scores:
        found.setdefault((each.objective, each.bits), []).append(each)
    return found


def _ranked(source: Source) -> dict[str, Encoded]:
    """The sketches that a run ranks, by split, with their fused features."""
    passes = source.passes(source.model.network)
    encoded = {
        split: passes.encode(source.model.variables, split, FUSION) for split in source.ranked
    }
    if source.unseen.any():
        encoded = {split: each[source.unseen[each.labels]] for split, each in encoded.items()}
    return encoded


def _scores(comparison: Comparison, row: Row, runs: list[dict[str, Encoded]]) -> list[Score]:
    """The scores of a row's heads on each ranking.

    runs: what each run ranks, by split.
    """
    reads = next(iter(runs[0].values())).features.shape[1]
    coder = comparison.coder(row.objective, row.bits, reads)
    found: list[list[Ranking] | None] = []
    for number, fitted in enumerate(row.map_validation):
        run, seed = divmod(number, comparison.seeds)
        if fitted is None:
            found.append(None)
            continue
        arrays, source = comparison.head(row, run, seed), comparison.sources[run]
        codes = {
            split: replace(each, features=coder.encode(arrays, each.features)).codes(
                0.5, split=split, categories=source.model.categories, model=source.model.fingerprint
            )
            for split, each in runs[run].items()
        }
        found.append(rank(codes, source.pairs, (100,)))
    scores = []
    for place, (queries, gallery) in enumerate(comparison.sources[0].pairs):
        own = [each[place].scores if each else None for each in found]
        maps = tuple(each.map if each else None for each in own)
        precisions = tuple(each.precision_at[100] if each else None for each in own)
        scores.append(Score(row.objective, row.bits, queries, gallery, maps, precisions))
    return scores


def _ceiling(comparison: Comparison, row: Row, runs: list[dict[str, Encoded]]) -> list[Score]:
    """The scores of ranking by the posteriors that a row's codes are made from."""
    logits = []
    for run, encoded in enumerate(runs):
        head = comparison.head(row, run, 0)
        own = LinearClassifier(
            *(head[f"params/{CLASSIFIER}/{name}"] for name in LinearClassifier._fields)
        )
        logits.append({split: classified(each, own) for split, each in encoded.items()})
    return [
        Score(CEILING, None, *pair, tuple(posterior_map(each, *pair) for each in logits))
        for pair in comparison.sources[0].pairs
    ]
