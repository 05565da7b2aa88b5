"""A step of both sides moves the batch statistics of both."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
from small_network import CLASSES, small_stage

from sketchjax.models.network import Output
from sketchjax.models.table import HEAD
from sketchjax.train.state import start
from sketchjax.train.step import Minibatch, Training, theta_step

PARTS = ("drawn", "seen", "both")


class TwoSides:
    """One part of each side and one of both, whose statistic counts the sum of what it saw."""

    @staticmethod
    def apply_in_training(variables, inputs, output, keys):
        own, side = ("drawn", "sketch") if output == HEAD else ("seen", "photo")
        # As flax does: all statistics, those of this side moved.
        found = {part: dict(kept) for part, kept in variables["batch_stats"].items()}
        found[own]["sum"] += inputs.sum()
        found["both"][side] += inputs.sum()
        params = variables["params"]
        logits = inputs[:, None] * params[own]["kernel"] * params["both"]["kernel"]
        return Output(logits), found


def test_each_side_keeps_the_statistics_of_the_other():
    row = replace(small_stage("joint").row, inputs=("sketch", "photo"))
    stage = replace(small_stage("joint"), row=row, parts=PARTS, head_parts=())
    optimizer = optax.sgd(0.1)
    variables = {
        "params": {part: {"kernel": jnp.ones(CLASSES)} for part in PARTS},
        "batch_stats": {
            "drawn": {"sum": jnp.zeros(())},
            "seen": {"sum": jnp.zeros(())},
            "both": {"sketch": jnp.zeros(()), "photo": jnp.zeros(())},
        },
    }
    training = Training(TwoSides(), stage, optimizer, lambda values: values, 7)
    state = start(optimizer, stage, variables, {})
    sketches, photos = np.arange(4, dtype=np.float32), np.arange(10, 14, dtype=np.float32)
    places = np.arange(4, dtype=np.int32)
    batch = {
        side: Minibatch(values, np.zeros(4, np.int32), places, places)
        for side, values in (("sketch", sketches), ("photo", photos))
    }
    after, _ = jax.jit(lambda state: theta_step(training, state, batch, {}))(state)
    expected = {
        "drawn": {"sum": sketches.sum()},
        "seen": {"sum": photos.sum()},
        "both": {"sketch": sketches.sum(), "photo": photos.sum()},
    }
    assert jax.tree.map(float, after.batch_stats) == jax.tree.map(float, expected)
