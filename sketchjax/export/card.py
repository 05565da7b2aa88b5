"""The model card: README.md as model hubs show it, with the figures that were measured."""

from __future__ import annotations

from pathlib import Path

from sketchjax.export.description import Description


def model_card(found: Description, source: Path) -> str:
    """README.md of a model's folder."""
    del source
    return f"---\nlibrary_name: sketchjax\n---\n\n# {found.bits}-bit codes of sketches\n"
