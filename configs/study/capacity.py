"""Who needs capacity, and strokes against pixels: encoders of synthetic pairs.

    python -m sketchjax.main --config configs/study/capacity.py --workdir runs/capacity
    sketchjax study runs/capacity --markdown docs/results-photo.md

configs/photo_quickstart.py, for 8 epochs, with a photo encoder and a sketch encoder of three
widths each, then with a bidirectional GRU over the strokes in place of the sketch's picture, and
with both. All have the same 7,200 photos, batches and epochs. Three seeds.

A row takes 4 to 8 minutes on one core of an AMD EPYC. To expect (means of three seeds): recall@10
from 0.74 (both narrow) to 0.94 (photos 0.5, sketches 0.15 or 0.3), 0.70 by strokes only; the rest
is in docs/results-photo.md.
"""

import runpy
from pathlib import Path

from sketchjax.config import encoder
from sketchjax.paper.variants.config import default_variants, set_variants, variant

RECIPE = Path(__file__).parents[1] / "photo_quickstart.py"
# Widths of the two encoders; the middle ones are the recipe's.
SKETCH, PHOTO = (0.08, 0.15, 0.3), (0.12, 0.25, 0.5)


def get_config():
    """Rows of one table; `sketchjax.paper.variants.config` says what each field is."""
    study = default_variants()
    study.name = "capacity"
    study.base = runpy.run_path(str(RECIPE))["get_config"]("8")
    study.base.train.cpu_devices = 1
    study.figures = ("cosine:recall_at_10", "cosine:recall_at_1", "cosine:map")
    rows = []
    for photo in PHOTO:
        for sketch in SKETCH:
            widths = {"lines": {"width": sketch}, "colours": {"width": photo}}
            name = f"photo{photo * 100:.0f}_sketch{sketch * 100:.0f}"
            label = f"photo encoder of width {photo}, sketch encoder of {sketch}"
            rows.append(variant(name, label, {"model": {"encoders": widths}}))
    order = encoder("bigru", hidden=64, dropout=0.1, implementation="fused")
    rows.append(variant("strokes", "strokes only", {"model": {"encoders": {"lines": order}}}))
    both = {"encoders": {"order": order}, "branches": ("lines", "order")}
    rows.append(variant("both", "picture and strokes", {"model": both}))
    set_variants(study, *rows)
    return study
