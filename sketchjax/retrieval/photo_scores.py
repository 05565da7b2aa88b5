"""Scores of photos that sketches find, under the names that tables of the field use.

Category level: a photo of the sketch's category is right. Instance level: only the photo that the
sketch draws is right, among all photos of the gallery and among those of its category. Codes are
ranked by Hamming distance, features by another; every score is exact under ties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sketchjax.ops.hamming import unpack_codes
from sketchjax.retrieval.clusters import clusters, mutual_information
from sketchjax.retrieval.cut_rankings import (
    DENOMINATORS,
    average_precision_at_k,
    interpolated_bounds,
    precision_over_reachable,
)
from sketchjax.retrieval.feature_scores import NothingToScoreError
from sketchjax.retrieval.histograms import histograms
from sketchjax.retrieval.metrics import (
    average_precision,
    average_precision_bounds,
    precision_at_k,
    recall_at_k,
    worst_recall_at_k,
)
from sketchjax.retrieval.ranks import comparable, rank_counts

HAMMING = "hamming"
CUTS = (100, 200)
RECALL_AT = (1, 5, 10)

Counts = tuple[np.ndarray, np.ndarray]
# (all, relevant) -> the values f64[q] of each of the names.
Measures = dict[tuple[str, ...], Callable[[np.ndarray, np.ndarray], Any]]


@dataclass(frozen=True, eq=False)
class Items:
    """One side of a ranking.

    values: packed codes u8[n d/8], or features f[n d].
    labels: i[n], the category of each.
    instances: i[n], the photo that each is or draws; -1 where unknown.
    """

    values: np.ndarray
    labels: np.ndarray
    instances: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, places: np.ndarray) -> Items:
        return Items(self.values[places], self.labels[places], self.instances[places])


@dataclass(frozen=True, slots=True)
class CategoryScores:
    """Means over the queries whose category the gallery has.

    values: by name.
      `map`, `map_best`, `map_worst`: as in `metrics.Scores`.
      `precision_at_K`, `precision_at_K_over_reachable`: over K, and over min(K, relevant).
      `map_at_K_over_found`, `..._over_reachable`, `..._over_all`: see `cut_rankings`.
      `interpolated_map`, `interpolated_map_at_K`, each `_best` and `_worst`: likewise.
      `nmi`: of the gallery's categories and as many clusters of it, where asked for.
      `dead_bits_queries`, `dead_bits_gallery`: bits that are the same in all codes of a side.
    queries: that are scored; queries_without_relevant: others.
    gallery: the photos that each query is ranked against.
    """

    values: dict[str, float]
    queries: int
    queries_without_relevant: int
    gallery: int

    def as_dict(self) -> dict[str, float]:
        """All of it as one flat object."""
        names = ("queries", "queries_without_relevant", "gallery")
        return self.values | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class InstanceScores:
    """Means over the queries whose photo the gallery has.

    values: by name, `recall_at_K` over all photos and `recall_at_K_within` among the photos of the
      category: the share of queries whose photo is among the first K, in expectation over the
      orders inside ties. With `_worst`, ties count against the query; with `_chance`, it is that of
      a ranking at random.
    queries: that are scored; queries_without_photo: others.
    gallery: all photos; gallery_within: photos of a query's category, the mean over queries.
    """

    values: dict[str, float]
    queries: int
    queries_without_photo: int
    gallery: int
    gallery_within: float

    def as_dict(self) -> dict[str, float]:
        """All of it as one flat object."""
        names = ("queries", "queries_without_photo", "gallery", "gallery_within")
        return self.values | {name: getattr(self, name) for name in names}


def category_scores(
    queries: Items,
    gallery: Items,
    *,
    distance: str,
    cuts: Sequence[int] = CUTS,
    nmi: bool = False,
) -> CategoryScores:
    """Score the ranking of all photos for each sketch, by category.

    distance: `hamming` for codes; `snr`, `euclidean`, `cosine` or `inner_product` for features.
    cuts: the K of precision and average precision at K.
    nmi: whether to cluster the gallery as well, which takes longer than all the rest.
    Raises ValueError for wrong shapes, distances or K, and DataError when no query can be scored or
      a feature is not finite.
    """
    found = _means(_counts(queries, gallery, distance, "labels"), _category_measures(cuts))
    if found is None:
        raise NothingToScoreError(len(queries))
    values, scored = found
    if nmi:
        points = _points(gallery, distance)
        groups = clusters(points, len(np.unique(gallery.labels)))
        values["nmi"] = mutual_information(gallery.labels, groups)
    if distance == HAMMING:
        values["dead_bits_queries"] = _dead_bits(queries)
        values["dead_bits_gallery"] = _dead_bits(gallery)
    return CategoryScores(values, scored, len(queries) - scored, len(gallery))


def instance_scores(
    queries: Items, gallery: Items, *, distance: str, recall_at: Sequence[int] = RECALL_AT
) -> InstanceScores:
    """Score the ranking of photos for each sketch, by the photo that it draws.

    distance: as in `category_scores`.
    recall_at: the values of K.
    Raises the errors of `category_scores`.
    """
    known = np.isin(queries.instances, gallery.instances) & (queries.instances >= 0)
    asked = queries[known]
    measures = _recalls(recall_at)
    found = _means(_counts(asked, gallery, distance, "instances"), measures)
    within = _means(_within(asked, gallery, distance), measures | {("size",): _size})
    if found is None or within is None:
        raise NothingToScoreError(len(queries))
    of_category, scored = within
    size = of_category.pop("size")
    values = found[0] | {f"{name}_within": value for name, value in of_category.items()}
    return InstanceScores(values, scored, len(queries) - scored, len(gallery), size)


def _counts(queries: Items, gallery: Items, distance: str, right: str) -> Iterator[Counts]:
    """Counts of the queries that have something to find, `all` and `relevant` i[p g].

    right: what a query shares with what it is to find, `labels` or `instances`.
    """
    wanted, offered = getattr(queries, right), getattr(gallery, right)
    if distance != HAMMING:
        yield from rank_counts(queries.values, wanted, gallery.values, offered, distance=distance)
        return
    if len(queries):
        counts = histograms(queries.values, wanted, gallery.values, offered, stable=False)
        scored = counts.relevant.any(axis=1)
        if scored.any():
            yield counts.all[scored], counts.relevant[scored]


def _within(queries: Items, gallery: Items, distance: str) -> Iterator[Counts]:
    """Counts by instance of each category by itself."""
    for label in np.unique(queries.labels):
        own = queries[queries.labels == label], gallery[gallery.labels == label]
        if len(own[1]):
            yield from _counts(*own, distance, "instances")


def _means(counted: Iterable[Counts], measures: Measures) -> tuple[dict[str, float], int] | None:
    """The mean of each value over all queries, and their number; None without a query."""
    sums, scored = dict.fromkeys((name for names in measures for name in names), 0.0), 0
    for everything, relevant in counted:
        scored += len(everything)
        for names, measure in measures.items():
            rows = np.atleast_2d(measure(everything, relevant))
            for name, values in zip(names, rows, strict=True):
                sums[name] += float(values.sum())
    return ({name: total / scored for name, total in sums.items()}, scored) if scored else None


def _category_measures(cuts: Sequence[int]) -> Measures:
    measures: Measures = {
        ("map",): average_precision,
        _bounds("map"): average_precision_bounds,
        _bounds("interpolated_map"): interpolated_bounds,
    }
    for k in cuts:
        measures[(f"precision_at_{k}",)] = partial(precision_at_k, k=k)
        measures[(f"precision_at_{k}_over_reachable",)] = partial(precision_over_reachable, k=k)
        for denominator in DENOMINATORS:
            measures[(f"map_at_{k}_{denominator}",)] = partial(
                average_precision_at_k, k=k, denominator=denominator
            )
        measures[_bounds(f"interpolated_map_at_{k}")] = partial(interpolated_bounds, k=k)
    return measures


def _bounds(name: str) -> tuple[str, str]:
    return f"{name}_best", f"{name}_worst"


def _recalls(recall_at: Sequence[int]) -> Measures:
    measures: Measures = {}
    for k in recall_at:
        measures[(f"recall_at_{k}",)] = partial(recall_at_k, k=k)
        measures[(f"recall_at_{k}_worst",)] = partial(worst_recall_at_k, k=k)
        measures[(f"recall_at_{k}_chance",)] = partial(_chance, k=k)
    return measures


def _chance(all: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Recall at k where all items tie."""
    return recall_at_k(all.sum(axis=1, keepdims=True), relevant.sum(axis=1, keepdims=True), k)


def _size(all: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    del relevant
    return all.sum(axis=1)


def _points(items: Items, distance: str) -> np.ndarray:
    """What is clustered, f64[n d]; codes as -1 and 1."""
    if distance == HAMMING:
        return 2.0 * unpack_codes(items.values) - 1
    return comparable(items.values, distance)


def _dead_bits(items: Items) -> int:
    both = np.bitwise_and.reduce(items.values), np.bitwise_or.reduce(items.values)
    return int(unpack_codes(~(both[0] ^ both[1])[None]).sum())
