"""The layers of a network as nodes of a graph, with the arrays of a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from sketchjax.export.graph import Graph, Value


@dataclass(frozen=True)
class Module:
    """A module of a network: where its arrays are, and the graph it is written to.

    graph: that grows with each layer.
    arrays: of the model file, by path.
    path: of the module, such as cnn/conv1; empty for the whole network.
    """

    graph: Graph
    arrays: Mapping[str, np.ndarray]
    path: str = ""

    def __truediv__(self, name: str) -> Module:
        """The module of that name inside this one."""
        return replace(self, path=f"{self.path}/{name}".lstrip("/"))

    def __contains__(self, name: str) -> bool:
        """Whether there is a parameter or a module with arrays of that name."""
        wanted = f"{self.path}/{name}".lstrip("/").split("/")
        return any(path.split("/")[1 : len(wanted) + 1] == wanted for path in self.arrays)

    def array(self, name: str, collection: str = "params") -> np.ndarray:
        """A parameter, or an array of another collection."""
        return self.arrays[f"{collection}/{self.path}/{name}"]

    def weight(self, name: str, *axes: int, collection: str = "params") -> Value:
        """A parameter in the graph. axes: their order there; none: as they are."""
        array = self.array(name, collection)
        array = array.transpose(axes) if axes else array
        return self.graph.weight(f"{collection}/{self.path}/{name}", array)


def dense(module: Module, features: Value) -> Value:
    """A dense layer f[b c] -> f[b d], with a bias where the module has one."""
    inputs = [features, module.weight("kernel")]
    if "bias" in module:
        inputs.append(module.weight("bias"))
    return module.graph.op("Gemm", *inputs)


def convolution(
    module: Module, images: Value, *, stride: int = 1, padding: int | None = 0, groups: int = 1
) -> Value:
    """A convolution f[b c h w] -> f[b d h' w'], with a bias where the module has one.

    padding: zeros on each side; None: TensorFlow's `SAME`, the odd zero last.
    groups: of the channels; each has kernels of its own.
    """
    inputs = [images, module.weight("kernel", 3, 2, 0, 1)]
    if "bias" in module:
        inputs.append(module.weight("bias"))
    edges = {"auto_pad": "SAME_UPPER"} if padding is None else {"pads": [padding] * 4}
    return module.graph.op("Conv", *inputs, strides=[stride, stride], group=groups, **edges)


def batch_norm(module: Module, values: Value, epsilon: float = 1e-5) -> Value:
    """Batch normalisation of f[b c ...] by the running statistics."""
    graph, count = module.graph, len(module.array("mean", "batch_stats"))
    mean = module.weight("mean", collection="batch_stats")
    variance = module.weight("var", collection="batch_stats")
    scale = module.weight("scale") if "scale" in module else np.ones(count, np.float32)
    bias = module.weight("bias") if "bias" in module else np.zeros(count, np.float32)
    return graph.op("BatchNormalization", values, scale, bias, mean, variance, epsilon=epsilon)


def normed(module: Module, values: Value, epsilon: float = 1e-5) -> Value:
    """Batch normalisation by the module's `norm`, where it has one."""
    return batch_norm(module / "norm", values, epsilon) if "norm" in module else values


def max_pool(images: Value, padding: int = 0) -> Value:
    """The largest value of windows of 3x3, every second one: f[b c h w] -> f[b c h' w']."""
    graph = images.graph
    return graph.op("MaxPool", images, kernel_shape=[3, 3], strides=[2, 2], pads=[padding] * 4)


def mean_of_map(images: Value) -> Value:
    """The mean over all positions, f[b c h w] -> f[b c]."""
    return images.graph.op("ReduceMean", images, [2, 3], keepdims=0)


def flat(images: Value) -> Value:
    """A map f[b c h w] as one row f[b h w c], in the order of jax's arrays."""
    return images.graph.op("Flatten", images.graph.transpose(images, 0, 2, 3, 1), axis=1)
