"""The layer as a function of padded sequences, whichever loop runs it."""

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

    forward: weights of the forward direction.
    backward: weights of the backward direction.
    sequence: f[t b i], time first.
    length: i[b], each from 1 to t.
    phases: number of static row counts of the packed loop; 0 uses the padded loop, which computes
      the padding too. None means `default_phases()`.
    unroll: steps per turn of the padded loop. None means `default_unroll()`.

    Returns outputs f[t b 2h], zero beyond the length, and final states f32[b 2h]: forward at the
    last point, backward at the first. The outputs have the type of the sequence, so that the next
    layer computes in that type too.
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
    """Pack only on a CPU; on a GPU the host would read the end of each loop (not measured)."""
    return 4 if jax.default_backend() == "cpu" else 0


def default_unroll() -> int:
    """Unroll on accelerators, where fewer turns launch the same kernels (neither is measured)."""
    return 1 if jax.default_backend() == "cpu" else 4
