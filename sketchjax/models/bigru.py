"""The RNN branch: stacked bidirectional GRU layers over the order of strokes."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.ops.dropout import dropout
from sketchjax.ops.gru import GRUWeights, bidirectional_gru

DIRECTIONS = ("forward", "backward")


class BiGRU(nn.Module):
    """Layers of bidirectional GRU; its output is the last layer's true final states.

    implementation: `linen` runs `flax.linen.RNN`, `fused` the project's own loop (`ops.gru`):
    the same parameters, outputs and gradients.
    dropout: on the outputs between the layers and on the final states.
    """

    hidden: int = 512
    layers: int = 2
    dropout: float = 0.0
    implementation: str = "linen"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        sequence: jax.Array,
        length: jax.Array,
        *,
        train: bool = False,
        keys: jax.Array | None = None,
    ) -> jax.Array:
        """sequence: f[b t 4], zero beyond length; length: i[b], at least 1.

        Returns f32[b 2h]: the forward state at the last point beside the backward one at the
        first.
        """
        layer_type = {"linen": LinenLayer, "fused": FusedLayer}[self.implementation]
        outputs = sequence.astype(self.dtype).swapaxes(0, 1)
        final = outputs[0]
        for layer in range(self.layers):
            outputs, final = layer_type(self.hidden, self.dtype, name=f"layer{layer + 1}")(
                outputs, length
            )
            if train and keys is not None and self.dropout:
                layer_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, layer)
                # One mask a sketch for all its steps (Gal and Ghahramani 2016).
                ones = jnp.ones((length.shape[0], outputs.shape[-1]), outputs.dtype)
                mask = dropout(ones, self.dropout, layer_keys)
                outputs, final = outputs * mask, final * mask
        return final.astype(jnp.float32)


class LinenLayer(nn.Module):
    """One bidirectional layer through `flax.linen.RNN`, time first."""

    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, sequence: jax.Array, length: jax.Array) -> tuple[jax.Array, jax.Array]:
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
        valid = jnp.arange(sequence.shape[0])[:, None] < length
        joined = jnp.where(valid[:, :, None], jnp.concatenate(outputs, -1), 0)
        return joined, jnp.concatenate(finals, -1)


class FusedLayer(nn.Module):
    """One bidirectional layer through `ops.gru`, with the parameters of `LinenLayer`."""

    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, sequence: jax.Array, length: jax.Array) -> tuple[jax.Array, jax.Array]:
        """f[t b i], i[b] -> outputs f[t b 2h] (zero beyond the length), final states f[b 2h]."""
        forward, backward = (
            GRUParameters(self.hidden, self.dtype, name=direction)(sequence.shape[-1])
            for direction in DIRECTIONS
        )
        return bidirectional_gru(forward, backward, sequence, length)


class GRUParameters(nn.Module):
    """The parameters of `flax.linen.GRUCell` under its own names, gates side by side."""

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
    """Kernel and, where the gate has one, bias of a dense layer that is not applied here."""

    kernel_init: nn.initializers.Initializer
    shape: tuple[int, int]
    bias: bool

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        """Kernel f[i h] and bias f[h] (empty where there is none)."""
        kernel = self.param("kernel", self.kernel_init, self.shape)
        if not self.bias:
            return kernel, jnp.zeros((0,))
        return kernel, self.param("bias", nn.initializers.zeros, self.shape[1:])
