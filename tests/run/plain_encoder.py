"""An encoder that compiles in a second, for tests of runs in which any encoder will do."""

import flax.linen as nn
import jax.numpy as jnp

from sketchjax.ops.dropout import dropout


class PlainEncoder(nn.Module):
    """The mean over the points of a dense layer, with dropout.

    features: e, of the result.
    dropout: rate.
    """

    features: int = 8
    dropout: float = 0.2

    @nn.compact
    def __call__(self, sequence, length, *, train=False, keys=None):
        """sequence: f[b t 4], zero beyond length; length: i[b].  Returns f32[b e]."""
        own = jnp.arange(sequence.shape[1])[None] < length[:, None]
        points = jnp.tanh(nn.Dense(self.features)(sequence))
        mean = jnp.where(own[:, :, None], points, 0).sum(1) / length[:, None]
        return dropout(mean, self.dropout, keys if train else None)
