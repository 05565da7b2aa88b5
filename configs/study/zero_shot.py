"""Section 4.5: codes of 20 classes kept out of training.

    python -m sketchjax.main --config configs/study/zero_shot.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Ours, DLBHC and DSH-Sketch at 32 bits. Name the classes with --config.unseen, or let the seed draw.
FOLDER is a conversion of QuickDraw-3.8M (docs/data.md). Written for a GPU; never run to its end.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; see `sketchjax.paper.study.config` for the fields."""
    study = paper_study("zero-shot")
    study.name = "Section 4.5: codes of 20 classes kept out of training"
    return study
