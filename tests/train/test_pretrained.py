"""What a run takes from earlier ones: which parts of which file, and what is refused."""

from functools import cache

import jax
import numpy as np
import pytest
from tiny_run import tiny_config

from sketchjax.errors import ConfigError
from sketchjax.models import network as networks
from sketchjax.models.weights import save_weights
from sketchjax.train.pretrained import load_pretrained, variable_shapes

BRANCHES = ("cnn", "cnn_classifier", "rnn", "rnn_classifier")
TOP = ("hash", "classifier")
# What the run `whole` gives: its file of the RNN stage has the CNN as the stage before left it.
WHOLE = {"cnn": 1.0, "cnn_classifier": 1.0, "rnn": 2.0, "rnn_classifier": 2.0}


@cache
def shapes_of(**fields):
    """Of the tiny network with other fields."""
    config = tiny_config()
    config.update_from_flattened_dict(fields)
    network = networks.build(config, classes=4, offset_scale=20.0, axis_name=None)
    return variable_shapes(network, config)


def save(home, run, stages, **fields):
    """A run that left files of weights: by stage, the number that each part's arrays are full of.

    What a stage had not reached is full of -1.
    """
    for stage, numbers in stages.items():
        content = {
            collection: {
                part: filled(tree, numbers.get(part, -1.0)) for part, tree in parts.items()
            }
            for collection, parts in shapes_of(**fields).items()
        }
        save_weights(home / run / "weights" / f"{stage}.safetensors", content)


def filled(shapes, value):
    return jax.tree.map(lambda leaf: np.full(leaf.shape, value, np.float32), shapes)


def all_of(parts, value):
    return dict.fromkeys(parts, value)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    cnn, rnn = all_of(BRANCHES[:2], 1.0), all_of(BRANCHES[2:], 2.0)
    joint, full = (all_of((*BRANCHES, *TOP), value) for value in (3.0, 4.0))
    save(home, "whole", {"cnn": cnn, "rnn": cnn | rnn, "joint": joint, "full": full})
    picture = {"cnn": all_of(BRANCHES[:2], 5.0), "joint": all_of((*BRANCHES, *TOP), 6.0)}
    save(home, "picture", picture, **{"model.branches": "cnn"})
    strokes = {"rnn": all_of(BRANCHES[2:], 7.0), "joint": all_of((*BRANCHES, *TOP), 8.0)}
    save(home, "strokes", strokes, **{"model.branches": "rnn"})
    save(home, "later", {"joint": joint})
    return home


def taken(sources, **fields) -> dict[str, float]:
    """The number that each part of the parameters is full of, by part."""
    found = load_pretrained(sources, shapes_of(**fields))
    numbers = {}
    for collection, parts in found.items():
        for part, tree in parts.items():
            (value,) = {float(x) for leaf in jax.tree.leaves(tree) for x in np.unique(leaf)}
            # Statistics come from where the parameters come from.
            assert numbers.setdefault(part, value) == value, (collection, part)
    assert set(found) == set(shapes_of(**fields))
    return numbers


def test_a_workdir_gives_its_branches_as_their_stages_left_them(home):
    assert taken(f"{home}/whole") == WHOLE
    assert taken(f"{home}/picture", **{"model.branches": "cnn"}) == all_of(BRANCHES[:2], 5.0)


def test_each_source_gives_what_it_has(home):
    together = all_of(BRANCHES[:2], 5.0) | all_of(BRANCHES[2:], 7.0)
    assert taken(f"{home}/picture,{home}/strokes") == together
    assert taken(f" {home}/strokes , {home}/picture ") == together
    # Of two that have the same part, the last counts.
    assert taken(f"{home}/picture,{home}/whole") == WHOLE
    assert taken(f"{home}/whole,{home}/picture") == WHOLE | all_of(BRANCHES[:2], 5.0)


def test_a_model_of_one_branch_takes_that_one(home):
    assert taken(f"{home}/whole", **{"model.branches": "cnn"}) == all_of(BRANCHES[:2], 1.0)
    assert taken(f"{home}/whole", **{"model.branches": "rnn"}) == all_of(BRANCHES[2:], 2.0)


def test_a_file_gives_all_that_was_trained_when_it_was_written(home):
    weights = home / "whole" / "weights"
    assert taken(f"{weights}/joint.safetensors") == all_of((*BRANCHES, *TOP), 3.0)
    assert taken(f"{home}/whole,{weights}/full.safetensors") == all_of((*BRANCHES, *TOP), 4.0)
    # While the CNN trained, nothing else had begun.
    alone = {"model.branches": "cnn"}
    assert taken(f"{weights}/cnn.safetensors", **alone) == all_of(BRANCHES[:2], 1.0)
    alone = {"model.branches": "rnn"}
    assert taken(f"{weights}/rnn.safetensors", **alone) == all_of(BRANCHES[2:], 2.0)


def test_a_network_that_recognises_takes_what_it_shares_with_one_that_hashes(home):
    fields = {"model.recognition_features": 16}  # as many as the bits: the classifier fits
    file = home / "whole" / "weights" / "joint.safetensors"
    assert taken(str(file), **fields) == all_of((*BRANCHES, "classifier"), 3.0)
    assert taken(f"{home}/whole", **fields) == WHOLE


def test_a_branch_that_no_source_trained_is_missed(home):
    for sources, branch in (("picture", "rnn"), ("strokes", "cnn")):
        with pytest.raises(ConfigError, match=rf"{sources} has no trained {branch} branch"):
            taken(f"{home}/{sources}")
    with pytest.raises(ConfigError, match="no trained rnn branch"):
        taken(f"{home}/whole/weights/cnn.safetensors")


@pytest.mark.parametrize("source", ["nowhere", "later", "nowhere/weights/joint.safetensors"])
def test_what_is_not_there_is_told(home, source):
    with pytest.raises(
        ConfigError, match=r"train.pretrained: .*trained its own stages cnn and rnn"
    ):
        taken(f"{home}/whole,{home}/{source}")


@pytest.mark.parametrize(
    "source, fields, part",
    [
        ("whole", {"model.rnn.hidden": 5}, "rnn"),
        ("whole", {"model.cnn.dense_features": 8}, "cnn"),
        ("whole/weights/joint.safetensors", {"model.bits": 32}, "hash"),
    ],
)
def test_another_model_is_refused_by_its_part(home, source, fields, part):
    with pytest.raises(ConfigError, match=rf"holds another model's {part}(_classifier)?;"):
        taken(f"{home}/{source}", **fields)
