"""The rows that a config is checked against are those of the modules that they name."""

import inspect
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax.config import (
    architecture,
    default,
    encoder,
    set_encoders,
    set_photo_encoders,
    set_stages,
    stage,
)
from sketchjax.data.inputs import Pictures, Strokes
from sketchjax.fields import is_number
from sketchjax.losses.objective import loss
from sketchjax.losses.table import LOSSES
from sketchjax.models.network import ACTIVATIONS, build
from sketchjax.models.table import ENCODERS, HEADS
from sketchjax.models.views import VIEWS
from sketchjax.ops.augment import augment

LOSS_ROWS = pytest.mark.parametrize("name", LOSSES)
ENCODER_ROWS = pytest.mark.parametrize("kind", ENCODERS)


@LOSS_ROWS
def test_a_row_of_losses_agrees_with_its_file(name):
    row, own = LOSSES[name], loss(name)
    assert bool(row.remembers) == (own.blank is not None)
    assert row.makes_codes == (own.codes is not None)
    # Without a memory there is nothing to begin or to move.
    assert own.blank or not (own.begin or own.move)
    assert row.source


@LOSS_ROWS
def test_a_row_of_losses_is_complete(name):
    row = LOSSES[name]
    assert row.reads
    assert {*row.reads} <= {"logits", "features", "activations"}
    assert {*row.heads} <= {*HEADS}
    assert {*row.needs} <= {"word_vectors", "teacher"}
    assert row.pairs is None or (len(row.pairs) == 2 and {*row.pairs} <= {"sketch", "photo"})
    for key, field in row.settings.items():
        assert key != "weight"
        assert is_number(field.default) or isinstance(field.default, str)
        assert field.is_valid(field.default)
        assert field.remedy


def test_short_names_of_losses_are_unique():
    symbols = [row.symbol or name for name, row in LOSSES.items()]
    assert len(set(symbols)) == len(symbols)


def of_photos(kind: str) -> bool:
    return ENCODERS[kind].view == "picture_and_contour"


def small(kind: str):
    """A config whose network has only this encoder, at sizes that trace in no time."""
    config = default()
    sizes = {"width": 0.05, "hidden": 3, "layers": 1, "dense_features": 4, "stem_stride": 1}
    own = {name: size for name, size in sizes.items() if name in ENCODERS[kind].settings}
    if of_photos(kind):
        set_encoders(config)
        set_photo_encoders(config, only=encoder(kind, **own))
        trains = ("photo_encoders", "photo_head")
        set_stages(config, stage("all", trains=trains, inputs=("photo",)))
    else:
        set_encoders(config, only=encoder(kind, **own))
        set_stages(config, stage("all", trains=("encoders", "head")))
    config.drawing.size, config.photos.size, config.data.points = 64, 64, 5
    return config


def inputs(kind: str) -> Strokes | Pictures:
    random = np.random.default_rng(0)
    if of_photos(kind):
        pixels = random.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
        return Pictures(pixels, pixels[..., :1])
    points = random.integers(0, 256, (2, 5, 3)).astype(np.uint8)
    return Strokes.of(points, np.array([5, 3], np.int32))


def made(network):
    """The view and the maker of the network's only encoder."""
    ((_, view, make),) = (*network.layers.encoders, *network.layers.photo_encoders)
    return view, make


@cache
def half_network(kind: str):
    """A network of this encoder only, in bfloat16."""
    config = small(kind)
    config.model.dtype = "bfloat16"
    return build(architecture(config, ["cat", "sun", "moon"], 20.0))


@ENCODER_ROWS
def test_a_row_of_encoders_builds(kind):
    network = half_network(kind)
    variables = network.shapes()
    side = "photo_" if of_photos(kind) else ""
    output = jax.eval_shape(
        lambda v, x: network.apply(v, x, f"{side}head"), variables, inputs(kind)
    )
    assert output.logits.shape == (2, 3)
    assert output.features is not None
    assert output.features.shape == (2, 64)
    # Its own classifier was applied for the shapes (models/test_network_outputs.py).
    assert variables["params"]["only_classifier"]["kernel"].shape[1] == 3
    assert set(variables["params"]) == {"only", "only_classifier", f"{side}hash", "classifier"}


@ENCODER_ROWS
def test_a_row_of_encoders_has_its_module_s_fields(kind):
    row = ENCODERS[kind]
    view, make = made(build(architecture(small(kind), ["cat"], 20.0)))
    assert view == row.view
    assert view in VIEWS
    fields = set(make.func.__dataclass_fields__)
    assert set(row.settings) <= fields
    assert "dtype" in fields
    for name, field in row.settings.items():
        assert field.is_valid(field.default), name
        # Whatever the config says reaches the module.
        assert make.keywords[name] == small(kind).model.encoders.only[name]


@ENCODER_ROWS
def test_a_row_of_encoders_knows_its_smallest_picture(kind):
    row = ENCODERS[kind]
    assert (row.smallest is not None) == row.view.startswith("picture")
    if row.smallest is None:
        return
    _, make = made(build(architecture(small(kind), ["cat"], 20.0)))
    for stride in range(1, 9):
        assert row.smallest({"stem_stride": stride}) == make.func.smallest_size(stride)


@ENCODER_ROWS
def test_encoders_compute_in_the_config_s_type(kind):
    network = half_network(kind)
    _, make = made(network)
    assert make.keywords["dtype"] == jnp.bfloat16
    shapes = network.shapes()
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {np.dtype("float32")}


def test_every_head_has_its_activation():
    assert {head.activation for head in HEADS.values()} <= {*ACTIVATIONS}


def test_augmentation_has_the_amounts_of_augment():
    amounts = set(inspect.signature(augment).parameters) - {"keys", "strokes"}
    assert set(default().augmentation) == amounts
