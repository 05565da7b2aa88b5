"""Codebooks: a codeword for each class, as far from each other as codes are known to be."""

from __future__ import annotations

from sketchjax.ops.codebook.assignment import assign
from sketchjax.ops.codebook.build import codebook, least_distance

__all__ = ["assign", "codebook", "least_distance"]
