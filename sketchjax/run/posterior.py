"""A posterior head fitted to a trained network: classifier, codebook, thresholds, temperature.

A network that has such a head keeps its classifier, and so does one that reads pictures: the
classifier of its embedding is what sketches and photos share. For others one is fitted to the
training sketches. The rest has a closed form but for three numbers, from which what the network was
trained on improves it by the tie-aware loss. What is taken is chosen by the exact MAP of validation
sketches, among themselves or against validation photos: no query decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from sketchjax.data.feed.items import counts_of
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.inputs import SKETCH, Form, part_name
from sketchjax.models import network as networks
from sketchjax.models.architecture import Architecture
from sketchjax.models.network import Network
from sketchjax.models.posterior import dither
from sketchjax.models.table import CLASSIFIER, EMBEDDINGS, FUSION, HEAD
from sketchjax.models.weights import Card
from sketchjax.ops.augment import augment
from sketchjax.ops.codebook import codebook
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.encode import Encoded, concatenate
from sketchjax.retrieval.feature_scores import feature_map
from sketchjax.retrieval.histograms import histograms
from sketchjax.retrieval.metrics import average_precision
from sketchjax.retrieval.model import Model
from sketchjax.retrieval.passes import Passes, Task
from sketchjax.retrieval.ranks import INNER_PRODUCT
from sketchjax.run.results import versions
from sketchjax.train.classifier import LinearClassifier, fit_classifier
from sketchjax.train.posterior_codes import PosteriorCodes, train_codes

POSTERIOR = "posterior"
TEMPERATURES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
SPREADS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
EPOCHS = 30  # of the classifier
NEVER = -1e4  # bias of a category kept out of training: exp(NEVER / T) is 0 at any temperature T
STEPS = 1500  # of the training of codes
STARTS = 4  # trainings of codes, of which validation sketches choose
CHOOSING = 4096  # validation sketches that settings are chosen by: 17 million pairs
_RANKED = 4096  # queries ranked by floats, which reads the gallery for each
_ROWS = 400_000  # training rows that a classifier is fitted to: 2 GB of 1,280 numbers
_TRAINING = 100_000  # training rows that codes are trained on


@dataclass(frozen=True)
class Settings:
    """What decides a posterior head, besides the network and the data.

    copies: augmented copies of each training sketch that the classifier sees, besides the sketch.
    epochs: of the classifier.
    steps: of the training of codewords, thresholds and temperature; 0: their closed form.
    starts: trainings with other batches; the codes that rank validation sketches best are kept.
    seed: of copies, classifier, the order of the thresholds and training.
    """

    copies: int = 2
    epochs: int = EPOCHS
    steps: int = STEPS
    starts: int = STARTS
    seed: int = 0


@dataclass(frozen=True)
class Source:
    """What a head is fitted to.

    model: trained; folder: of the data, with its manifest.
    unseen: categories kept out of training, bool[l].
    pairs: splits of queries and gallery of each ranking.
    augmentation: amounts by name, of the copies.
    batch: sketches encoded at once.
    task: shows progress.
    check: called now and then while codes are made; it may raise to end that.
    """

    model: Model
    folder: Path
    manifest: Manifest
    unseen: np.ndarray
    pairs: list[tuple[str, str]]
    augmentation: dict[str, float]
    batch: int
    task: Task
    check: Callable[[], None] = lambda: None

    @property
    def ranked(self) -> list[str]:
        """The splits of all rankings, the first gallery first."""
        splits = (split for queries, gallery in self.pairs for split in (gallery, queries))
        return list(dict.fromkeys(splits))

    @property
    def embedded(self) -> bool:
        """Whether codes come from the classifier of the embedding, as where pictures are read."""
        return any(form.kind != "strokes" for form in self.model.architecture.forms.values())

    def parts(self, split: str) -> list[str]:
        """A split of every side."""
        return [part_name(side, split) for side in self.model.architecture.forms]

    def passes(self, network: Network) -> Passes:
        """Passes of a network over the data."""
        devices = jax.local_device_count()
        return Passes(
            network,
            self.folder,
            self.manifest,
            batch=-(-self.batch // devices) * devices,
            forms=self.model.architecture.forms,
            task=self.task,
            check=self.check,
        )


@dataclass(frozen=True)
class Classifier:
    """A linear classifier, what it was trained on, and what it says of the splits.

    linear: its bias is far below 0 for categories kept out of training.
    training: what codes are trained on: features f32[n f] that it reads, and labels i[n].
    splits: sketches and photos by part; their features are logits f32[n l].
    embedded: likewise, with the embeddings that the logits are of; empty for other heads.
    """

    linear: LinearClassifier
    training: tuple[np.ndarray, np.ndarray]
    splits: dict[str, Encoded]
    embedded: dict[str, Encoded] = field(default_factory=dict)


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


def can_choose(manifest: Manifest, forms: Mapping[str, Form]) -> bool:
    """Whether a validation sketch has something of its category to find: a sketch, or a photo."""
    counts = [counts_of(manifest, form.kind) for form in forms.values()]
    least = 2 if len(counts) == 1 else 1
    return any(
        all(own[name].get("validation", 0) >= least for own in counts)
        for name in manifest.categories
    )


def classify(source: Source, settings: Settings, note: Callable[[str], None]) -> Classifier:
    """The classifier of a posterior head, or one fitted to what another head reads.

    note: gets what was decided, line by line.
    """
    passes = source.passes(source.model.network)
    if source.embedded:
        rows, labels, copies = *_embedded_rows(source, passes), 0
    else:
        (rows, labels, _), copies = training_rows(source, settings, passes, note), settings.copies
    fitted = own_classifier(source)
    if fitted is not None:
        note("the codes are made from the classifier that the run has trained: none is fitted")
    else:
        fitted = fit_linear(rows, labels, source.unseen, settings.epochs, settings.seed)
    if source.embedded and settings.copies:
        note("pictures are read as they are: the codes are trained without augmented copies")
    splits, embedded = {}, {}
    for part in dict.fromkeys((*source.parts("validation"), *source.ranked)):
        if source.embedded:
            embedded[part] = passes.encode(source.model.variables, part)
            splits[part] = classified(embedded[part], fitted)
        else:
            some = passes.stream(source.model.variables, part, FUSION)
            splits[part] = concatenate(classified(each, fitted) for each in some)
    return Classifier(fitted, rows_for_codes(rows, labels, copies), splits, embedded)


def _embedded_rows(source: Source, passes: Passes) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings f32[n d] of the training sketches and photos, and their labels i[n]."""
    sides = [passes.encode(source.model.variables, part) for part in source.parts("train")]
    seen = [side[~source.unseen[side.labels]] for side in sides]
    return np.concatenate([s.features for s in seen]), np.concatenate([s.labels for s in seen])


