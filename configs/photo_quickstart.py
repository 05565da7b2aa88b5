"""Synthetic photos and sketches of the very objects in them: a drawing finds its photo, on any CPU.

    python -m sketchjax.main --config configs/photo_quickstart.py --workdir runs/photo-quickstart

864 photos of 24 categories, each drawn three times: 547 photos and 1,641 sketches train, and 864
sketches look for their photo among 288. Training and scoring took 266 seconds of CPU time (23
minutes of the clock, on two cores shared with fifteen other programs); painting the photos takes
about 55 seconds of CPU time more.

    ranked by     own photo: R@1  R@5     R@10    by category: MAP
    64-bit codes  5.9 %           18.8 %  31.0 %  0.239
    cosine        6.5 %           23.7 %  36.3 %  0.263
    at random     0.35 %          1.7 %   3.5 %   about 0.05

Accuracy is 0.79 on the training pairs and 0.31 on the gallery: with 23 training photos of each
category, the photo encoder learns them by heart.
"""

from sketchjax.config import default, encoder, set_encoders, set_photo_encoders, set_stages, stage


def get_config():
    """Two small encoders, one for drawings and one for photos, and 64 features in common."""
    config = default()
    config.name = "photo quickstart"
    config.data.source = "synthetic"
    config.data.synthetic_per_category = 36
    config.data.points = 128
    config.data.shards = 1
    config.drawing.size = config.photos.size = 48
    config.photos.validation = 0.05
    small = {"width": 0.25, "stem_stride": 2, "dense_features": 256, "dropout": 0.1}
    set_encoders(config, lines=encoder("alexnet", **small))
    set_photo_encoders(config, colours=encoder("alexnet", **small))
    config.model.head, config.model.embedding, config.model.bits = "embedding", "batch_norm", 64
    # A photo is found by how its object leans and is stretched: a sketch keeps that.
    for name, amount in {"rotation": 3.0, "shear": 0.03, "anisotropy": 0.03, "flip": 0.5}.items():
        config.augmentation[name] = amount
    config.photo_augmentation.anisotropy = 0.03
    config.photo_augmentation.scale, config.photo_augmentation.shift = 0.2, 0.1
    config.train.batch_size, config.train.inner_steps, config.train.outer_steps = 64, 5, 2
    config.evaluation.batch_size = 256
    config.evaluation.rankings = ("query:photo/gallery",)
    config.evaluation.feature_distances = ("euclidean", "cosine")
    config.evaluation.retrieved = 18
    set_stages(
        config,
        stage(
            "joint",
            inputs=("sketch", "photo"),
            trains=("encoders", "head", "photo_encoders", "photo_head"),
            losses={
                "cross_entropy": 0.5,
                "n_pair": {"distance": "euclidean", "compare": "across", "match": "instance"},
            },
            epochs=24,
            learning_rate=2e-3,
            warmup_epochs=1,
        ),
    )
    return config
