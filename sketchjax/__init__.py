"""sketchjax: short binary codes of free-hand sketches, from stroke files to search.

model = sketchjax.load("runs/quickstart")
gallery = sketchjax.Codes.load("runs/quickstart/codes/gallery")
distances, places = gallery.nearest(model.encode(drawing), k=10)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Codes", "Model", "codebook", "load", "read"]

if TYPE_CHECKING:
    from sketchjax.data.sources import read
    from sketchjax.ops.codebook import codebook
    from sketchjax.retrieval.codes import Codes
    from sketchjax.retrieval.model import Model, load

_HOMES = {
    "Codes": "sketchjax.retrieval.codes",
    "Model": "sketchjax.retrieval.model",
    "codebook": "sketchjax.ops.codebook",
    "load": "sketchjax.retrieval.model",
    "read": "sketchjax.data.sources",
}


def __getattr__(name: str) -> Any:
    # jax takes seconds to import, and the commands for files never need it.
    if name not in _HOMES:
        raise AttributeError(f"module 'sketchjax' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
