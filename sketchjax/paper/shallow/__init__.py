"""Shallow hashing: codes of fixed features, by eight published methods (SketchMate, table 2).

All have one shape, `shallow.method.Method`: `SHALLOW["sdh"](bits=64, seed=0).fit(features, labels)`
and `.encode(features)`. They read features in blocks, so that 3.1 million rows of 256 float32 take
less than 4 GB of memory with any of them; `benchmarks/shallow.py` measures it. `shallow.hog` makes
hand-crafted features of sketches.
"""

from sketchjax.paper.shallow.cca_itq import CcaItq
from sketchjax.paper.shallow.dsh import Dsh
from sketchjax.paper.shallow.lsh import Lsh
from sketchjax.paper.shallow.method import Features, Method
from sketchjax.paper.shallow.pca import Pcah, PcaItq
from sketchjax.paper.shallow.sdh import Sdh
from sketchjax.paper.shallow.sklsh import Sklsh
from sketchjax.paper.shallow.spectral import SpectralHashing

__all__ = ["SHALLOW", "Features", "Method"]

SHALLOW: dict[str, type[Method]] = {
    "pca_itq": PcaItq,
    "lsh": Lsh,
    "sh": SpectralHashing,
    "sklsh": Sklsh,
    "dsh": Dsh,
    "pcah": Pcah,
    "sdh": Sdh,
    "cca_itq": CcaItq,
}
