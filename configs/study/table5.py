"""Table 5: seconds a query and memory, for 345,000 codes and more.

    python -m sketchjax.main --config configs/study/table5.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Trains nothing; the codes are random.
FOLDER is a conversion of QuickDraw-3.8M (docs/data.md). Written for a GPU; never run to its end.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; see `sketchjax.paper.study.config` for the fields."""
    study = paper_study("5")
    study.name = "Table 5: seconds a query and memory, for 345,000 codes and more"
    return study
