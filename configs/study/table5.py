"""Table 5: seconds per query and memory, for 345,000 codes and more.

    python -m sketchjax.main --config configs/study/table5.py --workdir runs/paper \
        --config.base.data.dir=FOLDER

Trains nothing: the codes are random, and the report only shows the sizes of the data. FOLDER is
QuickDraw-3.8M as `sketchjax convert` writes it from Google's simplified files with --train 9000
--validation 1000 --gallery 1000 --query 100.

Needs no GPU. Per query, two CPU cores take 0.27 ms for 345,000 codes of 16 bits and 0.29 ms for 64
bits, 94 ms for 100,000,000 codes of 64 bits; the paper reports 89 and 286 ms for 345,000. Galleries
of more than half of the free memory are left out.
"""

from sketchjax.paper.study.config import paper_study


def get_config():
    """The paper's sizes; `sketchjax.paper.study.config` says what each field is."""
    study = paper_study("5")
    study.name = "Table 5: seconds per query and memory, for 345,000 codes and more"
    return study
