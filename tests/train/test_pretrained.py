"""What a run takes from earlier ones: which parts of which file, and what is refused."""

from functools import cache

import jax
import numpy as np
import orjson
import pytest
from tiny_run import tiny_config

from sketchjax.config import architecture, encoder, set_encoders
from sketchjax.errors import ConfigError
from sketchjax.models import network as networks
from sketchjax.models.weights import Card, save_weights
from sketchjax.run.experiment import run
from sketchjax.train.pretrained import load_pretrained

ENCODERS = ("cnn", "cnn_classifier", "rnn", "rnn_classifier")
TOP = ("hash", "classifier")
# What the run `whole` gives: its file of the RNN stage has the CNN as the stage before left it.
WHOLE = {"cnn": 1.0, "cnn_classifier": 1.0, "rnn": 2.0, "rnn_classifier": 2.0}
CNN, RNN = {"model.branches": ("cnn",)}, {"model.branches": ("rnn",)}


@cache
def network_of(**fields):
    """The tiny network with other fields."""
    config = tiny_config()
    config.update_from_flattened_dict(fields)
    return networks.build(architecture(config, ["cat", "clock", "face", "sun"], 20.0))


def save(home, run, stages, plan=(), **fields):
    """A run that left model files: by stage, the number that each part's arrays are full of.

    The stage reads the encoder that it is named after, or else the head. A part that no stage has
    trained yet is full of -1.
    """
    network = network_of(**fields)
    for stage, numbers in stages.items():
        content = {
            collection: {
                part: filled(tree, numbers.get(part, -1.0)) for part, tree in parts.items()
            }
            for collection, parts in network.shapes().items()
        }
        output = next((name for name in ("cnn", "rnn") if stage.startswith(name)), "head")
        card = Card(network.architecture, stage, output, tuple(numbers))
        save_weights(home / run / "weights" / f"{stage}.safetensors", content, card)
    if plan:
        (home / run / "config.json").write_bytes(orjson.dumps({"plan": plan}))


def filled(shapes, value):
    return jax.tree.map(lambda leaf: np.full(leaf.shape, value, np.float32), shapes)


def all_of(parts, value):
    return dict.fromkeys(parts, value)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    cnn, rnn = all_of(ENCODERS[:2], 1.0), all_of(ENCODERS[2:], 2.0)
    joint, full = (all_of((*ENCODERS, *TOP), value) for value in (3.0, 4.0))
    save(home, "whole", {"cnn": cnn, "rnn": cnn | rnn, "joint": joint, "full": full})
    picture = {"cnn": all_of(ENCODERS[:2], 5.0), "joint": all_of((*ENCODERS[:2], *TOP), 6.0)}
    save(home, "picture", picture, **CNN)
    strokes = {"rnn": all_of(ENCODERS[2:], 7.0), "joint": all_of((*ENCODERS[2:], *TOP), 8.0)}
    save(home, "strokes", strokes, **RNN)
    save(home, "later", {"tuned": full, "joint": joint}, ("joint", "tuned"))
    # Names that sort otherwise than the stages ran; the last has the encoder after a joint stage.
    again = {"cnn_z": cnn, "joint": joint, "cnn_a": joint | all_of(ENCODERS[:2], 9.0)}
    save(home, "again", again | {"rnn": rnn}, ("cnn_z", "rnn", "joint", "cnn_a"))
    return home


def taken(sources, **fields) -> dict[str, float]:
    """The number that each part of the parameters is full of, by part."""
    network = network_of(**fields)
    found = load_pretrained(sources, network)
    numbers = {}
    for collection, parts in found.items():
        for part, tree in parts.items():
            (value,) = {float(x) for leaf in jax.tree.leaves(tree) for x in np.unique(leaf)}
            # Statistics come from where the parameters come from.
            assert numbers.setdefault(part, value) == value, (collection, part)
    assert set(found) == set(network.shapes())
    return numbers


def test_a_workdir_gives_its_encoders_as_their_stages_left_them(home):
    assert taken(f"{home}/whole") == WHOLE
    assert taken(f"{home}/picture", **CNN) == all_of(ENCODERS[:2], 5.0)


def test_of_several_stages_of_one_encoder_the_last_counts(home):
    """In the order of the plan, and with nothing else that was trained by then."""
    assert taken(f"{home}/again") == all_of(ENCODERS[:2], 9.0) | all_of(ENCODERS[2:], 2.0)


def test_encoders_that_were_only_trained_together_come_from_the_last_stage(home):
    assert taken(f"{home}/later") == {"cnn": 4.0, "rnn": 4.0}
    assert taken(f"{home}/later,{home}/strokes") == {"cnn": 4.0, "rnn": 7.0, "rnn_classifier": 7.0}


