"""The hashing objectives against their published formulas as loops in f64, one term at a time."""

import importlib
import inspect
import itertools
import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as run_settings
from hypothesis import strategies as st

from sketchjax.losses.loss import LossInputs
from sketchjax.losses.mds import log_chances
from sketchjax.losses.objective import loss
from sketchjax.losses.table import LOSSES
from sketchjax.losses.targets import class_targets

BITS, CLASSES = 8, 3


def softplus(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a, b):
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def sign(x):
    return 1 if x > 0 else -1


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def pair_lists(labels):
    pairs = list(itertools.combinations(range(len(labels)), 2))
    same = [(i, j) for i, j in pairs if labels[i] == labels[j]]
    return same, [pair for pair in pairs if pair not in same]


def minus_log_softmax(logits, label):
    return math.log(sum(math.exp(x - logits[label]) for x in logits))


def loop_orthohash(u, y, targets, logits, progress, kind, scale, margin):
    total = []
    for row, label in zip(u, y, strict=True):
        scores = []
        for c, target in enumerate(targets):
            value = cosine(row, target)
            if c == label:
                value = value - margin if kind == "cos" else math.cos(math.acos(value) + margin)
            scores.append((scale or math.sqrt(len(row))) * value)
        total.append(minus_log_softmax(scores, label))
    return mean(total)


def loop_csq(u, y, targets, logits, progress, alpha):
    total = []
    for row, label in zip(u, y, strict=True):
        for x, target in zip(row, targets[label], strict=True):
            chance, wanted = 0.5 * (math.tanh(x) + 1), 0.5 * (target + 1)
            total.append(-wanted * math.log(chance) - (1 - wanted) * math.log(1 - chance))
            total[-1] += alpha * (abs(math.tanh(x)) - 1) ** 2
    return mean(total)


def loop_dpn(u, y, targets, logits, progress, margin, alpha):
    return mean(
        max(margin - x * target, 0) + alpha * x * x
        for row, label in zip(u, y, strict=True)
        for x, target in zip(row, targets[label], strict=True)
    )


def loop_mds(u, y, targets, logits, progress, scale, alpha, beta):
    centers = []
    for row, label in zip(u, y, strict=True):
        scores = [(scale or math.sqrt(len(row))) * cosine(row, target) for target in targets]
        chances = [math.exp(-minus_log_softmax(scores, c)) for c in range(len(targets))]
        centers += [
            -math.log(chance if c == label else 1 - chance) for c, chance in enumerate(chances)
        ]
    same, _ = pair_lists(y)
    pairs = mean(softplus(0.5 * (1 - cosine(u[i], u[j]))) for i, j in same)
    return mean(centers) + beta * pairs + alpha * mean((abs(x) - 1) ** 2 for row in u for x in row)


def loop_greedy_hash(u, y, targets, logits, progress, alpha):
    entropy = mean(minus_log_softmax(row, label) for row, label in zip(logits, y, strict=True))
    return entropy + alpha * mean(abs(abs(x) - 1) ** 3 for row in u for x in row)


def loop_hashnet(u, y, targets, logits, progress, alpha, growth):
    """Each pair's likelihood times the number of pairs over that of its kind."""
    codes = [[math.tanh(math.sqrt(1 + growth * progress) * x) for x in row] for row in u]
    kinds = pair_lists(y)
    total, count = 0.0, sum(map(len, kinds))
    for similar, pairs in zip((1, 0), kinds, strict=True):
        for i, j in pairs:
            likeness = (alpha or 10 / len(u[0])) * dot(codes[i], codes[j])
            total += count / len(pairs) * (softplus(likeness) - similar * likeness)
    return total / count


