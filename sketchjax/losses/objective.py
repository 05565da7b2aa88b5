"""A stage's objective: the weighted sum of its losses, with their memories and codes.

`terms` are the losses of a stage: by name, each with its `weight` and its settings.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss, LossInputs, Memory, Setup
from sketchjax.losses.table import LOSSES

Terms = Mapping[str, Mapping[str, Any]]


@cache
def loss(name: str) -> Loss:
    """The functions of a loss of the table."""
    return importlib.import_module(f"sketchjax.losses.{name}").LOSS


def objective(
    terms: Terms,
    seen: LossInputs,
    memories: Mapping[str, Memory] | None = None,
    codes: Mapping[str, jax.Array] | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The weighted sum f[] of the losses (SketchMate, eq. 5), and each loss without its weight.

    terms: the losses.
    seen: the batch; memory, codes and settings are filled in for each loss.
    memories: by the name of their loss.
    codes: f[b d] of 0 and 1, likewise.
    """
    values = {
        name: loss(name).value(_own(name, seen, memories, codes, own))
        for name, own in terms.items()
    }
    total = sum((terms[name]["weight"] * value for name, value in values.items()), jnp.zeros(()))
    return total, values


def moved(terms: Terms, seen: LossInputs, memories: Mapping[str, Memory]) -> dict[str, Memory]:
    """The memories after a step; those of losses that do not change theirs stay as they are."""
    return {
        name: move(_own(name, seen, memories, None, terms.get(name, {})))
        if (move := loss(name).move)
        else memory
        for name, memory in memories.items()
    }


def recoded(
    terms: Terms,
    block: LossInputs,
    memories: Mapping[str, Memory],
    average: Callable[[Any], Any],
) -> tuple[dict[str, jax.Array], dict[str, Memory]]:
    """The codes of a block and the memories after it, both by the name of their loss.

    terms: the losses; those that make no codes are passed over.
    block: features f[n d] and labels i[n], for both sides the sketches first; memory and settings
      are filled in for each loss.
    memories: before the block.
    average: the mean over devices.
    Returns codes f[n d] by name, and the memories.
    """
    codes, after = {}, dict(memories)
    for name, own in terms.items():
        code = loss(name).codes
        if code is not None:
            codes[name], memory = code(_own(name, block, after, None, own), average)
            if name in after:
                after[name] = memory
    return codes, after


def figures(memories: Mapping[str, Memory]) -> dict[str, jax.Array]:
    """What a log shows of the memories, f[] by `LOSS_FIGURE`."""
    return {
        f"{name}_{figure}": value
        for name, memory in memories.items()
        if (show := loss(name).figures)
        for figure, value in show(memory).items()
    }


def blank_memory(names: Iterable[str], setup: Setup) -> dict[str, Memory]:
    """The memories of these losses as zeros, or whatever else is cheap and of the right shape."""
    found = {name: loss(name).blank for name in names}
    return {name: blank(setup) for name, blank in found.items() if blank is not None}


def begin_memory(
    names: Iterable[str], setup: Setup, earlier: Mapping[str, Memory]
) -> dict[str, Memory]:
    """The memories that a stage begins with.

    names: of its losses.
    setup: what a first memory may depend on.
    earlier: the memories after the stage before, which are kept.
    """
    memories = blank_memory(names, setup)
    for name in memories:
        begin = loss(name).begin
        if name in earlier:
            memories[name] = dict(earlier[name])
        elif begin is not None:
            memories[name] = begin(setup)
    return memories


def joins_devices(names: Iterable[str]) -> bool:
    """Whether any of these losses must see the batches of all devices as one.

    Those over pairs do, and those whose memory moves: each device would have a memory of its own.
    """
    return any(LOSSES[name].pairs or loss(name).move for name in names)


def _own(
    name: str,
    seen: LossInputs,
    memories: Mapping[str, Memory] | None,
    codes: Mapping[str, jax.Array] | None,
    settings: Mapping[str, Any],
) -> LossInputs:
    """What a loss sees: the batch with its own memory, codes and settings."""
    return seen._replace(
        memory=(memories or {}).get(name, {}),
        codes=(codes or {}).get(name),
        settings={key: value for key, value in settings.items() if key != "weight"},
    )
