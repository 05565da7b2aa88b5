"""Encoders that compile in a second, for tests of runs in which any encoder will do."""

import flax.linen as nn
import jax.numpy as jnp

from sketchjax.models.layers import batch_norm
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


class PlainPicture(nn.Module):
    """A dense layer on the means of 4 x 4 pixels, batch-normalised, with dropout.

    features: e, of the result.
    dropout: rate.
    axis_name: the devices' axis for the batch statistics; None for one device.
    """

    features: int = 16
    dropout: float = 0.1
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, *, train=False, keys=None):
        """images: f[b s s c].  Returns f32[b e]."""
        cells = nn.avg_pool(images, (4, 4), (4, 4)).reshape(len(images), -1)
        features = batch_norm(self.axis_name, jnp.float32, train)(nn.Dense(self.features)(cells))
        return dropout(jnp.tanh(features), self.dropout, keys if train else None)
