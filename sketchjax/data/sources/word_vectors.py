"""Vectors for the names of categories: from a file of word vectors, or from spelling.

GloVe (https://nlp.stanford.edu/projects/glove) is text with one word and its numbers per line; the
text form of word2vec has a first line with their count and dimension. Files have up to millions of
words, so they are read line by line and only the words that a name needs are kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sketchjax.data.sources.records import Refused
from sketchjax.data.sources.stream import head_of, lines, opened
from sketchjax.errors import ConfigError, DataError

LONGEST_LINE = 1 << 20  # bytes; 300 numbers are about 3,000
_HEAD = 4096  # bytes, enough to see three vectors of a binary file
_LITTLE_MEANING = ("the", "of")
_BINARY = re.compile(rb"[\x00-\x08]")


def read_word_vectors(path: Path, categories: Sequence[str]) -> np.ndarray:
    """The word vector of each category's name from a file of GloVe or word2vec text, plain or gzip.

    A name of several words takes the vector of its words joined (`hot_dog`, `hot-dog`, `hotdog`,
    `hot dog`; with and without a leading "the"; in its own case, in lower case, in any), else the
    mean of its words in any case except "the" and "of". Of a word's repetitions the first counts.
    For words that no name needs, the numbers are counted but not parsed.  Returns f32[l e].
    Raises ConfigError that lists all categories without a vector, and DataError, with the line,
    where the file cannot be read, a line is malformed, or a number is not finite.
    """
    wanted = {form.casefold() for name in categories for form in _joined(name) + _words(name)}
    found: dict[str, np.ndarray] = {}
    for word, vector in _entries(Path(path), wanted):
        found.setdefault(word, vector)
        # In any case, after the exact one: no file's word has a NUL.
        found.setdefault("\0" + word.casefold(), vector)
    vectors = [_vector(name, found) for name in categories]
    missing = [name for name, vector in zip(categories, vectors, strict=True) if vector is None]
    if missing:
        raise ConfigError(
            f"{path} has no vector for {len(missing)} of {len(categories)} categories: "
            f"{', '.join(missing)}; use a file with more words, or vectors by spelling"
        )
    return np.array(vectors, np.float32)


def spelling_vectors(categories: Sequence[str], dimensions: int = 64) -> np.ndarray:
    """A unit vector for each category from the letters of its name, f32[l dimensions]; no file.

    It knows spelling, not meaning: "wine bottle" is near "wine glass" and "bat" near "bathtub", but
    "cup" is no nearer to "mug" than to "moon". For trials, not for figures about semantics.

    The sum over the runs of 3 to 5 characters of a name (in lower case, a space at each end) of a
    fixed random vector of ±1 for each run, so that the cosine of two names is about the share of
    runs that they have in common. The signs are bits of SHAKE-256 of the run: the same everywhere.
    Raises ValueError when dimensions < 1.
    """
    if dimensions < 1:
        raise ValueError(f"dimensions={dimensions}: must be at least 1.")
    sums = np.zeros((len(categories), dimensions), np.float64)
    for label, name in enumerate(categories):
        text = f" {' '.join(_words(name, all_of_them=True)).casefold()} "
        for size in (3, 4, 5):
            for start in range(len(text) - size + 1):
                sums[label] += _signs(text[start : start + size], dimensions)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.where(norms > 0, norms, 1)).astype(np.float32)


def _signs(run: str, dimensions: int) -> np.ndarray:
    digest = hashlib.shake_256(run.encode()).digest(-(-dimensions // 8))
    return np.unpackbits(np.frombuffer(digest, np.uint8), count=dimensions) * 2.0 - 1


def _words(name: str, all_of_them: bool = False) -> list[str]:
    """The words of a name; without those of little meaning, unless it has no others."""
    words = [word for word in re.split(r"[\s_-]+", name) if word]
    meaning = [word for word in words if word.casefold() not in _LITTLE_MEANING]
    return words if all_of_them or not meaning else meaning


def _joined(name: str) -> list[str]:
    """The forms in which a file may hold a whole name, best first."""
    words = _words(name, all_of_them=True)
    phrases = [words]
    if len(words) > 1 and words[0].casefold() == "the":
        phrases.append(words[1:])
    cased = [joiner.join(phrase) for phrase in phrases for joiner in ("_", "-", "", " ")]
    return list(dict.fromkeys([name, *cased, name.lower(), *(form.lower() for form in cased)]))


def _vector(name: str, found: dict[str, np.ndarray]) -> np.ndarray | None:
    """The vector of a whole name or the mean of its words'; None where one is missing."""
    forms = _joined(name)
    for form in (*forms, *("\0" + form.casefold() for form in forms)):
        if form in found:
            return found[form]
    words = [found.get(word.lower(), found.get("\0" + word.casefold())) for word in _words(name)]
    known = [word for word in words if word is not None]
    return np.mean(known, axis=0) if known and len(known) == len(words) else None


