"""Real sketches find real photos: Sketchy in part, or shoes, with two ImageNet encoders.

    pip install 'sketchjax[pretrained]'
    export SKETCHJAX_DATA=FOLDER   # has sketch-photo/photo, .../sketch, pairs.csv and splits.csv
    python -m sketchjax.main --config configs/sketch_photo.py --workdir runs/sketch-photo
    python -m sketchjax.main --config configs/sketch_photo.py:shoes --workdir runs/shoes
    python -m sketchjax.main --config configs/sketch_photo.py:distilled --workdir runs/distilled \
        --config.train.teacher=runs/sketch-photo

The argument is the folder of the set within sketch-photo, or `distilled` for two ShuffleNetV2 x0.5
that learn the embeddings of the first run; docs/sketch-photo.md says how to train on other pairs.
Both encoders are EfficientNet-Lite0 with ImageNet's weights, read from an installed
package; sketches and photos meet in 64 batch-normalised features, whose signs are 64-bit codes.
With categories, each side first learns them by itself, from all its pictures, and then batches are
pairs of a sketch and its photo, mirrored together. At its end the run also makes posterior codes,
in recode/64.

The first run takes 18 to 20 minutes on one core of an AMD EPYC of the third generation, shoes 9,
measured with one training of the codes; now there are four to choose among, which takes longer.
To expect, of Sketchy's 736 queries among 1,140 photos, and of 240 among 81 shoes (means of three
seeds):

    Sketchy, ranked by  category: MAP  own photo: R@1  R@5     R@10
    cosine              0.354          9.7  %          30.9 %  45.1 %
    its signs, 64 bits  0.241          5.7  %          21.1 %  32.1 %
    posterior codes     0.438          7.5  %          31.5 %  47.4 %
    shoes, cosine       -              16.2 %          45.4 %  64.0 %

docs/results-photo.md has the rest. `distilled` takes 13 minutes on two cores and fails on so small
a set: without ImageNet's weights, its MAP is 0.020, near chance.
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

SKETCHES, PHOTOS = ("encoders", "head"), ("photo_encoders", "photo_head")
OWN_PHOTO = {
    "distance": "euclidean",
    "margin": 2.0,
    "compare": "sketch_to_photo",
    "match": "instance",
}


def get_config(where: str = "."):
    """Classes on each side, then triplets of a sketch, its photo and the batch's other photos.

    where: `.` for Sketchy's 125 categories, or the folder of another set, such as `shoes`, which is
      of one category; `distilled` for small students on the first.
    """
    if where == "distilled":
        return _distilled()
    config = default()
    config.name = f"sketch to photo, {'Sketchy' if where == '.' else where}"
    config.data.source = real_data("sketch-photo", where)
    config.data.sketches = "raster"
    config.data.shards = 1
    config.drawing.fit = "ink"
    config.drawing.size = config.photos.size = 112
    imagenet = {"pretrained": "efficientnet-lite0", "drop_path": 0.1}
    set_encoders(config, lines=encoder("efficientnet_lite", **imagenet))
    set_photo_encoders(config, colours=encoder("efficientnet_lite", **imagenet))
    config.model.head, config.model.embedding, config.model.bits = "embedding", "batch_norm", 64
    config.augmentation.flip = 0.5
    config.augmentation.scale = config.augmentation.anisotropy = 0.1
    config.augmentation.shift = 0.05
    config.train.batch_size, config.train.inner_steps, config.train.outer_steps = 32, 2, 2
    config.train.head_rate = 5.0
    config.evaluation.batch_size = 64
    config.evaluation.rankings = ("query:photo/gallery",)
    config.evaluation.feature_distances = ("euclidean", "cosine")
    joint = {"inputs": ("sketch", "photo"), "trains": SKETCHES + PHOTOS}
    if where == "shoes":
        losses = {"cross_entropy": 1.0, "triplet": OWN_PHOTO}
        set_stages(
            config,
            stage("joint", **joint, losses=losses, epochs=24, learning_rate=5e-4, warmup_epochs=1),
        )
        return config
    # Codes for the category, next to the signs of the embedding.
    config.evaluation.posterior_bits = (64,)
    # ImageNet's features of photos are worth keeping: a low rate, statistics as they are, and the
    # pixels that they need. Those of sketches are not.
    config.photos.size = 160
    config.model.encoders.colours.frozen_norm = True
    config.train.head_rate = 10.0
    by_class = {"cross_entropy": {"weight": 1.0, "smoothing": 0.1}}
    set_stages(
        config,
        stage(
            "photos",
            inputs=("photo",),
            trains=PHOTOS,
            losses=by_class,
            epochs=4,
            learning_rate=1e-4,
        ),
        stage(
            "sketches",
            trains=SKETCHES,
            losses=by_class,
            epochs=8,
            learning_rate=5e-4,
            warmup_epochs=1,
        ),
        stage(
            "joint",
            **joint,
            losses=by_class | {"triplet": OWN_PHOTO},
            epochs=4,
            learning_rate=1e-4,
        ),
    )
    return config


def _distilled():
    """Two small encoders that learn the embeddings of a run of this config."""
    config = get_config()
    config.name = "sketch to photo, distilled"
    small = {"times": "0.5"}
    set_encoders(config, lines=encoder("shufflenet_v2", **small))
    set_photo_encoders(config, colours=encoder("shufflenet_v2", **small))
    config.plan, config.train.head_rate = ("joint",), 5.0
    joint = config.stages.joint
    joint.losses.distillation = {"weight": 1.0, "target": "same"}
    joint.epochs, joint.learning_rate = 24, 2e-3
    return config
