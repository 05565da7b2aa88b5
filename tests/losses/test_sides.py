"""Batches of sketches and photos: what is compared in them, against double loops."""

import importlib

import jax
import jax.numpy as jnp
import metric_loops as loops
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.losses.loss import LossInputs
from sketchjax.losses.objective import loss, objective
from sketchjax.losses.pairs import Pairs
from sketchjax.losses.sides import apart, compared, merged, paired
from sketchjax.losses.table import LOSSES
from sketchjax.losses.targets import class_targets

CLASSES, WIDTH = 3, 8
COMPARE, MATCH = ("all", "across", "sketch_to_photo"), ("category", "instance")
PAIR_LOSSES = [name for name, row in LOSSES.items() if "compare" in row.settings]
COMPARED = pytest.mark.parametrize("compare", COMPARE)


def side(random, count, instances):
    return LossInputs(
        logits=jnp.asarray(random.normal(size=(count, CLASSES)), jnp.float32),
        labels=jnp.asarray(np.abs(instances) % CLASSES, jnp.int32),
        activations=jnp.asarray(random.normal(size=(count, WIDTH)), jnp.float32),
        progress=jnp.float32(0.5),
        instances=jnp.asarray(instances, jnp.int32),
    )


def both(seed, sketches=7, photos=5):
    """Instances give the classes; some are unknown, of which the class is 1."""
    random = np.random.default_rng(seed)
    return [side(random, count, random.integers(-1, 5, count)) for count in (sketches, photos)]


def kind_of_pair(seen, i, j, compare, match):
    """1 for a positive pair, -1 for a negative one, 0 for none, read from the rules."""
    of_sketch = [place < seen.sketches for place in (i, j)]
    allowed = {
        "all": i != j,
        "across": of_sketch[0] != of_sketch[1],
        "sketch_to_photo": of_sketch == [True, False],
    }
    if not allowed[compare]:
        return 0
    if seen.labels[i] != seen.labels[j]:
        return -1
    if match == "category":
        return 1
    own, other = int(seen.instances[i]), int(seen.instances[j])
    if -1 in (own, other):
        return 0
    return 1 if own == other else -1


@COMPARED
@pytest.mark.parametrize("match", MATCH)
@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=5)
def test_pairs_are_those_of_the_rules(compare, match, seed):
    seen = merged(*both(seed))
    same, other = compared(seen, compare, match)
    wanted = [[kind_of_pair(seen, i, j, compare, match) for j in range(12)] for i in range(12)]
    np.testing.assert_array_equal(np.asarray(same) - np.asarray(other), wanted)
    assert not (np.asarray(same) * np.asarray(other)).any()


def test_sides_come_apart_as_they_were():
    sides = both(0)
    for own, found in zip(sides, apart(merged(*sides)), strict=True):
        jax.tree.map(np.testing.assert_array_equal, own, found._replace(progress=own.progress))


def test_a_field_of_one_side_only_is_refused():
    sketch, photo = both(0)
    with pytest.raises(ValueError, match="only one side has activations"):
        merged(sketch, photo._replace(activations=None))
    with pytest.raises(ValueError, match="needs a batch of sketches and photos"):
        compared(sketch, "across")
    with pytest.raises(ValueError, match="needs a batch with instance numbers"):
        compared(sketch._replace(instances=None), match="instance")
    with pytest.raises(ValueError, match="7 sketches and 5 photos"):
        paired(merged(sketch, photo))


def of(name, seen, **own):
    targets = {"targets": "bernoulli"} if "targets" in LOSSES[name].settings else {}
    return objective({name: {"weight": 1.0, **targets, **own}}, seen, {}, {})[0]


METRIC = ("contrastive", "triplet", "lifted_structure", "n_pair")


@COMPARED
@pytest.mark.parametrize("name", METRIC)
def test_a_metric_loss_is_its_loop_over_these_pairs(name, compare, monkeypatch):
    seen = merged(*both(3))

    def sides_of(labels, anchor):
        kinds = [kind_of_pair(seen, anchor, j, compare, "instance") for j in range(len(labels))]
        return [[j for j, kind in enumerate(kinds) if kind == wanted] for wanted in (1, -1)]

    monkeypatch.setattr(loops, "sides", sides_of)
    wide = np.asarray(seen.activations, float).tolist()
    wanted = getattr(loops, name)(wide, seen.labels.tolist(), kind="euclidean", **OWN[name])
    found = of(name, seen, distance="euclidean", compare=compare, match="instance", **OWN[name])
    assert wanted > 0
    assert found == pytest.approx(wanted, rel=1e-4)


OWN = {
    "contrastive": {"margin": 4.0, "positive_margin": 0.5, "mining": "semi_hard"},
    "triplet": {"margin": 0.7, "mining": "semi_hard"},
    "lifted_structure": {"margin": 1.3, "temperature": 0.6},
    "n_pair": {"temperature": 0.6},
}


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_a_loss_over_pairs_counts_those_of_the_rules_only(name):
    seen = merged(*both(5))
    kinds = np.array(
        [[kind_of_pair(seen, i, j, "across", "instance") for j in range(12)] for i in range(12)]
    )
    pairs = Pairs(*(jnp.asarray(kinds == kind, jnp.float32) for kind in (1, -1)))
    function = getattr(importlib.import_module(f"sketchjax.losses.{name}"), name)
    rest = {}
    if name == "mds":
        rest = {"labels": seen.labels, "targets": class_targets(CLASSES, WIDTH, "bernoulli")}
    if name == "hashnet":
        rest = {"progress": seen.progress}
    rest |= {"pairs" if name == "mds" else "labels": pairs}
    wanted = function(activations=seen.activations, **rest)
    found = of(name, seen, compare="across", match="instance")
    assert found == pytest.approx(float(wanted), rel=1e-6)
    assert found != pytest.approx(float(of(name, seen)), rel=1e-3)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_pairs_of_the_settings_default_to_all_of_a_category(name):
    seen = merged(*both(6))
    plain = seen._replace(sketches=None, instances=None)
    assert of(name, seen) == of(name, plain) == of(name, seen, compare="all", match="category")
    assert of(name, seen) != of(name, seen, compare="across", match="category")


def test_rows_know_when_they_need_both_sides():
    row = LOSSES["triplet"]
    assert not row.crosses({})
    assert row.crosses({"compare": "across"})
    assert row.crosses({"match": "instance"})
    assert LOSSES["relative_triplet"].crosses({"match": "category"})
    assert LOSSES["relative_triplet"].by_instance({})
    assert not LOSSES["relative_triplet"].by_instance({"match": "category"})
    assert LOSSES["distillation"].crosses({"target": "photo"})
    assert not LOSSES["distillation"].crosses({})
    assert loss("relative_triplet").value
