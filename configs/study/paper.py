"""Every table and figure of the paper, at its own scale.

    python -m sketchjax.main --config configs/study/paper.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

FOLDER is QuickDraw-3.8M as `sketchjax convert` writes it from Google's simplified files with
--train 9000 --validation 1000 --gallery 1000 --query 100. The configs of single tables next to this
file use the same runs if they are given the same workdir.

Needs a GPU. It never ran to its end, so there is no time and no figure of ours to expect. The paper
reports MAP 0.606 to 0.679 at 16 to 64 bits for the full model.
"""

from sketchjax.paper.study.config import TABLES, paper_study


def get_config():
    """The paper's sizes; `sketchjax.paper.study.config` says what each field is."""
    return paper_study(*TABLES)
