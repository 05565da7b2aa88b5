"""Packing: the steps of a batch of sketches one after another, without their padding.

The sketches are sorted by length, longest first. Then those that are still being drawn at step t
are the first n(t) rows, whichever way time runs. A packed array holds, for t = 0, 1, ..., the
first r(t) rows of step t, where r(t) is n(t) rounded up to one of a few static counts. The steps of
one count are a phase: a loop with static shapes and a number of turns that the lengths decide.

    lengths 5 3 2 1, counts (4, 2):   t  0 1 2 3 4
                                      n  4 3 2 1 1
                                      r  4 4 2 2 2      phases: steps 0-1, steps 2-4

Only rows between n(t) and r(t) are wasted, no step and no matmul is computed for padding beyond.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Packing(NamedTuple):
    """Where the rows of a batch lie in packed arrays [p ...].

    order: i[b], the sketch in each row; lengths: i[b], of each row, falling; starts, ends: i[c],
    the steps of each phase; bases: i[c], the place of each phase; total: i[], rows in use.
    """

    order: jax.Array
    lengths: jax.Array
    starts: jax.Array
    ends: jax.Array
    bases: jax.Array
    total: jax.Array


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("parts", "packing"),
    meta_fields=("counts", "steps"),
)
@dataclass(frozen=True)
class PackedSequence:
    """Arrays f[p i], whose columns side by side are the features, and where their rows lie.

    counts: the static row counts, falling; steps: of the padded sequence.
    """

    parts: tuple[jax.Array, ...]
    packing: Packing
    counts: tuple[int, ...]
    steps: int


def row_counts(batch: int, phases: int) -> tuple[int, ...]:
    """The static row counts, falling from the whole batch: the odd (2 phases)-ths below it.

    Four phases of 64 rows: 64, 40, 24, 8. With real lengths 19 % of the rows are wasted so, 10 %
    with all eight eighths, for twice the time to compile; all padding would be 109 %.
    """
    if phases < 1:
        raise ValueError(f"phases={phases}: a packing has at least one")
    below = {-(-batch * odd // (2 * phases)) for odd in range(1, 2 * phases - 1, 2)}
    return tuple(sorted(below | {batch}, reverse=True))


def make_packing(length: jax.Array, counts: tuple[int, ...]) -> Packing:
    """The packing of sketches of these lengths i[b], each at least 1."""
    length = jnp.asarray(length)
    order = jnp.argsort(-length, stable=True)
    lengths = length[order]
    # A phase ends where the first row beyond the next smaller count ends.
    ends = lengths[jnp.array([*counts[1:], 0])]
    starts = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
    sizes = (ends - starts) * jnp.array(counts, ends.dtype)
    until = jnp.cumsum(sizes)
    return Packing(order, lengths, starts, ends, until - sizes, until[-1])


def pack(sequence: jax.Array, length: jax.Array, counts: tuple[int, ...]) -> PackedSequence:
    """Pack f[t b i] of lengths i[b], each from 1 to t: p = t b, rows without a point are zero."""
    steps, batch = sequence.shape[:2]
    packing = make_packing(length, counts)
    time, sketch, valid = _points(packing, counts, steps * batch)
    rows = sequence[jnp.clip(time, 0, steps - 1), sketch]
    return PackedSequence((jnp.where(valid[:, None], rows, 0),), packing, counts, steps)


def unpack(packed: PackedSequence) -> jax.Array:
    """Padded f[t b i] again, all parts side by side, zero beyond the length."""
    packing, time = packed.packing, jnp.arange(packed.steps)
    rank = jnp.argsort(packing.order)
    phase = (packing.ends[None] <= time[:, None]).sum(1)
    phase = jnp.minimum(phase, len(packed.counts) - 1)
    within = (time - packing.starts[phase]) * jnp.array(packed.counts)[phase]
    place = (packing.bases[phase] + within)[:, None] + rank[None]
    valid = time[:, None] < packing.lengths[rank][None]
    place = jnp.where(valid, place, 0)
    joined = jnp.concatenate([part[place] for part in packed.parts], -1)
    return jnp.where(valid[:, :, None], joined, 0)


def scale_rows(packed: PackedSequence, mask: jax.Array) -> PackedSequence:
    """Multiply all points of a sketch by its row of mask f[b i]."""
    _, sketch, _ = _points(packed.packing, packed.counts, len(packed.parts[0]))
    cuts = np.cumsum([part.shape[1] for part in packed.parts])[:-1].tolist()
    parts = tuple(
        part * own.astype(part.dtype)[sketch]
        for part, own in zip(packed.parts, jnp.split(mask, cuts, 1), strict=True)
    )
    return replace(packed, parts=parts)


def _points(
    packing: Packing, counts: tuple[int, ...], size: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """For each place of packed arrays: its step, its sketch, and whether it holds a point; i[p]."""
    place = jnp.arange(size)
    # Of phases that share a base the last one holds the place: the others have no step.
    phase = (packing.bases[None] <= place[:, None]).sum(1) - 1
    count = jnp.array(counts)[phase]
    within = place - packing.bases[phase]
    time, row = packing.starts[phase] + within // count, within % count
    valid = (place < packing.total) & (packing.lengths[row] > time)
    return time, packing.order[row], valid
