"""The fields of a record in JSON: what they mean, or what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import msgspec
import numpy as np

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.categories import all_categories, canonical, category_of_number
from sketchjax.data.sources.drawings import Form, judge, points_of, shown, unpack
from sketchjax.data.sources.records import (
    Gather,
    Refused,
    Source,
    key_of_points,
    key_of_text,
    wrong_name,
)
from sketchjax.errors import DataError

UNKNOWN = -1  # `recognized` of a sketch where it is not known
# Bytes: 64 for each of 65,535 points, a raw one being three numbers of up to 20. Python makes 30
# times as much of hostile JSON ("[],[],…"), 120 MB.
LONGEST_DRAWING = 4 << 20
_LONGEST_FIELD = 64 << 10  # of the others
# The first records, which decide together how a file is read: their number and size at most.
_LOOK_AT = 1_000
_FEW = 64  # are enough where all the others are ordinary
_LOOK_AT_BYTES = 1 << 20
# A chunk ends early when its records reach this, so that chunks of raw drawings stay small as well.
_CHUNK_BYTES = 8 << 20
_NOT_FINITE = re.compile(rb"-?\b(?:nan|inf|infinity)\b", re.IGNORECASE)


class Fields(msgspec.Struct, gc=False):
    """The fields of a record that are read, each as its JSON text; others are skipped.

    What a file keeps next to the strokes, such as a picture, thus takes no memory.
    """

    drawing: msgspec.Raw = msgspec.Raw()
    word: msgspec.Raw = msgspec.Raw()
    key_id: msgspec.Raw = msgspec.Raw()
    recognized: msgspec.Raw = msgspec.Raw()
    # Other names of `word`, which are not read: a guess could give all drawings the file's name.
    label: msgspec.Raw = msgspec.Raw()
    category: msgspec.Raw = msgspec.Raw()
    class_: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="class")


_FIELDS = msgspec.json.Decoder(Fields)
Record = TypeVar("Record")  # a line, or its fields


def read_records(
    records: Iterator[tuple[int, Record | Refused, int]],
    source: Source,
    fields_of: Callable[[Record], Fields],
    take_ordinary: Callable[[Gather, int, Record], bool],
) -> Iterator[Sketches]:
    """Stream the sketches of records.

    records: place, record (or what is wrong with it), and its size in bytes.
    fields_of: the fields of a record; may raise Refused.
    take_ordinary: the fast way for a record in Google's simplified form. It adds the record to the
      gathering and returns True, or returns False.
    Raises DataError where the file's drawings have no clear meaning.
    """
    head = _head(records)
    first = [record for _, record, _ in head]
    form = _form_of(first, source, fields_of, partial(take_ordinary, Gather(), 0))
    named = _have_words(first, fields_of)
    del first
    gather = Gather()
    gathered = 0
    for place, record, size in chain(_drained(head), records):
        try:
            if isinstance(record, Refused):
                raise record
            if form.own_units or not take_ordinary(gather, place, record):
                _take(gather, place, fields_of(record), source, form, named)
        except Refused as refused:
            source.bad(place, refused.kind, refused.reason)
        gathered += size
        if len(gather) == source.chunk or gathered > _CHUNK_BYTES:
            gathered = 0
            if len(gather):
                yield gather.sketches()
    if len(gather):
        yield gather.sketches()


def fields_of_json(line: bytes) -> Fields:
    """The fields of a record in JSON.  Raises Refused where it is not an object."""
    line = line.removeprefix(b"\xef\xbb\xbf")  # the mark of some Windows tools
    try:
        fields = _FIELDS.decode(line)
        if not bytes(fields.drawing) and len(line) <= _LONGEST_FIELD:
            names = shown(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
            raise Refused("unreadable", f"the field 'drawing' is missing; the record is {names}")
        return fields
    except msgspec.ValidationError:
        raise Refused("unreadable", "the record is not a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:  # Readable except for NaN or Infinity, which JSON does not have?
            _FIELDS.decode(_NOT_FINITE.sub(b"0", line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refused("unreadable", f"not JSON: {error}") from None
    raise Refused("not_finite", "a number is NaN or infinite")


def flag_of(recognized: bool | None) -> int:
    """The field `recognized` as `Sketches` holds it."""
    return UNKNOWN if recognized is None else int(recognized)


def _head(records: Iterator[tuple[int, Record | Refused, int]]) -> list:
    """The first records, of which a file's form is judged."""
    head, total = [], 0
    for record in records:
        head.append(record)
        total += record[2]
        if len(head) == _LOOK_AT or total > _LOOK_AT_BYTES:
            break
    return head


def _drained(head: list) -> Iterator:
    """The items of a list, which lets go of each."""
    head.reverse()
    while head:
        yield head.pop()


