"""Scores of a Hamming ranking, in closed form from histograms of distances.

Codes of d bits have d + 1 distances, so the ranking of a large gallery is mostly ties, and a score
from a sort depends on the order inside them. Here every score is the exact expectation over random
orders inside each tie. The average precision also comes with its bounds, for the best and the worst
order, and with the value of the usual stable sort. The arithmetic is float64 on exact integer
counts.

Letters: q queries, d bits. `all` and `relevant` are counts i[q d+1] by distance; see `histograms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sketchjax.compiled import kernel
from sketchjax.errors import DataError
from sketchjax.retrieval.class_distances import check_mask, hamming_class_distances
from sketchjax.retrieval.histograms import Backend, Histograms, histograms

RECALLS = np.linspace(0.01, 1.0, 100)


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall, means over queries.

    radius_precision: f64[d+1], of all gallery codes within each Hamming radius 0 to d. The mean is
      over the queries that find anything there; NaN when none does.
    radius_recall: f64[d+1], likewise over all queries.
    recall: f64[r], a fixed grid.
    precision: f64[r], the expected precision where the ranking reaches that recall.
    """

    radius_precision: np.ndarray
    radius_recall: np.ndarray
    recall: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True, slots=True)
class Scores:
    """One evaluation. Means are over the q queries whose class the gallery contains.

    map: mean average precision, expected over random orders inside ties.
    map_best: its upper bound over orders inside ties.
    map_worst: its lower bound.
    map_stable: with ties in gallery order; NaN when the backend does not compute it.
    precision_at: expected precision by K.
    most_precision_at: what that would be if all relevant items came first.
    d1, d2, d1_over_d2: in bits, see `hamming_class_distances`.
    queries_without_relevant: queries left out because the gallery has none of their class.
    gallery: n, the gallery codes that each query is ranked against.
    average_precision: f64[q].
    query: i64[q], the place of each of these in the query list.
    """

    map: float
    map_best: float
    map_worst: float
    map_stable: float
    precision_at: dict[int, float]
    most_precision_at: dict[int, float]
    d1: float
    d2: float
    d1_over_d2: float
    bits: int
    classes: int
    queries: int
    queries_without_relevant: int
    gallery: int
    curve: Curve
    average_precision: np.ndarray
    query: np.ndarray

    def as_dict(self) -> dict[str, float]:
        """The numbers as one flat object for `results.json`, without those that are NaN."""
        flat = {
            name: getattr(self, name) for name in ("map", "map_best", "map_worst", "map_stable")
        }
        flat |= {f"precision_at_{k}": value for k, value in self.precision_at.items()}
        flat |= {f"most_precision_at_{k}": value for k, value in self.most_precision_at.items()}
        names = ("d1", "d2", "d1_over_d2", "bits", "classes")
        names += ("queries", "queries_without_relevant", "gallery")
        flat |= {name: getattr(self, name) for name in names}
        return {name: value for name, value in flat.items() if not np.isnan(value)}


def evaluate(
    query_codes: np.ndarray,
    query_labels: np.ndarray,
    gallery_codes: np.ndarray,
    gallery_labels: np.ndarray,
    *,
    bits: int,
    precision_at: Sequence[int] = (100, 200),
    exclude_self: bool = False,
    backend: Backend = "auto",
) -> Scores:
    """Score the ranking of a gallery for every query. An item is relevant if it has the same label.

    query_codes: u8[q bits/8], packed by `ops.hamming.pack_codes`.
    query_labels: i[q].
    gallery_codes: u8[n bits/8], packed likewise.
    gallery_labels: i[n].
    bits: d, of the codes.
    precision_at: the K of precision at K, each at least 1.
    exclude_self: the queries are the gallery, and each is ranked against the others.
    backend: as in `histograms`.

    A query without a relevant gallery item has no average precision. It is left out of every mean
    and counted in `queries_without_relevant`.
    Raises ValueError for wrong shapes, types or K, and DataError when no query can be scored.
    """
    if query_codes.shape[-1] * 8 != bits:
        raise ValueError(f"bits={bits}, but the codes have {query_codes.shape[-1] * 8} bits.")
    counts = histograms(
        query_codes,
        query_labels,
        gallery_codes,
        gallery_labels,
        exclude_self=exclude_self,
        backend=backend,
    )
    return scores(counts, query_labels, precision_at=precision_at)