def rows_for_codes(
    rows: np.ndarray, labels: np.ndarray, copies: int
) -> tuple[np.ndarray, np.ndarray]:
    """At most 100,000 rows f32[m f], evenly taken, and their labels i[m].

    Of the copies, where there are any: the classifier is much surer of the drawings themselves than
    of drawings that it has not seen.
    rows: f32[n f], labels: i[n]: drawings, then as many of each copy.
    """
    first = -(-len(rows) // (1 + copies)) if copies else 0
    rows, labels = rows[first:], labels[first:]
    every = -(-len(rows) // _TRAINING)
    return rows[::every], labels[::every]


def own_classifier(source: Source) -> LinearClassifier | None:
    """The classifier that a model with a posterior head, or one of pictures, has trained.

    One fitted to the features is a little more accurate, but codes made from it rank no better.
    """
    if source.model.architecture.head != POSTERIOR and not source.embedded:
        return None
    own = jax.device_get(source.model.variables["params"][CLASSIFIER])
    return LinearClassifier(
        np.where(source.unseen, 0, own["kernel"]), np.where(source.unseen, NEVER, own["bias"])
    )


def fit_linear(
    rows: np.ndarray, labels: np.ndarray, unseen: np.ndarray, epochs: int, seed: int
) -> LinearClassifier:
    """A linear classifier of the categories trained on.

    rows: f32[n f]; labels: i[n]; unseen: bool[l].
    """
    seen = np.flatnonzero(~unseen)
    numbers = np.full(len(unseen), -1)
    numbers[seen] = np.arange(len(seen))
    kernel = np.zeros((rows.shape[1], len(unseen)), np.float32)
    bias = np.full(len(unseen), NEVER, np.float32)
    kernel[:, seen], bias[seen] = fit_classifier(
        rows, numbers[labels], len(seen), epochs=epochs, seed=seed
    )
    return LinearClassifier(kernel, bias)


def classified(sketches: Encoded, classifier: LinearClassifier) -> Encoded:
    """Sketches or photos with logits f32[n l] in place of features, and their predictions."""
    logits = np.asarray(_logits(classifier, sketches.features))
    return replace(sketches, features=logits, predictions=logits.argmax(1).astype(np.int32))


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


def posterior_model(source: Source, classifier: Classifier, choice: Choice) -> Model:
    """The network with a posterior head in place of its own, or behind its embedding."""
    model, bits = source.model, len(choice.codes.thresholds)
    old = {CLASSIFIER} if source.embedded else {model.architecture.head, CLASSIFIER}
    own = posterior_params(classifier.linear, choice)
    variables = {
        collection: {name: part for name, part in parts.items() if name not in old}
        for collection, parts in jax.device_get(model.variables).items()
    }
    variables["params"] |= own
    architecture = with_posterior(model.architecture, bits, behind_embedding=source.embedded)
    card = Card(
        architecture=architecture,
        stage=POSTERIOR,
        output=HEAD,
        trained=(*(name for name in model.card.trained if name not in old), *own),
        data=model.card.data,
        versions=versions(),
        unseen=tuple(np.asarray(source.manifest.categories)[source.unseen].tolist()),
    )
    return Model(networks.build(architecture), jax.device_put(variables), card)


def posterior_params(classifier: LinearClassifier, choice: Choice) -> dict[str, Any]:
    """The parameters of a posterior head and its classifier, by their part of the network."""
    return {
        POSTERIOR: {
            "codebook": choice.codes.codewords,
            "thresholds": choice.codes.thresholds,
            "temperature": np.float32(choice.codes.temperature),
        },
        CLASSIFIER: classifier._asdict(),
    }


def with_posterior(
    architecture: Architecture, bits: int, *, behind_embedding: bool = False
) -> Architecture:
    """The architecture with a posterior head in place of its own, or behind its embedding."""
    kept = {"projection": architecture.width} if behind_embedding else {"embedding": EMBEDDINGS[0]}
    return msgspec.structs.replace(architecture, head=POSTERIOR, width=bits, **kept)


def posterior_map(queries: Encoded, gallery: Encoded) -> float:
    """MAP of the float ranking by ⟨p_q, p_g⟩, the probability of one class: the codes' ceiling.

    Of at most 4,096 queries. queries, gallery: their features are logits.
    Raises DataError when no query can be scored.
    """
    queries = queries[:_RANKED]
    posteriors = [np.asarray(jax.nn.softmax(every.features)) for every in (queries, gallery)]
    sides = posteriors[0], queries.labels, posteriors[1], gallery.labels
    return feature_map(*sides, distance=INNER_PRODUCT)


class _Varied(Network):
    """A network that augments what it fuses.

    Its variables have one collection more: {"copy": {"number": i32[]}}. A sketch's changes depend
    on that number and its own points, not on its batch.
    """

    def fused(self, variables: Any, inputs: Any, side: str = SKETCH) -> jax.Array:
        key = jax.random.key(variables["copy"]["number"])
        points = inputs.points.astype(jnp.uint32).reshape(len(inputs.points), -1)
        # Any fingerprint will do: multiples of an odd number, which overflow.
        weights = np.arange(points.shape[1], dtype=np.uint32) * np.uint32(0x9E3779B1) | 1
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, (points * weights).sum(1))
        return super().fused(variables, augment(keys, inputs, **self.augmentation), side)


def training_rows(
    source: Source, settings: Settings, passes: Passes, note: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fused features f32[n f] of the training split and its copies, labels i[n], entropy f32[n].

    passes: of the source's own network.
    note: gets what was decided, line by line.
    """
    model = source.model
    total = source.manifest.counts["train"] * (1 + settings.copies)
    every = -(-total // _ROWS)
    if every > 1:
        note(
            f"the classifier is fitted to one in {every} of {total:,} training sketches and copies"
        )
    varied = _Varied(model.network.architecture, model.network.layers, source.augmentation)
    varied_passes = source.passes(varied)
    parts = []
    for copy in range(1 + settings.copies):
        own, variables, name = passes, model.variables, ""
        if copy:
            number = {"number": jnp.int32(settings.seed * 1000 + copy)}
            own, variables = varied_passes, {**model.variables, "copy": number}
            name = f"encoding copy {copy} of train"
        for part in own.stream(variables, "train", FUSION, name=name):
            kept = ~source.unseen[part.labels] & ((part.places + copy) % every == 0)
            parts.append((part.features[kept], part.labels[kept], part.entropy[kept]))
    rows, labels, entropy = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, labels, entropy


_activations = jax.jit(PosteriorCodes.activations)
_logits = jax.jit(LinearClassifier.logits)


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
