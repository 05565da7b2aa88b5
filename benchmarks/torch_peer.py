"""The same network of two encoders in PyTorch, as a good user would write it today.

`nn.Conv2d` in channels_last, `nn.BatchNorm`, `nn.GRU` over packed sequences (cuDNN's on a GPU),
bfloat16 autocast, fused Adam(W), `torch.compile` of the CNN. It gets more than a user would have:
finished pictures in memory, without augmentation, and batches sorted by length.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, cast

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import torch.nn.functional as F  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn.utils.rnn import pack_padded_sequence  # pyright: ignore[reportMissingImports]

from sketchjax.config import Config

_CONVOLUTIONS = ((96, 11, 2), (256, 5, 2), (384, 3, 1), (384, 3, 1), (256, 3, 1))
_POOLED = (0, 1, 4)


class AlexNet(nn.Module):
    """`models.alexnet.AlexNet`: pictures f[b 1 s s] -> f32[b d]."""

    def __init__(self, config: Config):
        super().__init__()
        cnn, channels, side = config.model.encoders.cnn, 1, config.drawing.size
        body: list[nn.Module] = []
        for number, (full, kernel, padding) in enumerate(_CONVOLUTIONS):
            features, stride = round(full * cnn.width), cnn.stem_stride if number == 0 else 1
            body.append(
                nn.Conv2d(channels, features, kernel, stride, padding, bias=not cnn.batch_norm)
            )
            if cnn.batch_norm:
                body.append(nn.BatchNorm2d(features))
            body.append(nn.ReLU(inplace=True))
            side = (side + 2 * padding - kernel) // stride + 1
            if number in _POOLED:
                body.append(nn.MaxPool2d(3, 2))
                side = (side - 3) // 2 + 1
            channels = features
        self.body = nn.Sequential(*body)
        dense = cnn.dense_features or round(4096 * cnn.width)
        head: list[nn.Module] = []
        for width in (side * side * channels, dense):
            head.append(nn.Linear(width, dense, bias=not cnn.batch_norm))
            if cnn.batch_norm:
                head.append(nn.BatchNorm1d(dense))
            head += [nn.ReLU(inplace=True), nn.Dropout(cnn.dropout)]
        self.head = nn.Sequential(*head)

    def forward(self, pictures: Tensor) -> Tensor:
        # In channels_last this is a view, in the order of flax's features.
        features = self.body(pictures).permute(0, 2, 3, 1).flatten(1)
        return at_least_float32(self.head(features))


class BiGRU(nn.Module):
    """`models.bigru.BiGRU`: sequences f[b t 4] sorted by falling length -> f32[b 2h]."""

    def __init__(self, config: Config):
        super().__init__()
        rnn = config.model.encoders.rnn
        self.gru = nn.GRU(
            4, rnn.hidden, rnn.layers, batch_first=True, dropout=rnn.dropout, bidirectional=True
        )
        self.dropout = nn.Dropout(rnn.dropout)

    def forward(self, sequence: Tensor, length: Tensor) -> Tensor:
        packed = pack_padded_sequence(sequence, length, batch_first=True)
        final = self.gru(packed)[1]
        return at_least_float32(self.dropout(torch.cat([final[-2], final[-1]], -1)))


class Network(nn.Module):
    """`models.network.Layers` with these two encoders; length: i64[b], on the host."""

    def __init__(self, config: Config, classes: int):
        super().__init__()
        self.cnn, self.rnn = AlexNet(config), BiGRU(config)
        cnn, rnn = config.model.encoders.cnn, config.model.encoders.rnn
        dense = cnn.dense_features or round(4096 * cnn.width)
        states = 2 * rnn.hidden
        self.cnn_classifier = nn.Linear(dense, classes)
        self.rnn_classifier = nn.Linear(states, classes)
        joined = config.model.fusion_features
        self.fusion = nn.Linear(dense + states, joined) if joined else None
        self.hash = nn.Linear(joined or dense + states, config.model.bits)
        self.classifier = nn.Linear(config.model.bits, classes)

    def forward(
        self, pictures: Tensor, sequence: Tensor, length: Tensor, output: str
    ) -> tuple[Tensor | None, Tensor]:
        """Features f[b d] (None of one encoder) and logits f[b l]."""
        if output == "cnn":
            return None, self.cnn_classifier(self.cnn(pictures))
        if output == "rnn":
            return None, self.rnn_classifier(self.rnn(sequence, length))
        joined = torch.cat([self.cnn(pictures), self.rnn(sequence, length)], -1)
        if self.fusion is not None:
            joined = F.relu(self.fusion(joined))
        features = torch.sigmoid(self.hash(joined))
        return features, self.classifier(features)

    def modules_of(self, output: str) -> list[nn.Module]:
        """The modules that a stage which reads this output changes."""
        own = {"cnn": [self.cnn, self.cnn_classifier], "rnn": [self.rnn, self.rnn_classifier]}
        both = [self.cnn, self.rnn, self.fusion, self.hash, self.classifier]
        return [module for module in own.get(output, both) if module is not None]


def at_least_float32(values: Tensor) -> Tensor:
    """What the heads compute in, as in ours; float64 stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def from_flax(variables: dict, layers: int) -> dict[str, np.ndarray]:
    """Parameters or their gradients (and statistics, if any) under the names of `Network`."""
    params, stats = variables["params"], variables.get("batch_stats", {})
    named: dict[str, np.ndarray] = {}
    if "cnn" in params:
        named |= _from_alexnet(params["cnn"], stats.get("cnn", {}))
    for layer in range(layers if "rnn" in params else 0):
        named |= _from_gru(params["rnn"][f"layer{layer + 1}"], layer)
    for name in ("cnn_classifier", "rnn_classifier", "fusion", "hash", "classifier"):
        if name in params:
            named[f"{name}.weight"] = np.asarray(params[name]["kernel"]).T
            named[f"{name}.bias"] = np.asarray(params[name]["bias"])
    return named


