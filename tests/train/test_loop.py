"""The loop around the dispatches: what it takes, reports and refuses, and that it can resume."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import CLASSES, POINTS, small_stage, small_state, small_training

from sketchjax.data.feed.batch import Batch
from sketchjax.data.feed.order import Order
from sketchjax.data.inputs import Strokes
from sketchjax.errors import NotFiniteError
from sketchjax.train.feed import StreamFeed, arrange
from sketchjax.train.loop import check_state, run_stage

K, BATCH = 3, 8


class NumberedFeed:
    """Blocks of K * BATCH sketches, each block random by its own number; some steps are poisoned.

    poisoned: (block, step) whose sketches have a class that does not exist, whose logit is NaN.
    """

    order = Order(1000, BATCH, K, (0,))
    held = ()
    load = staticmethod(StreamFeed.load)

    def __init__(self, position: int = 0, poisoned=()):
        self.position, self.poisoned = position, poisoned

    def block(self, number: int) -> Batch:
        rng = np.random.default_rng(number)
        size = K * BATCH
        label = rng.integers(0, CLASSES, size).astype(np.int32)
        for step in (step for block, step in self.poisoned if block == number):
            label[step * BATCH] = CLASSES
        points = rng.integers(0, 256, (size, POINTS, 3)).astype(np.uint8)
        strokes = Strokes.of(points, np.full(size, POINTS, np.int32))
        return Batch(strokes, label, np.arange(size, dtype=np.int32))

    def take(self, blocks: int):
        numbers = range(self.position, self.position + blocks)
        self.position += blocks
        return arrange([self.block(number) for number in numbers], self.order)


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


def run(setting: Setting, feed, **settings):
    return list(run_stage(setting.training, setting.state, feed, outer_steps=2, **settings))


def test_a_stage_runs_to_its_last_step(whole):
    assert [int(logged.state.step) for logged in whole.logged] == [6, 12, 18]
    assert whole.training.stage.steps == 18
    for logged in whole.logged:
        assert logged.sketches == 2 * K * BATCH
        assert 0 < logged.seconds < 60
        assert set(logged.metrics) >= {"loss", "accuracy", "cross_entropy", "quantization"}
        assert np.isfinite(list(logged.metrics.values())).all()
        assert (logged.skipped, logged.stopping) == (0, False)


def test_the_position_is_that_of_what_was_trained(whole):
    """Not of what is taken ahead."""
    assert [logged.position for logged in whole.logged] == [2, 4, 6]


def test_nothing_is_taken_beyond_the_last_step(whole):
    feed = NumberedFeed(4)
    assert len(list(run_stage(whole.training, whole.logged[1].state, feed, outer_steps=2))) == 1
    assert feed.position == 6
    assert list(run_stage(whole.training, whole.logged[2].state, feed, outer_steps=2)) == []
    assert feed.position == 6


def test_resuming_after_any_dispatch_ends_in_the_same_bits(whole):
    for before in whole.logged[:2]:
        feed = NumberedFeed(before.position)
        restored = jax.tree.map(jnp.asarray, jax.device_get(before.state))
        last = list(run_stage(whole.training, restored, feed, outer_steps=2))[-1]
        jax.tree.map(np.testing.assert_array_equal, last.state, whole.logged[-1].state)
        assert last.metrics == whole.logged[-1].metrics


def test_the_next_dispatch_starts_before_the_last_is_reported(whole):
    """Unless a stop was requested."""

    class Watch(list):
        def starts(self, first, end):
            self.append(("starts", first, end))

        def ended(self, end):
            self.append(("ended", end))

    seen = Watch()
    answers = iter([False, True, False])
    for logged in run_stage(
        whole.training,
        whole.state,
        NumberedFeed(),
        outer_steps=2,
        watch=seen,
        should_stop=lambda: next(answers),
    ):
        seen.append(("reported", int(logged.state.step), logged.stopping))
    assert seen == [
        ("starts", 0, 6),
        ("ended", 6),
        ("starts", 6, 12),
        ("reported", 6, False),
        ("ended", 12),
        ("reported", 12, True),
        ("starts", 12, 18),
        ("ended", 18),
        ("reported", 18, False),
    ]


def test_arrange_gives_every_sketch_its_place():
    """Sketch number s of a block is in step s // b; device d has the d-th part of each step."""
    feed = NumberedFeed()
    blocks = [feed.block(0), feed.block(1)]
    arranged = arrange(blocks, feed.order)
    own = BATCH // 4
    assert arranged.inputs.points.shape == (4, 2, K, own, POINTS, 3)
    for device in range(4):
        for m in range(2):
            for k in range(K):
                for i in range(own):
                    place = device * own + i
                    sketch = k * BATCH + place
                    at = (device, m, k, i)
                    assert arranged.place[at] == place
                    assert arranged.label[at] == blocks[m].label[sketch]
                    for found, given in zip(arranged.inputs, blocks[m].inputs, strict=True):
                        np.testing.assert_array_equal(found[at], given[sketch])


