"""The numbers printed in the SketchMate paper, which every report shows next to ours.

`sketchmate.json` holds tables 1, 2, 4, 5, 6 and the zero-shot figures as printed, including two
misprints: for Our+CEL+SCL at 24 bits table 1 gives a MAP of 0.6371 and table 4 gives 0.6374; and
the ratios d1/d2 of table 4 match its d1 and d2 at every length but 16 bits.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import orjson

FULL = "Our+CEL+SCL+QL (Full)"

Row = dict[str, Any]


@cache
def _content() -> dict[str, Any]:
    return orjson.loads(resources.files("sketchjax.paper").joinpath("sketchmate.json").read_bytes())


def source() -> str:
    """The paper's authors, title and year, on one line."""
    return _content()["source"]


def table_names() -> tuple[str, ...]:
    """The available tables: the paper's numbers as text, and `zero-shot`."""
    return tuple(_content()["tables"])


def title(table: str) -> str:
    """What a table is about, in a few words. Raises ValueError for an unknown table."""
    return _table(table)["title"]


def rows(table: str, **equal: Any) -> list[Row]:
    """The rows of a table, in the paper's order, whose fields equal the given values.

    Fields by table: 1 model, bits, map, precision_at_200 · 2 features, method, supervised, bits,
    map · 4 model, bits, d1, d2, d1_over_d2, map · 5 bits, seconds_per_query, memory_mb · 6 model,
    accuracy · zero-shot model, bits, classes, map. Raises ValueError for an unknown table or field.
    """
    whole = _table(table)["rows"]
    unknown = set(equal) - set(whole[0])
    if unknown:
        raise ValueError(
            f"table {table} has no field {', '.join(sorted(unknown))}; it has {', '.join(whole[0])}"
        )
    return [dict(row) for row in whole if all(row[name] == equal[name] for name in equal)]


def scores(bits: int, model: str = FULL) -> dict[str, float]:
    """All scores the paper prints for a model at a code length, keyed as in `results.json`.

    Any of map, precision_at_200 (table 1), d1, d2, d1_over_d2 (table 4) and accuracy (table 6,
    which has one for the whole model with sketch centre loss, whatever the bits). Empty if the
    paper prints none.
    """
    found: dict[str, float] = {}
    # Table 1 last: where the two disagree on a MAP, others quote table 1.
    for table in ("4", "1"):
        for row in rows(table, model=model, bits=bits):
            found |= {name: value for name, value in row.items() if name not in ("model", "bits")}
    if found and model == FULL:
        found["accuracy"] = rows("6", model="our RNN&CNN + CEL + SCL")[0]["accuracy"]
    return found


def _table(name: str) -> dict[str, Any]:
    tables = _content()["tables"]
    if name not in tables:
        raise ValueError(f"no table {name!r} of the paper; choose from {', '.join(tables)}")
    return tables[name]
