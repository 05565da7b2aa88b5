"""A run of two sides in seconds once it is compiled: sketches find the photos that they draw."""

from sketchjax.config import default, encoder, set_encoders, set_photo_encoders, set_stages, stage

SIDES = ("sketch", "photo")
EVERYTHING = ("encoders", "head", "photo_encoders", "photo_head")


def get_config(folder: str = "", sketches: str = "raster"):
    """Both sides at the smallest sizes.

    folder: of the data.
    sketches: `raster` or `strokes`.
    """
    config = default()
    config.name = "tiny pairs"
    config.data.dir, config.data.sketches, config.data.points = folder, sketches, 16
    small = {"width": 0.06, "stem_stride": 1, "dense_features": 16, "dropout": 0.1}
    set_encoders(config, lines=encoder("alexnet", **small))
    set_photo_encoders(config, colours=encoder("alexnet", **small))
    config.drawing.size = config.photos.size = 24
    config.model.head, config.model.embedding, config.model.bits = "embedding", "batch_norm", 16
    config.augmentation.flip = 0.5
    config.train.batch_size, config.train.inner_steps, config.train.outer_steps = 8, 2, 2
    config.train.checkpoint_seconds = 0.0
    config.evaluation.batch_size = 16
    config.evaluation.rankings = ("query:photo/gallery",)
    config.evaluation.queries_shown, config.evaluation.retrieved = 2, 6
    joint = {"cross_entropy": 1.0, "triplet": {"distance": "euclidean", "compare": "across"}}
    set_stages(
        config,
        stage("sketches", trains=("encoders", "head"), epochs=1),
        stage("photos", trains=("photo_encoders", "photo_head"), inputs=("photo",), epochs=1),
        stage("joint", trains=EVERYTHING, inputs=SIDES, losses=joint, epochs=2),
    )
    return config
