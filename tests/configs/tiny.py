"""A whole run in seconds once it is compiled: four categories, three dispatches a stage."""

from sketchjax.config import default


def get_config():
    """Every part of a real config, at the smallest sizes."""
    config = default()
    config.name = "tiny"
    config.data.source = "synthetic"
    config.data.synthetic_per_category = 40
    config.data.categories = ("cat", "clock", "face", "sun")
    config.data.splits = {"train": 0.7, "validation": 0.05, "gallery": 0.15, "query": 0.1}
    config.data.points = 32
    config.data.shards = 1
    config.drawing.size = 48
    config.model.bits = 16
    config.model.encoders.cnn.width = 0.06
    config.model.encoders.cnn.stem_stride = 2
    config.model.encoders.cnn.dense_features = 16
    config.model.encoders.cnn.dropout = 0.2
    config.model.encoders.rnn.hidden = 4
    config.model.encoders.rnn.layers = 1
    config.model.encoders.rnn.dropout = 0.2
    config.model.encoders.rnn.implementation = "fused"
    config.train.batch_size = 8
    config.train.inner_steps = 2
    config.train.outer_steps = 2
    # A checkpoint after every dispatch.
    config.train.checkpoint_seconds = 0.0
    for stage in ("cnn", "rnn", "joint", "center", "full"):
        config.stages[stage].epochs = 1
    config.stages.center.losses.center = 0.1
    config.stages.full.losses.center = 0.1
    config.stages.full.losses.quantization = 0.1
    config.evaluation.batch_size = 16
    config.evaluation.retrieved = 12
    config.evaluation.queries_shown = 2
    return config
