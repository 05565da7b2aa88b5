"""The codewords, thresholds and temperature whose validation codes rank best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from sketchjax.models.posterior import dither
from sketchjax.ops.codebook import codebook
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.encode import Encoded
from sketchjax.retrieval.feature_scores import NothingToScoreError, feature_map
from sketchjax.retrieval.histograms import histograms
from sketchjax.retrieval.metrics import average_precision
from sketchjax.retrieval.ranks import INNER_PRODUCT
from sketchjax.run.posterior.classifier import Classifier
from sketchjax.run.posterior.source import Settings, Source
from sketchjax.train.classifier import LinearClassifier
from sketchjax.train.posterior_codes import PosteriorCodes, train_codes

TEMPERATURES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
SPREADS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CHOOSING = 4096  # validation sketches that settings are chosen by: 17 million pairs
_RANKED = 4096  # queries ranked by floats, which reads the gallery for each


@dataclass(frozen=True)
class Choice:
    """The parameters of a posterior head, and the validation MAP that chose them.

    codes: with codewords of zeros for categories kept out of training.
    spread: of the thresholds, which are even over (-spread, spread) before training.
    assigned: whether confused categories began with near codewords.
    trained: whether training improved the closed form.
    """

    codes: PosteriorCodes
    spread: float
    assigned: bool
    trained: bool
    map_validation: float

    @property
    def temperature(self) -> float:
        """What logits are divided by."""
        return float(self.codes.temperature)

    def described(self) -> dict[str, float | bool]:
        """What results say of it."""
        names = ("spread", "temperature", "assigned", "trained")
        return {name: getattr(self, name) for name in names}

    def features(self, logits: np.ndarray) -> np.ndarray:
        """pᵀC - θ of logits f32[n l]: f32[n d]."""
        return np.asarray(_activations(self.codes, logits))


def choose(
    sides: Sequence[Encoded],
    classifier: LinearClassifier,
    training: tuple[np.ndarray, np.ndarray],
    unseen: np.ndarray,
    bits: int,
    *,
    steps: int,
    starts: int,
    seed: int,
    check: Callable[[], None] = lambda: None,
) -> Choice:
    """The head of this many bits whose validation codes rank best.

    sides: validation sketches, ranked among themselves, or with photos that they rank; their
      features are logits of the classifier.
    training: features f32[n f] that it reads, and labels i[n], of training sketches and photos.
    unseen: bool[l].
    steps: of training; 0: the closed form.
    starts: trainings that differ by their batches and dropout.
    seed: of the order of the thresholds and of training.
    check: called now and then; it may raise.
    """
    sides = [side[~unseen[side.labels]][:CHOOSING] for side in sides]
    labels, logits = [side.labels for side in sides], [side.features for side in sides]
    confusion = _confusion(np.concatenate(logits)[:, ~unseen])
    found = []
    for assigned in (False, True):
        codewords = np.zeros((len(unseen), bits), np.float32)
        codewords[~unseen] = codebook(
            int((~unseen).sum()), bits, confusion=confusion if assigned else None
        )
        for temperature in TEMPERATURES:
            check()
            none = PosteriorCodes(codewords, np.zeros(bits, np.float32), np.float32(temperature))
            soft = [np.asarray(_activations(none, own)) for own in logits]
            for spread in SPREADS:
                thresholds = dither(bits, spread, seed)
                score = map_of_codes([own - thresholds > 0 for own in soft], labels)
                codes = none._replace(thresholds=thresholds)
                found.append(Choice(codes, spread, assigned, False, score))
    best = max(found, key=lambda choice: choice.map_validation)
    closed = best.codes
    for start in range(starts if steps else 0):
        codes = train_codes(
            closed, classifier, *training, steps=steps, seed=seed * starts + start, check=check
        )
        trained = replace(best, codes=codes, trained=True)
        score = map_of_codes([trained.features(own) > 0 for own in logits], labels)
        if score > best.map_validation:
            best = replace(trained, map_validation=score)
    return best


def chosen(source: Source, classifier: Classifier, bits: int, settings: Settings) -> Choice:
    """`choose` for a classifier of the source."""
    return choose(
        [classifier.splits[part] for part in source.parts("validation")],
        classifier.linear,
        classifier.training,
        source.unseen,
        bits,
        steps=settings.steps,
        starts=settings.starts,
        seed=settings.seed,
        check=source.check,
    )


_activations = jax.jit(PosteriorCodes.activations)


def _confusion(logits: np.ndarray) -> np.ndarray:
    """How much posterior two classes have in the same sketches, f64[l l]."""
    posterior = np.asarray(jax.nn.softmax(logits), np.float64)
    return posterior.T @ posterior


def map_of_codes(bits: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> float:
    """The exact MAP of codes bool[n d] against those of the next side, or among themselves.

    bits, labels: of one side or two.
    """
    packed = [pack_codes(own) for own in bits]
    ranked = packed[0], labels[0], packed[-1], labels[-1]
    counts = histograms(*ranked, exclude_self=len(packed) == 1)
    return float(np.nanmean(average_precision(counts.all, counts.relevant)))


def posterior_map(encoded: Mapping[str, Encoded], queries: str, gallery: str) -> float | None:
    """MAP of the float ranking by ⟨p_q, p_g⟩, the probability of one class: the codes' ceiling.

    Of at most 4,096 queries; None where no query has another item of its class in the gallery.
    encoded: by split; the features are logits.
    queries, gallery: splits. One ranked against itself leaves out each query's own item.
    """
    asked, found = encoded[queries], encoded[gallery]
    posteriors = np.asarray(jax.nn.softmax(asked.features))
    sides = posteriors[:_RANKED], asked.labels[:_RANKED]
    if queries != gallery:
        posteriors = np.asarray(jax.nn.softmax(found.features))
    sides = *sides, posteriors, found.labels
    try:
        return feature_map(*sides, distance=INNER_PRODUCT, exclude_self=queries == gallery)
    except NothingToScoreError:
        return None