def test_each_source_gives_what_it_has(home):
    together = all_of(ENCODERS[:2], 5.0) | all_of(ENCODERS[2:], 7.0)
    assert taken(f"{home}/picture,{home}/strokes") == together
    assert taken(f" {home}/strokes , {home}/picture ") == together
    # Of two that have the same part, the last counts.
    assert taken(f"{home}/picture,{home}/whole") == WHOLE
    assert taken(f"{home}/whole,{home}/picture") == WHOLE | all_of(ENCODERS[:2], 5.0)


def test_a_network_of_one_encoder_takes_that_one(home):
    assert taken(f"{home}/whole", **CNN) == all_of(ENCODERS[:2], 1.0)
    assert taken(f"{home}/whole", **RNN) == all_of(ENCODERS[2:], 2.0)


def test_a_file_gives_all_that_was_trained_when_it_was_written(home):
    weights = home / "whole" / "weights"
    assert taken(f"{weights}/joint.safetensors") == all_of((*ENCODERS, *TOP), 3.0)
    assert taken(f"{home}/whole,{weights}/full.safetensors") == all_of((*ENCODERS, *TOP), 4.0)
    # While the CNN trained, nothing else had begun.
    assert taken(f"{weights}/cnn.safetensors", **CNN) == all_of(ENCODERS[:2], 1.0)
    assert taken(f"{weights}/rnn.safetensors", **RNN) == all_of(ENCODERS[2:], 2.0)


def test_a_network_that_recognises_takes_what_it_shares_with_one_that_hashes(home):
    # As many as the bits: the classifier fits.
    fields = {"model.head": "features", "model.features": 16}
    file = home / "whole" / "weights" / "joint.safetensors"
    assert taken(str(file), **fields) == all_of((*ENCODERS, "classifier"), 3.0)
    assert taken(f"{home}/whole", **fields) == WHOLE


def test_an_encoder_that_no_source_trained_is_named(home):
    for sources, name in (("picture", "rnn"), ("strokes", "cnn")):
        with pytest.raises(ConfigError, match=rf"{sources} has no trained encoder {name};"):
            taken(f"{home}/{sources}")
    with pytest.raises(ConfigError, match="no trained encoder rnn; also name a run"):
        taken(f"{home}/whole/weights/cnn.safetensors")


@pytest.mark.parametrize(
    "source, message",
    [
        ("nowhere", "no model of a finished stage; give the workdir"),
        ("nowhere/weights/joint.safetensors", "there is no model file .*joint.safetensors"),
    ],
)
def test_a_source_without_models_is_refused(home, source, message):
    with pytest.raises(ConfigError, match=rf"train.pretrained: .*{message}"):
        taken(f"{home}/whole,{home}/{source}")


def test_a_damaged_model_is_refused_by_name(home, tmp_path):
    path = tmp_path / "weights" / "cnn.safetensors"
    path.parent.mkdir()
    path.write_bytes((home / "whole" / "weights" / "cnn.safetensors").read_bytes()[:-9])
    with pytest.raises(ConfigError, match=r"train.pretrained: .*cnn.safetensors is not a readable"):
        taken(f"{home}/whole,{tmp_path}")


@pytest.mark.parametrize(
    "source, fields, part",
    [
        ("whole", {"model.encoders.rnn.hidden": 5}, "rnn"),
        ("whole", {"model.encoders.cnn.dense_features": 8}, "cnn"),
        ("whole/weights/joint.safetensors", {"model.bits": 32}, "hash"),
    ],
)
def test_another_network_is_refused_by_its_part(home, source, fields, part):
    with pytest.raises(ConfigError, match=rf"holds another network's {part}(_classifier)?;"):
        taken(f"{home}/{source}", **fields)


def test_an_encoder_of_another_name_is_another_encoder(home):
    config = tiny_config()
    set_encoders(config, pen=encoder("bigru", hidden=4))
    network = networks.build(architecture(config, ["cat", "clock", "face", "sun"], 20.0))
    with pytest.raises(ConfigError, match="no trained encoder pen"):
        load_pretrained(f"{home}/whole", network)


@pytest.mark.parametrize("field", ["train.pretrained", "train.teacher"])
def test_an_unreadable_model_is_named_before_the_data_are_made(field, tmp_path):
    config = tiny_config()
    config.data.source = "synthetic"
    if field == "train.teacher":
        config.model.head, config.plan = "embedding", ("joint",)
        config.evaluation.after_stages = ()
        config.stages.joint.losses.distillation = 1.0
    missing = tmp_path / "missing.safetensors"
    config.update_from_flattened_dict({field: str(missing)})
    with pytest.raises(ConfigError, match=rf"{field}: .*missing.safetensors"):
        run(config, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").rglob("*")] == [".lock"]
