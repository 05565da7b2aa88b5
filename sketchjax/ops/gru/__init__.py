"""A bidirectional GRU layer with its own gradient, for the whole sequence at once.

It computes the same function and gradient as two `flax.linen.RNN(GRUCell)` with `seq_lengths`, but
faster: the input projection of all points and the gradients of the weights are matmuls outside the
loop over time, and only the gates and the states are kept for the backward pass.

`packed` computes no padding and is used on a CPU. `padded` loops a fixed number of steps over all
rows, which suits a GPU's launch queue. `layer` chooses between them.

Alternatives that were measured and dropped (two busy CPU cores, forward and backward, QuickDraw's
lengths, 2 x 128 units, 96 points, batch 64):
- Eight or five phases instead of four: 152 sketches/s each, against 156 with four and 142 with
  three. Eight compile in 28 s, five in 14 s, four in 12 s.
- One matmul per gate: slower by 8 % at 64 rows and by 50 % at 16. One matmul for all three reaches
  100 GFLOP/s with 128 units and 185 with 512.
- Transposed states; the rows split in two; the two directions as a batched matmul or as two
  interleaved loops: within 12 % at 16 and 64 rows (only the matmuls, idle machine). Up to 64 rows
  XLA uses one core for each of them with 128 units, and both cores with 512.
- Both directions in one loop, over sequences reversed within their lengths: the quickstart compiles
  for 57 s in place of 68, steps of the GRU by itself are 4 % slower, joint ones as fast.
- `lax.empty`: XLA's CPU backend fills it with zeros, as `jnp.zeros` does.
- A `lax.switch` over row counts in segments was not built. Phases can end at any step, and need
  neither a switch nor sequences reversed within their lengths.
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
