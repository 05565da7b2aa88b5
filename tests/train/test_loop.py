"""The loop around the dispatches: what it reads, tells and refuses, and that it can go on."""

import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import CLASSES, POINTS, small_stage, small_state, small_training

from sketchjax.data.feed import Batch
from sketchjax.errors import NotFiniteError
from sketchjax.train.loop import arrange, check_state, run_stage

K, BATCH = 3, 8


class NumberedFeed:
    """Blocks of K * BATCH sketches, each block random by its own number; its state is the next."""

    def __init__(self, number: int = 0):
        self.number = number

    def __next__(self) -> Batch:
        rng = np.random.default_rng(self.number)
        self.number += 1
        size = K * BATCH
        return Batch(
            points=rng.integers(0, 256, (size, POINTS, 3)).astype(np.uint8),
            length=np.full(size, POINTS, np.int32),
            label=rng.integers(0, CLASSES, size).astype(np.int32),
            index=np.arange(size, dtype=np.int32),
        )

    def get_state(self):
        return {"next": self.number}


class Setting(NamedTuple):
    training: object
    state: object
    logged: list


@pytest.fixture(scope="module")
def whole():
    """Stage 5 with the small network, from its first to its last step: 6 blocks, 2 a dispatch."""
    training = small_training(small_stage("full", blocks=6, inner_steps=K))
    state = small_state(training)
    return Setting(training, state, list(run_stage(training, state, NumberedFeed(), outer_steps=2)))


def test_a_stage_runs_to_its_last_step(whole):
    assert [int(logged.state.step) for logged in whole.logged] == [6, 12, 18]
    assert whole.training.stage.steps == 18
    for logged in whole.logged:
        assert logged.sketches == 2 * K * BATCH
        assert 0 < logged.seconds < 60
        assert set(logged.metrics) >= {"loss", "accuracy", "cross_entropy", "quantization"}
        assert np.isfinite(list(logged.metrics.values())).all()


def test_the_feed_state_is_that_of_what_is_trained_not_of_what_is_read_ahead(whole):
    assert [logged.feed_state for logged in whole.logged] == [{"next": n} for n in (2, 4, 6)]


def test_nothing_is_read_beyond_the_last_step(whole):
    feed = NumberedFeed(4)
    assert len(list(run_stage(whole.training, whole.logged[1].state, feed, outer_steps=2))) == 1
    assert feed.number == 6
    assert list(run_stage(whole.training, whole.logged[2].state, feed, outer_steps=2)) == []
    assert feed.number == 6


def test_going_on_from_any_dispatch_ends_in_the_same_bits(whole):
    for before in whole.logged[:2]:
        feed = NumberedFeed(before.feed_state["next"])
        restored = jax.tree.map(jnp.asarray, jax.device_get(before.state))
        last = list(run_stage(whole.training, restored, feed, outer_steps=2))[-1]
        jax.tree.map(np.testing.assert_array_equal, last.state, whole.logged[-1].state)
        assert last.metrics == whole.logged[-1].metrics


def test_arrange_gives_every_sketch_its_place():
    """Sketch number s of a block is in step s // b; device d has the d-th part of each step."""
    feed = NumberedFeed()
    blocks = [next(feed), next(feed)]
    arranged = arrange(blocks, K, devices=4)
    own = BATCH // 4
    assert arranged.points.shape == (4, 2, K, own, POINTS, 3)
    for device in range(4):
        for m in range(2):
            for k in range(K):
                for i in range(own):
                    place = device * own + i
                    sketch = k * BATCH + place
                    at = (device, m, k, i)
                    assert arranged.place[at] == place
                    assert arranged.label[at] == blocks[m].label[sketch]
                    np.testing.assert_array_equal(arranged.points[at], blocks[m].points[sketch])


def test_a_loss_that_is_not_finite_ends_the_stage_and_names_the_step(whole):
    class Poisoned(NumberedFeed):
        """Its third block has a class that does not exist, whose logit is NaN."""

        def __next__(self):
            batch = super().__next__()
            if self.number == 3:
                batch.label[BATCH] = CLASSES  # in the block's second step
            return batch

    told = []
    message = re.escape("stage full, step 7: the loss is not finite") + r".*loss=nan.*learning_rate"
    with pytest.raises(NotFiniteError, match=message) as caught:
        told.extend(run_stage(whole.training, whole.state, Poisoned(), outer_steps=2))
    assert caught.value.exit_code == 70
    assert [int(logged.state.step) for logged in told] == [6]


def test_a_state_that_is_not_finite_is_refused_by_name(whole):
    check_state(whole.state, "full")
    params = jax.tree.map(lambda leaf: leaf, whole.state.params)
    params["hash"]["kernel"] = params["hash"]["kernel"].at[0, 0].set(jnp.inf)
    with pytest.raises(NotFiniteError, match="stage full, step 0: params/hash/kernel"):
        check_state(whole.state.replace(params=params), "full")
    stats = {"cnn": {"mean": jnp.full(5, jnp.nan)}}
    with pytest.raises(NotFiniteError, match="batch_stats/cnn/mean"):
        check_state(whole.state.replace(batch_stats=stats), "full")
