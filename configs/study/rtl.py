"""The relative triplet loss on shoes: weights, normalisation, distillation.

    pip install 'sketchjax[pretrained]'
    export SKETCHJAX_DATA=FOLDER   # has sketch-photo/shoes
    python -m sketchjax.main --config configs/study/rtl.py --workdir runs/rtl
    sketchjax study runs/rtl --markdown docs/results-photo.md

Four variants of configs/sketch_photo.py:shoes, triplets with and without weights on embeddings of
unit length and on batch-normalised ones, each with the same encoders, batches, rates and epochs;
then two ShuffleNetV2 x0.5, by themselves and taught by the last of the four. Three seeds; margins
go with the scale of each normalisation (docs/sketch-photo-losses.md).

Each of the first four rows takes 7 minutes on one core of an AMD EPYC. Measured so far: these with
three seeds, see docs/results-photo.md.
"""

import runpy
from pathlib import Path

from sketchjax.config import encoder
from sketchjax.paper.variants.config import default_variants, set_variants, variant

RECIPE = Path(__file__).parents[1] / "sketch_photo.py"
WIDTH = 64
# A margin is of each feature; at unit length a distance is at most 4, whatever the width.
MARGINS = {"unit_length": 0.2 / WIDTH, "batch_norm": 0.2}


def get_config():
    """Rows of one table; `sketchjax.paper.variants.config` says what each field is."""
    study = default_variants()
    study.name = "relative triplet loss"
    study.base = runpy.run_path(str(RECIPE))["get_config"]("shoes")
    study.figures = ("euclidean:recall_at_10", "euclidean:recall_at_1", "hamming:recall_at_10")
    rows = [
        variant(f"{weights}_{embedding}", f"{loss}, {how}", _changes(weights, embedding))
        for weights, loss in (("none", "triplet"), ("relative", "relative triplet"))
        for embedding, how in (("unit_length", "unit length"), ("batch_norm", "batch norm"))
    ]
    best, label = rows[-1][0], "ShuffleNetV2 x0.5"
    rows.append(variant("small", f"{label}, by itself", _small()))
    rows.append(
        variant(
            "taught",
            f"{label}, taught by that of relative triplets, batch norm",
            _small(1.0),
            teacher=best,
        )
    )
    set_variants(study, *rows)
    return study


def _changes(weights, embedding):
    losses = {"relative_triplet": {"weights": weights, "margin": MARGINS[embedding]}}
    return {"model": {"embedding": embedding}, "stages": {"joint": {"losses": losses}}}


def _small(distillation=0.0):
    changes = _changes("relative", "batch_norm")
    small = encoder("shufflenet_v2", times="0.5")
    changes["model"]["encoders"] = {"lines": small, "colours": small}
    changes["stages"]["joint"]["learning_rate"] = 2e-3  # they begin with random weights
    if distillation:
        changes["stages"]["joint"]["losses"]["distillation"] = distillation
    return changes
