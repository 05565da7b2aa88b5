"""What the fields of a config must be to one another, and to the rooms below."""

import jax
import jax.numpy as jnp
import pytest
from config_fields import lines_of, problems_of, set_field
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.config import STAGES, default, validate
from sketchjax.config import relations as config_relations
from sketchjax.config.relations import SPLITS
from sketchjax.data.folder.splits import split_rule
from sketchjax.losses import LOSSES
from sketchjax.models.alexnet import AlexNet


@pytest.mark.parametrize("devices, tried", [(3, 255), (512, 512)])
def test_batches_divide_over_the_devices(devices, tried):
    lines = problems_of(default(), devices=devices)
    assert f"train.batch_size=256 does not divide over {devices} devices; try {tried}" in lines
    assert len(lines) == (2 if devices == 3 else 1)


def config_of(epochs=(20, 20, 5, 5, 5), **fields):
    """The default with other epochs by stage, and other fields, `__` for the point."""
    config = default()
    for stage, number in zip(STAGES, epochs, strict=True):
        config.stages[stage].epochs = number
    for name, value in fields.items():
        set_field(config, name.replace("__", "."), value)
    return config


NOTHING = "no stage trains anything; give stages.joint.epochs at least 1"
NO_CODES = (
    "no stage trains the hash layer; give stages.joint.epochs at least 1, or "
    "model.branches=cnn or rnn to recognise with that branch alone"
)


@pytest.mark.parametrize(
    "epochs, fields, told",
    [
        ((1, 1, 0, 0, 0), {}, [NO_CODES]),
        ((0, 0, 0, 0, 0), {}, [NOTHING]),
        # A branch alone recognises, or gets a hash layer of its own.
        ((1, 0, 0, 0, 0), {"model__branches": "cnn"}, []),
        ((0, 0, 1, 0, 0), {"model__branches": "rnn"}, []),
        # The stages of a branch that is not there, or that is taken from elsewhere, do not run.
        ((1, 0, 0, 0, 0), {"model__branches": "rnn"}, [NOTHING]),
        ((1, 1, 0, 0, 0), {"train__pretrained": "runs/other"}, [NOTHING]),
        ((1, 0, 0, 0, 0), {"model__branches": "cnn", "train__pretrained": "a,b"}, [NOTHING]),
        ((1, 1, 1, 0, 0), {"train__pretrained": "runs/one, runs/two"}, []),
    ],
)
def test_some_stage_has_to_train_what_the_run_is_for(epochs, fields, told):
    assert lines_of(config_of(epochs, **fields)) == told


def test_losses_of_codes_have_no_place_where_a_network_recognises():
    config = config_of(model__recognition_features=2048)
    config.stages.joint.losses = {"cross_entropy": 1.0, "contrastive": 0.1, "semantic": 0.1}
    (line,) = problems_of(config)
    for name in ("joint.losses.contrastive", "joint.losses.semantic", "full.losses.quantization"):
        assert f"stages.{name}" in line
    assert "set it to 0, or model.recognition_features to 0" in line
    # Of stages that do not run nothing is asked, and centres are for features of any kind.
    config.stages.joint.epochs = config.stages.full.epochs = 0
    config.stages.center.losses = {"cross_entropy": 1.0, "center": 0.1, "common_center": 0.1}
    validate(config)


def test_any_stage_with_codes_can_have_any_loss():
    for stage in ("joint", "center", "full"):
        config = default()
        config.stages[stage].losses = dict.fromkeys(LOSSES, 0.5)
        validate(config)
    assert set(config_relations.LOSSES) == set(LOSSES)


def test_batches_of_classes_divide():
    validate(config_of(train__classes_per_batch=16))
    assert problems_of(config_of(train__classes_per_batch=100)) == [
        "train.batch_size=256 does not divide over train.classes_per_batch=100; try 200"
    ]
    assert problems_of(config_of(train__classes_per_batch=512)) == [
        "train.batch_size=256 does not divide over train.classes_per_batch=512; try 512"
    ]


def test_pairs_want_a_batch_of_two():
    config = config_of(train__batch_size=1)
    validate(config)
    config.stages.center.losses = {"contrastive": 1.0}
    assert problems_of(config) == [
        "train.batch_size=1 has no pairs for stages.center.losses.contrastive; take 2 or more"
    ]


def test_categories_kept_out_are_named_or_drawn():
    names = {"data__categories": ("cat", "clock", "sun"), "data__unseen": ("cat", "sun")}
    validate(config_of(**names))
    validate(config_of(data__unseen=("moon",)))  # of all that the data have
    validate(config_of(data__unseen_count=20))
    (line,) = problems_of(config_of(**names, data__unseen_count=2))
    assert line == "data.unseen names categories, data.unseen_count draws them; use one"
    (line,) = problems_of(config_of(**names | {"data__unseen": ("cat", "moon", "dog")}))
    assert "'moon', 'dog'" in line
    assert "data.unseen" in line
    assert "not among data.categories" in line


def test_what_may_be():
    config = default()
    config.train.clip_norm = 0  # a whole number where a number belongs
    config.train.weight_decay = 0.0
    config.data.categories = ["cat", "clock"]
    config.evaluation.precision_at = ()
    config.evaluation.after_stages = ["full"]
    config.stages.cnn.epochs = 0
    config.stages.cnn.losses = {}  # of a stage that does not run
    config.stages.joint.losses.center = 0.0
    del config.stages.full.losses.center
    config.data.splits = {"train": 0.8, "gallery": 0.15, "query": 0.05, "validation": 0}
    validate(config)
    config.data.splits = {}
    config.data.split_file = "splits.csv"  # then the sizes are not read
    validate(config)


def test_the_split_that_asks_needs_sketches():
    config = config_of(evaluation__queries="validation")
    config.data.splits.query = 0
    validate(config)
    config.data.splits.validation = 0
    (line,) = lines_of(config)
    assert line.endswith("gives nothing to validation; each needs sketches")


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_the_smallest_picture_is_the_smallest_that_the_network_takes(stride):
    def takes(size):
        network, image = AlexNet(width=0.01, stem_stride=stride), jnp.zeros((1, size, size, 1))
        try:
            shapes = jax.eval_shape(network.init, jax.random.key(0), image)
        except (TypeError, ValueError, ZeroDivisionError):
            return False
        return min(shapes["params"]["dense6"]["dense"]["kernel"].shape) > 0

    config = default()
    config.drawing.size = 8
    config.model.cnn.stem_stride = stride
    config.model.cnn.width = 0.01
    (line,) = problems_of(config)
    smallest = int(line.split("try a size of ")[1].split()[0])
    assert takes(smallest)
    assert not takes(smallest - 1)
    config.drawing.size = smallest
    validate(config)


@given(
    st.dictionaries(
        st.sampled_from([*SPLITS, "test"]),
        st.one_of(st.integers(-1, 50), st.floats(-0.1, 1.1), st.sampled_from([0, 0.0, 0.25, 0.5])),
    )
)
@settings(deadline=None, max_examples=200)
def test_splits_that_pass_can_be_converted(splits):
    config = default()
    config.data.splits = splits
    lines = lines_of(config)
    assert all("data.splits" in line for line in lines)
    if lines:
        return
    rule = split_rule(splits)
    (shares,) = rule.settings().values()
    assert min(shares[name] for name in ("train", "gallery", "query")) > 0