def _form_of(
    records: Sequence[Record | Refused],
    source: Source,
    fields_of: Callable[[Record], Fields],
    is_ordinary: Callable[[Record], bool],
) -> Form:
    """What the first records say about how to read the file; decisions go to the notes."""
    drawings: list[tuple[str, list[Any]]] = []
    form, notes = Form(), []
    for start, stop in ((0, _FEW), (_FEW, len(records))):
        for record in records[start:stop]:
            with suppress(Refused):
                if not isinstance(record, Refused):
                    drawings.append(unpack(_drawing_of(fields_of(record), _LOOK_AT_BYTES)))
        try:
            form, notes = judge(drawings)
        except DataError as error:
            if stop >= len(records):
                raise DataError(f"{source.path}: {error}") from None
        else:
            # Judging costs 100 µs a drawing, finding that it is ordinary 7 µs.
            others = (record for record in records[stop:] if not isinstance(record, Refused))
            if not notes and all(map(is_ordinary, others)):
                break
    for note in notes:
        source.notes.add(note)
    return form


def _have_words(records: Sequence[Record | Refused], fields_of: Callable[[Record], Fields]) -> bool:
    """Whether one of the first records has a word, so that all of them need one."""
    for record in records:
        with suppress(Refused):
            if not isinstance(record, Refused) and _given(fields_of(record).word):
                return True
    return False


def _given(field: msgspec.Raw) -> bool:
    return bytes(field) not in (b"", b"null")


def _take(
    gather: Gather, place: int, fields: Fields, source: Source, form: Form, named: bool
) -> None:
    """Add a record; named: whether it must have a word.

    Raises Refused with the kind and the reason where it cannot be used.
    """
    container, strokes = unpack(_drawing_of(fields))
    points = points_of(strokes, form)
    if named and source.category is None and not _given(fields.word):
        raise Refused("unreadable", "the field 'word' is empty or missing; other records have one")
    word = _word_of(fields, container, source)
    recognized = _value(fields.recognized, "recognized")
    if recognized is not None and type(recognized) is not bool:
        raise Refused(
            "unreadable", f"the field 'recognized' is {shown(recognized)}, not true or false"
        )
    gather.add_points(
        points,
        category=source.category_of(word),
        key_id=_key_of(_value(fields.key_id, "key_id"), points, source),
        recognized=flag_of(recognized),
        place=place,
    )


def _drawing_of(fields: Fields, longest: int = LONGEST_DRAWING) -> Any:
    if not bytes(fields.drawing):
        raise Refused("unreadable", "the field 'drawing' is missing")
    return _value(fields.drawing, "drawing", longest)


def _word_of(fields: Fields, container: str, source: Source) -> str | None:
    """The field `word` as text, None where there is none."""
    word = _value(fields.word, "word")
    if type(word) is int and "x and y" in container and 0 <= word < len(all_categories()):
        source.notes.add("class numbers are read in the order of Hugging Face's google/quickdraw")
        return category_of_number(word)
    if word is None:
        others = {"label": fields.label, "category": fields.category, "class": fields.class_}
        for name, other in others.items():
            if source.category is None and bytes(other):
                raise Refused(
                    "unreadable",
                    f"there is no field 'word' but one called {name!r}: rename it to 'word' if it "
                    "is the category, else leave it out",
                )
        return None
    if type(word) is not str:
        number = ", a class number: write the category's name" if type(word) is int else ""
        raise Refused("unreadable", f"the field 'word' is {shown(word)}, not text{number}")
    word = word.strip()
    if wrong := wrong_name(word) or wrong_name(canonical(word)):
        raise Refused("unreadable", f"the field 'word', a category's name, {wrong}")
    return word


def _value(field: msgspec.Raw, name: str, longest: int = _LONGEST_FIELD) -> Any:
    """The value of a field from its text; None where there is no such field."""
    text = bytes(field)
    if len(text) > longest:
        raise Refused("too_large", f"the field {name!r} is longer than {longest:,} bytes")
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.ValidationError:
        raise Refused("not_finite", f"the field {name!r} has a number that is not finite") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("unreadable", f"the field {name!r} is not JSON: {error}") from None


def _key_of(key: Any, points: np.ndarray, source: Source) -> int:
    """The key_id as a number (see `key_of_text`); without one it comes from the points."""
    if key is None or key == "":
        return key_of_points(points)
    if type(key) is int and 0 <= key < 1 << 64:
        return key
    number = key_of_text(key) if type(key) is str else None
    if number is None:
        hint = ": a number with a point has lost digits" if type(key) in (str, float) else ""
        kind = "number of 64 bits" if type(key) is int else "whole number or text"
        raise Refused("unreadable", f"key_id is {shown(key)}, not a {kind}{hint}")
    if str(key).lstrip("0") not in (f"{number}", ""):
        source.notes.add("key_ids that are not numbers of 64 bits are hashed")
    return number
