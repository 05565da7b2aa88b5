"""Packing: the steps of a batch of sketches one after another, without their padding.

The sketches are sorted by length, longest first, so the sketches that still have a point at step t
are the first n(t) rows, whichever way time runs. A packed array holds, for t = 0, 1, ..., the first
r(t) rows of step t, where r(t) is n(t) rounded up to one of a few static counts. The steps that
share a count are a phase: a loop with static shapes whose number of turns depends on the lengths.

    lengths 5 3 2 1, counts (4, 2):   t  0 1 2 3 4
                                      n  4 3 2 1 1
                                      r  4 4 2 2 2      phases: steps 0-1, steps 2-4

Only the rows between n(t) and r(t) are wasted. Nothing is computed for the padding beyond them.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Packing(NamedTuple):
    """Where the rows of a batch are in packed arrays [p ...] with c phases.

    order: i[b], the sketch in each row.
    lengths: i[b], of each row, descending.
    starts: i[c], the first step of each phase.
    ends: i[c], the step after the last one of each phase.
    bases: i[c], where each phase begins in the packed array.
    total: i[], packed rows in use.
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
    """Packed arrays and where their rows are.

    parts: f[p i] each; their columns side by side are the features.
    packing: where the rows are.
    counts: the static row counts, descending.
    steps: t, of the padded sequence.
    """

    parts: tuple[jax.Array, ...]
    packing: Packing
    counts: tuple[int, ...]
    steps: int


def row_counts(batch: int, phases: int) -> tuple[int, ...]:
    """The static row counts, descending: the batch, then odd multiples of batch / (2 phases).

    Four phases of 64 rows give 64, 40, 24, 8. With real lengths that wastes 19 % of the rows. All
    eight eighths would waste 10 % but take twice as long to compile; padding would waste 109 %.
    Raises ValueError when phases is below 1.
    """
    if phases < 1:
        raise ValueError(f"phases={phases}: must be at least 1.")
    below = {-(-batch * odd // (2 * phases)) for odd in range(1, 2 * phases - 1, 2)}
    return tuple(sorted(below | {batch}, reverse=True))


def make_packing(length: jax.Array, counts: tuple[int, ...]) -> Packing:
    """The packing of sketches with these lengths i[b], each at least 1."""
    length = jnp.asarray(length)
    order = jnp.argsort(-length, stable=True)
    lengths = length[order]
    # A phase ends with the first row that the next smaller count leaves out.
    ends = lengths[jnp.array([*counts[1:], 0])]
    starts = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
    sizes = (ends - starts) * jnp.array(counts, ends.dtype)
    until = jnp.cumsum(sizes)
    return Packing(order, lengths, starts, ends, until - sizes, until[-1])


def pack(sequence: jax.Array, length: jax.Array, counts: tuple[int, ...]) -> PackedSequence:
    """Pack padded sequences, with p = t b; rows without a point are zero.

    sequence: f[t b i], time first.
    length: i[b], each from 1 to t.
    counts: the static row counts of `row_counts`.
    """
    steps, batch = sequence.shape[:2]
    packing = make_packing(length, counts)
    time, sketch, valid = _points(packing, counts, steps * batch)
    rows = sequence[jnp.clip(time, 0, steps - 1), sketch]
    return PackedSequence((jnp.where(valid[:, None], rows, 0),), packing, counts, steps)


def unpack(packed: PackedSequence) -> jax.Array:
    """The padded sequence f[t b i] with all parts side by side, zero beyond the length."""
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
    """Multiply every point of a sketch by the sketch's row of a mask f[b i]."""
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
    """For each row of packed arrays: its step, its sketch, and whether it holds a point; [p]."""
    place = jnp.arange(size)
    # Of phases that share a base only the last one has steps.
    phase = (packing.bases[None] <= place[:, None]).sum(1) - 1
    count = jnp.array(counts)[phase]
    within = place - packing.bases[phase]
    time, row = packing.starts[phase] + within // count, within % count
    valid = (place < packing.total) & (packing.lengths[row] > time)
    return time, packing.order[row], valid