def _from_alexnet(params: dict, stats: dict) -> dict[str, np.ndarray]:
    named: dict[str, np.ndarray] = {}
    place = {"body": 0, "head": 0}
    for number in range(1, 8):
        convolution = number <= 5
        layer = f"conv{number}" if convolution else f"dense{number}"
        part, group = ("body", params[layer]) if convolution else ("head", params[layer])
        own = group if convolution else group["dense"]
        kernel = np.asarray(own["kernel"])
        prefix = f"cnn.{part}.{place[part]}"
        named[f"{prefix}.weight"] = kernel.transpose(3, 2, 0, 1) if convolution else kernel.T
        if "bias" in own:
            named[f"{prefix}.bias"] = np.asarray(own["bias"])
        place[part] += 1
        norm = next((name for name in group if name not in ("kernel", "bias", "dense")), None)
        if norm:
            prefix = f"cnn.{part}.{place[part]}"
            named[f"{prefix}.weight"] = np.asarray(group[norm]["scale"])
            named[f"{prefix}.bias"] = np.asarray(group[norm]["bias"])
            if stats:
                named[f"{prefix}.running_mean"] = np.asarray(stats[layer][norm]["mean"])
                named[f"{prefix}.running_var"] = np.asarray(stats[layer][norm]["var"])
            place[part] += 1
        # Rectifier, then pooling or dropout.
        place[part] += 2 if not convolution or number - 1 in _POOLED else 1
    return named


def _from_gru(layer: dict, number: int) -> dict[str, np.ndarray]:
    named: dict[str, np.ndarray] = {}
    for direction, suffix in (("forward", ""), ("backward", "_reverse")):
        own, end = layer[direction], f"l{number}{suffix}"
        for side, torch_side in (("i", "ih"), ("h", "hh")):
            kernels = [np.asarray(own[f"{side}{gate}"]["kernel"]).T for gate in "rzn"]
            named[f"rnn.gru.weight_{torch_side}_{end}"] = np.concatenate(kernels)
        biases = [np.asarray(own[f"i{gate}"]["bias"]) for gate in "rzn"]
        named[f"rnn.gru.bias_ih_{end}"] = np.concatenate(biases)
        candidate = np.asarray(own["hn"]["bias"])
        # torch has a second bias in every gate; flax only in the candidate's product.
        zeros = np.zeros(2 * len(candidate), candidate.dtype)
        named[f"rnn.gru.bias_hh_{end}"] = np.concatenate([zeros, candidate])
    return named


def load(model: Network, variables: dict, layers: int) -> None:
    """Give the model the values of flax variables. Raises KeyError where one has no place."""
    own = model.state_dict()
    with torch.no_grad():
        for name, value in from_flax(jax.device_get(variables), layers).items():
            own[name].copy_(torch.tensor(np.asarray(value, np.float32)))


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Wait for what the GPU has been given, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def make_model(config: Config, classes: int, variables: dict) -> Network:
    """On the GPU where there is one, with the weights of flax variables."""
    model = Network(config, classes).to(device())
    cast(Any, model).to(memory_format=torch.channels_last)
    load(model, variables, config.model.encoders.rnn.layers)
    return model


def precision(dtype: str) -> Any:
    """The context in which the forward pass runs."""
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(device().type, torch.bfloat16)
