"""Distillation: a student's embeddings are to be those of a frozen teacher.

Seddati et al. 2023 distil both encoders of a sketch and photo model; their abstract does not say
how, so this regression of embeddings is a reconstruction. Batch-normalised embeddings have a
variance of 1 in each feature, so no temperature is needed.
"""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss, LossInputs
from sketchjax.losses.pairs import mean_where
from sketchjax.losses.sides import paired


def distillation(student: jax.Array, teacher: jax.Array, counted: jax.Array) -> jax.Array:
    """Mean over items and features of (z - t)²; no gradient passes to the teacher.

    student: z f[b d].
    teacher: t f[b d].
    counted: bool[b], the items that have a target.
    Returns f[]; 0 where nothing has a target.
    Raises ValueError when student and teacher differ in shape.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's embeddings {student.shape} and the teacher's {teacher.shape} differ; "
            "give both models one width"
        )
    target = jax.lax.stop_gradient(teacher.astype(jnp.float32))
    each = ((student.astype(jnp.float32) - target) ** 2).mean(-1)
    return mean_where(each, counted)


def _of_batch(seen: LossInputs) -> jax.Array:
    if seen.teacher is None:
        raise ValueError("distillation needs a teacher's embeddings of the batch")
    everything = jnp.ones(len(seen.labels), bool)
    if seen.settings.get("target", "same") == "same":
        return distillation(seen.activations, seen.teacher, everything)
    pairs = paired(seen, "instance")
    photo = pairs.photo.teacher
    counted = jnp.concatenate([pairs.together, jnp.ones(len(photo), bool)])
    return distillation(seen.activations, jnp.concatenate([photo, photo]), counted)


LOSS = Loss(_of_batch)