def scores(
    counts: Histograms, query_labels: np.ndarray, *, precision_at: Sequence[int] = (100, 200)
) -> Scores:
    """All scores from histograms: `evaluate` without the counting; it raises the same errors."""
    scored = np.flatnonzero(counts.relevant.any(axis=1))
    if not len(scored):
        raise DataError(
            f"None of the {len(counts)} queries has a gallery item of its class, so there is "
            "nothing to score. Check that both splits have the same classes and label numbers."
        )
    kept, labels = counts[scored], query_labels[scored]
    expected = average_precision(kept.all, kept.relevant)
    best, worst = average_precision_bounds(kept.all, kept.relevant)
    stable = kept.stable_average_precision
    relevant, everything = kept.relevant.sum(axis=1), kept.all.sum(axis=1)
    d1, d2 = hamming_class_distances(kept.all, kept.relevant, labels)
    return Scores(
        map=float(expected.mean()),
        map_best=float(best.mean()),
        map_worst=float(worst.mean()),
        map_stable=float("nan") if stable is None else float(stable.mean()),
        precision_at={
            int(k): float(precision_at_k(kept.all, kept.relevant, k).mean()) for k in precision_at
        },
        most_precision_at={
            int(k): float((np.minimum(k, relevant) / np.minimum(k, everything)).mean())
            for k in precision_at
        },
        d1=d1,
        d2=d2,
        d1_over_d2=d1 / d2 if d2 else float("nan"),
        bits=kept.all.shape[1] - 1,
        classes=len(np.unique(labels)),
        queries=len(scored),
        queries_without_relevant=len(counts) - len(scored),
        gallery=int(counts.all[0].sum()),
        curve=precision_recall_curve(kept.all, kept.relevant),
        average_precision=expected,
        query=scored,
    )


def groups(all: np.ndarray, relevant: np.ndarray) -> tuple[np.ndarray, ...]:
    """n, r, T and R of `average_precision`, of every group of every query, each f64[q d+1]."""
    if all.shape != relevant.shape or all.ndim != 2:
        raise ValueError(
            f"all {list(all.shape)} and relevant {list(relevant.shape)}: must both be [q d+1]."
        )
    n, r = all.astype(np.float64), relevant.astype(np.float64)
    return n, r, np.cumsum(n, axis=1) - n, np.cumsum(r, axis=1) - r


def average_precision(
    all: np.ndarray, relevant: np.ndarray, *, upto: np.ndarray | None = None
) -> np.ndarray:
    """Expected average precision of each query over random orders inside ties, f64[q].

    upto: i[q], places of the ranking that count; by default all. With the number of relevant items
      it is average precision at R (Musgrave et al. 2020).

    Group k has n items, r of them relevant, and comes after T items of which R are relevant. Place
    i of the group is relevant with probability r/n. Then (i - 1)·a relevant items are expected
    before it in the group, with a = (r - 1)/(n - 1). Summing (R + 1 + (i - 1)·a) / (T + i) over i
    gives harmonic numbers. NaN when nothing is relevant.
    """
    n, r, before, own_before = groups(all, relevant)
    taken = n if upto is None else np.clip(upto[:, None] - before, 0, n)
    return _over_relevant(expected_gain(n, r, before, own_before, taken), r)


