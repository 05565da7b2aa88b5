"""Stacked bidirectional GRU layers over the points of a sketch, in the order of drawing."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.ops.dropout import dropout
from sketchjax.ops.gru import (
    GRUWeights,
    PackedSequence,
    bidirectional_gru,
    default_phases,
    pack,
    packed_layer,
    row_counts,
    scale_rows,
)

DIRECTIONS = ("forward", "backward")


class BiGRU(nn.Module):
    """Layers of bidirectional GRU; the output is the last layer's true final states.

    hidden: h, units per direction.
    layers: how many.
    dropout: rate on the outputs between the layers and on the final states.
    implementation: `linen` runs `flax.linen.RNN`, `fused` runs the project's own loop (`ops.gru`).
      Parameters, outputs and gradients are the same.
    dtype: of the computation; parameters are float32.
    phases: how the fused loop packs, see `ops.gru.bidirectional_gru`.
    unroll: steps per turn of the fused loop without packing, see the same.
    """

    hidden: int = 512
    layers: int = 2
    dropout: float = 0.0
    implementation: str = "linen"
    dtype: jnp.dtype = jnp.float32
    phases: int | None = None
    unroll: int | None = None

    @nn.compact
    def __call__(
        self,
        sequence: jax.Array,
        length: jax.Array,
        *,
        train: bool = False,
        keys: jax.Array | None = None,
    ) -> jax.Array:
        """Final states f32[b 2h]: forward at the last point, then backward at the first.

        sequence: f[b t 4], zero beyond the length.
        length: i[b], at least 1.
        train: whether dropout applies.
        keys: [b] typed PRNG keys, one per sketch, for dropout; None for none.
        """
        outputs: jax.Array | PackedSequence = jnp.asarray(sequence, self.dtype).swapaxes(0, 1)
        layer_type = {"linen": LinenLayer, "fused": FusedLayer}[self.implementation]
        options: dict[str, Any] = {}
        if self.implementation == "fused":
            phases = default_phases() if self.phases is None else self.phases
            options = {"phases": phases, "unroll": self.unroll}
            if phases:
                # Pack once for all layers: the outputs stay packed from one layer to the next.
                outputs = pack(outputs, length, row_counts(len(length), phases))
        final = jnp.zeros((len(length), 2 * self.hidden))
        for layer in range(self.layers):
            last = layer == self.layers - 1
            outputs, final = layer_type(
                self.hidden, self.dtype, name=f"layer{layer + 1}", **options
            )(outputs, length, last=last)
            if train and keys is not None and self.dropout:
                layer_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, layer)
                # One mask per sketch for all its steps (Gal and Ghahramani 2016).
                mask = dropout(jnp.ones_like(final), self.dropout, layer_keys)
                final = final * mask
                if not last:
                    outputs = _masked(outputs, mask)
        return final.astype(jnp.float32)


def _masked(outputs: jax.Array | PackedSequence, mask: jax.Array) -> jax.Array | PackedSequence:
    """The outputs of a layer times a mask f[b 2h], the same at all steps."""
    if isinstance(outputs, PackedSequence):
        return scale_rows(outputs, mask)
    return outputs * mask.astype(outputs.dtype)[None]


class LinenLayer(nn.Module):
    """One bidirectional layer of `flax.linen.RNN`, time first."""

    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, sequence: jax.Array, length: jax.Array, *, last: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """f[t b i], i[b] -> outputs f[t b 2h] (zero beyond the length), final states f[b 2h]."""
        finals, outputs = zip(
            *(
                nn.RNN(
                    nn.GRUCell(self.hidden, dtype=self.dtype, name=direction),
                    time_major=True,
                    return_carry=True,
                    reverse=direction == "backward",
                    keep_order=True,
                    name=f"{direction}_rnn",
                )(sequence, seq_lengths=length)
                for direction in DIRECTIONS
            ),
            strict=True,
        )
        valid = jnp.arange(sequence.shape[0])[:, None] < length[None]
        joined = jnp.where(valid[:, :, None], jnp.concatenate(outputs, -1), 0)
        return joined, jnp.concatenate(finals, -1)


class FusedLayer(nn.Module):
    """One bidirectional layer of `ops.gru`, with the parameters of `LinenLayer`."""

    hidden: int
    dtype: jnp.dtype
    phases: int | None = None
    unroll: int | None = None

    @nn.compact
    def __call__(
        self, sequence: Any, length: jax.Array, *, last: bool = False
    ) -> tuple[Any, jax.Array]:
        """f[t b i], i[b] -> outputs f[t b 2h] (zero beyond the length), final states f[b 2h].

        A packed sequence gives packed outputs, except for the `last` layer, which gives None.
        """
        packed = isinstance(sequence, PackedSequence)
        width = sum(p.shape[-1] for p in sequence.parts) if packed else sequence.shape[-1]
        forward, backward = (
            GRUParameters(self.hidden, self.dtype, name=direction)(width)
            for direction in DIRECTIONS
        )
        if packed:
            return packed_layer(forward, backward, sequence, outputs=not last)
        return bidirectional_gru(
            forward, backward, sequence, length, phases=self.phases, unroll=self.unroll
        )


class GRUParameters(nn.Module):
    """The parameters of `flax.linen.GRUCell` under the same names, with the gates side by side."""

    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, width: int) -> GRUWeights:
        """Weights for inputs of `width` features."""
        usual, orthogonal = nn.initializers.lecun_normal(), nn.initializers.orthogonal()

        def gate(name: str, init: nn.initializers.Initializer, rows: int, bias: bool):
            return GateParameters(init, (rows, self.hidden), bias, name=name)()

        inputs = [gate(f"i{g}", usual, width, True) for g in "rzn"]
        recurrent = [gate(f"h{g}", orthogonal, self.hidden, g == "n") for g in "rzn"]
        return GRUWeights(
            jnp.concatenate([kernel for kernel, _ in inputs], 1).astype(self.dtype),
            jnp.concatenate([bias for _, bias in inputs]).astype(self.dtype),
            jnp.concatenate([kernel for kernel, _ in recurrent], 1).astype(self.dtype),
            recurrent[-1][1].astype(self.dtype),
        )


class GateParameters(nn.Module):
    """Kernel and, if the gate has one, bias of a dense layer that is not applied here."""

    kernel_init: nn.initializers.Initializer
    shape: tuple[int, int]
    bias: bool

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        """Kernel f[i h] and bias f[h], which is empty if there is none."""
        kernel = self.param("kernel", self.kernel_init, self.shape)
        if not self.bias:
            return kernel, jnp.zeros((0,))
        return kernel, self.param("bias", nn.initializers.zeros, self.shape[1:])
