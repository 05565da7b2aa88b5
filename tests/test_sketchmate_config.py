"""The paper's config: its sizes, its two recipes, and a dispatch of the exact model."""

import importlib.util
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from sketchjax import parallel
from sketchjax.config import architecture, validate
from sketchjax.data.feed.batch import Batch
from sketchjax.data.feed.order import Order
from sketchjax.data.inputs import Strokes
from sketchjax.data.sources import doodles as synthetic
from sketchjax.errors import ConfigError
from sketchjax.models import network as networks
from sketchjax.train import stages, state
from sketchjax.train.feed import arrange
from sketchjax.train.step import Training, dispatch

FILE = Path(__file__).parents[1] / "configs" / "sketchmate.py"
CLASSES = 345

# Weights by hand. Sides of the pictures: (224 + 2·2 - 11) // 4 + 1 = 55, pooled to 27, 13 and 6.
KERNELS = (
    11 * 11 * 1 * 96
    + 5 * 5 * 96 * 256
    + 3 * 3 * (256 * 384 + 384 * 384 + 384 * 256)
    + 6 * 6 * 256 * 4096
    + 4096 * 4096
)
CHANNELS = 96 + 256 + 384 + 384 + 256 + 4096 + 4096
# One direction of a GRU layer: three gates of the input with a bias, three of the state, and one
# more bias for the candidate.
GRU = sum(2 * (3 * width * 512 + 3 * 512 + 3 * 512 * 512 + 512) for width in (4, 2 * 512))
CLASSIFIERS = sum((width + 1) * CLASSES for width in (4096, 2 * 512))


def hash_and_classifier(bits: int) -> int:
    return (4096 + 2 * 512 + 1) * bits + (bits + 1) * CLASSES


def get_config(*argument: str):
    spec = importlib.util.spec_from_file_location("sketchmate_config", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*argument)


def build(config) -> networks.Network:
    names = [f"category {number}" for number in range(CLASSES)]
    return networks.build(
        architecture(config, names, 20.0),
        axis_name=parallel.AXIS,
        augmentation=config.augmentation.to_dict(),
    )


def planned(config) -> list[stages.Stage]:
    """The stages of a config, with epochs of 1000 blocks."""
    layers = build(config).layers
    return stages.plan(config, layers.parts_of, layers.head_parts(), lambda row: 1000)


def rates(stage: stages.Stage, *steps: int) -> list[float]:
    """The learning rate at each step."""
    return [np.asarray(stages.learning_rate(stage)(step)).item() for step in steps]


def size(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("argument", [(), ("16",), ("64,ours",), ("32,paper",)])
def test_sizes_of_the_paper_in_both_recipes(argument):
    config = get_config(*argument)
    validate(config, devices=8)
    assert config.data.splits.to_dict() == {
        "train": 9000, "validation": 1000, "gallery": 1000, "query": 100
    }  # fmt: skip
    assert (config.drawing.size, config.data.points, config.train.batch_size) == (224, 128, 256)
    epochs = [config.stages[name].epochs for name in ("cnn", "rnn", "joint", "center", "full")]
    assert epochs == [20, 20, 5, 5, 5]
    assert config.stages.full.losses.to_dict() == {
        "cross_entropy": 1.0, "center": 0.01, "quantization": 0.0001
    }  # fmt: skip
    assert config.model.bits == int((argument or ("64",))[0].split(",")[0])


@pytest.mark.parametrize("recipe, per_channel", [("", 2), (",paper", 1)])
def test_parameters_are_those_counted_by_hand(recipe, per_channel):
    """Batch normalisation has a scale and a bias per channel; without it there is only the bias."""
    variables = build(get_config("24" + recipe)).shapes()
    expected = KERNELS + per_channel * CHANNELS + GRU + CLASSIFIERS + hash_and_classifier(24)
    assert size(variables["params"]) == expected
    assert size(variables.get("batch_stats", {})) == (2 * CHANNELS if per_channel == 2 else 0)


def test_our_recipe_warms_up_and_decays():
    config = get_config("64")
    assert config.model.encoders.cnn.batch_norm
    assert config.model.dtype == "bfloat16"
    stage = planned(config)[0]
    at = rates(stage, 0, stage.warmup_steps, stage.steps)
    assert at == pytest.approx([0, 1e-3, 0], abs=1e-9)


def test_the_papers_recipe_is_plain_and_falls_in_steps():
    config = get_config("64,paper")
    assert not config.model.encoders.cnn.batch_norm
    assert config.model.dtype == "float32"
    assert (config.train.weight_decay, config.train.clip_norm) == (0, 0)
    assert not any(config.augmentation.values())
    for stage in planned(config):
        epochs = (0, 9.9, 10, 20)
        at = rates(stage, *(round(epoch * stage.steps_per_epoch) for epoch in epochs))
        assert at == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4])


