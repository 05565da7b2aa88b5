"""What each loss reads, compares and remembers, and its settings, as rows of data.

No jax here: a config is checked against these rows before jax loads. The functions of the loss
NAME are `LOSS` in sketchjax/losses/NAME.py. A new loss is one file and one row
(docs/adding-a-method.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sketchjax.fields import Field, above, choice, number


class Outputs(NamedTuple):
    """Where the outputs lie that a loss reads.

    head: a row of `models.table.HEADS`.
    embedding: how the features of the head `embedding` are normalised.
    width: d, bits or features.
    """

    head: str
    embedding: str
    width: int


@dataclass(frozen=True)
class Declaration:
    """A row of LOSSES.

    reads: what it looks at, of `logits`, `features` and `activations`; a stage that reads one
      encoder has only `logits`.
    pairs: the two kinds of input that it compares, such as ("sketch", "sketch"), in the batches of
      all devices; None: each item counts by itself.
    remembers: what it carries from step to step, in words; part of a checkpoint.
    makes_codes: it fixes codes once per block, with the parameters held.
    needs: what a run has to provide: `word_vectors`; `teacher`, a model's embeddings of the batch.
    heads: the heads it goes with, of `models.table.HEADS`; empty: any.
    settings: all but its weight; each is a field of the config, a number or a choice.
    misfit: (its settings, outputs) -> what is wrong with settings that are valid one by one, in
      words; empty: nothing.
    symbol: its short name in a report; empty: its name.
    source: where it is published.
    """

    reads: tuple[str, ...]
    pairs: tuple[str, str] | None = None
    remembers: str = ""
    makes_codes: bool = False
    needs: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    settings: Mapping[str, Field] = field(default_factory=dict)
    misfit: Callable[[Mapping[str, Any], Outputs], str] | None = None
    symbol: str = ""
    source: str = ""

    def crosses(self, settings: Mapping[str, Any]) -> bool:
        """Whether it needs batches of both sides with these settings."""
        across = settings.get("compare", "all") != "all"
        return across or self.by_instance(settings) or "photo" in (self.pairs or ())

    def by_instance(self, settings: Mapping[str, Any]) -> bool:
        """Whether it needs to know which photo a sketch draws."""
        if "match" not in self.settings:
            return settings.get("target") == "photo"
        return settings.get("match", self.settings["match"].default) == "instance"


def _unreachable(margin: float, most: float, why: str) -> str:
    if margin <= most:
        return ""
    return f"margin={margin:g} cannot be reached: {why} at most {most:g} apart; take less"


def _code_margin(settings: Mapping[str, Any], outputs: Outputs) -> str:
    """Of squared distances between activations near -1 and 1."""
    margin = settings["margin"] or 2.0 * outputs.width
    if outputs.head == "embedding" and outputs.embedding == "unit_length":
        return _unreachable(margin, 4.0, "in squared distance, features of unit length are")
    if not settings["alpha"]:
        return ""
    why = f"codes of {outputs.width} bits, each -1 or 1, are in squared distance"
    return _unreachable(margin, 4.0 * outputs.width, why)


def _metric_margin(settings: Mapping[str, Any], outputs: Outputs) -> str:
    """Of the distances that a metric loss can be set to."""
    margin, distance = settings["margin"], settings["distance"]
    near = settings.get("positive_margin")
    if near is not None and near >= margin:
        return (
            f"positive_margin={near:g} must be less than margin={margin:g}, or positive pairs may "
            "be as far apart as negative ones"
        )
    if distance == "cosine":
        return _unreachable(margin, 2.0, "in cosine distance, features are")
    if distance == "euclidean" and outputs.head == "hash":
        why = f"codes of {outputs.width} bits, each -1 or 1, are"
        return _unreachable(margin, 2 * math.sqrt(outputs.width), why)
    if distance == "euclidean" and outputs.embedding == "unit_length":
        return _unreachable(margin, 2.0, "features of unit length are")
    return ""


def _relative_margin(settings: Mapping[str, Any], outputs: Outputs) -> str:
    """Of squared distances, for each feature."""
    if outputs.embedding != "unit_length":
        return ""
    most = 4.0 / outputs.width
    why = f"for each of {outputs.width} features, features of unit length are in squared distance"
    return _unreachable(settings["margin"], most, why)


# Of the metric losses; `ops.distances` has their functions, `retrieval.ranks` ranks by them.
DISTANCES = ("snr", "euclidean", "cosine")
_DISTANCE = choice(*DISTANCES)
_MINING = choice("all", "semi_hard", "distance_weighted")
_TEMPERATURE = number(1.0, 0.001)  # of the exponentials of distances
_METRIC: dict[str, Any] = {
    "reads": ("activations",),
    "pairs": ("sketch", "sketch"),
    "heads": ("hash", "embedding"),
}
# What a loss over pairs compares in a batch of both sides; see `losses.sides.compared`.
_PAIRS: dict[str, Field] = {
    "compare": choice("all", "across", "sketch_to_photo"),
    "match": choice("category", "instance"),
}
_CODES = ("hash", "sign_hash", "embedding")  # heads with codes
# What the class targets of a loss are; see `losses.targets`.
_TARGETS = choice("codebook", "hadamard", "bernoulli")

LOSSES: dict[str, Declaration] = {
    "cross_entropy": Declaration(
        reads=("logits",),
        # The share of each label that is spread evenly over all classes.
        settings={"smoothing": number(0.0, 0, 0.99)},
        symbol="CEL",
        source="SketchMate (Xu et al. 2018), eq. 2",
    ),
    # The common centre loss: the centres follow the batches.
    "common_center": Declaration(
        reads=("features",),
        remembers="class centres",
        settings={"rate": number(0.5, 0, 1)},  # how far a centre moves with each batch
        symbol="CL",
        source="Wen et al. 2016",
    ),
    "center": Declaration(
        reads=("features",),
        remembers="class centres",
        symbol="SCL",
        source="SketchMate (Xu et al. 2018), eq. 4",
    ),
    "quantization": Declaration(
        reads=("features",),
        makes_codes=True,
        heads=("hash",),
        symbol="QL",
        source="SketchMate (Xu et al. 2018), eq. 3",
    ),
    "supervised_hashing": Declaration(
        reads=("activations",),
        pairs=("sketch", "sketch"),
        heads=("hash", "embedding"),
        settings={
            "margin": number(0.0),  # in squared distance; 0: twice the number of bits
            "alpha": number(0.01),  # weight of the pull towards -1 and 1
            **_PAIRS,
        },
        misfit=_code_margin,
        source="Deep Supervised Hashing (Liu et al. 2016)",
    ),
    "semantic": Declaration(
        reads=("features",),
        remembers="class word vectors and their decoder",
        makes_codes=True,
        needs=("word_vectors",),
        heads=("hash",),
        source="Deep Sketch Hashing (Liu et al. 2017), reconstructed",
    ),
    # Hashing objectives (docs/objectives.md). They read the activations u, of which a bit is u > 0.
    "orthohash": Declaration(
        reads=("activations",),
        heads=_CODES,
        settings={
            "kind": choice("cos", "arc"),  # what the margin is taken from: the cosine or the angle
            "scale": number(0.0),  # 0: the square root of the number of bits
            "margin": number(0.2, 0, 1),
            "targets": _TARGETS,
        },
        source="OrthoHash (Hoe et al., NeurIPS 2021)",
    ),
    "csq": Declaration(
        reads=("activations",),
        heads=_CODES,
        settings={"alpha": number(1e-4), "targets": _TARGETS},
        source="Central similarity quantisation (Yuan et al., CVPR 2020)",
    ),
    "dpn": Declaration(
        reads=("activations",),
        heads=_CODES,
        settings={"margin": number(1.0), "alpha": number(0.0), "targets": _TARGETS},
        source="Deep polarized network (Fan et al., IJCAI 2020)",
    ),
    "mds": Declaration(
        reads=("activations",),
        pairs=("sketch", "sketch"),
        heads=_CODES,
        settings={
            "scale": number(0.0),  # 0: the square root of the number of bits
            "alpha": number(1e-4),  # of the pull to -1 and 1
            "beta": number(1.0),  # of the pairs of one class
            "targets": _TARGETS,
            **_PAIRS,
        },
        source="Minimal-distance-separated hash centres (Wang et al., CVPR 2023)",
    ),
    "greedy_hash": Declaration(
        reads=("logits", "activations"),
        heads=("sign_hash",),
        settings={"alpha": number(0.1)},
        source="GreedyHash (Su et al., NeurIPS 2018)",
    ),
    "hashnet": Declaration(
        reads=("activations",),
        pairs=("sketch", "sketch"),
        heads=_CODES,
        settings={
            "alpha": number(0.0),  # 0: 10 over the number of bits
            "growth": number(50.0),  # of the squared sharpness over a stage, from 1
            **_PAIRS,
        },
        source="HashNet (Cao et al., ICCV 2017)",
    ),
    "bihalf": Declaration(
        reads=("activations",),
        pairs=("sketch", "sketch"),
        heads=_CODES,
        settings={"gamma": number(6.0), **_PAIRS},
        source="Bi-half (Li and van Gemert, AAAI 2021), with classes for the similarity",
    ),
    "dpsh": Declaration(
        reads=("activations",),
        pairs=("sketch", "sketch"),
        heads=_CODES,
        settings={"alpha": number(0.1), **_PAIRS},
        source="Deep pairwise-supervised hashing (Li et al., IJCAI 2016)",
    ),
    "dtsh": Declaration(
        reads=("activations",),
        pairs=("sketch", "sketch"),
        heads=_CODES,
        settings={"margin": number(5.0), "alpha": number(1.0), **_PAIRS},
        source="Deep supervised hashing with triplet labels (Wang et al., ACCV 2016)",
    ),
    "tie_aware": Declaration(
        reads=("activations",),
        pairs=("sketch", "sketch"),
        heads=_CODES,
        settings={
            "form": choice("expected", "simplified"),  # of the average precision
            "sharpness": above(1.0, 0, "take 1, say"),
            "bins": Field(  # 0: as many as bits
                0.0,
                lambda v: 0 <= v <= 4096 and v == int(v),
                "give a whole number of at most 4096, or 0 for as many as bits",
            ),
            **_PAIRS,
        },
        source="Hashing as tie-aware learning to rank (He et al., CVPR 2018)",
    ),
    # Metric learning (DSML: Yuan et al. 2019), by SNR, Euclidean or cosine distance.
    "contrastive": Declaration(
        **_METRIC,
        settings={
            "distance": _DISTANCE,
            "margin": number(1.0),  # negative pairs farther than this count nothing
            "positive_margin": number(0.0),  # positive pairs nearer than this count nothing
            "mining": _MINING,  # of the negatives
            **_PAIRS,
        },
        misfit=_metric_margin,
        source="Hadsell et al. 2006; with SNR distance: Yuan et al. 2019",
    ),
    "triplet": Declaration(
        **_METRIC,
        settings={
            "distance": _DISTANCE,
            "margin": number(0.2),  # how much farther a negative has to be
            "mining": _MINING,
            **_PAIRS,
        },
        misfit=_metric_margin,
        source="Schroff et al. 2015; with SNR distance: Yuan et al. 2019",
    ),
    "lifted_structure": Declaration(
        **_METRIC,
        settings={
            "distance": _DISTANCE,
            "margin": number(1.0),
            "temperature": _TEMPERATURE,
            **_PAIRS,
        },
        misfit=_metric_margin,
        source="Oh Song et al. 2016; with SNR distance, reconstructed: Yuan et al. 2019",
    ),
    "n_pair": Declaration(
        **_METRIC,
        settings={"distance": _DISTANCE, "temperature": _TEMPERATURE, **_PAIRS},
        source="Sohn 2016; with SNR distance, reconstructed: Yuan et al. 2019",
    ),
    # Between sketches and photos, in batches of pairs (docs/sketch-photo-losses.md).
    "relative_triplet": Declaration(
        reads=("activations",),
        pairs=("sketch", "photo"),
        heads=("embedding",),
        settings={
            "weights": choice("relative", "cosine", "photo", "none"),  # of the negatives
            "margin": number(0.2),  # for each feature
            "mining": choice("all", "semi_hard"),
            "mean": choice("all", "active"),  # the terms that the weighted mean is over
            "anchors": choice("sketch", "both"),
            "match": choice("instance", "category"),  # what a sketch shares with its photo
        },
        misfit=_relative_margin,
        source="Relative triplet loss (Seddati et al. 2023), reconstructed",
    ),
    "deep_sketch_hashing": Declaration(
        reads=("features",),
        pairs=("sketch", "photo"),
        remembers="sums of codes by class and side",
        makes_codes=True,
        needs=("word_vectors",),
        heads=("embedding",),
        settings={
            # as_written: sums over all pairs, which collapse for more than a few classes;
            # tied: the codes are those of a codebook, one for each class.
            "pairs": choice("balanced", "as_written", "tied"),
            "semantic": number(0.1),  # λ; 0.01 as_written
            "network": number(0.1),  # γ, how much the codes heed the network; 1e-5 as_written
        },
        source="Deep Sketch Hashing (Liu et al. 2017), by a third party's code",
    ),
    "distillation": Declaration(
        reads=("activations",),
        needs=("teacher",),
        heads=("embedding",),
        settings={
            # The target of a sketch: the teacher's embedding of the sketch, or of its photo.
            "target": choice("same", "photo"),
        },
        source="Distillation as in Seddati et al. 2023, reconstructed",
    ),
    "zero_mean": Declaration(
        reads=("activations",),
        heads=("hash", "embedding"),
        source="Yuan et al. 2019",
    ),
}

WEIGHT = number(1.0)


def trains_classifier(losses: Iterable[str]) -> bool:
    """Whether one of these losses, by name, looks at logits."""
    return any("logits" in LOSSES[name].reads for name in losses)
