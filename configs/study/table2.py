"""Table 2: shallow hashing of HOG and of 256-d fusion features.

    python -m sketchjax.main --config configs/study/table2.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Eight methods at 16, 24, 32 and 64 bits; one network is trained for the features. FOLDER is
QuickDraw-3.8M as `sketchjax convert` writes it from Google's simplified files with --train 9000
--validation 1000 --gallery 1000 --query 100.

Needs a GPU. It never ran to its end, so there is no time and no figure of ours to expect. The paper
reports a MAP of at most 0.028 on HOG and of up to 0.627 (SDH, 64 bits) on deep features.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; `sketchjax.paper.study.config` says what each field is."""
    study = paper_study("2")
    study.name = "Table 2: shallow hashing of HOG and of 256-d fusion features"
    return study
