"""Named lists of categories: whole sets, and those that zero-shot protocols keep out of training.

Three unseen lists circulate for Sketchy, two of 25 categories, and figures of one do not compare
with those of another; so results name the list they belong to. Names are spelled as in the folders
of the sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

# What each list is, and where it was read.
SOURCES = {
    "sketchy": "all 125 categories of the Sketchy database (Sangkloy et al. 2016)",
    "sketchy-21": "unseen: not in ImageNet's 1,000 (Yelamarthi et al. 2018); ZSE-SBIR, zeroshot0",
    "sketchy-25": "unseen: of the size of Shen et al. 2018; SAKE and ZSE-SBIR, zeroshot1",
    "sketchy-25-seed-0": "unseen: of that size, by numpy's seed 0 as in sem-pcyc's src/utils.py",
    "tu-berlin": "all 250 categories of TU-Berlin (Eitz et al. 2012); ZSE-SBIR",
    "tu-berlin-30": "unseen: with at least 400 photos each; ZSE-SBIR",
    "quickdraw-30": "unseen: of QuickDraw Extended (Dey et al. 2019); ZSE-SBIR",
}


@cache
def class_list(name: str) -> tuple[str, ...]:
    """The categories of a list, sorted.

    name: of `SOURCES`.
    Raises ValueError for another name.
    """
    if name not in SOURCES:
        raise ValueError(f"there is no list {name!r}; take one of {', '.join(SOURCES)}")
    path = Path(__file__).parent / f"{name}.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def expanded(names: Iterable[str]) -> list[str]:
    """The names, with the categories of a list in place of its name."""
    return [own for name in names for own in (class_list(name) if name in SOURCES else (name,))]


def list_of(categories: Iterable[str]) -> str:
    """The name of the list with exactly these categories, in any spelling; empty: none.

    Separators and case make no difference: `hot air balloon` is `hot-air_balloon`.
    """
    asked = {_letters(name) for name in categories}
    for name in SOURCES:
        if asked == {_letters(own) for own in class_list(name)}:
            return name
    return ""


def _letters(name: str) -> str:
    return "".join(mark for mark in name.casefold() if mark.isalnum())
