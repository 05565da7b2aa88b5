"""One step, one outer iteration, one dispatch: pure functions, from the inside out.

SketchMate's Algorithm 1, lines 6 to 10: a block is k batches in which no sketch appears twice. Its
codes are computed with the parameters fixed, then k steps update the parameters with the codes
fixed. As no sketch appears twice within a block, recomputing the block's codes equals recomputing
all codes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from sketchjax import parallel
from sketchjax.data.inputs import SIDES, SKETCH
from sketchjax.losses.loss import LossInputs
from sketchjax.losses.objective import figures, joins_devices, moved, objective, recoded
from sketchjax.losses.sides import merged
from sketchjax.losses.table import LOSSES
from sketchjax.models.network import Network
from sketchjax.models.table import HEAD, of_side
from sketchjax.train.stages import Stage
from sketchjax.train.state import State, trained_params
from sketchjax.train.vectors import as_tree, vectors


class Minibatch(NamedTuple):
    """The part of a side's batch on one device.

    inputs: what the encoders read, such as `Strokes`.
    label: i32[b].
    place: i32[b], each item's place in the side's batch over all devices.
    instance: i32[b], the photo that each item is or draws, -1 where unknown; None in a stage that
      reads one side.
    """

    inputs: Any
    label: jax.Array
    place: jax.Array
    instance: Any = None


# The batch of a stage that reads one side, or of each side, the sketches first.
Batches = Minibatch | Mapping[str, Minibatch]


def as_given(held: Any, item: Batches) -> Batches:
    """An item of the feed that is a batch already."""
    return item


class Training(NamedTuple):
    """What is fixed during a stage.

    network: whose variables are trained.
    stage: of the plan.
    optimizer: of the stage.
    average: the mean over devices.
    seed: of the run.
    load: (what the devices hold, an item of the feed) -> the batch, as `Feed.load`.
    join: from each device's part f[b ...] to the array of all devices.
    teacher: the network that the stage's losses imitate; None where they imitate none.
    """

    network: Network
    stage: Stage
    optimizer: optax.GradientTransformation
    average: Callable
    seed: int
    load: Callable[[Any, Any], Batches] = as_given
    join: Callable = parallel.joined
    teacher: Network | None = None

    def by_side(self, batch: Batches) -> Mapping[str, Minibatch]:
        """The batch of each side that the stage reads."""
        if isinstance(batch, Minibatch):
            return {self.stage.row.inputs[0]: batch}
        return {side: batch[side] for side in self.stage.row.inputs}


class Held(NamedTuple):
    """What the devices hold during a stage with a teacher.

    data: of the feed.
    teacher: the variables of the teacher.
    """

    data: Any
    teacher: Any


def sketch_keys(training: Training, step: jax.Array, place: jax.Array) -> jax.Array:
    """One PRNG key per sketch from (seed, stage, step, place): no random state is carried along.

    step: i32[] of the stage.
    place: i32[b], in the batch over all devices.
    """
    key = jax.random.fold_in(jax.random.key(training.seed), training.stage.row.number)
    key = jax.random.fold_in(key, step)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, place)


def features_step(
    training: Training, state: State, batch: Minibatch, side: str = SKETCH
) -> jax.Array:
    """The head's features f[b d] of a side's batch, without augmentation and dropout."""
    output = training.network.apply(state.variables, batch.inputs, of_side(HEAD, side))
    assert output.features is not None, "the head has features"
    return output.features


def code_step(
    training: Training, held: Any, state: State, block: Any
) -> tuple[dict[str, Any], State]:
    """The codes of a block with the parameters fixed, by the name of their loss.

    held: what the devices hold of the data.
    block: k items of the feed.
    Returns f[k b d] for each loss, or that of each side; and the state with what the losses
    remember of these codes.
    """
    losses = training.stage.row.losses
    if not any(LOSSES[name].makes_codes for name in losses):
        return {}, state

    def look(item: Any) -> dict[str, LossInputs]:
        return {
            side: LossInputs(
                logits=None,
                labels=batch.label,
                features=features_step(training, state, batch, side),
                instances=batch.instance,
            )
            for side, batch in training.by_side(training.load(held, item)).items()
        }

    found = lax.map(look, block)
    flat = jax.tree.map(lambda each: each.reshape(-1, *each.shape[2:]), found)
    codes, memories = recoded(losses, as_one(flat), state.memories, training.average)
    sides = training.stage.row.inputs
    shapes = [found[side].features.shape for side in sides]
    parted = {name: _parted(each, shapes) for name, each in codes.items()}
    state = state.replace(memories=memories)
    if len(sides) == 1:
        return {name: each for name, (each,) in parted.items()}, state
    return {name: dict(zip(sides, each, strict=True)) for name, each in parted.items()}, state


def as_one(sides: Mapping[str, LossInputs]) -> LossInputs:
    """What the losses see of the sides: that of the only one, or both as one batch."""
    ordered = [sides[side] for side in SIDES if side in sides]
    return merged(*ordered) if len(ordered) == 2 else ordered[0]


def _parted(rows: jax.Array, shapes: list[tuple[int, ...]]) -> list[jax.Array]:
    """The rows f[n d] cut into arrays of these shapes [k b d], one after the other."""
    ends = np.cumsum([shape[0] * shape[1] for shape in shapes])[:-1]
    return [each.reshape(shape) for each, shape in zip(jnp.split(rows, ends), shapes, strict=True)]


def theta_step(
    training: Training,
    state: State,
    batch: Batches,
    codes: dict[str, Any],
    frozen: Any = None,
) -> tuple[State, dict[str, jax.Array]]:
    """One update of the parameters with the codes fixed.

    batch: on this device.
    codes: f[b d], or that of each side, by the name of their loss.
    frozen: the variables of the teacher, in a stage that has one.
    Returns the new state, and metrics f[], means over all devices. A step whose loss or gradient is
    not finite is skipped: it changes nothing but the counts.
    """
    row = training.stage.row

    def loss_of(parts: dict):
        variables = state.variables | {"params": state.params | parts}
        sides, accuracies = {}, []
        for side, own in training.by_side(batch).items():
            keys = sketch_keys(training, state.step, own.place)
            output, changed = training.network.apply_in_training(
                variables, own.inputs, training.stage.output(side), keys
            )
            sides[side] = LossInputs(
                output.logits,
                own.label,
                output.features,
                output.activations,
                instances=own.instance,
                teacher=_taught(training, frozen, own.inputs, side, keys),
            )
            # The next side starts from these: what it returns has the statistics of all parts.
            variables["batch_stats"] = variables["batch_stats"] | changed
            accuracies.append((output.logits.argmax(-1) == own.label).mean())
        own_codes = codes
        if joins_devices(row.losses):
            # The average of the devices' gradients is then the gradient of the joined batch.
            sides, own_codes = jax.tree.map(training.join, (sides, codes))
        if len(sides) == 2:
            own_codes = {
                name: jnp.concatenate([each[side] for side in row.inputs])
                for name, each in own_codes.items()
            }
        seen = as_one(sides)._replace(progress=state.step / training.stage.steps)
        loss, terms = objective(row.losses, seen, state.memories, own_codes)
        memories = moved(row.losses, seen, state.memories)
        accuracy = sum(accuracies) / len(accuracies)
        metrics = terms | figures(memories) | {"loss": loss}
        if training.stage.classifies:
            metrics |= {"accuracy": accuracy}
        return loss, (metrics, variables["batch_stats"], memories)

    parts = trained_params(state.params, training.stage)
    gradients, (metrics, batch_stats, memories) = jax.grad(loss_of, has_aux=True)(parts)
    # Array by array: the exchange of the last layers' can begin while the others are computed.
    gradients, metrics = training.average((gradients, metrics))
    return _updated(training, state, gradients, metrics, batch_stats, memories)


def _updated(
    training: Training,
    state: State,
    gradients: dict,
    metrics: dict[str, jax.Array],
    batch_stats: dict,
    memories: dict,
) -> tuple[State, dict[str, jax.Array]]:
    """The state after a step, and its metrics with the count of skipped steps.

    gradients, metrics: means over all devices.
    batch_stats, memories: as the step leaves them, if it is not skipped.
    """
    stage = training.stage
    parts = trained_params(state.params, stage)
    gradients, before = vectors(gradients, stage.head_parts), vectors(parts, stage.head_parts)
    updates, optimizer = training.optimizer.update(gradients, state.optimizer, before)
    sound = jnp.isfinite(metrics["loss"]) & jnp.isfinite(optax.tree.norm(gradients))
    skipped = jnp.where(sound, 0, state.skipped + 1)
    # Adding -0 changes no number, not even 0.
    updates = jax.tree.map(lambda update: jnp.where(sound, update, -0.0), updates)
    changed = optax.apply_updates(parts, as_tree(updates, parts, stage.head_parts))
    # The statistics of a part belong to it: where it is not trained, they stay too.
    own = {part: each for part, each in batch_stats.items() if part in stage.parts}
    batch_stats, optimizer, memories = jax.tree.map(
        partial(jnp.where, sound),
        (state.batch_stats | own, optimizer, memories),
        (state.batch_stats, state.optimizer, state.memories),
    )
    after = State(
        step=state.step + 1,
        skipped=skipped,
        params=state.params | cast(dict, changed),
        batch_stats=batch_stats,
        optimizer=optimizer,
        memories=memories,
    )
    return after, metrics | {"skipped": skipped}


def _taught(
    training: Training, frozen: Any, inputs: Any, side: str, keys: jax.Array
) -> jax.Array | None:
    """The teacher's embeddings f[b e] of the augmented inputs that the student sees."""
    if training.teacher is None:
        return None
    seen = training.network.seen_in_training(inputs, training.stage.output(side), keys)
    output = training.teacher.apply(frozen, seen, of_side(HEAD, side))
    assert output.activations is not None, "the head has activations"
    return output.activations


def outer_iteration(
    training: Training, held: Any, state: State, block: Any
) -> tuple[State, dict[str, jax.Array]]:
    """A block of k items [k ...]: its codes once, then k steps with them; metrics f[k]."""
    data, frozen = held if isinstance(held, Held) else (held, None)
    codes, state = code_step(training, data, state, block)

    def step(state: State, now):
        item, codes = now
        return theta_step(training, state, training.load(data, item), codes, frozen)

    return lax.scan(step, state, (block, codes))


def dispatch(
    training: Training, held: Any, state: State, blocks: Any
) -> tuple[State, dict[str, jax.Array]]:
    """m outer iterations over blocks of items [m k ...]; metrics f[m k].

    held: what the devices hold of the data, from which `training.load` makes an item's batch, or
      `Held` in a stage with a teacher.
    """
    return lax.scan(partial(outer_iteration, training, held), state, blocks)
