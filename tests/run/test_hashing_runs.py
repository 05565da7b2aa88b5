"""Short runs with the hashing objectives, and with a head that starts in closed form."""

import numpy as np
import orjson
import pytest
from plain_runs import keep_as_drawn
from tiny_run import lines_of, same_figures, same_weights, tiny_config

import sketchjax
from sketchjax.config import encoder, set_encoders, set_stages, stage
from sketchjax.errors import ConfigError, Stopped
from sketchjax.losses.table import LOSSES
from sketchjax.losses.targets import class_targets
from sketchjax.paper.study.features import fused_blocks
from sketchjax.run import experiment

pytestmark = pytest.mark.usefixtures("short_runs")

OBJECTIVES = [name for name, row in LOSSES.items() if "sign_hash" in row.heads]


@pytest.fixture(scope="module")
def data(tiny_data):
    return tiny_data


def config_of(data, *stages, **fields):
    """The tiny config with codes of 8 bits from 12 features, and these stages."""
    config = tiny_config()
    config.data.dir = str(data)
    set_encoders(config, pen=encoder("plain", features=12))
    config.model.bits = 8
    keep_as_drawn(config)
    set_stages(config, *stages)
    config.update_from_flattened_dict(fields)
    return config


def listen(**settings):
    """A stage that trains the encoder."""
    return stage("listen", trains=("pen",), output="pen", **settings)


def still(**settings):
    """A stage that trains the head by next to nothing: its model is the one that it began with."""
    return stage("still", trains=("head",), learning_rate=1e-30, epochs=0.1, **settings)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> str:
    """The workdir of a run that trained the encoder."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    experiment.run(config_of(data, listen(epochs=12, learning_rate=1e-2)), workdir)
    return str(workdir)


def test_all_objectives_train_and_resume_after_a_start(data, tmp_path):
    """In one stage, after one of the encoder; a run that is stopped twice ends in the same bits."""
    config = config_of(
        data,
        listen(),
        stage(
            "all",
            trains=("encoders", "head"),
            losses=dict.fromkeys(OBJECTIVES, 0.1),
            sampler={"classes": 2},
        ),
        **{"model.head": "sign_hash", "train.head_start": "lda"},
    )
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    results = experiment.run(config, whole)
    assert 0 < results["map"] <= 1
    lines = [line for line in lines_of(whole) if line["stage"] == "all" and "loss" in line]
    assert {*OBJECTIVES} <= lines[0].keys()
    assert np.isfinite([line[name] for line in lines for name in OBJECTIVES]).all()
    assert sum(line["loss"] for line in lines[-2:]) < 2 * lines[0]["loss"]
    for name in ("listen", "all"):
        has_line = lambda name=name: any(line["stage"] == name for line in lines_of(stopped))  # noqa: E731
        with pytest.raises(Stopped, match=f"stopped in stage {name} after 8 of"):
            experiment.run(config, stopped, has_line)
    same_figures(
        experiment.run(config, stopped), orjson.loads((whole / "results.json").read_bytes())
    )
    for name in ("listen", "all"):
        same_weights(whole, stopped, name)


def test_a_run_starts_its_head_at_least_squares(data, trained, tmp_path):
    """Against numpy's own, from what the head of the model that the run leaves reads."""
    fields = {"train.head_start": "codewords", "train.pretrained": trained}
    experiment.run(config_of(data, still(), **fields), tmp_path)
    model = sketchjax.load(tmp_path)
    parts = list(fused_blocks(model, data, batch=10)("train"))
    features, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    features = features.astype(np.float64)
    targets = class_targets(4, 8, "codebook")[labels].astype(np.float64)
    # A ridge of 1e-4 of the mean variance, as rows of their own.
    centred, mean = features - features.mean(0), targets.mean(0)
    ridge = np.sqrt(1e-4 * (centred**2).sum() / 12) * np.eye(12)
    kernel = np.linalg.lstsq(
        np.concatenate([centred, ridge]), np.concatenate([targets - mean, np.zeros((12, 8))])
    )[0]
    wanted = centred @ kernel + mean
    layer = model.variables["params"]["hash"]
    found = features @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
    assert np.sqrt((found**2).mean()) == pytest.approx(1, rel=1e-3)
    np.testing.assert_allclose(found, wanted / np.sqrt((wanted**2).mean()), atol=0.01)


def test_a_started_head_ranks_better_before_any_step(data, trained, tmp_path):
    """The gallery's sketches, which no start has seen, against those of training."""
    found = {}
    for kind in ("random", "codewords", "itq", "lda"):
        fields = {"train.head_start": kind, "train.pretrained": trained}
        config = config_of(data, still(), **fields)
        config.evaluation.rankings = ("gallery:train",)
        found[kind] = experiment.run(config, tmp_path / kind)["map"]
    assert min(found["codewords"], found["itq"], found["lda"]) > found["random"] + 0.02, found


def test_itq_needs_a_feature_for_each_bit(data, trained, tmp_path):
    fields = {"train.head_start": "itq", "train.pretrained": trained, "model.bits": 16}
    with pytest.raises(ConfigError, match=r"one bit for each of the 12 features"):
        experiment.run(config_of(data, still(), **fields), tmp_path)


def test_a_trained_head_is_not_replaced(data, trained, tmp_path):
    config = config_of(data, still(), **{"train.pretrained": trained})
    experiment.run(config, tmp_path / "first")
    config.train.pretrained = str(tmp_path / "first" / "model.safetensors")
    config.train.head_start = "lda"
    with pytest.raises(ConfigError, match=r"train.pretrained brings a trained hash layer"):
        experiment.run(config, tmp_path / "second")
