"""The bidirectional GRU as ONNX's own operator."""

from __future__ import annotations

import numpy as np

from sketchjax.export.graph import Value
from sketchjax.export.layers import Module

# ONNX has the gates as update, reset, candidate; a model file names them so.
_GATES = "zrn"


def bigru(module: Module, sequence: Value, length: Value) -> Value:
    """Final states f[b 2h] of the last layer: forward at the last point, backward at the first.

    sequence: f[t b 4]; length: i32[b], at least 1.
    """
    graph, number = module.graph, 1
    while True:
        outputs, final = _layer(module / f"layer{number}", sequence, length)
        number += 1
        if f"layer{number}" not in module:
            # f[2 b h] -> f[b 2h]
            return graph.op("Flatten", graph.transpose(final, 1, 0, 2), axis=1)
        # f[t 2 b h] -> f[t b 2h]
        sequence = graph.reshape(graph.transpose(outputs, 0, 2, 1, 3), [0, 0, -1])


def _layer(module: Module, sequence: Value, length: Value) -> list[Value]:
    """Outputs f[t 2 b h], zero beyond the length, and final states f[2 b h]."""
    directions = [module / "forward", module / "backward"]
    hidden = len(directions[0].array("hn/bias"))
    zeros = np.zeros(2 * hidden, np.float32)

    def weight(name: str, rows: list[np.ndarray]) -> Value:
        return module.graph.weight(f"params/{module.path}/{name}", np.stack(rows))

    inputs, recurrent, biases = [], [], []
    for own in directions:
        inputs.append(np.concatenate([own.array(f"i{gate}/kernel").T for gate in _GATES]))
        recurrent.append(np.concatenate([own.array(f"h{gate}/kernel").T for gate in _GATES]))
        biases.append(
            np.concatenate(
                [*(own.array(f"i{gate}/bias") for gate in _GATES), zeros, own.array("hn/bias")]
            )
        )
    return module.graph.ops(
        "GRU",
        2,
        sequence,
        weight("input", inputs),
        weight("recurrent", recurrent),
        weight("bias", biases),
        length,
        direction="bidirectional",
        hidden_size=hidden,
        linear_before_reset=1,
    )
