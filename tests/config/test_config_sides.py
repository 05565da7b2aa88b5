"""The rules of a config with two sides: each broken one is one line that says what to do."""

import sys

import pytest
from tiny_run import CONFIG

from sketchjax.config import encoder, kinds, rankings, set_photo_encoders, stage, validate
from sketchjax.errors import ConfigError

sys.path.insert(0, str(CONFIG.parent))
from tiny_pairs import EVERYTHING, SIDES, get_config


def test_the_config_of_two_sides_is_valid():
    config = get_config()
    validate(config)
    assert rankings(config) == [("query", "photo/gallery")]
    assert kinds(config) == {"sketch": "raster", "photo": "photo"}
    config.evaluation.rankings = ("sketch/query:gallery", "photo/gallery:photo/gallery")
    validate(config)
    assert rankings(config) == [("query", "gallery"), ("photo/gallery", "photo/gallery")]


BY_INSTANCE = {"triplet": {"match": "instance"}}


def joint(**settings):
    def change(config):
        settings.setdefault("trains", EVERYTHING)
        _, config.stages.joint = stage("joint", **{"inputs": SIDES} | settings)

    return change


def fields(**values):
    def change(config):
        for path, value in values.items():
            section, name = path.split("__")
            config[section][name] = value

    return change


def strokes_for_photos(config):
    set_photo_encoders(config, colours=encoder("bigru"))


def codes_of_no_classifier(config):
    config.plan, config.evaluation.posterior_bits = ("joint",), (16,)
    config.stages.joint.losses = BY_INSTANCE


def sequences_of_rasters(config):
    config.model.encoders.lines = encoder("bigru")


@pytest.mark.parametrize(
    "change, message",
    [
        (joint(inputs=("sketch",)), "names 'colours', 'photo_head'; the parts are lines, encoders"),
        (joint(inputs=("photo",)), "the parts are colours, photo_encoders (all of these)"),
        (joint(inputs=("sketch", "sketch")), "give one or both of sketch, photo, each once"),
        (joint(inputs=("video",)), "give one or both of sketch, photo, each once"),
        (joint(output="colours"), "output=colours reads the photo only; give inputs=('photo',)"),
        (
            joint(inputs=("sketch",), trains=("lines",), losses={"relative_triplet": 1.0}),
            "inputs=('sketch', 'photo')",
        ),
        (
            joint(inputs=("photo",), trains=("photo_head",), losses=BY_INSTANCE),
            "inputs=('sketch', 'photo')",
        ),
        (fields(model__photo_branches=("lines",)), "both name 'lines'"),
        (fields(model__photo_branches=("nobody",)), "model.photo_branches names 'nobody'"),
        (strokes_for_photos, "bigru reads the view sequence, which photos do not have"),
        (sequences_of_rasters, "reads the view sequence, which raster sketches do not have"),
        (fields(photos__size=8), "photos.size=8 is too small for model.encoders.colours"),
        (fields(train__head_start="lda"), "train.head_start=lda is for sketches only"),
        (
            fields(evaluation__posterior_bits=(16,), model__head="hash", model__embedding="raw"),
            "posterior_bits of pictures need model.head=embedding",
        ),
        (codes_of_no_classifier, "need a classifier; give a stage a loss such as cross_entropy"),
        (fields(model__branches=()), "evaluation.rankings names sketch/query, but model.branches"),
    ],
)  # fmt: skip
def test_each_broken_rule_has_a_line(change, message):
    config = get_config()
    change(config)
    with pytest.raises(ConfigError) as raised:
        validate(config)
    assert message in str(raised.value)
