"""Table 4: distances within and between classes, for our four variants.

    python -m sketchjax.main --config configs/study/table4.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Its runs are among those of table 1: with the same workdir none is trained twice. FOLDER is
QuickDraw-3.8M as `sketchjax convert` writes it from Google's simplified files with --train 9000
--validation 1000 --gallery 1000 --query 100.

Needs a GPU. It never ran to its end, so there is no time and no figure of ours to expect. The paper
reports, at 64 bits, d1/d2 of 0.304 for Our+CEL, 0.254 with common and 0.138 with sketch centre
loss.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; `sketchjax.paper.study.config` says what each field is."""
    study = paper_study("4")
    study.name = "Table 4: distances within and between classes, for our four variants"
    return study
