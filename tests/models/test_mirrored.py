"""Encoding with mirror images, against the plain model on drawings mirrored by hand."""

import io
from functools import partial

import jax
import numpy as np
import pytest
from PIL import Image
from untrained import save_untrained

import sketchjax
from sketchjax.data.inputs import Pictures, Strokes
from sketchjax.data.sources.doodles import sketches
from sketchjax.models.architecture import Architecture, Drawing
from sketchjax.ops.mirror import mirrored

TOWER = {"width": 0.06, "stem_stride": 2, "dense_features": 24, "batch_norm": True, "dropout": 0.5}
ENCODERS = {
    "cnn": {"kind": "alexnet", **TOWER},
    "rnn": {"kind": "bigru", "hidden": 8, "layers": 1, "dropout": 0.2, "implementation": "fused"},
}


def architecture(**fields) -> Architecture:
    values = {
        "encoders": ENCODERS,
        "head": "embedding",
        "width": 16,
        "fusion_features": 0,
        "dtype": "float32",
        "drawing": Drawing(48, 1.5, 30.0),
        "points": 96,
        "categories": ["cat", "clock", "sun"],
    }
    return Architecture(**(values | fields))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("mirrored") / "model.safetensors"
    return sketchjax.load(save_untrained(path, architecture()))


@pytest.fixture(scope="module")
def drawings():
    """Drawings, and the same with x running the other way, from 0 again."""
    own = [sketches("cat", 8, seed=3).points_of(number) for number in range(8)]
    turned = [points.copy() for points in own]
    for points in turned:
        points[:, 0] = points[:, 0].max() - points[:, 0]
    return own, turned


def test_features_are_the_mean_of_both_images(model, drawings):
    """The head is a dense layer here, so the mean of what it reads gives the mean of features."""
    own, others = (model.features(each) for each in drawings)
    assert np.abs(own - others).max() > 0.1 * np.abs(own).max()
    for each in drawings:
        both = model.mirrored().features(each)
        np.testing.assert_allclose(both, (own + others) / 2, atol=1e-4 * np.abs(own).max())


def test_a_saved_model_stays_mirrored(model, drawings, tmp_path):
    path = model.mirrored().save(tmp_path / "model.safetensors")
    loaded = sketchjax.load(path)
    assert loaded.architecture.mirrored
    assert loaded.fingerprint != model.fingerprint
    np.testing.assert_array_equal(
        loaded.features(drawings[0]), model.mirrored().features(drawings[0])
    )
    assert model.mirrored().mirrored().fingerprint == loaded.fingerprint


def test_training_sees_items_one_by_one(model, drawings):
    longest = max(map(len, drawings[0]))
    points = np.stack([np.pad(each, ((0, longest - len(each)), (0, 0))) for each in drawings[0]])
    inputs = Strokes.of(points, np.array([len(each) for each in drawings[0]], np.int32))
    keys = jax.random.split(jax.random.key(0), len(points))
    programs = [
        jax.jit(partial(network.apply_in_training, output="head")).lower(
            model.variables, inputs, keys=keys
        )
        for network in (model.network, model.mirrored().network)
    ]
    # The same program gives the same outputs.
    assert programs[0].as_text() == programs[1].as_text()


def test_one_encoder_by_itself_is_mirrored_too(model, drawings):
    """What a stage that trains one encoder reads, and its classifier's accuracy."""
    longest = max(map(len, drawings[0]))
    inputs, turned = (
        [
            Strokes.of(
                np.pad(points, ((0, longest - len(points)), (0, 0)))[None],
                np.array([len(points)], np.int32),
            )
            for points in each
        ]
        for each in drawings
    )
    # Compiled: op by op, the encoder is a program for each of its operations.
    plainly, mirroring = (
        jax.jit(partial(network.apply, output="rnn"))
        for network in (model.network, model.mirrored().network)
    )
    for one, other in zip(inputs[:2], turned[:2], strict=True):
        plain = [np.asarray(plainly(model.variables, each).logits) for each in (one, other)]
        both = mirroring(model.variables, one).logits
        np.testing.assert_allclose(both, (plain[0] + plain[1]) / 2, atol=1e-4)


def test_pictures_are_mirrored_from_left_to_right(tmp_path):
    """Raster sketches: the same features for a picture and for its columns in reverse."""
    own = architecture(
        encoders={"cnn": ENCODERS["cnn"]},
        sketches="raster",
        embedding="unit_length",
    )
    model = sketchjax.load(save_untrained(tmp_path / "model.safetensors", own))
    pixels = np.random.default_rng(0).integers(0, 2, (48, 48)).astype(np.uint8) * 255
    pixels[:, 30:] = 255
    files = []
    for image in (Image.fromarray(pixels), Image.fromarray(pixels[:, ::-1].copy())):
        content = io.BytesIO()
        image.save(content, "PNG")
        files.append(content.getvalue())
    plain, both = model.features(files), model.mirrored().features(files)
    assert np.abs(plain[0] - plain[1]).max() > 0.01
    np.testing.assert_allclose(both[0], both[1], atol=1e-5)


def test_contours_turn_with_their_photos():
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    turned = mirrored(Pictures(pixels, pixels[..., :1]))
    np.testing.assert_array_equal(turned.pixels[0, 1, 0], pixels[0, 1, 3])
    np.testing.assert_array_equal(turned.contour, pixels[:, :, ::-1, :1])
    assert mirrored(Pictures(pixels)).contour is None
