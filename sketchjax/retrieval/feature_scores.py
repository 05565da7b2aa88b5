"""Scores of a ranking by float features, exact under ties, as `metrics` has them for codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sketchjax.errors import DataError
from sketchjax.retrieval.clusters import clusters, mutual_information
from sketchjax.retrieval.metrics import (
    average_precision,
    average_precision_bounds,
    precision_at_k,
    recall_at_k,
)
from sketchjax.retrieval.ranks import comparable, rank_counts

RECALL_AT = (1, 2, 4, 8)


class NothingToScoreError(DataError):
    """Queries that have nothing to find. queries: how many there are."""

    def __init__(self, queries: int):
        super().__init__(
            f"None of the {queries} queries has a gallery item of its class, so there is nothing "
            "to score. Check that both splits have the same classes and label numbers."
        )


@dataclass(frozen=True, slots=True)
class FeatureScores:
    """One evaluation. Means are over the q queries whose class the gallery contains.

    All are expected values over random orders inside ties of equal distances.

    map: mean average precision; map_best, map_worst: its bounds over orders inside ties.
    precision_at: by K.
    recall_at: by K, the share of queries with a relevant item among the first K.
    r_precision: precision among the first R, R the number of a query's relevant items.
    map_at_r: mean average precision over the first R (Musgrave et al. 2020).
    nmi: normalised mutual information of the gallery's classes and of as many clusters, by k-means.
    queries_without_relevant: queries left out because the gallery has none of their class.
    gallery: n, the gallery items that each query is ranked against.
    """

    map: float
    map_best: float
    map_worst: float
    precision_at: dict[int, float]
    recall_at: dict[int, float]
    r_precision: float
    map_at_r: float
    nmi: float
    queries: int
    queries_without_relevant: int
    gallery: int

    def as_dict(self) -> dict[str, float]:
        """The numbers as one flat object for `results.json`."""
        names = ("map", "map_best", "map_worst", "r_precision", "map_at_r", "nmi")
        return {
            **{name: getattr(self, name) for name in names},
            **{f"precision_at_{k}": value for k, value in self.precision_at.items()},
            **{f"recall_at_{k}": value for k, value in self.recall_at.items()},
            "queries": self.queries,
            "queries_without_relevant": self.queries_without_relevant,
            "gallery": self.gallery,
        }


def evaluate_features(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    *,
    distance: str,
    precision_at: Sequence[int] = (100, 200),
    recall_at: Sequence[int] = RECALL_AT,
    exclude_self: bool = False,
) -> FeatureScores:
    """Score the ranking of a gallery for every query. An item is relevant if it has the same label.

    queries: f[q d].
    query_labels: i[q].
    gallery: f[n d].
    gallery_labels: i[n].
    distance: `snr` with the query as anchor, `euclidean`, `cosine` or `inner_product`.
    precision_at, recall_at: the K of each, at least 1.
    exclude_self: the queries are the first items of the gallery, each ranked against the others.

    A query without a relevant gallery item is left out of every mean.
    Raises ValueError for wrong shapes, distances or K and for exclude_self where the queries are
      others, NothingToScoreError when no query can be scored, and DataError when a feature is not
      finite.
    """
    sides = queries, query_labels, gallery, gallery_labels
    parts = []
    for everything, relevant in rank_counts(*sides, distance=distance, exclude_self=exclude_self):
        total = relevant.sum(axis=1)
        parts.append(
            [
                average_precision(everything, relevant),
                *average_precision_bounds(everything, relevant),
                precision_at_k(everything, relevant, total),
                average_precision(everything, relevant, upto=total),
                *(precision_at_k(everything, relevant, k) for k in precision_at),
                *(recall_at_k(everything, relevant, k) for k in recall_at),
            ]
        )
    if not parts:
        raise NothingToScoreError(len(queries))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    scored = len(columns[0])
    found = comparable(gallery, distance)
    means = iter([float(column.mean()) for column in columns])
    expected, best, worst, r_precision, map_at_r = (next(means) for _ in range(5))
    return FeatureScores(
        map=expected,
        map_best=best,
        map_worst=worst,
        precision_at={int(k): next(means) for k in precision_at},
        recall_at={int(k): next(means) for k in recall_at},
        r_precision=r_precision,
        map_at_r=map_at_r,
        nmi=mutual_information(gallery_labels, clusters(found, len(np.unique(gallery_labels)))),
        queries=scored,
        queries_without_relevant=len(queries) - scored,
        gallery=len(gallery) - exclude_self,
    )


def feature_map(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    *,
    distance: str,
    exclude_self: bool = False,
) -> float:
    """The mean average precision of `evaluate_features` by itself; it raises the same errors."""
    sides = queries, query_labels, gallery, gallery_labels
    counts = rank_counts(*sides, distance=distance, exclude_self=exclude_self)
    parts = [average_precision(*each) for each in counts]
    if not parts:
        raise NothingToScoreError(len(queries))
    return float(np.concatenate(parts).mean())
