"""Table 4: distances inside and between classes, for our four variants.

    python -m sketchjax.main --config configs/study/table4.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Its runs are among those of table 1: with the same workdir none is trained twice.
FOLDER is a conversion of QuickDraw-3.8M (docs/data.md). Written for a GPU; never run to its end.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; see `sketchjax.paper.study.config` for the fields."""
    study = paper_study("4")
    study.name = "Table 4: distances inside and between classes, for our four variants"
    return study
