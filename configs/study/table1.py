"""Table 1 and figures 4, 5 and 6: deep hashing.

    python -m sketchjax.main --config configs/study/table1.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

DLBHC, DSH-Supervised (also with balanced batches), DSH-Sketch and our four variants at 16, 24, 32
and 64 bits; for three seeds add --config.seeds=0,1,2. FOLDER is QuickDraw-3.8M as `sketchjax
convert` writes it from Google's simplified files with --train 9000 --validation 1000 --gallery 1000
--query 100.

Needs a GPU. It never ran to its end, so there is no time and no figure of ours to expect. The paper
reports, at 16 to 64 bits, MAP 0.606 to 0.679 for the full model, 0.597 to 0.653 for Our+CEL, 0.545
to 0.624 for DLBHC, 0.386 to 0.607 for DSH-Sketch and 0.051 to 0.053 for DSH-Supervised.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; `sketchjax.paper.study.config` says what each field is."""
    study = paper_study("1")
    study.name = "Table 1 and figures 4, 5 and 6: deep hashing"
    return study
