"""SketchMate's network and its five stages (CVPR 2018, Algorithm 1): the default of a config.

They are rows like any other: a config may have two stages or nine, of any names.
"""

from __future__ import annotations

from typing import Any

from sketchjax.config.rows import encoder, set_encoders, set_stages, stage
from sketchjax.models.table import ALL_ENCODERS, HEAD


def set_sketchmate(config: Any) -> None:
    """AlexNet and a bidirectional GRU, each trained by itself, then joined by the hash layer."""
    set_encoders(config, cnn=encoder("alexnet"), rnn=encoder("bigru"))
    plain = {"cross_entropy": 1.0}
    centered = plain | {"center": 0.01}
    full = centered | {"quantization": 0.0001}
    whole = (ALL_ENCODERS, HEAD)
    set_stages(
        config,
        stage("cnn", trains=("cnn",), output="cnn", epochs=20, losses=plain),
        stage("rnn", trains=("rnn",), output="rnn", epochs=20, losses=plain),
        stage("joint", trains=whole, output=HEAD, epochs=5, losses=plain),
        stage("center", trains=whole, output=HEAD, epochs=5, losses=centered),
        stage("full", trains=whole, output=HEAD, epochs=5, losses=full),
    )
    config.evaluation.after_stages = ("joint", "center", "full")