# --- what is not finite ----------------------------------------------------------------------


def test_a_step_that_is_not_finite_is_skipped_and_counted(whole):
    """The same as a stage without that step, but for its number and its noise."""
    found = run(whole, NumberedFeed(poisoned=[(2, 1)]), max_skipped=2)
    assert [logged.skipped for logged in found] == [0, 1, 0]
    for logged in found:
        assert np.isfinite(list(logged.metrics.values())).all()
        assert int(logged.state.skipped) == 0
        check_state(logged.state, "full")
    # Until then nothing differs, and then it does.
    jax.tree.map(np.testing.assert_array_equal, found[0].state, whole.logged[0].state)
    kernel = lambda logged: np.asarray(logged.state.params["hash"]["kernel"])  # noqa: E731
    assert (kernel(found[1]) != kernel(whole.logged[1])).any()


def test_a_skipped_step_changes_nothing_but_the_counts(whole):
    stage = small_stage("full", blocks=1, inner_steps=K)
    training = whole.training._replace(stage=stage)
    feed = NumberedFeed(poisoned=[(0, 0), (0, 1), (0, 2)])
    (found,) = run_stage(training, whole.state, feed, outer_steps=1, max_skipped=9)
    assert (int(found.state.step), int(found.state.skipped), found.skipped) == (3, 3, 3)
    before = whole.state.replace(step=found.state.step, skipped=found.state.skipped)
    jax.tree.map(np.testing.assert_array_equal, found.state, before)
    assert np.isnan(found.metrics["loss"])


def test_skips_in_a_row_end_the_stage_and_name_the_step(whole):
    """And its sketches."""
    feed = NumberedFeed(poisoned=[(0, 2), (1, 0), (1, 2), (2, 0), (2, 1)])
    message = r"stage full, step 7: .*, 3 steps in a row \(.*loss=nan.*learning_rate"
    found = []
    with pytest.raises(NotFiniteError, match=message) as caught:
        found.extend(run_stage(whole.training, whole.state, feed, outer_steps=2, max_skipped=3))
    assert caught.value.exit_code == 70
    # Two in a row across blocks 0 and 1 are let pass; the second dispatch is never reported.
    assert [(int(logged.state.step), logged.skipped) for logged in found] == [(6, 3)]
    np.testing.assert_array_equal(caught.value.records, feed.order.indices(2)[1])


def test_the_count_in_a_row_continues_after_a_restart(whole):
    feed = NumberedFeed(poisoned=[(1, 1), (1, 2), (2, 0)])
    first = next(run_stage(whole.training, whole.state, feed, outer_steps=2, max_skipped=3))
    assert int(first.state.skipped) == 2
    restored = jax.tree.map(jnp.asarray, jax.device_get(first.state))
    with pytest.raises(NotFiniteError, match="stage full, step 6"):
        next(
            run_stage(
                whole.training,
                restored,
                NumberedFeed(first.position, feed.poisoned),
                outer_steps=2,
                max_skipped=3,
            )
        )


def test_a_state_that_is_not_finite_is_refused_by_name(whole):
    check_state(whole.state, "full")
    params = jax.tree.map(np.copy, whole.state.params)
    params["hash"]["kernel"][0, 0] = np.inf
    with pytest.raises(NotFiniteError, match="stage full, step 0: params/hash/kernel"):
        check_state(whole.state.replace(params=params), "full")
    stats = {"cnn": {"mean": jnp.full(5, jnp.nan)}}
    with pytest.raises(NotFiniteError, match="batch_stats/cnn/mean"):
        check_state(whole.state.replace(batch_stats=stats), "full")
