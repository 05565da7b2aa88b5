"""The layer as a function of padded sequences, whichever way it runs."""

import jax

from sketchjax.ops.gru.cell import GRUWeights
from sketchjax.ops.gru.packed import packed_layer
from sketchjax.ops.gru.packing import pack, row_counts, unpack
from sketchjax.ops.gru.padded import padded_layer


def bidirectional_gru(
    forward: GRUWeights,
    backward: GRUWeights,
    sequence: jax.Array,
    length: jax.Array,
    *,
    phases: int | None = None,
    unroll: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """One bidirectional GRU layer.

    sequence: f[t b i], time first; length: i[b], each from 1 to t.
    phases: how many static row counts the packed loop has, 0 to compute all padding; unroll: steps
    in a turn of the padded loop. None is `default_phases` and `default_unroll`.
    Returns outputs f[t b 2h], zero beyond the length and of the sequence's type, so that the next
    layer computes in it too, and final states f32[b 2h]: forward at the last point, backward at
    the first.
    """
    phases = default_phases() if phases is None else phases
    if not phases:
        unroll = default_unroll() if unroll is None else unroll
        return padded_layer(forward, backward, sequence, length, unroll=unroll)
    packed = pack(sequence, length, row_counts(len(length), phases))
    outputs, final = packed_layer(forward, backward, packed)
    assert outputs is not None
    return unpack(outputs), final


def default_phases() -> int:
    """Packing on a CPU alone; on a GPU the host would read each loop's end (not measured)."""
    return 4 if jax.default_backend() == "cpu" else 0


def default_unroll() -> int:
    """Elsewhere fewer turns for the same kernels. Neither is measured."""
    return 1 if jax.default_backend() == "cpu" else 4
