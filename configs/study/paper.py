"""Every table and figure of the paper, at its own scale.

    python -m sketchjax.main --config configs/study/paper.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

FOLDER is a conversion of QuickDraw-3.8M (docs/data.md). The configs of single tables beside this
file share its runs when they are given its workdir. Written for a GPU; never run to its end.
"""

from sketchjax.paper.study.config import TABLES, paper_study


def get_config():
    """The paper's sizes; see `sketchjax.paper.study.config` for the fields."""
    return paper_study(*TABLES)
