"""The model in the package: real drawings of all 345 QuickDraw categories, small enough to ship.

export SKETCHJAX_DATA=FOLDER   # has quickdraw/*.ndjson.gz
python -m sketchjax.main --config configs/pretrained.py --workdir runs/pretrained
sketchjax recode runs/pretrained --bits 64
sketchjax export runs/pretrained/recode/64 FOLDER --half

Codes from the posterior rank better than those of its own hash layer: MAP 0.786 and 0.737 on
held-out drawings.
"""

from sketchjax.config import default, real_data, set_stages, stage


def get_config():
    """A narrow two-branch network for 64-bit codes, trained on all categories."""
    config = default()
    config.name = "pretrained"
    config.data.source = real_data("quickdraw")
    config.data.splits = {"train": 0.8, "validation": 0.05, "gallery": 0.1, "query": 0.05}
    config.data.points = 96
    config.drawing.size = 48
    config.drawing.stroke_width = 1.5
    config.augmentation.drop_stroke = 0.08
    config.augmentation.stroke_shift = 0.02
    config.augmentation.deform = 0.03
    config.augmentation.flip = 0.3
    config.augmentation.anisotropy = 0.15
    config.model.bits = 64
    config.model.encoders.cnn.width = 0.3
    config.model.encoders.cnn.stem_stride = 2
    config.model.encoders.cnn.dense_features = 384
    config.model.encoders.cnn.dropout = 0.2
    config.model.encoders.rnn.hidden = 112
    config.model.encoders.rnn.dropout = 0.1
    config.model.encoders.rnn.implementation = "fused"
    config.train.batch_size = 128
    config.train.inner_steps = 8
    config.train.outer_steps = 4
    set_stages(
        config,
        stage(
            "joint",
            trains=("encoders", "head"),
            losses={"cross_entropy": {"weight": 1.0, "smoothing": 0.05}},
            epochs=8,
            learning_rate=2e-3,
            warmup_epochs=0.5,
        ),
    )
    return config
