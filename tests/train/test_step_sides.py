"""A step of both sides: the batch statistics of both, and a teacher that sees what it sees."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_network import CLASSES, small_stage

from sketchjax.models.network import Output
from sketchjax.models.table import HEAD
from sketchjax.train.state import start
from sketchjax.train.step import Minibatch, Training, sketch_keys, theta_step

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


class Student:
    """Whose embedding is its input's sum times a weight; training adds the keys' sizes to it."""

    @staticmethod
    def seen_in_training(inputs, output, keys):
        return inputs + 100.0 * jax.vmap(jax.random.uniform)(keys)[:, None]

    @classmethod
    def apply_in_training(cls, variables, inputs, output, keys):
        seen = cls.seen_in_training(inputs, output, keys)
        embedding = seen * variables["params"]["drawn"]["kernel"]
        return Output(jnp.zeros((len(inputs), CLASSES)), activations=embedding), {}


class Doubling:
    """A teacher whose embedding is a multiple of what it sees."""

    @staticmethod
    def apply(variables, inputs, output):
        assert output == HEAD
        return Output(jnp.zeros((len(inputs), CLASSES)), activations=variables * inputs)


def test_teacher_and_student_see_the_same_augmented_inputs():
    """The loss is then the difference of the multiples, squared, times that of what both saw."""
    row = replace(small_stage("joint").row, losses={"distillation": {"weight": 1.0}})
    stage = replace(small_stage("joint"), row=row, parts=("drawn",), head_parts=())
    optimizer = optax.sgd(0.0)
    variables = {"params": {"drawn": {"kernel": jnp.float32(5.0)}}, "batch_stats": {}}
    training = Training(Student(), stage, optimizer, lambda values: values, 7, teacher=Doubling())
    state = start(optimizer, stage, variables, {})
    inputs = np.arange(8, dtype=np.float32).reshape(4, 2)
    places = np.arange(4, dtype=np.int32)
    batch = Minibatch(inputs, np.zeros(4, np.int32), places)
    _, metrics = theta_step(training, state, batch, {}, jnp.float32(2.0))
    seen = Student.seen_in_training(inputs, HEAD, sketch_keys(training, state.step, places))
    assert np.std(np.asarray(seen) - inputs) > 1
    assert metrics["distillation"] == pytest.approx(np.mean((3.0 * np.asarray(seen)) ** 2))
