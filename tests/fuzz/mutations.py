"""Mutations that keep JSON valid, so that a fuzzer gets past the parser."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson

_ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 255, 256, 65_535, 65_536, 2**53, 2**63, 2**64 - 1),
    *(0.5, -0.0, 1e308, -1e-320),
    *("", " ", "0", "7", "\x00", "../../x", "/", "é", "x" * 300, "\u202e"),
    *([], {}, [[]], [[[]]], [[], []], [[1], [2]], {"": 0}, [[1.5], [2], [3]]),
]


def mutate(data: bytes, size: int, seed: int, plain: Callable[[bytes, int], bytes]) -> bytes:
    """Change one to four values of the JSON on one line.

    data: the input, one or more lines.  size: the longest result in bytes.
    seed: of the random choices.  plain: the mutation for what is not JSON, and for one in four.
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
    except TypeError:  # a number that orjson reads but does not write
        return plain(data, size)
    if dice.random() < 0.05:
        lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))
    changed = b"\n".join(lines)
    return changed if len(changed) <= size else plain(data, size)


def _changed(value: Any, dice: random.Random) -> Any:
    """The value with one place in it changed, more likely a deep one."""
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
    """What replaces a value: usually the value changed, sometimes nothing, or the value twice."""
    chance = dice.random()
    if chance < 0.05:
        return []
    if chance < 0.1:
        return [value, value]
    if isinstance(value, int | float) and chance < 0.5:
        return [value + dice.choice((-1, 1, 0.5, -256, 65_536))]
    return [_changed(value, dice)]
