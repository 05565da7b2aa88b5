"""Scores of the first K items of a ranking, under each of the definitions in use.

Average precision at K divides the precisions at the relevant items among the first K by one of
three numbers, and tables rarely say which. Here each has its name:

- `over_found`, the relevant items among the first K: sem-pcyc (`apsak`), DeepHash, GDH. One hit at
  the top then scores more than a hit at the top and one at the end.
- `over_reachable`, the smaller of K and of all relevant items: ZSE-SBIR (`other_map1`).
- `over_all`, all relevant items of the gallery.

ZSE-SBIR's printed figures are interpolated as well (`voc_eval`): a relevant item counts with the
best precision at it or later within the first K, over the smaller of the two numbers. Its precision
at K divides by that number too (`precision_eval`).

Counts are those of `metrics`: i[q g] by group of tied items, in rising order of the distance. All
but the interpolated scores, which are bounds, are exact expectations over the orders inside ties.
"""

from __future__ import annotations

import numpy as np

from sketchjax.retrieval.metrics import (
    average_precision,
    check_k,
    expected_gain,
    groups,
    precision_at_k,
)

DENOMINATORS = ("over_found", "over_reachable", "over_all")


def average_precision_at_k(
    all: np.ndarray, relevant: np.ndarray, k: int, denominator: str
) -> np.ndarray:
    """Expected average precision of the first k items of each query's ranking, f64[q].

    all, relevant: i[q g]; a query needs a relevant item, else it has NaN.
    denominator: of `DENOMINATORS`. With `over_found` a ranking without a hit has 0.
    Raises ValueError for another denominator, or k below 1.
    """
    check_k(k, "average precision")
    if denominator not in DENOMINATORS:
        raise ValueError(f"denominator={denominator!r}: must be one of {', '.join(DENOMINATORS)}")
    total = relevant.sum(axis=1)
    if denominator == "over_found":
        return np.where(total > 0, _over_found(all, relevant, k), np.nan)
    over_all = average_precision(all, relevant, upto=np.full(len(all), k))
    if denominator == "over_all":
        return over_all
    return over_all * total / np.minimum(np.maximum(total, 1), k)


def precision_over_reachable(all: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Expected precision of the first min(k, r) items, r a query's relevant items, f64[q].

    This is ZSE-SBIR's precision at k: 1 for a perfect ranking, however few are relevant.
    """
    return precision_at_k(all, relevant, np.minimum(np.maximum(relevant.sum(axis=1), 1), k))


def interpolated_bounds(
    all: np.ndarray, relevant: np.ndarray, k: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated average precision with relevant items first and last inside ties, two f64[q].

    k: how many items count; None: all. NaN where nothing is relevant. Where no relevant item ties
    with another, the two are equal.
    """
    n, r, before, _ = groups(all, relevant)
    bounds = np.full((2, len(n)), np.nan)
    for query in np.flatnonzero(r.any(axis=1)):
        group = np.repeat(np.arange(n.shape[1]), relevant[query])
        inside = np.arange(len(group)) - (np.cumsum(r[query]) - r[query])[group]
        first = before[query, group] + inside + 1
        shift = (n[query] - r[query])[group]
        for place, ranks in enumerate((first, first + shift)):
            bounds[place, query] = _interpolated(ranks, k)
    return bounds[0], bounds[1]


def _interpolated(ranks: np.ndarray, k: int | None) -> float:
    """Of the ascending ranks of all relevant items."""
    reachable = len(ranks) if k is None else min(k, len(ranks))
    ranks = ranks if k is None else ranks[ranks <= k]
    precision = np.arange(1, len(ranks) + 1) / ranks
    # A precision between two relevant items is below that at the first of them.
    best = np.maximum.accumulate(precision[::-1])
    return float(best.sum() / reachable)


def _over_found(all: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Average precision at k over the number of relevant items found there; 0 for none.

    At most one group is cut by k. With t of its n items among the first k, h of them are relevant
    with a hypergeometric probability, and given h their order is random. All groups before are
    there as a whole, so given h the number found is known.
    """
    n, r, before, own_before = groups(all, relevant)
    gain = expected_gain(n, r, before, own_before, n)
    whole = before + n <= k
    rows, cut = np.arange(len(n)), np.argmin(whole, axis=1)
    size, own, start, found = (each[rows, cut] for each in (n, r, before, own_before))
    # Where no group is cut, nothing more is taken.
    none = whole.all(axis=1)
    size, own = np.where(none, 1, size), np.where(none, 0, own)
    found, taken = np.where(none, r.sum(axis=1), found), np.where(none, 0, k - start)
    kept = np.where(whole, gain, 0).sum(axis=1)
    expected = np.zeros(len(n))
    for hits in range(int(np.minimum(own, taken).max(initial=0)) + 1):
        chance = _hypergeometric(size, own, taken, hits)
        drawn = np.minimum(hits, taken)
        total = kept + expected_gain(taken, drawn, start, found, taken)
        share = np.divide(total, found + hits, out=np.zeros(len(n)), where=found + hits > 0)
        expected += chance * share
    return expected


def _hypergeometric(n: np.ndarray, r: np.ndarray, taken: np.ndarray, hits: int) -> np.ndarray:
    """The chance that, of `taken` of n items, r of them relevant, `hits` are relevant."""
    possible = (hits <= r) & (hits <= taken) & (taken - hits <= n - r)
    own, others = np.minimum(hits, r), np.clip(taken - hits, 0, n - r)
    log = _log_choices(r, own) + _log_choices(n - r, others) - _log_choices(n, taken)
    return np.where(possible, np.exp(log), 0.0)


def _log_choices(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    # Imported here, as few rankings are cut; scipy.stats has all of this, but takes a second more.
    from scipy.special import gammaln

    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
