"""QuickDraw-55, real drawings: 55 categories, 29,662 training sketches, all five stages at 64 px.

    export SKETCHJAX_DATA=FOLDER   # holds quickdraw/*.ndjson.gz and splits/quickdraw55.csv
    python -m sketchjax.main --config configs/quickdraw55.py:64 --workdir runs/quickdraw55-64

The argument is the number of bits. A run of other bits can take its first two stages from this
one, as they do not depend on the bits:

    python -m sketchjax.main --config configs/quickdraw55.py:16 --workdir runs/quickdraw55-16 \
        --config.train.pretrained=runs/quickdraw55-64

Time and expected figures: docs/runs.md.
"""

import os

from sketchjax.config import default


def get_config(bits: str = "64"):
    """Our recipe, sized for two CPU cores; the weights of the losses are ten and a hundred times
    the paper's, which were chosen for a hundred times as many sketches.
    """
    config = default()
    config.name = f"QuickDraw-55, {bits} bits"
    data = os.environ.get("SKETCHJAX_DATA", "")
    config.data.source = os.path.join(data, "quickdraw") if data else ""
    config.data.split_file = os.path.join(data, "splits", "quickdraw55.csv") if data else ""
    config.data.points = 96
    config.drawing.size = 64
    config.drawing.stroke_width = 1.5
    config.augmentation.drop_stroke = 0.08
    config.augmentation.stroke_shift = 0.02
    config.augmentation.deform = 0.03
    config.augmentation.flip = 0.3
    config.augmentation.anisotropy = 0.15
    config.model.bits = int(bits)
    config.model.encoders.cnn.width = 0.5
    config.model.encoders.cnn.stem_stride = 2
    config.model.encoders.cnn.dense_features = 1024
    config.model.encoders.cnn.dropout = 0.4
    config.model.encoders.rnn.hidden = 128
    config.model.encoders.rnn.dropout = 0.2
    config.model.encoders.rnn.implementation = "fused"
    config.train.batch_size = 64
    config.train.inner_steps = 8
    config.train.outer_steps = 4
    for stage, epochs, rate in (
        ("cnn", 10, 1e-3),
        ("rnn", 10, 2e-3),
        ("joint", 3, 1e-3),
        ("center", 2, 5e-4),
        ("full", 1, 3e-4),
    ):
        config.stages[stage].epochs = epochs
        config.stages[stage].learning_rate = rate
        config.stages[stage].warmup_epochs = 0.3
    config.stages.center.losses.center = 0.1
    config.stages.full.losses.center = 0.1
    config.stages.full.losses.quantization = 0.01
    return config
