"""Table 6: recognition.

    python -m sketchjax.main --config configs/study/table6.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Sketch-a-Net, ResNet-50, either branch, both with CEL and with CEL + SCL (2048 features). FOLDER is
QuickDraw-3.8M as `sketchjax convert` writes it from Google's simplified files with --train 9000
--validation 1000 --gallery 1000 --query 100.

Needs a GPU. It never ran to its end, so there is no time and no figure of ours to expect. The paper
reports accuracies of 0.687, 0.786, 0.779 (RNN), 0.738 (CNN), 0.795 and 0.805.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; `sketchjax.paper.study.config` says what each field is."""
    study = paper_study("6")
    study.name = "Table 6: recognition"
    return study
