"""QuickDraw-55, real drawings: 55 categories, 29,662 training sketches, all five stages at 64 px.

    export SKETCHJAX_DATA=FOLDER   # has quickdraw/*.ndjson.gz and splits/quickdraw55.csv
    python -m sketchjax.main --config configs/quickdraw55.py:64 --workdir runs/quickdraw55-64

The argument is the number of bits. The first two stages do not depend on it, so a run of another
length can take them from this one:

    python -m sketchjax.main --config configs/quickdraw55.py:16 --workdir runs/quickdraw55-16 \
        --config.train.pretrained=runs/quickdraw55-64

64 bits take 79 minutes on two CPU cores shared with other work. Over the full ranking of 8,477
gallery sketches for 2,134 queries:

    bits  after stage  MAP    precision@100  accuracy
    64    joint        0.824  0.850          0.894
    64    center       0.840  0.860          0.901
    64    full         0.844  0.863          0.901
    16    joint        0.729  0.781          0.806
    16    center       0.756  0.800          0.836
    16    full         0.760  0.804          0.844

Measured before the order of the sketches and the arithmetic of pooling and GRU last changed.
"""

import os

from sketchjax.config import default


def get_config(bits: str = "64"):
    """Our recipe, sized for two CPU cores.

    The paper's loss weights were chosen for a hundred times as many sketches. Here centre loss has
    ten times its weight and quantisation loss a hundred times.
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
