"""Table 1 and figures 4, 5 and 6: deep hashing.

    python -m sketchjax.main --config configs/study/table1.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Study of DLBHC, DSH-Supervised (also with balanced batches), DSH-Sketch and our four variants at
16, 24, 32 and 64 bits.
FOLDER is a conversion of QuickDraw-3.8M (docs/data.md). Written for a GPU; never run to its end.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; see `sketchjax.paper.study.config` for the fields."""
    study = paper_study("1")
    study.name = "Table 1 and figures 4, 5 and 6: deep hashing"
    return study
