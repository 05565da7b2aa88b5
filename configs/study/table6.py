"""Table 6: recognition.

    python -m sketchjax.main --config configs/study/table6.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Sketch-a-Net, ResNet-50, either branch, both with CEL and with CEL + SCL (2048 features).
FOLDER is a conversion of QuickDraw-3.8M (docs/data.md). Written for a GPU; never run to its end.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; see `sketchjax.paper.study.config` for the fields."""
    study = paper_study("6")
    study.name = "Table 6: recognition"
    return study
