"""Section 4.5: codes of 20 classes kept out of training.

    python -m sketchjax.main --config configs/study/zero_shot.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Ours, DLBHC and DSH-Sketch at 32 bits. Name the classes with --config.unseen=cat,clock,..., or let
the seed draw them. FOLDER is QuickDraw-3.8M as `sketchjax convert` writes it from Google's
simplified files with --train 9000 --validation 1000 --gallery 1000 --query 100.

Needs a GPU. It never ran to its end, so there is no time and no figure of ours to expect. The paper
reports MAP 0.755, 0.709 and 0.533.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; `sketchjax.paper.study.config` says what each field is."""
    study = paper_study("zero-shot")
    study.name = "Section 4.5: codes of 20 classes kept out of training"
    return study