def loop_bihalf(u, y, targets, logits, progress, gamma):
    codes = np.full(np.shape(u), -1.0)
    for bit in range(len(u[0])):
        for place in sorted(range(len(u)), key=lambda i: -u[i][bit])[: len(u) // 2]:
            codes[place, bit] = 1.0
    same, other = pair_lists(y)
    pairs = [(cosine(codes[i], codes[j]) - 1) ** 2 for i, j in same]
    pairs += [cosine(codes[i], codes[j]) ** 2 for i, j in other]
    return mean(pairs) + gamma / 2 * mean(((np.array(u) - codes) ** 2).ravel())


def loop_dpsh(u, y, targets, logits, progress, alpha):
    same, other = pair_lists(y)
    pairs = [softplus(0.5 * dot(u[i], u[j])) - 0.5 * dot(u[i], u[j]) for i, j in same]
    pairs += [softplus(0.5 * dot(u[i], u[j])) for i, j in other]
    return mean(pairs) + alpha * mean((x - sign(x)) ** 2 for row in u for x in row)


def loop_dtsh(u, y, targets, logits, progress, margin, alpha):
    anchors = []
    for q in range(len(u)):
        triplets = [
            -math.log(1 / (1 + math.exp(margin - dot(u[q], u[p]) + dot(u[q], u[n]))))
            for p in range(len(u))
            for n in range(len(u))
            if p != q and y[p] == y[q] != y[n]
        ]
        if triplets:
            anchors.append(mean(triplets))
    return mean(anchors) + alpha * mean((x - sign(x)) ** 2 for row in u for x in row)


LOOPS = {
    "orthohash": loop_orthohash,
    "csq": loop_csq,
    "dpn": loop_dpn,
    "mds": loop_mds,
    "greedy_hash": loop_greedy_hash,
    "hashnet": loop_hashnet,
    "bihalf": loop_bihalf,
    "dpsh": loop_dpsh,
    "dtsh": loop_dtsh,
}
# Settings other than the defaults, which are tried as well.
OTHERS = {
    "orthohash": {"kind": "arc", "scale": 5.0, "margin": 0.3, "targets": "bernoulli"},
    "csq": {"alpha": 0.5, "targets": "bernoulli"},
    "dpn": {"margin": 0.7, "alpha": 0.1, "targets": "hadamard"},
    "mds": {"scale": 4.0, "alpha": 0.3, "beta": 0.2, "targets": "bernoulli"},
    "greedy_hash": {"alpha": 1.0},
    "hashnet": {"alpha": 0.3, "growth": 3.0},
    "bihalf": {"gamma": 2.0},
    "dpsh": {"alpha": 0.7},
    "dtsh": {"margin": 2.0, "alpha": 0.3},
}
ALL = pytest.mark.parametrize("name", [*LOOPS, "tie_aware"])


def usual(name):
    """The defaults of a row, without what only batches of two sides have."""
    rows = LOSSES[name].settings.items()
    return {key: field.default for key, field in rows if key not in ("compare", "match")}


def inputs(seed, name, batch=7, spread=1.0, **others):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.resize(np.arange(CLASSES), batch)).astype(np.int32)
    return LossInputs(
        logits=random.normal(size=(batch, CLASSES)).astype(np.float32),
        labels=jnp.asarray(labels),  # which a loss reads at places that jax chooses
        activations=(random.normal(size=(batch, BITS)) * spread).astype(np.float32),
        progress=np.float32(0.25),
        settings=usual(name) | others,
    )


@pytest.fixture(autouse=True, scope="module")
def quickly(environment):
    """Compile with little optimisation."""


@pytest.mark.parametrize("name", LOOPS)
@given(st.integers(0, 2**32 - 1), st.sampled_from((0.3, 1.0, 2.0)), st.booleans())
@run_settings(deadline=None, max_examples=12)
def test_a_loss_is_its_published_formula(name, seed, spread, usual_settings):
    seen = inputs(seed, name, spread=spread, **({} if usual_settings else OTHERS[name]))
    own = dict(seen.settings)
    kind = own.pop("targets", "bernoulli")
    wanted = LOOPS[name](
        np.asarray(seen.activations, float).tolist(),
        np.asarray(seen.labels).tolist(),
        class_targets(CLASSES, BITS, kind).tolist(),
        np.asarray(seen.logits, float).tolist(),
        0.25,
        **own,
    )
    found, _ = compiled(name, not usual_settings)(seen.activations, seen.logits, seen.labels)
    assert found == pytest.approx(wanted, rel=2e-5, abs=1e-5)


@ALL
def test_defaults_of_a_function_are_those_of_its_row(name):
    """Whoever calls a loss by itself gets what a config gets."""
    function = getattr(importlib.import_module(f"sketchjax.losses.{name}"), name)
    parameters = inspect.signature(function).parameters
    given = {key: own.default for key, own in parameters.items() if own.kind is own.KEYWORD_ONLY}
    assert given == {key: own for key, own in usual(name).items() if key != "targets"}


@cache
def compiled(name, other):
    """Value and gradients of a loss, with its defaults or with other settings."""
    own = usual(name) | (OTHERS.get(name, {"form": "simplified", "bins": 4.0}) if other else {})

    def of(activations, logits, labels):
        seen = LossInputs(
            logits, labels, activations=activations, progress=jnp.float32(0.25), settings=own
        )
        return loss(name).value(seen)

    return jax.jit(jax.value_and_grad(of, (0, 1)))


