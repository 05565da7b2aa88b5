"""Table 2: shallow hashing of HOG and of 256-d fusion features.

    python -m sketchjax.main --config configs/study/table2.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Eight methods at 16, 24, 32 and 64 bits; one network is trained for the features.
FOLDER is a conversion of QuickDraw-3.8M (docs/data.md). Written for a GPU; never run to its end.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; see `sketchjax.paper.study.config` for the fields."""
    study = paper_study("2")
    study.name = "Table 2: shallow hashing of HOG and of 256-d fusion features"
    return study
