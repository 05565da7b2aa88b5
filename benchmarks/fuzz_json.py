"""Mutations that keep JSON what it is, so that a fuzzer comes past the parser."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson

_ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 255, 256, 65_535, 65_536, 2**53, 2**63, 2**64 - 1),
    *(
        0.5,
        -0.0,
        1e308,
        -1e-320,
        "",
        " ",
        "0",
        "7",
        "\x00",
        "../../x",
        "/",
        "é",
        "x" * 300,
        "\u202e",
    ),
    *([], {}, [[]], [[[]]], [[], []], [[1], [2]], {"": 0}, [[1.5], [2], [3]]),
]


def mutate(data: bytes, size: int, seed: int, plain: Callable[[bytes, int], bytes]) -> bytes:
    """Change one or a few values of the JSON, at most `size` bytes; `plain` for what is not JSON.

    A line of several is chosen; one time in four the bytes are changed without regard to JSON.
    """
    dice = random.Random(seed)
    lines = data.split(b"\n")
    place = dice.randrange(len(lines))
    try:
        value = orjson.loads(lines[place])
    except orjson.JSONDecodeError:
        return plain(data, size)
    if dice.random() < 0.25:
        return plain(data, size)
    for _ in range(dice.choice((1, 1, 2, 4))):
        value = _changed(value, dice)
    try:
        lines[place] = orjson.dumps(value)
    except TypeError:  # a number that orjson reads and does not write
        return plain(data, size)
    if dice.random() < 0.05:
        lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))
    changed = b"\n".join(lines)
    return changed if len(changed) <= size else plain(data, size)


def _changed(value: Any, dice: random.Random) -> Any:
    """The value with one place in it changed: the deeper, the likelier."""
    if isinstance(value, list) and value and dice.random() < 0.8:
        place = dice.randrange(len(value))
        return [*value[:place], *_instead(value[place], dice), *value[place + 1 :]]
    if isinstance(value, dict) and value and dice.random() < 0.9:
        name = dice.choice(list(value))
        changed = {key: inner for key, inner in value.items() if key != name}
        new = dice.choice(list(value)) if dice.random() < 0.03 else name
        for inner in _instead(value[name], dice):
            changed[new] = inner
        return changed
    return dice.choice(_ODD)


def _instead(value: Any, dice: random.Random) -> list[Any]:
    """What stands in the place of a value: most often itself, changed; else nothing, or two."""
    chance = dice.random()
    if chance < 0.05:
        return []
    if chance < 0.1:
        return [value, value]
    if isinstance(value, int | float) and chance < 0.5:
        return [value + dice.choice((-1, 1, 0.5, -256, 65_536))]
    return [_changed(value, dice)]