@ALL
@pytest.mark.parametrize("case", ["large", "equal", "zero", "one class", "all classes differ"])
def test_gradients_are_finite(name, case):
    random = np.random.default_rng(1)
    u = random.normal(size=(6, BITS)).astype(np.float32)
    u = {"large": 50 * np.sign(u), "equal": np.full_like(u, 0.7), "zero": 0 * u}.get(case, u)
    labels = np.resize(np.arange(CLASSES), 6)
    labels = {"one class": np.ones(6, int), "all classes differ": np.arange(6)}.get(case, labels)
    logits = random.normal(size=(6, 6)).astype(np.float32)
    for other in (False, True):
        value, gradients = compiled(name, other)(u, logits, labels)
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@ALL
def test_a_fixed_batch_is_learned(name):
    """Plain gradient descent on the activations and the logits."""
    seen = inputs(2, name, batch=12)

    def of(outputs):
        return loss(name).value(seen._replace(activations=outputs[0], logits=outputs[1]))

    def step(_, outputs):
        return jax.tree.map(lambda x, slope: x - 0.5 * slope, outputs, jax.grad(of)(outputs))

    @jax.jit
    def learned(first):
        return of(jax.lax.fori_loop(0, 60, step, first)), of(first)

    last, first = learned((seen.activations, seen.logits))
    assert last < first - 0.02


@ALL
def test_bfloat16_is_summed_in_float32(name):
    seen = inputs(3, name)
    rough = seen.activations.astype(jnp.bfloat16)
    value = jax.jit(lambda u: loss(name).value(seen._replace(activations=u)))
    found = value(rough)
    assert found.dtype == jnp.float32
    assert found == pytest.approx(float(value(rough.astype(np.float32))), rel=1e-5)


@ALL
def test_shapes_that_would_broadcast_are_refused(name):
    seen = inputs(4, name)
    with pytest.raises(ValueError, match="differ in b"):
        loss(name).value(seen._replace(labels=seen.labels[:1]))
    if LOSSES[name].pairs:
        one = seen._replace(labels=seen.labels[:1], activations=seen.activations[:1])
        with pytest.raises(ValueError, match="at least two"):
            loss(name).value(one)


def test_hashnet_sharpens_from_a_tanh_towards_the_sign():
    seen = inputs(5, "hashnet")
    codes = seen._replace(activations=1000 * seen.activations)
    values = [
        float(loss("hashnet").value(seen._replace(progress=jnp.float32(done))))
        for done in (0.0, 0.5, 1.0)
    ]
    plain = seen._replace(settings={"alpha": 0.0, "growth": 0.0}, progress=None)
    plain = plain._replace(progress=jnp.float32(0.7))
    assert values[0] == pytest.approx(float(loss("hashnet").value(plain)))
    at_the_sign = float(loss("hashnet").value(codes))
    away = [abs(each - at_the_sign) for each in values]
    assert away[0] > away[1] > away[2] > 0


def test_bihalf_has_the_published_gradient():
    """That of the codes, passed on whole, plus γ (u - b) over their number."""
    seen = inputs(6, "bihalf", batch=6)
    u, y = np.asarray(seen.activations, float), np.asarray(seen.labels)
    order = np.argsort(-u, axis=0)
    codes = np.full(u.shape, -1.0)
    np.put_along_axis(codes, order[:3], 1.0, axis=0)

    def away(b):
        total = []
        for i, j in itertools.combinations(range(6), 2):
            total.append((cosine(b[i], b[j]) - (y[i] == y[j])) ** 2)
        return mean(total)

    wanted = 6.0 * (u - codes) / u.size
    for place in np.ndindex(u.shape):
        step = np.zeros(u.shape)
        step[place] = 1e-6
        wanted[place] += (away(codes + step) - away(codes - step)) / 2e-6
    found = jax.jit(jax.grad(lambda u: loss("bihalf").value(seen._replace(activations=u))))(
        seen.activations
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_largest_chance_may_round_to_one():
    logits = jnp.array([[30.0, 0.0, -2.0], [0.0, 0.0, 0.0]])
    is_own, is_not = log_chances(logits)
    wide = np.exp(np.asarray(logits, np.float64))
    others = wide @ (1 - np.eye(3))  # no difference of numbers near 1
    np.testing.assert_allclose(is_own, np.log(wide / wide.sum(1, keepdims=True)), atol=1e-6)
    np.testing.assert_allclose(
        is_not, np.log(others / wide.sum(1, keepdims=True)), rtol=1e-5, atol=1e-6
    )
