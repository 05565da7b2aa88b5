"""What tests of convolutional networks share: sizes, random variables, XLA's plain layers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def sizes_of(network, side, channels=1):
    """Variables, output and intermediates of a picture of this side, as shapes."""

    def run(key, images):
        out, variables = network.init_with_output(
            key, images, capture_intermediates=True, mutable=True
        )
        return out, variables

    out, variables = jax.eval_shape(run, jax.random.key(0), jnp.zeros((1, side, side, channels)))
    kept = variables.pop("intermediates")
    return variables, out, kept


def count(tree):
    """The numbers of a tree's leaves, arrays or shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def random_variables(shapes, gain=2.0):
    """Parameters and statistics that are not 0 or 1, so that each of them matters.

    gain: variance of a kernel's numbers times its fan-in.
    """
    random = np.random.default_rng(1)

    def fill(path, leaf):
        noise = random.normal(size=leaf.shape)
        if path[-1].key == "kernel":
            noise *= math.sqrt(gain / math.prod(leaf.shape[:-1]))
        elif path[-1].key in ("scale", "var"):
            noise = 1 + 0.3 * np.abs(noise)
        else:
            noise *= 0.1
        return jnp.asarray(noise, jnp.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def plain_alexnet(variables, images, stem_stride, paddings):
    """AlexNet's order of layers, which Sketch-a-Net has too, each with XLA's own operation.

    paddings: of the five convolutions.
    """
    parameters, statistics = variables["params"], variables.get("batch_stats", {})

    def after(name, values):
        own = parameters[name]
        if "norm" not in own:
            return values + own.get("dense", own)["bias"]
        seen = statistics[name]["norm"]
        scaled = (values - seen["mean"]) / jnp.sqrt(seen["var"] + 1e-5)
        return scaled * own["norm"]["scale"] + own["norm"]["bias"]

    for number, padding in enumerate(paddings, 1):
        stride = stem_stride if number == 1 else 1
        images = lax.conv_general_dilated(
            images,
            parameters[f"conv{number}"]["kernel"],
            (stride, stride),
            [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        images = jnp.maximum(after(f"conv{number}", images), 0)
        if number in (1, 2, 5):
            images = lax.reduce_window(
                images, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID"
            )
    features = images.reshape(len(images), -1)
    for number in (6, 7):
        kernel = parameters[f"dense{number}"]["dense"]["kernel"]
        features = jnp.maximum(after(f"dense{number}", features @ kernel), 0)
    return features
