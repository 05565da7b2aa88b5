"""The nets of Deep Sketch Hashing (Liu et al., CVPR 2017): C2-Net for sketches, C1-Net for photos.

Sizes, initial values and rates are those of the authors' deploy files (ymcidence/DeepSketchHashing,
Sketchy/Sketch/deploy_sk_64.prototxt and Sketchy/Image/deploy_it_64.prototxt).

C2-Net reads a line drawing. The photo's net has two branches: C1-Net, the convolutions of CaffeNet,
reads the photo, and C2-Net's convolutions read its contour map ("sketch tokens"). Their kernels
and biases are those of the sketches, the batch normalisation between them is not. Both classes
below call them by the same names, and all other layers by different ones: with `shares`, the
photo's net has its parameters in the part of the sketches' net, and so the same kernels.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.models.backbone import MEAN, BatchNorm
from sketchjax.ops.convolution import conv2d, max_pool
from sketchjax.ops.dropout import dropout

# Channels, kernel side, stride and padding; max pooling 3/2 follows where the last is true.
C2_NET = {
    "conv1": (64, 14, 3, 0, True),
    "conv2_1": (128, 3, 1, 1, False),
    "conv2_2": (128, 3, 1, 1, True),
    "conv3_1": (256, 3, 1, 1, False),
    "conv3_2": (256, 3, 1, 1, True),
}
# Channels, kernel side, stride, padding, groups and the initial bias.
C1_NET = (
    (96, 11, 4, 0, 1, 0.0),
    (256, 5, 1, 2, 2, 1.0),
    (384, 3, 1, 1, 1, 0.0),
    (384, 3, 1, 1, 2, 1.0),
    (256, 3, 1, 1, 2, 1.0),
)
DENSE_A, DENSE_B = 4096, 1024
CONTOUR_SIDE, PHOTO_SIDE = 200, 227  # of the inputs, as published


class Convolution(nn.Module):
    """A convolution with a bias, in groups of channels that do not see each other.

    features: channels of the result.
    size: side of the kernel.
    stride: of both axes.
    padding: zeros on each side.
    groups: of the channels, before and after.
    first_bias: all biases at first.
    dtype: of the computation.
    """

    features: int
    size: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    first_bias: float = 1.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """f[b h w c] -> f[b h' w' features]."""
        shape = (self.size, self.size, images.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", nn.initializers.normal(0.01), shape).astype(self.dtype)
        bias = self.param("bias", nn.initializers.constant(self.first_bias), (self.features,))
        parts = zip(
            jnp.split(images.astype(self.dtype), self.groups, -1),
            jnp.split(kernel, self.groups, -1),
            strict=True,
        )
        parts = [conv2d(*part, stride=self.stride, padding=self.padding) for part in parts]
        return jnp.concatenate(parts, -1) + bias.astype(self.dtype)


class C2Net(nn.Module):
    """What reads line drawings; a subclass adds dense layers of its own.

    width: multiplies the channels of all convolutions and the units of the dense layers.
    pooled: whether the dense layers read the mean over all positions of a map instead of every
      position: at the published size that leaves 2 % of the parameters of the photo's net.
    batch_norm: whether C1-Net, too, has batch normalisation. The published one has none; its
      convolutions came trained on ImageNet.
    sketch_dropout_a ... photo_dropout_b: rates after the first and the second dense layer of each
      branch; the defaults are those for Sketchy.
    axis_name: the devices' axis for the batch statistics; None for one device.
    dtype: of the computation; parameters are float32.
    """

    width: float = 1.0
    pooled: bool = False
    batch_norm: bool = False
    sketch_dropout_a: float = 0.25
    sketch_dropout_b: float = 0.25
    token_dropout_a: float = 0.3
    token_dropout_b: float = 0.3
    photo_dropout_a: float = 0.4
    photo_dropout_b: float = 0.4
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32

    def c2_map(self, ink: jax.Array, domain: str, train: bool) -> jax.Array:
        """What the dense layers read of a line drawing, f[b e].

        ink: f[b s s 1], 1 where a line is.
        domain: whose normalisation is used, `sketch` or `token`.
        """
        images = ink
        for name, (channels, size, stride, padding, pools) in C2_NET.items():
            features = round(channels * self.width)
            images = Convolution(features, size, stride, padding, dtype=self.dtype, name=name)(
                images
            )
            images = self.norm(f"{domain}_{name}_norm")(images, train)
            images = nn.relu(max_pool(images) if pools else images)
        return self.flat(images)

    def norm(self, name: str) -> BatchNorm:
        """Batch normalisation of one layer and one domain."""
        return BatchNorm(0.9, 1e-5, axis_name=self.axis_name, name=name)

    def flat(self, images: jax.Array) -> jax.Array:
        """f[b h w c] -> f[b h w c] in one row, or its mean over all positions."""
        return images.mean((1, 2)) if self.pooled else images.reshape(len(images), -1)

    def dense(
        self,
        branch: str,
        layer: str,
        features: jax.Array,
        train: bool,
        keys: jax.Array | None,
    ) -> jax.Array:
        """A dense layer of a branch with ReLU and dropout; layer: `a`, the first, or `b`."""
        units = round((DENSE_A if layer == "a" else DENSE_B) * self.width)
        features = nn.Dense(
            units,
            kernel_init=nn.initializers.normal(0.005),
            bias_init=nn.initializers.ones,
            dtype=self.dtype,
            name=f"{branch}_dense_{layer}",
        )(features)
        rate = getattr(self, f"{branch}_dropout_{layer}")
        if keys is not None:
            number = ("sketch", "token", "photo").index(branch) * 2 + (layer == "b")
            keys = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        return dropout(nn.relu(features), rate, keys if train else None)


class DSHSketch(C2Net):
    """C2-Net with two dense layers: the encoder of sketches. The fields are those of `C2Net`."""

    @staticmethod
    def smallest_size(stem_stride: int) -> int:
        """Smallest s in pixels: the first convolution leaves 15, three poolings leave 1."""
        return 56

    @nn.compact
    def __call__(
        self, picture: jax.Array, *, train: bool = False, keys: jax.Array | None = None
    ) -> jax.Array:
        """Features f32[b 1024], times the width.

        picture: ink f[b s s 1], published for s = 200; of more channels, their mean is read.
        train: whether dropout applies and the batch's own statistics are used.
        keys: [b] typed PRNG keys, one per sketch, for dropout; None for none.
        """
        features = self.c2_map(picture.mean(-1, keepdims=True), "sketch", train)
        features = self.dense("sketch", "a", features, train, keys)
        return self.dense("sketch", "b", features, train, keys).astype(jnp.float32)


class DSHPhoto(C2Net):
    """C1-Net and C2-Net with their cross-weight late fusion: the encoder of photos.

    After the convolutions, and again after the first dense layers, both branches' features are
    joined, and the next layer of each branch reads all of them.

    shares: the name of a `DSHSketch` with the same width, whose part holds these parameters too, so
      that C2-Net's kernels are those of the sketches; empty: kernels of its own.
    The other fields are those of `C2Net`.
    """

    shares: str = ""

    @staticmethod
    def smallest_size(stem_stride: int) -> int:
        """Smallest s in pixels: its contour map is read at 200/227 of that, 56 px."""
        return 63

    @nn.compact
    def __call__(
        self,
        picture: jax.Array,
        contour: jax.Array,
        *,
        train: bool = False,
        keys: jax.Array | None = None,
    ) -> jax.Array:
        """Features f32[b 2048], times the width.

        picture: f[b s s 3], red, green and blue in 0 to 1, published for s = 227.
        contour: ink f[b s s 1] of the photo's contour map, which is read at 200/227 of s.
        train: whether dropout applies and the batch's own statistics are used.
        keys: [b] typed PRNG keys, one per photo, for dropout; None for none.
        """
        side = round(contour.shape[1] * CONTOUR_SIDE / PHOTO_SIDE)
        smaller = jax.image.resize(contour, (len(contour), side, side, 1), "linear")
        maps = [self.c2_map(smaller, "token", train), self.flat(self.c1_map(picture, train))]
        for layer in ("a", "b"):
            both = jnp.concatenate(maps, -1)
            maps = [self.dense(branch, layer, both, train, keys) for branch in ("token", "photo")]
        return jnp.concatenate(maps, -1).astype(jnp.float32)

    def c1_map(self, picture: jax.Array, train: bool) -> jax.Array:
        """The last map of the photo, f[b h w 256]; 7x7 at the published size."""
        # As Caffe reads photos: 0 to 255, less the mean.
        images = 255 * (picture - np.array(MEAN, np.float32))
        for number, (channels, size, stride, padding, groups, bias) in enumerate(C1_NET, 1):
            features = 2 * round(channels * self.width / 2)  # two groups may halve them
            name = f"photo_conv{number}"
            images = Convolution(
                features, size, stride, padding, groups, bias, self.dtype, name=name
            )(images)
            if self.batch_norm:
                images = self.norm(f"{name}_norm")(images, train)
            # ReLU after the pooling gives the same values for a quarter of the work.
            if number in (1, 2):
                images = response_norm(nn.relu(max_pool(images)))
            elif number == len(C1_NET):
                images = nn.relu(max_pool(images, padding=1))
            else:
                images = nn.relu(images)
        return images


def response_norm(images: jax.Array) -> jax.Array:
    """Local response normalisation over channels, as Caffe computes it (Krizhevsky et al. 2012).

    Each value is divided by (1 + 1e-4 m)^0.75, m the mean of the squares of its own and the two
    channels before and after, missing ones counting 0.  images: f[b h w c].
    """
    squares = jnp.pad(images**2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    mean = sum(squares[..., i : i + images.shape[-1]] for i in range(5)) / 5
    return images * (1 + 1e-4 * mean) ** -0.75
