"""Relative triplet loss and distillation against loops over the pairs, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.losses import mining, triplet
from sketchjax.losses.distillation import distillation
from sketchjax.losses.loss import LossInputs
from sketchjax.losses.objective import loss
from sketchjax.losses.pairs import Pairs
from sketchjax.losses.relative_triplet import relative_triplet
from sketchjax.losses.sides import merged
from sketchjax.losses.table import LOSSES, Outputs


@pytest.fixture(autouse=True, scope="module")
def quickly(environment):
    """Compile with little optimisation."""


KINDS = ("relative", "cosine", "photo", "none")
WEIGHTS = pytest.mark.parametrize("weights", KINDS)


def batch(seed, count=6, width=5):
    random = np.random.default_rng(seed)
    sketches, photos = random.normal(size=(2, count, width)).astype(np.float32)
    return sketches, photos


def squared(a, b):
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def cosine(a, b):
    product = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return product / np.sqrt(squared(a, 0 * a) * squared(b, 0 * b))


def loop(own, others, photos, together, other, weights, margin, mining, mean):
    """The definition, one triplet at a time: (sum of weighted terms) / (sum of weights)."""
    total = counted = 0.0
    for i in range(len(own)):
        negatives = [j for j in range(len(own)) if other[i][j] and together[i] and together[j]]
        largest = max((squared(own[i], own[j]) for j in negatives), default=0.0)
        for j in negatives:
            weight = {
                "relative": squared(own[i], own[j]) / (largest or 1),
                "cosine": 1 - max(0.0, cosine(own[i], own[j])),
                "photo": 1 - max(0.0, cosine(photos[i], photos[j])),
                "none": 1.0,
            }[weights]
            near, far = squared(own[i], others[i]), squared(own[i], others[j])
            if mining == "semi_hard" and far <= near:
                continue
            term = max(0.0, margin * len(own[i]) + near - far)
            total += weight * term
            counted += weight if mean == "all" or term > 0 else 0.0
    return total / counted if counted else 0.0


@WEIGHTS
@pytest.mark.parametrize("mean", ("all", "active"))
@pytest.mark.parametrize("mining", ("all", "semi_hard"))
@given(st.integers(0, 2**32 - 1), st.sampled_from(("sketch", "both")))
@settings(deadline=None, max_examples=4)
def test_it_is_its_definition(weights, mining, mean, seed, anchors):
    sketches, photos = batch(seed)
    random = np.random.default_rng(seed)
    together, other = random.random(6) < 0.8, random.random((6, 6)) < 0.7
    other &= ~np.eye(6, dtype=bool)
    own = {"weights": weights, "margin": 0.4, "mining": mining, "mean": mean}
    wanted = loop(sketches, photos, photos, together, other, **own)
    if anchors == "both":
        back = loop(photos, sketches, photos, together, other.T, **own)
        wanted = 0.5 * (wanted + back)
    found = relative_triplet(
        *map(jnp.asarray, (sketches, photos, together, other)), anchors=anchors, **own
    )
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("mode", ("all", "semi_hard"))
def test_without_weights_it_is_the_triplet_loss(mode, monkeypatch):
    """The loss of `triplet` over squared distances, its positives the photo of each sketch."""
    sketches, photos = batch(1, count=8)
    rows = jnp.concatenate([sketches, photos])
    squares = ((rows[:, None] - rows) ** 2).sum(-1)
    monkeypatch.setitem(mining.DISTANCES, "euclidean", lambda rows: squares)
    across = np.zeros((2, 16, 16), np.float32)
    across[0, :8, 8:], across[1, :8, 8:] = np.eye(8), 1 - np.eye(8)
    wanted = triplet.triplet(
        rows, Pairs(*jnp.asarray(across)), distance="euclidean", margin=0.3 * 5, mining=mode
    )
    found = relative_triplet(
        *map(jnp.asarray, (sketches, photos, np.ones(8, bool), ~np.eye(8, dtype=bool))),
        weights="none",
        margin=0.3,
        mining=mode,
        mean="active",
    )
    assert found == pytest.approx(float(wanted), rel=1e-5)


def whole(sketches, photos, **own):
    count = len(sketches)
    everything = np.ones(count, bool), ~np.eye(count, dtype=bool)
    return relative_triplet(*map(jnp.asarray, (sketches, photos, *everything)), **own)


@pytest.mark.parametrize("weights", ("relative", "cosine"))
def test_a_duplicated_sketch_is_no_negative(weights):
    """Its photo gets no push from the other copy: the loss does not depend on their distance."""
    sketches, photos = batch(2)
    sketches[1] = sketches[0]

    def push(photo, weights):
        moved = jnp.asarray(photos).at[1].set(photo)
        # Only the first sketch is an anchor.
        other = jnp.zeros((6, 6), bool).at[0, 1:].set(True)
        return relative_triplet(
            jnp.asarray(sketches), moved, jnp.ones(6, bool), other, weights=weights, margin=9.0
        )

    near = jax.grad(push)(jnp.asarray(sketches[0] + 0.1), weights)
    np.testing.assert_array_equal(near, 0)
    assert np.abs(jax.grad(push)(jnp.asarray(sketches[0] + 0.1), "none")).max() > 0.01


@WEIGHTS
def test_no_gradient_passes_through_the_weights(weights):
    """The gradient is that of the terms with constant weights."""
    sketches, photos = batch(3)
    found = jax.grad(lambda s: whole(s, photos, weights=weights, margin=1.0))(jnp.asarray(sketches))

    def held(moved):
        """The loop with the weights of the sketches as they are."""
        total = counted = 0.0
        for i in range(6):
            largest = max(squared(sketches[i], sketches[j]) for j in range(6) if j != i)
            for j in set(range(6)) - {i}:
                weight = {
                    "relative": squared(sketches[i], sketches[j]) / largest,
                    "cosine": 1 - max(0.0, cosine(sketches[i], sketches[j])),
                    "photo": 1 - max(0.0, cosine(photos[i], photos[j])),
                    "none": 1.0,
                }[weights]
                apart = squared(moved[i], photos[i]) - squared(moved[i], photos[j])
                total += weight * max(0.0, 5.0 + apart)
                counted += weight
        return total / counted

    wanted, step = np.zeros((6, 5)), 1e-5
    wide = sketches.astype(float)
    for place in np.ndindex(6, 5):
        ends = []
        for sign in (1, -1):
            moved = wide.copy()
            moved[place] += sign * step
            ends.append(held(moved))
        wanted[place] = (ends[0] - ends[1]) / (2 * step)
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_the_margin_grows_with_the_width():
    """Features repeated four times: all distances, and the loss, are four times as large."""
    sketches, photos = batch(4)
    wide = [np.tile(side, 4) for side in (sketches, photos)]
    assert whole(*wide) == pytest.approx(4 * float(whole(sketches, photos)), rel=1e-5)


@WEIGHTS
def test_equal_items_have_finite_gradients(weights):
    same = jnp.ones((4, 3))
    value, gradient = jax.value_and_grad(lambda s: whole(s, same, weights=weights))(same)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def sides(seed, instances, labels, teacher=False):
    random = np.random.default_rng(seed)

    def one(numbers):
        return LossInputs(
            logits=jnp.zeros((len(labels), 2)),
            labels=jnp.asarray(labels),
            activations=jnp.asarray(random.normal(size=(len(labels), 4)), jnp.float32),
            instances=jnp.asarray(numbers),
            teacher=jnp.asarray(random.normal(size=(len(labels), 4)), jnp.float32)
            if teacher
            else None,
        )

    return merged(one(instances), one(instances))


def test_a_pair_of_an_unknown_photo_has_no_triplet():
    own = {"margin": 5.0, "weights": "none"}
    seen = sides(0, [4, -1, 7, 9], [0, 0, 1, 1])._replace(settings=own)
    kept = np.array([0, 2, 3, 4, 6, 7])
    rest = seen._replace(
        **{name: getattr(seen, name)[kept] for name in ("logits", "labels", "activations")},
        instances=seen.instances[kept],
        sketches=3,
    )
    found = loss("relative_triplet").value
    assert found(seen) == pytest.approx(float(found(rest)), rel=1e-6)
    assert found(seen) > 0
    by_category = seen._replace(settings={**own, "match": "category"})
    assert found(by_category) != pytest.approx(float(found(seen)), rel=1e-3)


def test_two_sketches_of_one_photo_are_no_negatives():
    seen = sides(1, [4, 4], [0, 0])._replace(settings={"margin": 100.0})
    assert loss("relative_triplet").value(seen) == 0


def test_its_row_has_the_function_s_defaults():
    settings_of = {key: field.default for key, field in LOSSES["relative_triplet"].settings.items()}
    assert settings_of.pop("match") == "instance"
    assert relative_triplet.__kwdefaults__ == settings_of


def test_a_margin_beyond_the_unit_sphere_is_named():
    wrong = LOSSES["relative_triplet"].misfit
    assert wrong({"margin": 0.2}, Outputs("embedding", "batch_norm", 64)) == ""
    assert wrong({"margin": 0.06}, Outputs("embedding", "unit_length", 64)) == ""
    message = wrong({"margin": 0.2}, Outputs("embedding", "unit_length", 64))
    assert message.startswith("margin=0.2 cannot be reached: for each of 64 features")
    assert message.endswith("at most 0.0625 apart; take less")


def test_shapes_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match="as many sketches as photos"):
        relative_triplet(jnp.ones((3, 2)), jnp.ones((2, 2)), jnp.ones(3, bool), jnp.ones((3, 3)))
    with pytest.raises(ValueError, match="give both models one width"):
        distillation(jnp.ones((3, 2)), jnp.ones((3, 4)), jnp.ones(3, bool))


@pytest.mark.parametrize("target", ("same", "photo"))
def test_distillation_is_its_definition(target):
    """The second pair's photo is unknown, so with `photo` its sketch has no target."""
    seen = sides(2, [4, -1, 7], [0, 1, 1], teacher=True)._replace(settings={"target": target})
    student, teacher = np.asarray(seen.activations, float), np.asarray(seen.teacher, float)
    terms = []
    for row in range(6):
        aim = row + 3 if target == "photo" and row < 3 else row
        if not (target == "photo" and row == 1):
            terms.append(squared(student[row], teacher[aim]) / 4)
    assert loss("distillation").value(seen) == pytest.approx(np.mean(terms), rel=1e-5)


def test_the_teacher_gets_no_gradient():
    teacher = jax.grad(lambda t: distillation(jnp.ones((2, 3)), t, jnp.ones(2, bool)))
    np.testing.assert_array_equal(teacher(jnp.zeros((2, 3))), 0)


def test_a_batch_without_a_teacher_is_refused():
    with pytest.raises(ValueError, match="teacher's embeddings"):
        loss("distillation").value(sides(0, [1], [0]))
