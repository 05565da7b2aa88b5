"""Weights and pictures from a seed, and what PyTorch makes of them, for tests without PyTorch.

    PYTHONPATH=. python tests/models/torch_weights.py

writes torch_outputs.json: some features of each net of torchvision and of
efficientnet_lite_pytorch, which have to be installed. The tests compare them with ours.
"""

import json
import math
from functools import cache
from pathlib import Path

import jax
import numpy as np
from flax import traverse_util

from sketchjax.models.efficientnet_lite import EfficientNetLite
from sketchjax.models.shufflenet import ShuffleNetV2
from sketchjax.models.torch_resnet import TorchResNet

OUTPUTS = Path(__file__).with_name("torch_outputs.json")
SIDE, COUNT, KEPT = 70, 2, 6

# By name: our encoder, and PyTorch's function that makes the same net without weights.
NETS = {
    "efficientnet-lite0": EfficientNetLite(size=0),
    "efficientnet-lite1": EfficientNetLite(size=1),
    "efficientnet-lite2": EfficientNetLite(size=2),
    "shufflenet_v2_x0_5": ShuffleNetV2(times="0.5"),
    "shufflenet_v2_x1_0": ShuffleNetV2(times="1.0"),
    "shufflenet_v2_x1_5": ShuffleNetV2(times="1.5"),
    "shufflenet_v2_x2_0": ShuffleNetV2(times="2.0"),
    "resnet18": TorchResNet(depth="18"),
    "resnet50": TorchResNet(depth="50"),
}


def pictures() -> np.ndarray:
    """f32[2 70 70 3] in [0, 1]."""
    return np.random.default_rng(0).random((COUNT, SIDE, SIDE, 3), np.float32)


@cache
def shapes_of(encoder):
    """Shapes of an encoder's parameters and statistics, by collection."""
    return jax.eval_shape(encoder.init, jax.random.key(0), pictures())


def state_dict(encoder) -> dict[str, np.ndarray]:
    """Random tensors for an encoder under PyTorch's names and in its layout."""
    shapes, names, found = shapes_of(encoder), encoder.torch_names(), {}
    random = np.random.default_rng(1)
    for layer, (conv, norm) in names.items():
        own = {
            collection: traverse_util.flatten_dict(tree[layer], sep="/")
            for collection, tree in shapes.items()
        }
        kernel = own["params"]["kernel"].shape
        values = random.normal(size=kernel) * math.sqrt(2 / math.prod(kernel[:-1]))
        found[f"{conv}.weight"] = values.transpose(3, 2, 0, 1)
        channels = kernel[-1]
        found[f"{norm}.weight"] = 0.5 + random.random(channels) / 2
        found[f"{norm}.bias"] = 0.3 * random.normal(size=channels)
        found[f"{norm}.running_mean"] = 0.1 * random.normal(size=channels)
        found[f"{norm}.running_var"] = 0.5 + random.random(channels)
    return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}


def torch_features(name: str) -> np.ndarray:
    """PyTorch's features f32[2 e] of the pictures, with the random weights."""
    import torch

    from sketchjax.models.backbone import DEVIATION, MEAN

    if name.startswith("efficientnet"):
        from efficientnet_lite_pytorch import EfficientNet

        net = EfficientNet.from_name(name, image_size=SIDE)
    else:
        import torchvision

        net = getattr(torchvision.models, name)(weights=None)
        net.fc = torch.nn.Identity()
    tensors = {key: torch.tensor(value) for key, value in state_dict(NETS[name]).items()}
    net.load_state_dict(tensors, strict=False)
    seen = (pictures() - np.array(MEAN, "f")) / np.array(DEVIATION, "f")
    seen = torch.tensor(seen).permute(0, 3, 1, 2)
    with torch.no_grad():
        net.eval()
        found = net.extract_features(seen).mean((2, 3)) if "lite" in name else net(seen)
    return found.numpy()


def main() -> None:
    kept = {}
    for name in NETS:
        features = torch_features(name)
        places = np.argsort(-np.abs(features[0]))[:: features.shape[1] // KEPT][:KEPT]
        kept[name] = {
            "features": features.shape[1],
            "places": places.tolist(),
            "values": np.round(features[:, places].astype(float), 6).tolist(),
        }
    OUTPUTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