def expected_gain(
    n: np.ndarray, r: np.ndarray, before: np.ndarray, own_before: np.ndarray, taken: np.ndarray
) -> np.ndarray:
    """What the first items of groups are expected to add to average precisions, f64[...].

    n, r, before, own_before: n, r, T and R of `average_precision`, f64[...] of one shape.
    taken: how many items of each group count, the first ones.
    """
    harmonic = _harmonic(int((before + n).max(initial=0)))
    chance = np.divide(r, n, out=np.zeros_like(r), where=n > 0)
    a = np.divide(r - 1, n - 1, out=np.zeros_like(r), where=n > 1)
    places = _harmonic_between(harmonic, before, taken)
    return chance * ((own_before + 1 - a * (before + 1)) * places + a * taken)


def average_precision_bounds(
    all: np.ndarray, relevant: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average precision with the relevant items first and last inside each tie, two f64[q].

    These are sums of (R + i) / (T + i) and of (R + i) / (T + n - r + i) over i = 1 to r, with the
    letters of `average_precision`. Every order inside the ties is within these bounds.
    """
    n, r, before, own_before = groups(all, relevant)
    harmonic = _harmonic(int(all.sum(axis=1).max(initial=0)))
    best = r + (own_before - before) * _harmonic_between(harmonic, before, r)
    others = before + n - r
    worst = r + (own_before - others) * _harmonic_between(harmonic, others, r)
    return _over_relevant(best, r), _over_relevant(worst, r)


def check_k(k: int | np.ndarray, score: str) -> None:
    """Raise ValueError unless the k of a score at k are whole numbers of at least 1."""
    if not np.issubdtype(np.asarray(k).dtype, np.integer):
        raise ValueError(f"k={np.min(k)} for {score} at k: must be a whole number.")
    if np.min(k) < 1:
        raise ValueError(f"k={np.min(k)} for {score} at k: must be at least 1.")


def precision_at_k(all: np.ndarray, relevant: np.ndarray, k: int | np.ndarray) -> np.ndarray:
    """Expected share of relevant items among the first k of the ranking, f64[q].

    k: one number, or one of each query i[q]: with the number of relevant items, it is R-precision.

    If the gallery is smaller than k, this is the share in the whole gallery, because the divisor is
    the number of items shown. Raises ValueError when k is below 1 or no whole number.
    """
    check_k(k, "precision")
    n, r, before, _ = groups(all, relevant)
    taken = np.clip(np.reshape(k, (-1, 1)) - before, 0, n)
    share = np.divide(taken, n, out=np.zeros_like(n), where=n > 0)
    shown = np.minimum(k, n.sum(axis=1))
    found = (r * share).sum(axis=1)
    return np.divide(found, shown, out=np.full(len(n), np.nan), where=shown > 0)


def recall_at_k(all: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Probability that any of the first k items is relevant, over orders inside ties, f64[q].

    This is recall at K as in metric learning: the share of queries with a right answer among K.
    Only the first group with a relevant item matters. If i of its n items are within the first k,
    and r of the n are relevant, all i miss with probability C(n - r, i) / C(n, i).
    Raises ValueError when k is below 1.
    """
    check_k(k, "recall")
    rows = np.arange(len(all))
    first = (relevant > 0).argmax(axis=1)
    n, r, before = (each[rows, first] for each in groups(all, relevant)[:3])
    taken, missed = np.clip(k - before, 0, n), np.ones(len(all))
    for place in range(int(taken.max(initial=0))):
        chance = np.divide(n - r - place, n - place, out=np.zeros_like(n), where=n > place)
        missed *= np.where(place < taken, np.maximum(chance, 0), 1)
    return np.where(r > 0, 1 - missed, 0.0)


def worst_recall_at_k(all: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Whether a relevant item is among the first k if ties count against it, f64[q].

    Public code that counts the items at most as far as the right one gives this value.
    Raises ValueError when k is below 1.
    """
    check_k(k, "recall")
    n, r, before, _ = groups(all, relevant)
    first = np.where(r > 0, before + n - r + 1, np.inf).min(axis=1)
    return (first <= k).astype(np.float64)


def precision_recall_curve(
    all: np.ndarray, relevant: np.ndarray, recalls: np.ndarray = RECALLS
) -> Curve:
    """Mean precision and recall at every Hamming radius, and mean precision on a grid of recalls.

    all: i[q d+1], gallery codes at each distance.
    relevant: i[q d+1], those of the query's class; every query must have one.
    recalls: f[r], ascending in (0, 1].

    Inside a tie the relevant items are spread evenly, as in the expectation over its orders. The
    precision is not interpolated: it is not raised to the best precision at any higher recall.
    Raises ValueError when recalls are invalid or a query has nothing relevant.
    """
    recalls = np.asarray(recalls, np.float64)
    if not (recalls > 0).all() or not (recalls <= 1).all() or (np.diff(recalls) < 0).any():
        raise ValueError("recalls: must be ascending numbers in (0, 1].")
    n, r, before, own_before = groups(all, relevant)
    total = r.sum(axis=1, keepdims=True)
    shown, found = before + n, own_before + r
    at_radius = np.divide(found, shown, out=np.full_like(n, np.nan), where=shown > 0)
    some = (shown > 0).sum(axis=0)
    radius_precision = np.divide(
        np.nansum(at_radius, axis=0), some, out=np.full(len(some), np.nan), where=some > 0
    )
    if not total.all():
        raise ValueError("A query has nothing relevant; leave it out of the curve.")
    precision = _precision_at_recalls(n, r, recalls)
    return Curve(radius_precision, (found / total).mean(axis=0), recalls, precision)


@kernel
def _precision_at_recalls(n: Any, r: Any, recalls: Any) -> Any:
    """Mean over queries of the precision where each of the ascending recalls is reached.

    It walks once along each ranking. In numpy, a pass over all groups per recall took a third of an
    evaluation.
    """
    precision = np.zeros(len(recalls))
    for query in range(n.shape[0]):
        total = r[query].sum()
        before, own_before, group = 0.0, 0.0, 0
        for place in range(len(recalls)):
            wanted = recalls[place] * total
            # 1e-9: 0.07 · 100 is slightly more than 7 and must not reach into the next group.
            while own_before + r[query, group] < wanted - 1e-9:
                before += n[query, group]
                own_before += r[query, group]
                group += 1
            inside = (wanted - own_before) / r[query, group]
            precision[place] += wanted / (before + inside * n[query, group])
    return precision / n.shape[0]


def accuracy(predictions: np.ndarray, labels: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Share of items whose predicted class is their label.

    predictions: i[n] classes, or f[n l] logits, of which the largest decides.
    labels: i[n].
    mask: bool[n], False for padding, which is not counted; by default all True.

    Raises ValueError when the shapes do not fit, and DataError when there is no item.
    """
    chosen = predictions.argmax(axis=1) if predictions.ndim == 2 else predictions
    if chosen.shape != labels.shape or labels.ndim != 1:
        raise ValueError(
            f"predictions {list(predictions.shape)} and labels {list(labels.shape)} do not match: "
            "must be [n] or [n l], and [n]."
        )
    right = chosen == labels
    if mask is not None:
        check_mask(mask, len(right))
        right = right[mask]
    if not right.size:
        raise DataError("There is no item to measure the accuracy on: the split is empty.")
    return int(right.sum()) / right.size


def _harmonic(count: int) -> np.ndarray:
    """H(0) to H(count), f64[count + 1]."""
    return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, count + 1))])


def _harmonic_between(harmonic: np.ndarray, start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """1/(start + 1) + … + 1/(start + count), the difference of two harmonic numbers."""
    first = start.astype(np.int64)
    return harmonic[first + count.astype(np.int64)] - harmonic[first]


def _over_relevant(gain: np.ndarray, r: np.ndarray) -> np.ndarray:
    total = r.sum(axis=1)
    return np.divide(gain.sum(axis=1), total, out=np.full(len(r), np.nan), where=total > 0)
