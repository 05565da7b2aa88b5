"""SNR metric learning on CIFAR-10: each metric loss over each distance.

    export SKETCHJAX_DATA=FOLDER   # has cifar10/cifar10.npz
    pip install 'sketchjax[pretrained]'
    python -m sketchjax.main --config configs/study/dsml.py --workdir runs/dsml
    sketchjax study runs/dsml --markdown docs/results-photo.md

Contrastive, triplet, lifted structure and N-pair loss over SNR, Euclidean and cosine distance, on
configs/photos.py; then the hashing form. Embeddings are batch-normalised, so that
their distances follow from each other (an SNR distance s is a Euclidean one of the root of 32 s,
and a cosine distance of s / 2), and so do the margins. Three seeds, 5,000 training photos, 1,000
queries against 52,000.

Each row takes 5 to 12 minutes on one core of an AMD EPYC. Expect a MAP of 0.61 with the contrastive
loss over SNR and 0.63 with N-pair over the Euclidean distance; docs/results-photo.md has all rows.
"""

import runpy
from math import sqrt
from pathlib import Path

from sketchjax.paper.variants.config import default_variants, set_variants, variant

RECIPE = Path(__file__).parents[1] / "photos.py"
WIDTH = 32
# What an SNR distance is by the others, for features of mean 0 and variance 1.
AS = {"snr": lambda s: s, "euclidean": lambda s: sqrt(WIDTH * s), "cosine": lambda s: s / 2}


def get_config():
    """Rows of one table; `sketchjax.paper.variants.config` says what each field is."""
    study = default_variants()
    study.name = "SNR metric learning"
    recipe = runpy.run_path(str(RECIPE))["get_config"]
    study.base = recipe("embedding")
    study.figures = ("snr:map", "euclidean:map", "cosine:map", "hamming:map", "snr:recall_at_1")
    rows = []
    for loss in ("contrastive", "triplet", "lifted_structure", "n_pair"):
        for distance, of_snr in AS.items():
            regulariser = {"zero_mean": 0.005} if distance == "snr" else {}
            losses = {loss: {"distance": distance, **_margins(loss, of_snr)}, **regulariser}
            changes = {"stages": {"metric": {"losses": losses}}}
            label = f"{loss.replace('_', ' ')}, {distance}"
            rows.append(variant(f"{loss}_{distance}", label, changes))
    hashing = recipe("hash")
    changes = {
        "model": {"head": "hash", "embedding": "raw"},
        "stages": {"metric": {"losses": hashing.stages.metric.losses.to_dict()}},
    }
    rows.append(variant("hashing", "contrastive, snr, hashing form", changes))
    set_variants(study, *rows)
    return study


def _margins(loss, of_snr):
    """Unrelated photos are at an SNR distance of 2."""
    if loss == "contrastive":
        return {"positive_margin": of_snr(0.2), "margin": of_snr(1.5)}
    if loss == "triplet":
        return {"margin": of_snr(2) - of_snr(1.6)}
    return {"margin": of_snr(1.5)} if loss == "lifted_structure" else {}
