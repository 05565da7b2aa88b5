"""Every way to codes on QuickDraw-55, on the features of the same runs: docs/objectives.md.

    export SKETCHJAX_DATA=FOLDER   # has quickdraw/*.ndjson.gz and splits/quickdraw55.csv
    python -m sketchjax.main --config configs/study/objectives.py --workdir runs/objectives
    sketchjax study runs/objectives --markdown docs/objectives.md

Trains three seeds of configs/quickdraw55.py:64 with a third of its epochs, and one run with 10
categories kept out of training; then fits trained heads, posterior codes and shallow methods at 16,
24, 32 and 64 bits. Learning rates are chosen by validation sketches of the first run and written to
settings.json before any query is looked at. With runs that have finished, nothing is trained but
heads:

    python -m sketchjax.main --config configs/study/objectives.py --workdir runs/objectives \
        --config.runs=runs/a,runs/b,runs/c --config.unseen_run=runs/unseen

objectives_settings.json, next to this file, has the learning rates that were chosen; they are taken
as they are. A run takes half an hour on one core, the rows an hour and a half of two cores that
train as well, the scores five minutes. To expect at 16, 32 and 64 bits: posterior codes 0.820,
0.843 and 0.856, sdh 0.729, 0.789 and 0.816, tie_aware 0.695, 0.756 and 0.787.
"""

import runpy
from pathlib import Path

from sketchjax.paper.objectives.config import default_objectives

HERE = Path(__file__).parent


def get_config():
    """`sketchjax.paper.objectives.config` says what each field is."""
    study = default_objectives()
    study.name = "Objectives on QuickDraw-55"
    recipe = runpy.run_path(str(HERE.parent / "quickdraw55.py"))
    study.base = recipe["get_config"]("64")
    study.base.model.mirrored = False  # the table's figures are of drawings by themselves
    study.base.stages.joint.epochs = 8  # half an hour on one core; heads are compared, not encoders
    settings = HERE / "objectives_settings.json"
    study.settings = str(settings) if settings.is_file() else ""
    return study
