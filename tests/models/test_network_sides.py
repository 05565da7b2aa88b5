"""A network of sketches and photos: what its sides share, and what is each side's own."""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import CONFIG

from sketchjax.config import architecture, encoder, set_photo_encoders
from sketchjax.data.inputs import Pictures
from sketchjax.models import network as networks
from sketchjax.models.architecture import Architecture, Drawing
from sketchjax.models.views import VIEWS

sys.path.insert(0, str(CONFIG.parent))
from tiny_pairs import get_config

NAMES = ["arrow", "box", "roof"]
DRAWING = Drawing(24, 1.5, 1.0)


def network_of(**model):
    config = get_config()
    for name, value in model.items():
        config.model[name] = value
    return networks.build(architecture(config, NAMES, 30.0), augmentation={"flip": 0.5})


@pytest.fixture(scope="module")
def network():
    return network_of()


@pytest.fixture(scope="module")
def variables(network):
    return jax.jit(network.initialise)(jax.random.key(0))


def pictures(channels, count=4, seed=0) -> Pictures:
    random = np.random.default_rng(seed)
    return Pictures(jnp.asarray(random.integers(0, 256, (count, 24, 24, channels)), jnp.uint8))


def test_sides_share_the_classifier_and_nothing_else(variables):
    assert {*variables["params"]} == {
        *("lines", "lines_classifier", "embedding"),
        *("colours", "colours_classifier", "photo_embedding"),
        "classifier",
    }
    assert {*variables["batch_stats"]} == {"lines", "embedding", "colours", "photo_embedding"}


def test_a_side_adds_nothing_to_the_other(variables):
    """The sketches' parameters start as they do in a network without photos."""
    without = jax.jit(network_of(photo_branches=()).initialise)(jax.random.key(0))
    for collection, parts in without.items():
        for name, part in parts.items():
            jax.tree.map(np.testing.assert_array_equal, part, variables[collection][name])


def test_outputs_depend_on_their_own_side_and_the_classifier(network, variables):
    sketches, photos = pictures(1), pictures(3)
    for output, inputs in {"head": sketches, "photo_head": photos}.items():

        def total(params, output=output, inputs=inputs):
            seen = variables | {"params": params}
            return (network.apply(seen, inputs, output).logits ** 2).sum()

        gradients = jax.device_get(jax.jit(jax.grad(total))(variables["params"]))
        touched = {n for n, g in gradients.items() if any(map(np.any, jax.tree.leaves(g)))}
        assert touched == {*PARTS[output]}


PARTS = {
    "head": ("lines", "embedding", "classifier"),
    "photo_head": ("colours", "photo_embedding", "classifier"),
    "lines": ("lines", "lines_classifier"),
    "colours": ("colours", "colours_classifier"),
}


def test_training_one_side_moves_its_own_statistics_only(network, variables):
    keys = jax.random.split(jax.random.key(1), 4)
    moved = {}
    for output, inputs in (("head", pictures(1)), ("photo_head", pictures(3))):
        apply = jax.jit(network.apply_in_training, static_argnums=2)
        stats = jax.device_get(apply(variables, inputs, output, keys)[1])
        moved[output] = {
            name
            for name, own in stats.items()
            if any(
                np.any(a != b)
                for a, b in zip(
                    jax.tree.leaves(own),
                    jax.tree.leaves(jax.device_get(variables["batch_stats"][name])),
                    strict=True,
                )
            )
        }
    assert moved == {"head": {"lines", "embedding"}, "photo_head": {"colours", "photo_embedding"}}


def test_a_stage_may_augment_less(network):
    full = replace(
        network,
        augmentation={"rotation": 8.0, "flip": 0.5},
        photo_augmentation={"hue": 0.4, "shift": 0.1},
    )
    half, none = full.augmenting(0.5), full.augmenting(0.0)
    assert half.augmentation == {"rotation": 4.0, "flip": 0.25}
    assert half.photo_augmentation == {"hue": 0.2, "shift": 0.05}
    keys, photos = jax.random.split(jax.random.key(1), 4), pictures(3)
    same = np.asarray(none.seen_in_training(photos, "photo_head", keys).pixels)
    np.testing.assert_array_equal(same, photos.pixels)
    see = jax.jit(full.seen_in_training, static_argnums=1)
    changed = see(photos, "photo_head", keys).pixels
    assert np.abs(np.asarray(changed) - same).max() > 10


def test_parts_are_named_as_stages_name_them(network):
    parts_of = network.layers.parts_of
    assert parts_of(("lines", "head"), "head") == ("lines", "embedding", "classifier")
    assert parts_of(("colours", "photo_head"), "photo_head") == PARTS["photo_head"]
    assert parts_of(("colours",), "colours") == PARTS["colours"]
    assert network.layers.head_parts() == ("embedding", "photo_embedding", "classifier")
    fused = network_of(fusion_features=8).layers.head_parts()
    assert fused == ("fusion", "embedding", "photo_fusion", "photo_embedding", "classifier")


def test_a_network_may_have_photos_only():
    config = get_config()
    config.model.branches = ()
    network = networks.build(architecture(config, NAMES, 30.0))
    assert {*network.shapes()["params"]} == {*PARTS["photo_head"], "colours_classifier"}
    blank = jax.eval_shape(
        lambda v, i: network.apply(v, i, "photo_head"), network.shapes(), pictures(3)
    )
    assert blank.features.shape == (4, 16)


def test_an_older_architecture_is_written_as_before():
    """Fields of sides are left out of files where they have their defaults."""
    import msgspec

    config = get_config(sketches="strokes")
    config.model.photo_branches = ()
    content = msgspec.to_builtins(architecture(config, NAMES, 30.0))
    assert not {"sketches", "photo_encoders", "photo_size"} & {*content}
    assert msgspec.convert(content, Architecture).forms.keys() == {"sketch"}


# --- views -----------------------------------------------------------------------------------


def test_pictures_become_ink_or_colours():
    grey, photo = pictures(1), pictures(3)
    (ink,) = VIEWS["picture"].make(grey, DRAWING)
    np.testing.assert_allclose(ink, 1 - np.asarray(grey.pixels) / 255.0, atol=1e-6)
    (colours,) = VIEWS["picture"].make(photo, DRAWING)
    np.testing.assert_allclose(colours, np.asarray(photo.pixels) / 255.0, atol=1e-6)


def test_a_photo_comes_with_its_contour():
    both = Pictures(pictures(3).pixels, pictures(1).pixels)
    colours, ink = VIEWS["picture_and_contour"].make(both, DRAWING)
    np.testing.assert_allclose(colours, np.asarray(both.pixels) / 255.0, atol=1e-6)
    np.testing.assert_allclose(ink, 1 - np.asarray(both.contour) / 255.0, atol=1e-6)


def test_a_view_refuses_inputs_of_another_kind():
    config = get_config(sketches="strokes")
    config.model.encoders.lines = encoder("bigru", hidden=4)
    set_photo_encoders(config)
    network = networks.build(architecture(config, NAMES, 30.0))
    with pytest.raises(TypeError, match="the view sequence reads Strokes, not Pictures"):
        network.views(pictures(1), "head")
