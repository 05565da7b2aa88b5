"""Synthetic doodles of 32 categories, five stages, a scored retrieval and a report, on any CPU.

    python -m sketchjax.main --config configs/quickstart.py --workdir runs/quickstart

Takes 2 min 14 s on two CPU cores, compilation included, and 1 min 17 s the next time. MAP 0.908
(0.895 to 0.917 over the orders of ties), precision@200 0.273 (at most 0.29 is possible: 58 gallery
sketches per category), accuracy 0.935.
"""

from sketchjax.config import default


def get_config():
    """A small two-branch network for 64-bit codes."""
    config = default()
    config.name = "quickstart"
    config.data.source = "synthetic"
    config.data.synthetic_per_category = 300
    config.data.splits = {"train": 0.7, "validation": 0.05, "gallery": 0.2, "query": 0.05}
    config.data.points = 96
    config.data.shards = 2
    config.drawing.size = 48
    config.drawing.stroke_width = 1.5
    config.model.encoders.cnn.width = 0.25
    config.model.encoders.cnn.stem_stride = 2
    config.model.encoders.cnn.dense_features = 256
    config.model.encoders.cnn.dropout = 0.2
    config.model.encoders.rnn.hidden = 64
    config.model.encoders.rnn.implementation = "fused"
    config.train.batch_size = 64
    config.train.cpu_devices = 2
    config.train.inner_steps = 6
    config.train.outer_steps = 2
    for stage, epochs in (("cnn", 4), ("rnn", 4), ("joint", 2), ("center", 1), ("full", 1)):
        config.stages[stage].epochs = epochs
        config.stages[stage].learning_rate = 2e-3
        config.stages[stage].warmup_epochs = 0.3
    config.evaluation.batch_size = 256
    return config
