"""A network with a posterior head."""

from __future__ import annotations

from typing import Any

import jax
import msgspec
import numpy as np

from sketchjax.models import network as networks
from sketchjax.models.architecture import Architecture
from sketchjax.models.table import CLASSIFIER, EMBEDDINGS, HEAD, POSTERIOR
from sketchjax.models.weights import Card
from sketchjax.retrieval.model import Model
from sketchjax.run.posterior.choice import Choice
from sketchjax.run.posterior.classifier import Classifier
from sketchjax.run.posterior.source import Source
from sketchjax.run.results import versions
from sketchjax.train.classifier import LinearClassifier


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
