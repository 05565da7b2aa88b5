"""The tables of an index in ClickHouse: their SQL, and what is in their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from sketchjax.index.engine import Items, Widths
from sketchjax.index.records import Meta, Progress
from sketchjax.retrieval.popcount import words

_NAME = "LowCardinality(String)"
_PLAIN = " codec(NONE)"  # codes and weights are not compressed


class Content(msgspec.Struct, frozen=True):
    """What a database holds; the only row of `meta`, as JSON.

    name: of the index.
    meta: see `records.Meta`; its last three fields are not used.
    files: that it is built from.
    """

    name: str
    meta: Meta
    files: list[Progress]


class Change(msgspec.Struct, frozen=True):
    """A row of `changes`.

    version: its number.
    kind: add, delete, compact, or finish, which says that building has finished.
    first: the first of its new ids.
    added: how many there are.
    categories: of these, with their numbers.
    progress: `Progress` of the file that they came from, as JSON; or empty.
    digest: the sha256 of the new drawings; of a compaction, `Compaction` as JSON.
    """

    version: int
    kind: str
    first: int
    added: int = 0
    categories: dict[str, int] = {}
    progress: str = ""
    digest: str = ""


class Compaction(msgspec.Struct, frozen=True):
    """What a compaction removed: all that the changes which it saw had deleted.

    version, gaps, changes: of the snapshot that it saw.
    digests: the sha256 of what remains of each addition, by its first id.
    """

    version: int
    gaps: list[int]
    changes: int
    digests: dict[str, str]


def tables(bits: int) -> dict[str, dict[str, str]]:
    """The columns of each table with their types, for codes of this many bits.

    A table is sorted by its first column.
    """
    codes = dict.fromkeys(code_columns(bits), f"UInt64{_PLAIN}")
    return {
        "meta": {"value": "String"},
        "model": {"part": "UInt32", "bytes": f"String{_PLAIN}"},
        "changes": {
            "version": "UInt64",
            "kind": _NAME,
            "first": "Int64",
            "added": "Int64",
            "categories": "Map(String, Int64)",
            "progress": "String",
            "digest": "String",
        },
        "deleted": {"id": "Int64", "category": _NAME, "version": "UInt64"},
        "photos": {"id": "Int64", "version": "UInt64", "thumbnail": "String"},
        "sketches": {
            "id": "Int64",
            "version": "UInt64",
            "key_id": "UInt64",
            "category": _NAME,
            "source": _NAME,
            "place": "Int64",
            **codes,
            "features": "Array(UInt8)",
            "points": "String",
        },
    }


def statements(bits: int) -> list[str]:
    """The statements that make the tables of one node, as launch/clickhouse/node.sql has them."""
    # An acknowledged row is on the disk. Ids of 1,024 drawings share a mark, as results are fetched
    # one by one.
    kept = "settings fsync_after_insert = 1, fsync_part_directory = 1"
    small = {"sketches": ", index_granularity = 1024"}
    made = []
    for name, columns in tables(bits).items():
        lines = ",\n".join(f"  {column} {kind}" for column, kind in columns.items())
        order = "tuple()" if name == "meta" else next(iter(columns))
        made.append(
            f"create table if not exists {name} (\n{lines}\n) engine = MergeTree order by {order}\n"
            f"{kept}{small.get(name, '')}"
        )
    return made


def typed(
    table: str, columns: Mapping[str, list[Any]], bits: int
) -> dict[str, tuple[str, list[Any]]]:
    """Types and values of columns, as `Server.insert` takes them. columns: values by name."""
    kinds = tables(bits)[table]
    return {name: (kinds[name].removesuffix(_PLAIN), own) for name, own in columns.items()}


def code_columns(bits: int) -> list[str]:
    """The columns of `sketches` that a code is in."""
    return [f"code{word}" for word in range(-(-bits // 64))]


def item_columns(bits: int) -> list[str]:
    """The columns of `sketches` that an item is in."""
    return [name for name in tables(bits)["sketches"] if name != "version"]


def columns_of(items: Items, version: int) -> dict[str, list[Any]]:
    """Items as values of the columns of `sketches`."""
    content, ends = items.points.tobytes(), (items.offsets * 3).tolist()
    codes = zip(code_columns(items.codes.shape[1] * 8), words(items.codes).T.tolist(), strict=True)
    return {
        "id": items.ids.tolist(),
        "version": [version] * len(items),
        "key_id": items.key_ids.tolist(),
        "category": [*items.categories],
        "source": [*items.sources],
        "place": np.asarray(items.places).tolist(),
        **dict(codes),
        "features": items.features.tolist(),
        "points": [content[start:end] for start, end in pairwise(ends)],
    }


def items_of(columns: Mapping[str, Sequence[Any]], widths: Widths) -> Items:
    """Items from values of the columns of `sketches`, in which strings are bytes."""
    count, points = len(columns["id"]), columns["points"]
    own = [np.array(columns[name], np.uint64) for name in code_columns(widths.bits)]
    codes = np.stack(own, axis=1).view(np.uint8)[:, : widths.bits // 8]
    lengths = [len(each) // 3 for each in points]
    return Items(
        codes=np.ascontiguousarray(codes),
        features=np.array(columns["features"], np.uint8).reshape(count, widths.features),
        categories=[name.decode() for name in columns["category"]],
        key_ids=np.array(columns["key_id"], np.uint64),
        sources=[name.decode() for name in columns["source"]],
        places=np.array(columns["place"], np.int64),
        points=np.frombuffer(b"".join(points), np.uint8).reshape(-1, 3),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        ids=np.array(columns["id"], np.int64),
    )


def digest_of(items: Items) -> str:
    """The sha256 of items with their ids."""
    found = hashlib.sha256()
    arrays = (
        items.ids, items.codes, items.features, items.key_ids, np.asarray(items.places, np.int64),
        items.points, items.offsets - items.offsets[0],
    )  # fmt: skip
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    found.update(msgspec.json.encode([[*items.categories], [*items.sources]]))
    if any(items.thumbnails):
        found.update(msgspec.json.encode([*items.thumbnails]))
    return found.hexdigest()
