"""The graph of a model: points and lengths go in; codes, features and probabilities come out.

    points          uint8[b t 3]       x, y and end of stroke, padded with zeros
    lengths         int32[b]           points that are not padding, 1 to t
    codes           uint8[b d/8]       bit j of a code is bit j % 8 of its byte j // 8
    features        float32[b d]       of the head; a bit is 1 above the threshold
    probabilities   float32[b l]       of each category

A longer drawing is cut to its first t points, and the last point kept ends a stroke, as
`data.feed.batch.pad_points` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sketchjax.errors import DataError
from sketchjax.export import drawing, gru, towers
from sketchjax.export.graph import Graph, Value
from sketchjax.export.layers import Module, dense, normed
from sketchjax.models.architecture import SKETCHES, Architecture
from sketchjax.models.card import Card
from sketchjax.models.table import CLASSIFIER, ENCODERS, FUSION, HEAD, HEADS

# How each kind of encoder that reads strokes is written: called with its module, what its view
# makes, and its settings.
GRAPHS: dict[str, Callable[..., Value]] = {**towers.ENCODERS, "bigru": gru.bigru}
# What a row of `models.views.VIEWS` makes of strokes.
VIEWS: dict[str, Callable[..., tuple[Value, ...]]] = {
    "picture": drawing.picture,
    "sequence": drawing.sequence,
}
# Inputs of a graph that does not draw: pictures, and those of the mirror images.
PICTURES = ("pictures", "mirrored_pictures")


def check_exportable(card: Card) -> None:
    """Raises DataError for a model that has no graph with the codes that it makes."""
    own = card.architecture
    if not own.encoders:
        reason = "it reads photos only, and the graph reads strokes"
    elif own.sketches != SKETCHES[0]:
        reason = "it reads pictures of sketches, and the graph reads strokes"
    elif (card.output or HEAD) != HEAD:
        reason = f"it is trained up to its encoder {card.output} and makes no codes"
    elif HEADS[own.head].threshold is None:
        reason = f"its head {own.head} makes no codes"
    elif own.dtype != "float32":
        reason = f"it computes in {own.dtype}, and the graph in float32: their codes would differ"
    elif missing := sorted({each["kind"] for each in own.encoders.values()} - GRAPHS.keys()):
        reason = f"there is no graph of the encoder {missing[0]}"
    else:
        return
    raise DataError(f"this model cannot be exported to ONNX: {reason}")


def encoder_graph(
    arrays: Mapping[str, np.ndarray],
    card: Card,
    metadata: Mapping[str, str] | None = None,
    *,
    draws: bool = True,
) -> bytes:
    """The ONNX file of a model.

    arrays, card: of its model file; arrays of float16 are stored as they are.
    metadata: that the file carries.
    draws: False: what `pictures.pictures_of` makes are inputs of the graph, those of PICTURES that
      it needs, each float32[b 1 s s].
    Raises DataError for a model that has no graph, see `check_exportable`.
    """
    check_exportable(card)
    own, graph = card.architecture, Graph()
    points = graph.input("points", "uint8", ["batch", own.points, 3])
    lengths = graph.input("lengths", "int32", ["batch"])
    network = Module(graph, arrays)
    encoded = _encoded(network, own, points, checked(lengths, own.points), draws)
    features, logits = _head(network, own, encoded)
    codes = packed(features, own.width, HEADS[own.head].threshold or 0.0)
    graph.output("codes", codes, "uint8", ["batch", own.width // 8])
    graph.output("features", features, "float32", ["batch", own.width])
    probabilities = graph.op("Softmax", logits, axis=1)
    graph.output("probabilities", probabilities, "float32", ["batch", own.classes])
    return graph.model("sketchjax encoder", metadata or {})


def checked(lengths: Value, most: int) -> Value:
    """The same lengths i32[b], looked up in the list of all that there may be, from 1 to `most`.

    A graph has no way to refuse its inputs, and a drawing of no points would get a code. But a
    look-up beyond the end of a list is an error on a CPU, and its message has the node's name. It
    takes microseconds.
    """
    graph = lengths.graph
    last = np.int32(most)
    # A place below 0 would count from the end.
    places = graph.where(lengths < np.int32(1), last, lengths - np.int32(1))
    every = np.arange(1, most + 1, dtype=np.int32)
    return graph.op("Gather", every, places, name=f"each length must be from 1 to {most}")


def packed(features: Value, bits: int, threshold: float) -> Value:
    """The bits of features f[b d] as bytes u8[b d/8]."""
    graph = features.graph
    ones = graph.cast(features > threshold, "float32")
    weights = np.exp2(np.arange(8, dtype=np.float32))
    groups = graph.reshape(ones, [0, bits // 8, 8]) * weights
    return graph.cast(graph.op("ReduceSum", groups, [2], keepdims=0), "uint8")


def _encoded(
    network: Module, own: Architecture, points: Value, lengths: Value, draws: bool
) -> Value:
    """What all encoders of sketches give, side by side."""
    strokes = drawing.strokes_of(network.graph, points, lengths)
    plain, mirrored = (None, None) if draws else PICTURES
    encoded = _encoded_strokes(network, own, strokes, plain)
    if not own.mirrored:
        return encoded
    return (encoded + _encoded_strokes(network, own, drawing.mirrored(strokes), mirrored)) * 0.5


def _encoded_strokes(
    network: Module, own: Architecture, strokes: drawing.Strokes, picture: str | None
) -> Value:
    """picture: the input that the pictures are; None: the graph draws them."""
    graph = network.graph
    views: dict[str, tuple[Value, ...]] = {}
    every = []
    for name, settings in own.encoders.items():
        view = ENCODERS[settings["kind"]].view
        if view not in views and view == "picture" and picture is not None:
            shape = ["batch", 1, own.drawing.size, own.drawing.size]
            views[view] = (graph.input(picture, "float32", shape),)
        elif view not in views:
            views[view] = VIEWS[view](graph, strokes, own.drawing)
        every.append(GRAPHS[settings["kind"]](network / name, *views[view], settings))
    return graph.concat(every, 1)


def _head(network: Module, own: Architecture, fused: Value) -> tuple[Value, Value]:
    """Features f[b d] and logits f[b l]."""
    graph, row = network.graph, HEADS[own.head]
    if own.fusion_features:
        fused = graph.relu(dense(network / FUSION, fused))
    head, classifier = network / own.head, network / CLASSIFIER
    if row.of_posterior:
        logits = dense(classifier, fused)
        return _posterior(head, logits), logits
    activations = dense(head, fused)
    if own.embedding == "unit_length":
        squares = graph.op("ReduceSum", activations * activations, [1], keepdims=1)
        activations = activations / graph.op("Sqrt", graph.op("Max", squares, 1e-24))
    elif own.embedding == "batch_norm":
        activations = normed(head, activations)
    features = graph.op("Sigmoid", activations) if row.activation == "sigmoid" else activations
    read = graph.where(activations > 0.0, 1.0, -1.0) if row.classifies_signs else features
    return features, dense(classifier, read)


def _posterior(head: Module, logits: Value) -> Value:
    """`models.posterior`: the mean codeword under the posterior, less the thresholds."""
    graph = head.graph
    posterior = graph.op("Softmax", logits / head.weight("temperature"), axis=1)
    return graph.op("MatMul", posterior, head.weight("codebook")) - head.weight("thresholds")
