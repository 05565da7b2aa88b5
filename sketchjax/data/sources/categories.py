"""Names of categories: QuickDraw's 345, and what a file or a record means by the name it has.

One category has many spellings: `hot dog`, `hot_dog.bin`, `hot%20dog (1).ndjson`. As classes of
their own they would count as wrong answers of each other, so they are brought to one name.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from urllib.parse import unquote

from sketchjax.errors import DataError

EXTENSIONS = (".ndjson", ".jsonl", ".json", ".csv", ".bin", ".npz", ".svg")
# As Google's console names what it downloads: the path in the bucket, joined by underscores.
_PREFIX = re.compile(
    r"^(quickdraw_dataset_)?(full_(simplified|raw|binary|numpy_bitmap)|sketchrnn)_", re.I
)
_SUFFIX = re.compile(r"\.(full|raw|simplified)$", re.I)
_REPEATED = re.compile(r"\s*\(\d{1,3}\)$")  # a browser's second download
_COPIED = re.compile(r"(^copy of |( - copy| copy)( \d+)?$)", re.I)
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
_SPACES = re.compile(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000 ]+")
# Letters of Cyrillic and Greek that look like Latin ones.
_LIKE_LATIN = str.maketrans("аеорсухіјѕԁһкмтвнοανρτικ", "aeopcyxijsdhkmtbhoavptik")


@cache
def all_categories() -> list[str]:
    """The names of QuickDraw's 345 categories, sorted."""
    return (Path(__file__).parent / "categories.txt").read_text(encoding="utf-8").splitlines()


def check_categories(names: Iterable[str]) -> list[str]:
    """The names as QuickDraw spells them, sorted, each once.

    Raises DataError with the nearest name for an unknown one.
    """
    wanted = sorted(map(canonical, {*names}))
    if unknown := unknown_names(wanted, all_categories()):
        raise DataError("\n".join(f"no QuickDraw category is called {line}" for line in unknown))
    return list(dict.fromkeys(wanted))


def some(names: Sequence[str], most: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def unknown_names(wanted: Iterable[str], known: Iterable[str]) -> list[str]:
    """A line for each wanted name that is not known, with the nearest names that are."""
    by_lower = {name.lower(): name for name in known}
    lines = []
    for name in sorted({*wanted} - {*by_lower.values()}):
        near = difflib.get_close_matches(name.lower(), by_lower, n=2)
        hint = " or ".join(repr(by_lower[close]) for close in near)
        lines.append(f"{name!r}; did you mean {hint}?" if near else repr(name))
    return lines


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """The one spelling of a category's name.

    Unicode's composed form (NFC), without outer, double or invisible spaces; and a name that is one
    of the 345 except for separators, case or percent-encoding is that one: `Hot_Dog` and
    `hot%20dog` are `hot dog`.
    """
    name = unicodedata.normalize("NFC", name).translate(_UNSEEN)
    name = _SPACES.sub(" ", name).strip()
    return _by_letters().get(_letters(unquote(name)), name)


def category_of_name(path: Path | str) -> str:
    """The category in the name of a file.

    `sketchrnn%2Fhot dog.full.npz`, `full_binary_hot_dog.bin` and `hot%20dog (1).ndjson` are all
    `hot dog`: prefixes of Google's four forms, percent-encoding, a browser's counter and the
    extension are not part of it; the rest is as in `canonical`.
    """
    name = Path(path).name
    with suppress(UnicodeDecodeError):
        # Decoded, the name may be a path in the bucket.
        name = unquote(name, errors="strict").rsplit("/", 1)[-1]
    name = name.strip()
    name = _REPEATED.sub("", _PREFIX.sub("", name, count=1))
    for suffix in (".gz", *EXTENSIONS):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    name = _REPEATED.sub("", _SUFFIX.sub("", _REPEATED.sub("", name)))
    original = canonical(_COPIED.sub("", name))
    return original if original in _by_letters().values() else canonical(name)


def category_of_number(number: int) -> str:
    """The category of a class number in Hugging Face's google/quickdraw.

    Its order is that of Google's file names, in which the dot of `baseball.ndjson` sorts after the
    space of `baseball bat.ndjson`.
    """
    return sorted(all_categories(), key=lambda name: name.lower() + ".")[number]


def look_alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of different names that a reader can hardly tell apart.

    They differ only in case, separators, accents or letters of another alphabet. Each group and
    the groups are sorted.
    """
    groups = defaultdict(set)
    for name in names:
        plain = unicodedata.normalize("NFKD", name).casefold().translate(_LIKE_LATIN)
        bare = "".join(mark for mark in plain if not unicodedata.combining(mark))
        groups[_letters(bare) or name].add(name)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


@cache
def _by_letters() -> dict[str, str]:
    return {_letters(name): name for name in all_categories()}


def _letters(name: str) -> str:
    """The letters and digits of a name, in lower case."""
    return "".join(mark for mark in name.casefold() if mark.isalnum())
