"""Which of Google's forms of QuickDraw a file has, by its first bytes.

Simplified and raw drawings come in files of the same name, so a name does not say it.
"""

from __future__ import annotations

import re
from pathlib import Path

from sketchjax.data.sources.stream import head_of

_HEAD = 1 << 20  # bytes; a raw stroke of a minute's drawing has some 100 KB
# The first stroke of a drawing: [x…], [y…], and a third list, of times, where it is raw.
_STROKE = re.compile(rb'"drawing"\s*:\s*\[\s*\[\s*\[[^][]*\]\s*,\s*\[[^][]*\]\s*([],])')


def form_of(path: Path) -> str | None:
    """The form of the drawings of an ndjson file, "simplified" or "raw"; None if it has none.

    A file that is cut short shows it too, once it has the first stroke. Raises DataError where it
    cannot be opened.
    """
    found = _STROKE.search(head_of(path, _HEAD))
    return found and ("raw" if found[1] == b"," else "simplified")


def has_form(path: Path, form: str) -> bool:
    """Whether a file may be of a form: a key of `download.FORMS`. Raises as `form_of` does."""
    match form:
        case "sketchrnn":
            return head_of(path).startswith(b"PK\x03\x04")
        case "bin":  # It begins with a key_id, which may be any bytes.
            return bool(head_of(path))
        case _:
            return form_of(path) == form