@pytest.mark.parametrize("argument", ["", "sixteen", "64,theirs", "-8", "paper"])
def test_an_unknown_argument_is_refused_with_the_right_form(argument):
    with pytest.raises(ConfigError, match="give BITS or BITS,paper"):
        get_config(argument)


def test_one_dispatch_of_the_last_stage_with_the_exact_model():
    """Two sketches per batch instead of 256, two steps instead of 32; all else as it would be.

    On one device: the 67 million parameters, their gradients and Adam's two moments are 1 GB.
    """
    config = get_config("64")
    config.train.batch_size = config.train.inner_steps = 2
    config.train.outer_steps = 1
    network = build(config)
    stage = planned(config)[-1]
    assert stage.name == "full"
    assert list(stage.row.losses) == ["center", "cross_entropy", "quantization"]
    adam = stages.optimizer(
        stage, weight_decay=config.train.weight_decay, clip_norm=config.train.clip_norm
    )
    training = Training(network, stage, adam, parallel.average, config.seed)
    variables = jax.tree_util.tree_map_with_path(drawn, network.shapes())
    # To compute the first values of all parameters takes 16 s: only those of the head.
    variables["params"] |= jax.jit(partial(first_head, network))(jax.random.key(0))
    before = np.asarray(variables["params"]["hash"]["kernel"])
    assert before.shape == (4096 + 2 * 512, 64)
    centers = jax.random.uniform(jax.random.key(1), (CLASSES, 64))
    current = state.start(adam, stage, variables, {"center": {"centers": centers}})
    run = parallel.over_devices(
        partial(dispatch, training),
        inputs=(parallel.WHOLE, parallel.WHOLE, parallel.SPLIT),
        outputs=(parallel.WHOLE, parallel.WHOLE),
        devices=jax.devices()[:1],
    )
    order = Order(size=4, batch=2, inner_steps=2, key=())
    after, metrics = run((), current, arrange([doodles(4, points=128)], order, devices=1))
    assert int(after.step) == 2
    named = {"loss", "accuracy", "cross_entropy", "center", "quantization", "skipped"}
    assert set(metrics) == named
    values = {name: np.asarray(value) for name, value in metrics.items()}
    assert all(value.shape == (1, 2) and np.isfinite(value).all() for value in values.values())
    # What an untrained network gives: log 345 = 5.8, and at most 1 per bit.
    assert abs(values["cross_entropy"] - np.log(CLASSES)).max() < 1
    assert 0 < values["quantization"].max() < 64
    weighted = values["cross_entropy"] + 0.01 * values["center"] + 1e-4 * values["quantization"]
    np.testing.assert_allclose(values["loss"], weighted, rtol=1e-5)
    kernel = np.asarray(after.params["hash"]["kernel"])
    assert np.isfinite(kernel).all()
    # The first step of a warm-up from 0 changes nothing; the second has a rate of 1 µ.
    assert 0 < abs(kernel - before).max() < 1e-5


def first_head(network, key) -> dict:
    parameters = network.initialise(key)["params"]
    return {name: parameters[name] for name in ("hash", "classifier")}


def drawn(path, leaf) -> np.ndarray:
    """A parameter or statistic as an encoder may start: to draw these needs no program."""
    if path[-1].key in ("scale", "var"):
        return np.ones(leaf.shape, leaf.dtype)
    if len(leaf.shape) == 1:
        return np.zeros(leaf.shape, leaf.dtype)
    # Uniform, of the variance 1 / fan-in.
    values = np.random.default_rng(leaf.size).random(leaf.shape, np.float32) - 0.5
    values *= np.sqrt(12 / np.prod(leaf.shape[:-1])).astype(np.float32)
    return values


def doodles(number: int, points: int) -> Batch:
    """A block of synthetic sketches of different categories."""
    rng = np.random.default_rng(0)
    padded, length = np.zeros((number, points, 3), np.uint8), np.zeros(number, np.int32)
    for row, category in enumerate(synthetic.CATEGORIES[:number]):
        drawn = synthetic.draw(category, rng)
        padded[row, : len(drawn)], length[row] = drawn, len(drawn)
    places = np.arange(number, dtype=np.int32)
    return Batch(Strokes.of(padded, length), places, places)
