"""Shallow hashing: eight published methods that hash fixed features (SketchMate, table 2).

All share one interface, `hasher.Hasher`: `HASHERS["sdh"](bits=64, seed=0).fit(features, labels)`,
then `.encode(features)`. They read features in blocks, so that 3.1 million rows of 256 float32 need
less than 4 GB of memory with any of them; `benchmarks/shallow.py` measures this. `hog` computes
hand-crafted features of sketches.
"""

from sketchjax.paper.shallow.cca_itq import CcaItq
from sketchjax.paper.shallow.dsh import Dsh
from sketchjax.paper.shallow.hasher import Features, Hasher
from sketchjax.paper.shallow.lsh import Lsh
from sketchjax.paper.shallow.pca import Pcah, PcaItq
from sketchjax.paper.shallow.sdh import Sdh
from sketchjax.paper.shallow.sklsh import Sklsh
from sketchjax.paper.shallow.spectral import SpectralHashing

__all__ = ["HASHERS", "Features", "Hasher"]

HASHERS: dict[str, type[Hasher]] = {
    "pca_itq": PcaItq,
    "lsh": Lsh,
    "sh": SpectralHashing,
    "sklsh": Sklsh,
    "dsh": Dsh,
    "pcah": Pcah,
    "sdh": Sdh,
    "cca_itq": CcaItq,
}