def _entries(path: Path, wanted: set[str]) -> Iterator[tuple[str, np.ndarray]]:
    """The wanted words of a file, in any case, with their vectors f32[e], in the file's order."""
    promised, dimensions, seen = None, 0, 0
    _refuse_other_formats(path, head_of(path, _HEAD))
    with opened(path) as file:
        for number, line, _ in lines(file, LONGEST_LINE):
            if isinstance(line, Refused):
                raise DataError(f"{path}, line {number}: {line.reason}; download it again")
            line = line.rstrip()
            if number == 1 and (heading := re.fullmatch(rb"(\d+) (\d+)", line)):
                promised, dimensions = int(heading[1]), int(heading[2])
                continue
            dimensions = dimensions or _trailing_numbers(line)
            seen += 1
            spaces = line.count(b" ")
            if spaces < dimensions or not dimensions:
                raise DataError(
                    f"{path}, line {number}: a word and {dimensions or 'some'} numbers expected, "
                    f"found {spaces + 1} fields: {_quoted(line)}"
                )
            # Usually one word; some of GloVe's have spaces (". . ."), so count from the right.
            if spaces == dimensions:
                word = line[: line.index(b" ")].decode(errors="replace")
            else:
                word = _spaced_word(path, number, line, dimensions)
            if word.casefold() in wanted:
                yield word, _numbers(path, number, line, dimensions)
    if not seen:
        raise DataError(f"{path}: no word vectors found; each line must be a word and its numbers")
    if promised is not None and seen != promised:
        raise DataError(
            f"{path}: its first line promises {promised} words but it has {seen}; download it again"
        )


def _refuse_other_formats(path: Path, head: bytes) -> None:
    if head.startswith(b"PK\x03\x04"):
        raise DataError(f"{path}: a zip archive; unpack it and name one of its .txt files")
    if _BINARY.search(head):
        raise DataError(
            f"{path}: not text; binary word2vec becomes text with gensim: KeyedVectors."
            f"load_word2vec_format('{path.name}', binary=True).save_word2vec_format('vectors.txt')"
        )


def _trailing_numbers(line: bytes) -> int:
    """How many numbers end the first line of a file without a heading."""
    fields = line.split(b" ")[1:]
    count = 0
    while count < len(fields) and _is_number(fields[-1 - count]):
        count += 1
    return count


def _spaced_word(path: Path, number: int, line: bytes, dimensions: int) -> str:
    """A word with spaces, before the numbers. Raises DataError where it ends in more numbers."""
    word = line.rsplit(b" ", dimensions)[0].strip()
    first, *others = word.split(b" ")
    if others and all(map(_is_number, others)):
        raise DataError(
            f"{path}, line {number}: {dimensions} numbers expected, found "
            f"{dimensions + len(others)} after {_quoted(first)}"
        )
    return word.decode(errors="replace")


def _numbers(path: Path, number: int, line: bytes, dimensions: int) -> np.ndarray:
    """The numbers that end a line, f32[e]."""
    fields = line.rsplit(b" ", dimensions)[1:]
    for field in fields:
        if not _is_number(field):
            raise DataError(f"{path}, line {number}: {_quoted(field)} is not a number")
    with np.errstate(over="ignore"):
        vector = np.array([float(field) for field in fields]).astype(np.float32)
    if not np.isfinite(vector).all():
        raise DataError(f"{path}, line {number}: NaN or infinite: {_quoted(line)}")
    return vector


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _quoted(text: bytes) -> str:
    """The beginning of some text from a file, for a message."""
    return repr(text[:40].decode(errors="replace"))
