"""Stages that read both sides: feeds, codes and steps, on one device and on four."""

import sys

import jax
import numpy as np
import pytest
from paired_folder import paired_folder
from small_network import assert_same_bits, drawn_variables
from test_supply import Silent
from tiny_run import CONFIG

from sketchjax import parallel
from sketchjax.config import architecture, stage, stage_rows
from sketchjax.data.folder.manifest import Manifest
from sketchjax.models import network as networks
from sketchjax.parallel import SPLIT, WHOLE, over_devices
from sketchjax.train import stages
from sketchjax.train.loop import compile_dispatch
from sketchjax.train.split import TrainingSplit
from sketchjax.train.state import start
from sketchjax.train.step import Training, code_step
from sketchjax.train.supply import Supply

sys.path.insert(0, str(CONFIG.parent))
from tiny_pairs import EVERYTHING, SIDES, get_config

CODES = {"cross_entropy": 1.0, "quantization": 0.1, "triplet": {"distance": "euclidean"}}


def made(kind, tmp_path_factory):
    return paired_folder(tmp_path_factory.mktemp(kind), kind), kind


@pytest.fixture(scope="module", params=["raster", "strokes"])
def folder(request, tmp_path_factory):
    return made(request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def rasters(tmp_path_factory):
    return made("raster", tmp_path_factory)


def supply_of(folder, tmp_path, **settings):
    """The supply of a run with the stage `joint`, its network and its stages."""
    path, sketches = folder
    config = get_config(str(path), sketches)
    config.model.head, config.model.embedding = "hash", "raw"
    _, config.stages.joint = stage(
        "joint", trains=EVERYTHING, inputs=SIDES, losses=CODES, **settings
    )
    config.plan = ("joint",)
    manifest = Manifest.load(path)
    network = networks.build(
        architecture(config, manifest.categories, manifest.offset_scale),
        axis_name=parallel.AXIS,
        augmentation={"flip": 0.5, "shift": 0.05},
        photo_augmentation={"scale": 0.1},
    )
    unseen = np.zeros(len(manifest.categories), bool)
    splits = {
        side: TrainingSplit(path, manifest, unseen, form)
        for side, form in network.architecture.forms.items()
    }
    supply = Supply(config, path, splits, tmp_path, Silent())
    parts = network.layers.parts_of, network.layers.head_parts()
    (only,) = stages.plan(config, *parts, lambda row: supply.order(row).blocks_per_epoch)
    return supply, network, only


@pytest.mark.parametrize("sampler", [{}, {"classes": 2, "each": 4}], ids=["pairs", "classes"])
def test_both_feeds_give_the_same_batches_in_step(folder, tmp_path, sampler):
    wanted = None
    for kind in ("stream", "resident"):
        supply, _, own = supply_of(folder, tmp_path, sampler=sampler)
        supply.config.data.feed = kind
        feed = supply.feed(own, position=3, detour=0)
        items = feed.take(2)
        first = jax.tree.map(lambda leaf: leaf[1, 1, 0], items)
        batch = feed.load(feed.held, first)
        sketches, photos = batch["sketch"], batch["photo"]
        assert sketches.label.shape == photos.label.shape == (2,)
        if sampler:
            np.testing.assert_array_equal(np.sort(sketches.label), np.sort(photos.label))
        else:
            np.testing.assert_array_equal(sketches.instance, photos.instance)
        assert (np.asarray(sketches.instance) >= 0).all()
        if wanted is not None:
            jax.tree.map(np.testing.assert_array_equal, wanted, batch)
        wanted = batch
        assert feed.position == 5
        feed.close()


def test_a_block_has_codes_of_both_sides_as_a_loop_makes_them(rasters, tmp_path):
    supply, network, own = supply_of(rasters, tmp_path)
    feed = supply.feed(own, position=0, detour=0)
    training = training_of(network, own, feed)
    state = state_of(network, training)
    block = jax.tree.map(lambda leaf: leaf[:, 0], feed.take(1))
    code = over_devices(
        lambda held, state, block: code_step(training, held, state, block)[0],
        inputs=(WHOLE, WHOLE, SPLIT),
        outputs=SPLIT,
    )
    codes = code(feed.held, state, block)["quantization"]
    apply = jax.jit(network.apply, static_argnums=2)
    for device, step in np.ndindex(4, own.inner_steps):
        item = jax.tree.map(lambda leaf, at=(device, step): leaf[at], block)
        batch = feed.load(feed.held, item)
        for side, output in (("sketch", "head"), ("photo", "photo_head")):
            features = apply(state.variables, batch[side].inputs, output).features
            clear = np.abs(np.asarray(features) - 0.5) > 1e-4  # rounding may turn the others
            wanted = (np.asarray(features) > 0.5)[clear]
            np.testing.assert_array_equal(np.asarray(codes[side][device, step])[clear], wanted)


def training_of(network, own, feed) -> Training:
    optimizer = stages.optimizer(own, weight_decay=1e-3, clip_norm=1.0)
    return Training(network, own, optimizer, parallel.average, 7, feed.load)


def state_of(network, training):
    return start(training.optimizer, training.stage, drawn_variables(network.shapes()), {})


def test_one_device_trains_like_four(rasters, tmp_path):
    supply, network, own = supply_of(rasters, tmp_path)
    feed = supply.feed(own, position=0, detour=0)
    training = training_of(network, own, feed)
    state = state_of(network, training)
    four = feed.take(2)
    one = jax.tree.map(joined, four)
    after, found = {}, {}
    for devices, blocks in ((4, four), (1, one)):
        run = compile_dispatch(training, feed.held, state, blocks, jax.devices()[:devices])
        after[devices], found[devices] = jax.block_until_ready(run(state, blocks))
    for name, values in found[4].items():
        np.testing.assert_allclose(values, found[1][name], rtol=2e-3, atol=2e-4, err_msg=name)
    for part in ("lines", "colours", "hash", "photo_hash", "classifier"):
        for a, b, before in zip(
            *(jax.tree.leaves(each.params[part]) for each in (after[4], after[1], state)),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, atol=3e-3)
            assert np.any(np.asarray(a) != np.asarray(before)), part


def joined(leaf: np.ndarray) -> np.ndarray:
    """[4 m k b/4 ...] as [1 m k b ...]: the whole batch for one device."""
    moved = np.moveaxis(leaf, 0, 2)
    return moved.reshape(1, *moved.shape[:2], -1, *moved.shape[4:])


def test_a_stage_of_photos_does_not_touch_the_sketches(rasters, tmp_path):
    supply, network, _ = supply_of(rasters, tmp_path)
    config = supply.config
    _, config.stages.joint = stage(
        "joint", trains=("photo_encoders", "photo_head"), inputs=("photo",)
    )
    parts = network.layers.parts_of, network.layers.head_parts()
    (own,) = stages.plan(config, *parts, lambda row: supply.order(row).blocks_per_epoch)
    assert [row.inputs for row in stage_rows(config)] == [("photo",)]
    feed = supply.feed(own, position=0, detour=0)
    training = training_of(network, own, feed)
    state, blocks = state_of(network, training), feed.take(1)
    after, _ = compile_dispatch(training, feed.held, state, blocks)(state, blocks)
    for part in ("lines", "hash"):
        assert_same_bits(state.params[part], after.params[part])
    assert_same_bits(state.batch_stats["lines"], after.batch_stats["lines"])
    moved = state.params["photo_hash"]["kernel"] != after.params["photo_hash"]["kernel"]
    assert np.asarray(moved).any()
