"""Metric learning by SNR distance (DSML) on synthetic doodles of 32 categories, on any CPU.

    python -m sketchjax.main --config configs/metric.py:embedding --workdir runs/metric
    python -m sketchjax.main --config configs/metric.py:hash --workdir runs/metric-hash

`embedding` trains plain features, which the run ranks by SNR, Euclidean and cosine distance next to
the codes of their signs. `hash` is the hashing form: SNR distance on the code layer, with as many
ones as zeros in a code, and features near 0 and 1. docs/objectives.md has the formulas. Another
distance is one flag: --config.stages.metric.losses.contrastive.distance=cosine.

10 to 20 minutes each on two CPU cores shared with much other work. 475 queries, 1,849 gallery
sketches, MAP of codes with its bounds, and of features by SNR distance:

    form       codes                   features  recall@1  NMI
    embedding  0.796 (0.767 to 0.829)  0.839     0.874     0.883
    hash       0.587 (0.523 to 0.670)
"""

from sketchjax.config import default, set_stages, stage

METRIC = {
    "contrastive": {"distance": "snr", "positive_margin": 0.2, "margin": 1.5},
    "zero_mean": 0.005,
}
LOSSES = {"embedding": METRIC, "hash": METRIC | {"quantization": 0.001}}


def get_config(form: str = "embedding"):
    """A small recurrent network of 32 features, trained from scratch in one stage.

    form: `embedding` or `hash`.
    """
    config = default()
    config.name = f"SNR metric learning, {form}"
    config.data.source = "synthetic"
    config.data.synthetic_per_category = 300
    config.data.splits = {"train": 0.7, "validation": 0.05, "gallery": 0.2, "query": 0.05}
    config.data.points = 96
    config.data.shards = 2
    config.drawing.size = 48
    config.model.branches = ("rnn",)
    config.model.encoders.rnn.hidden = 64
    config.model.encoders.rnn.implementation = "fused"
    config.model.bits = 32
    config.model.head = form
    if form == "embedding":
        config.model.embedding = "batch_norm"
    config.train.batch_size = 64
    config.train.inner_steps = 6
    config.train.outer_steps = 2
    config.evaluation.batch_size = 256
    set_stages(
        config,
        stage(
            "metric",
            trains=("encoders", "head"),
            losses=LOSSES[form],
            sampler={"classes": 16, "each": 4},
            epochs=8,
            learning_rate=4e-3,
            warmup_epochs=0.5,
        ),
    )
    return config
