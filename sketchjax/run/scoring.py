"""What codes and predictions are worth: rankings between splits, class distances, accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sketchjax.data.inputs import PHOTO, SKETCH
from sketchjax.errors import DataError
from sketchjax.retrieval import metrics
from sketchjax.retrieval.class_distances import ClassDistances, class_distances
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.encode import Encoded
from sketchjax.retrieval.feature_scores import FeatureScores, NothingToScoreError, evaluate_features
from sketchjax.retrieval.photo_scores import (
    CUTS,
    HAMMING,
    CategoryScores,
    InstanceScores,
    Items,
    category_scores,
    instance_scores,
)

# The scores that the log and the report show of a ranking.
NOTED = ("map", "precision_at", "d1", "d2")
NOTED_RECALLS = ("recall_at_1", "recall_at_10")


@dataclass(frozen=True)
class Ranking:
    """A split's queries ranked against a gallery. scores: None where no query can be scored."""

    queries: str
    gallery: str
    scores: metrics.Scores | None

    def as_row(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """What results.json holds of it: the splits, how many sketches each has, and all scores."""
        numbers = {} if self.scores is None else self.scores.as_dict()
        wanted = ("map", "map_best", "map_worst", "map_stable", "precision_at_200")
        return {
            "queries": self.queries,
            "gallery": self.gallery,
            "queries_count": sizes[self.queries],
            "gallery_count": sizes[self.gallery],
            **dict.fromkeys(wanted),
            **{name: v for name, v in numbers.items() if name not in ("queries", "gallery")},
        }


@dataclass(frozen=True)
class FeatureRanking:
    """A split's queries ranked against a gallery by the features themselves.

    distance: `snr`, `euclidean` or `cosine`; scores: None where no query can be scored.
    """

    queries: str
    gallery: str
    distance: str
    scores: FeatureScores | None

    def as_row(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """What results.json holds of it: splits, distance, their sizes, and all scores."""
        numbers = {"map": None} if self.scores is None else self.scores.as_dict()
        return {
            "queries": self.queries,
            "gallery": self.gallery,
            "distance": self.distance,
            "queries_count": sizes[self.queries],
            "gallery_count": sizes[self.gallery],
            **{name: v for name, v in numbers.items() if name not in ("queries", "gallery")},
        }


@dataclass(frozen=True)
class PhotoRanking:
    """Sketches ranked against photos by one distance.

    distance: `hamming` for codes, or that of the features.
    category: a photo of the sketch's category is right.
    instance: only the photo that the sketch draws is right; None where no query's photo is there.
    """

    queries: str
    gallery: str
    distance: str
    category: CategoryScores
    instance: InstanceScores | None

    def as_row(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """What results.json holds of it: both parts, distance, their sizes, and all scores."""
        return {
            "queries": self.queries,
            "gallery": self.gallery,
            "distance": self.distance,
            "queries_count": sizes[self.queries],
            "gallery_count": sizes[self.gallery],
            "category": self.category.as_dict(),
            "instance": self.instance and self.instance.as_dict(),
        }


@dataclass(frozen=True)
class Measured:
    """What a model's codes and predictions are worth.

    codes: by split; empty for a model that only recognises.
    rankings: in the order asked for; empty without codes.
    distances: of the first gallery's features; None where they are not defined.
    accuracy, accuracy_query: on the first gallery and its queries; None where no loss trained the
      classifier.
    sizes: sketches that are ranked, by split.
    feature_rankings: of an embedding, by pair of splits and then by distance.
    photo_rankings: of sketches against photos, likewise, with the codes first.
    """

    codes: dict[str, Codes]
    rankings: list[Ranking]
    distances: ClassDistances | None
    accuracy: float | None
    accuracy_query: float | None
    sizes: dict[str, int]
    feature_rankings: list[FeatureRanking] = field(default_factory=list)
    photo_rankings: list[PhotoRanking] = field(default_factory=list)

    @property
    def scores(self) -> metrics.Scores | None:
        """Of the first ranking, the headline."""
        return self.rankings[0].scores if self.rankings else None

    def values(self) -> dict[str, float]:
        """What is logged of a stage."""
        values: dict[str, float] = {}
        if self.scores is not None:
            found = self.scores.as_dict()
            values = {name: value for name, value in found.items() if name.startswith(NOTED)}
        first = [each for each in self.feature_rankings if _same_splits(each, self.rankings[0])]
        values |= {f"map_by_{each.distance}": each.scores.map for each in first if each.scores}
        for each in self.photo_rankings:
            if each.instance and _same_splits(each, self.rankings[0]):
                found = each.instance.values
                values |= {f"{name}_by_{each.distance}": found[name] for name in NOTED_RECALLS}
        if self.accuracy is not None:
            values["accuracy_gallery"] = self.accuracy
        return values


def rank(
    codes: Mapping[str, Codes], pairs: Sequence[tuple[str, str]], precision_at: Sequence[int]
) -> list[Ranking]:
    """The scores of each pair of splits (queries, gallery).

    codes: by split. A split ranked against itself leaves out each query's own item.
    precision_at: values of K, besides 100 and 200.
    """
    return [
        Ranking(queries, gallery, _scores(codes[queries], codes[gallery], precision_at))
        for queries, gallery in pairs
    ]


def _scores(queries: Codes, gallery: Codes, precision_at: Sequence[int]) -> metrics.Scores | None:
    try:
        return metrics.evaluate(
            queries.packed,
            queries.labels,
            gallery.packed,
            gallery.labels,
            bits=queries.bits,
            precision_at=sorted({100, 200, *precision_at}),
            exclude_self=queries.split == gallery.split,
        )
    except DataError:  # no query has a gallery sketch of its class
        return None


def rank_features(
    encoded: Mapping[str, Encoded],
    pairs: Sequence[tuple[str, str]],
    distances: Sequence[str],
    precision_at: Sequence[int],
) -> list[FeatureRanking]:
    """The scores of each pair of splits (queries, gallery) by each distance of their features.

    encoded: by split. A split ranked against itself leaves out each query's own sketch.
    distances: of `snr`, `euclidean` and `cosine`.
    precision_at: values of K, besides 100 and 200.
    """
    return [
        FeatureRanking(
            queries,
            gallery,
            distance,
            _feature_scores(
                encoded[queries],
                encoded[gallery],
                distance=distance,
                precision_at=sorted({100, 200, *precision_at}),
                exclude_self=queries == gallery,
            ),
        )
        for queries, gallery in pairs
        for distance in distances
    ]


def rank_photos(
    encoded: Mapping[str, Encoded],
    codes: Mapping[str, Codes],
    pairs: Sequence[tuple[str, str]],
    distances: Sequence[str],
    precision_at: Sequence[int],
) -> list[PhotoRanking]:
    """The scores of each ranking of sketches against photos, by codes and by their features.

    encoded, codes: by part of the data.
    pairs: (queries, gallery); those of one side are passed over.
    distances: of `snr`, `euclidean` and `cosine`.
    precision_at: values of K, besides 100 and 200.
    """
    rankings = []
    for queries, gallery in pairs:
        if [codes[part].side for part in (queries, gallery)] != [SKETCH, PHOTO]:
            continue
        if not np.isin(codes[queries].labels, codes[gallery].labels).any():
            continue
        for distance in (HAMMING, *distances):
            sides = [_items(encoded[part], codes[part], distance) for part in (queries, gallery)]
            cuts = sorted({*CUTS, *precision_at})
            category = category_scores(*sides, distance=distance, cuts=cuts)
            drawn = sides[0].instances[sides[0].instances >= 0]
            is_there = bool(np.isin(drawn, sides[1].instances).any())
            instance = instance_scores(*sides, distance=distance) if is_there else None
            rankings.append(PhotoRanking(queries, gallery, distance, category, instance))
    return rankings


def _items(encoded: Encoded, codes: Codes, distance: str) -> Items:
    values = codes.packed if distance == HAMMING else encoded.features
    return Items(values, codes.labels, codes.instances)


def _feature_scores(queries: Encoded, gallery: Encoded, **settings: Any) -> FeatureScores | None:
    try:
        return evaluate_features(
            queries.features, queries.labels, gallery.features, gallery.labels, **settings
        )
    except NothingToScoreError:
        return None


def _same_splits(first: FeatureRanking | PhotoRanking, second: Ranking) -> bool:
    return (first.queries, first.gallery) == (second.queries, second.gallery)


def distances_of(encoded: Encoded) -> ClassDistances | None:
    """The class distances of features; None where fewer than two classes have two sketches."""
    try:
        return class_distances(encoded.features, encoded.labels)
    except DataError:
        return None


def accuracy_of(encoded: Encoded, counted: np.ndarray) -> float | None:
    """Share of right predictions among the sketches of some categories; None where there are none.

    counted: bool[l], the categories that count.
    """
    own = encoded[counted[encoded.labels]]
    return metrics.accuracy(own.predictions, own.labels) if len(own.labels) else None
