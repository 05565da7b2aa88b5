"""Distillation on synthetic pairs: how much of its teacher a ShuffleNetV2 x0.5 keeps.

    python -m sketchjax.main --config configs/study/distillation.py --workdir runs/distillation
    sketchjax study runs/distillation --markdown docs/results-photo.md

The teacher is configs/photo_quickstart.py with 24 epochs, on 7,200 synthetic photos and a sketch of
each; then two ShuffleNetV2 x0.5 in place of its encoders, by themselves and taught, with 48 epochs
and, for pictures of 64 and 48 pixels, a stride of 1 in the first layer. All begin with random
weights. Three seeds. Dropout, augmentation and temperature are those that the recipe had when the
first seed was trained.

The teacher takes 17 minutes on a busy core of an AMD EPYC, a student 53. Measured so far: seed 0 of
the teacher and the taught student, see docs/results-photo.md.
"""

import runpy
from pathlib import Path

from sketchjax.config import encoder
from sketchjax.paper.variants.config import default_variants, set_variants, variant

RECIPE = Path(__file__).parents[1] / "photo_quickstart.py"
STUDENT = "ShuffleNetV2 x0.5"
PAIRS = {"distance": "euclidean", "compare": "across", "match": "instance"}


def get_config():
    """Rows of one table; `sketchjax.paper.variants.config` says what each field is."""
    study = default_variants()
    study.name = "distillation"
    study.base = runpy.run_path(str(RECIPE))["get_config"]("24")
    study.base.train.cpu_devices = 1
    for name in ("lines", "colours"):
        study.base.model.encoders[name].dropout = 0.1
    study.base.photo_augmentation.scale, study.base.photo_augmentation.shift = 0.2, 0.1
    study.base.stages.joint.losses.n_pair = PAIRS
    study.figures = ("cosine:recall_at_10", "cosine:recall_at_1", "cosine:map")
    small = encoder("shufflenet_v2", times="0.5", stem_stride=1)
    encoders = {"model": {"encoders": {"lines": small, "colours": small}}}
    longer = {"stages": {"joint": {"epochs": 48.0}}}
    taught = {"stages": {"joint": {"epochs": 48.0, "losses": {"distillation": 1.0}}}}
    set_variants(
        study,
        variant("teacher", "teacher: two small AlexNets", {}),
        variant("small", f"{STUDENT}, by itself", encoders | longer),
        variant("taught", f"{STUDENT}, taught by it", encoders | taught, teacher="teacher"),
    )
    return study
