"""A bidirectional GRU layer with its own gradient, for the whole sequence at once.

The same function as two `flax.linen.RNN(GRUCell)` under `seq_lengths`, with the same gradient,
arranged for speed: the input projection of all points and the gradients of the weights are
matmuls outside the loop over time, and only the gates and the states are kept in between.

`packed` computes no padding and is the way of the CPU; `padded` has loops of a fixed number of
steps over all rows, as a GPU's launch queue wants them. `layer` chooses.

Tried on two busy CPU cores (forward and backward, QuickDraw's lengths, 2 x 128, 96 points, batch
64) and not kept:
- Eight phases and five instead of four: 152 sketches/s each, four 156, three 142; eight compile in
  28 s, five in 14 s, four in 12 s.
- Matmuls of the gates one by one: slower by 8 % at 64 rows and 50 % at 16, where one for the three
  reaches 100 (128 units) and 185 (512) GFLOP/s.
- States transposed; the rows cut in two; the directions as a batched matmul or as two loops side
  by side: within 12 % at 16 and 64 rows (matmuls alone, quiet machine). With 128 units and up to
  64 rows XLA uses one core for each of them, with 512 units both.
- `lax.empty`: XLA's CPU backend fills it with zeros, as `jnp.zeros`.
- A `lax.switch` over row counts in segments was not built: phases are cut at every step, and
  need neither a switch nor sequences reversed within their lengths.
"""

from sketchjax.ops.gru.cell import GRUWeights
from sketchjax.ops.gru.layer import bidirectional_gru, default_phases
from sketchjax.ops.gru.packed import packed_layer
from sketchjax.ops.gru.packing import PackedSequence, pack, row_counts, scale_rows, unpack
from sketchjax.ops.gru.padded import reverse_sequence

__all__ = [
    "GRUWeights",
    "PackedSequence",
    "bidirectional_gru",
    "default_phases",
    "pack",
    "packed_layer",
    "reverse_sequence",
    "row_counts",
    "scale_rows",
    "unpack",
]
