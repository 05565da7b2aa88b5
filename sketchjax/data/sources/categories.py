"""The names of QuickDraw's 345 categories."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from sketchjax.errors import DataError


def all_categories() -> list[str]:
    """The names of QuickDraw's 345 categories, sorted."""
    return (Path(__file__).parent / "categories.txt").read_text(encoding="utf-8").splitlines()


def check_categories(names: Iterable[str]) -> list[str]:
    """The names, sorted, each once. Raises DataError with the nearest name for an unknown one."""
    known = {name.lower(): name for name in all_categories()}
    wanted = sorted(set(names))
    lines = []
    for name in wanted:
        if name not in known.values():
            near = difflib.get_close_matches(name.strip().lower(), known, n=1)
            hint = f"; did you mean {known[near[0]]!r}?" if near else ""
            lines.append(f"no QuickDraw category is called {name!r}{hint}")
    if lines:
        raise DataError("\n".join(lines))
    return wanted
