"""Deep Sketch Hashing on PACS: its objective as written, balanced and tied, at three lengths.

    export SKETCHJAX_DATA=FOLDER   # has sketch-photo/pacs7
    python -m sketchjax.main --config configs/study/dsh.py --workdir runs/dsh
    sketchjax study runs/dsh --markdown docs/results-photo.md

C1-Net and C2-Net with late fusion and contour maps, at a quarter of their width, pooled, on
sketches of 112 and photos of 128 pixels, from scratch; 32, 64 and 128 bits, three seeds. Word
vectors are made from the spelling of the categories' names, unless base.data.word_vectors names a
file. As written, the objective collapses for more than a few categories
(docs/sketch-photo-losses.md); PACS has seven.

Each row takes 4 to 7 minutes on a busy core of an AMD EPYC. MAP to expect, mean and standard
deviation of three seeds at 32, 64, 128 bits: as written 0.433 ± 0.021, 0.441 ± 0.003,
0.428 ± 0.005; balanced 0.445 ± 0.033, 0.460 ± 0.015, 0.442 ± 0.005; tied 0.441 ± 0.024,
0.453 ± 0.007, 0.467 ± 0.011.
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
from sketchjax.paper.variants.config import default_variants, set_variants, variant

SIZES = {"width": 0.25, "pooled": True, "batch_norm": True}
WRITTEN = {"semantic": 0.01, "network": 1e-5}
EVERYTHING = ("encoders", "head", "photo_encoders", "photo_head")


def get_config():
    """Rows of one table; `sketchjax.paper.variants.config` says what each field is."""
    study = default_variants()
    study.name = "Deep Sketch Hashing"
    study.base = _base()
    study.figures = ("hamming:map", "hamming:precision_at_100", "hamming:dead_bits_gallery")
    rows = []
    for pairs in ("as_written", "balanced", "tied"):
        for bits in (32, 64, 128):
            objective = {"pairs": pairs, **(WRITTEN if pairs == "as_written" else {})}
            losses = {"cross_entropy": 1.0, "deep_sketch_hashing": objective}
            changes = {"model": {"bits": bits}, "stages": {"joint": {"losses": losses}}}
            label = f"{pairs.replace('_', ' ')}, {bits} bits"
            rows.append(variant(f"{pairs}_{bits}", label, changes))
    set_variants(study, *rows)
    return study


def _base():
    config = default()
    config.name = "Deep Sketch Hashing on PACS"
    config.data.source = real_data("sketch-photo", "pacs7")
    config.data.sketches = "raster"
    config.data.shards = 1
    config.drawing.fit = "ink"
    config.drawing.size, config.photos.size = 112, 128
    config.photos.contours = "canny"
    set_encoders(config, drawn=encoder("dsh_sketch", **SIZES))
    set_photo_encoders(config, seen=encoder("dsh_photo", shares="drawn", **SIZES))
    config.model.head, config.model.embedding, config.model.bits = "embedding", "raw", 64
    config.augmentation.flip = 0.5
    config.augmentation.scale = config.augmentation.anisotropy = 0.1
    config.augmentation.shift = 0.05
    config.train.batch_size, config.train.inner_steps, config.train.outer_steps = 28, 4, 2
    config.evaluation.batch_size = 64
    config.evaluation.rankings = ("query:photo/gallery",)
    set_stages(
        config,
        stage(
            "joint",
            inputs=("sketch", "photo"),
            trains=EVERYTHING,
            losses={"cross_entropy": 1.0},
            sampler={"classes": 7},
            epochs=20,
            learning_rate=1e-3,
            warmup_epochs=1,
        ),
    )
    return config
