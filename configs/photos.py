"""Metric learning on photos only (DSML on CIFAR-10): SNR distance, embeddings or hash codes.

    export SKETCHJAX_DATA=FOLDER   # has cifar10/cifar10.npz
    pip install 'sketchjax[pretrained]'
    python -m sketchjax.main --config configs/photos.py:embedding --workdir runs/cifar10
    python -m sketchjax.main --config configs/photos.py:hash --workdir runs/cifar10-hash

A network may have a side of photos only: its encoders, `photo_head` and rankings such as
photo/query:photo/gallery. `embedding` ranks features by SNR, Euclidean and cosine distance next to
the codes of their signs; `hash` is the hashing form, as in configs/metric.py. 5,000 photos train,
1,000 query 52,000.

`embedding` reached, with one seed in 10 minutes on one busy core of an AMD EPYC, a MAP of 0.610 by
SNR and Euclidean distance, 0.617 by cosine, and 0.586 with the codes; `hash` is not measured yet.
"""

from sketchjax.config import (
    default,
    encoder,
    real_data,
    set_encoders,
    set_photo_encoders,
    set_stages,
    stage,
)

METRIC = {
    "contrastive": {"distance": "snr", "positive_margin": 0.2, "margin": 1.5},
    "zero_mean": 0.005,
}
LOSSES = {"embedding": METRIC, "hash": METRIC | {"quantization": 0.001}}


def get_config(form: str = "embedding"):
    """EfficientNet-Lite0 with ImageNet's weights and 32 features, trained in one stage.

    form: `embedding` or `hash`.
    """
    config = default()
    config.name = f"metric learning on CIFAR-10, {form}"
    config.data.source = real_data("cifar10", "cifar10.npz")
    config.data.shards = 1
    config.photos.size = 64  # ImageNet's filters see little in 32
    set_encoders(config)
    set_photo_encoders(
        config,
        colours=encoder("efficientnet_lite", pretrained="efficientnet-lite0", drop_path=0.1),
    )
    config.model.head, config.model.bits = form, 32
    if form == "embedding":
        config.model.embedding = "batch_norm"
    config.augmentation.flip = 0.5
    config.photo_augmentation.shift = 0.1
    config.train.head_rate = 5.0
    config.train.batch_size, config.train.inner_steps, config.train.outer_steps = 64, 6, 2
    config.evaluation.batch_size = 500
    config.evaluation.rankings = ("photo/query:photo/gallery",)
    set_stages(
        config,
        stage(
            "metric",
            inputs=("photo",),
            trains=("photo_encoders", "photo_head"),
            losses=LOSSES[form],
            sampler={"classes": 8, "each": 8},
            epochs=6,
            learning_rate=1e-3,
            warmup_epochs=1,
        ),
    )
    return config
