"""The rules between the fields of a config, and between a config and the rooms below."""

import jax
import jax.numpy as jnp
import pytest
from config_fields import lines_of, problems_of, set_field
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.config import (
    default,
    encoder,
    set_encoders,
    set_stages,
    stage,
    stage_rows,
    validate,
)
from sketchjax.data.folder.splits import SPLITS, split_rule
from sketchjax.losses.table import LOSSES
from sketchjax.models.alexnet import AlexNet
from sketchjax.models.table import HEADS

STAGES = ("cnn", "rnn", "joint", "center", "full")


def config_of(epochs=(20, 20, 5, 5, 5), **fields):
    """The default with other epochs by stage, and other fields, `__` for the point."""
    config = default()
    for name, number in zip(STAGES, epochs, strict=True):
        config.stages[name].epochs = number
    for name, value in fields.items():
        set_field(config, name.replace("__", "."), value)
    return config


# --- the plan --------------------------------------------------------------------------------


def whole(name, **fields):
    return stage(name, trains=("encoders", "head"), **fields)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_plan_has_any_number_of_stages_of_any_name(count):
    config = default()
    names = ["warm", "Größe", "_2", "head", "cross_entropy", "x" * 60, "train", "plan", "None"]
    set_stages(config, *(whole(name) for name in names[:count]))
    validate(config)
    config.evaluation.after_stages = tuple(names[:count])
    validate(config)


def test_one_stage_trains_everything_from_scratch():
    config = default()
    set_stages(config, whole("everything", epochs=1, losses={"cross_entropy": 1, "center": 0.1}))
    validate(config)


def test_encoders_have_any_name_and_number():
    config = default()
    set_encoders(config, a=encoder("bigru"), b=encoder("bigru", hidden=8), c=encoder("resnet50"))
    set_stages(config, stage("first", trains=("b",), output="b"), whole("second"))
    validate(config)


@pytest.mark.parametrize("name", ["encoders", "head", "fusion", "classifier", "hash", "embedding",
                                  "features", "cnn_classifier"])  # fmt: skip
def test_reserved_names_of_encoders(name):
    """They are parts of the network already, or stand for several."""
    config = default()
    set_encoders(config, **{name: encoder("bigru")})
    set_stages(config, whole("all"))
    (line,) = problems_of(config)
    assert line.startswith(f"model.encoders.{name}: the name is reserved; give the encoder another")


@pytest.mark.parametrize("name", ["2d", "stroke-net", "my net", "net/2"])
def test_names_that_are_no_identifiers(name):
    config = default()
    set_encoders(config, **{name: encoder("bigru")})
    set_stages(config, whole("all"))
    assert problems_of(config) == [
        f"model.encoders.{name}: an encoder's name has letters, digits and _ only"
    ]
    config = default()
    set_stages(config, whole(name))
    assert problems_of(config) == [f"stages.{name}: a stage's name has letters, digits and _ only"]


@pytest.mark.parametrize("name", ["a" * 240, "x" * 65, "é" * 40])
def test_names_that_no_file_can_have(name):
    """A stage's weights are in a file of its name."""
    config = default()
    set_encoders(config, **{name: encoder("bigru")})
    set_stages(config, whole("a" * 64), whole(name))
    assert problems_of(config) == [
        f"model.encoders.{name}: an encoder's name has at most 64 bytes; take a shorter one",
        f"stages.{name}: a stage's name has at most 64 bytes; take a shorter one",
    ]


def test_rows_that_the_plan_names_exist():
    assert problems_of(config_of(plan=("cnn", "moon", "full", "sun"))) == [
        "plan names 'moon', 'sun', no row of stages; there are cnn, full, center, joint, rnn",
        "evaluation.after_stages names 'joint', 'center', no stage of the plan that reads the head",
    ]
    config = config_of(model__branches=("cnn", "moon"))
    assert problems_of(config) == [
        "model.branches names 'moon', no row of model.encoders; there are cnn, rnn"
    ]
    assert problems_of(config_of(plan=(), evaluation__after_stages=())) == [
        "plan=() has no stage; name rows of `stages`"
    ]
    assert problems_of(config_of(model__branches=())) == [
        "model.branches=() names no encoder; there are cnn, rnn"
    ]


def test_only_stages_of_the_plan_are_scored():
    config = config_of(plan=("cnn", "rnn", "joint"))
    assert problems_of(config) == [
        "evaluation.after_stages names 'center', 'full', no stage of the plan that reads the head"
    ]
    config.evaluation.after_stages = ("joint",)
    validate(config)


@pytest.mark.parametrize(
    "trains, expected",
    [
        (("cnn", "hash"), "names 'hash'; the parts are cnn, rnn, encoders (all of these) and head"),
        (("moon", "sun", "cnn"), "names 'moon', 'sun'; the parts are"),
        (("classifier",), "names 'classifier'; the parts are"),
        ((), "stages.joint.trains=() trains nothing; name parts, such as ('encoders', 'head')"),
    ],
)
def test_unknown_parts_cannot_be_trained(trains, expected):
    (line,) = problems_of(config_of(stages__joint__trains=trains))
    assert line.startswith("stages.joint.trains")
    assert expected in line
    # A stage that does not run may say what it likes.
    validate(config_of((20, 20, 0, 5, 5), stages__joint__trains=trains))


@pytest.mark.parametrize("trains", [("head",), ("rnn",), ("encoders", "head"), ("cnn", "head")])
def test_a_stage_of_the_head_trains_any_parts(trains):
    validate(config_of(stages__joint__trains=trains))


@pytest.mark.parametrize("trains", [("rnn",), ("cnn", "rnn"), ("encoders",), ("cnn", "head")])
def test_one_encoder_depends_on_itself_only(trains):
    (line,) = problems_of(config_of(stages__cnn__trains=trains))
    assert line == f"stages.cnn.trains={trains!r}, but its output cnn depends on cnn only"
    # Of a single encoder, `encoders` means that one.
    config = config_of(model__branches=("cnn",), stages__cnn__trains=("encoders",))
    validate(config)


def test_an_output_is_the_head_or_an_encoder():
    assert problems_of(config_of(stages__cnn__output="cnm")) == [
        "stages.cnn.output='cnm'; choose one of head, cnn, rnn"
    ]
    # Also where it would be left out.
    config = config_of((20, 20, 5, 5, 5), stages__cnn__output="encoders", train__pretrained="runs")
    assert problems_of(config) == ["stages.cnn.output='encoders'; choose one of head, cnn, rnn"]


NOTHING = "no stage trains anything; give stages.joint.epochs at least 1"
NO_CODES = (
    "the last stage does not train the head; give stages.joint.epochs at least 1, or name one "
    "encoder only in model.branches, to recognise with it"
)


@pytest.mark.parametrize(
    "epochs, fields, expected",
    [
        ((1, 1, 0, 0, 0), {}, [NO_CODES]),
        ((0, 0, 0, 0, 0), {}, [NOTHING]),
        # One encoder recognises by itself, or gets its own hash layer.
        ((1, 0, 0, 0, 0), {"model__branches": ("cnn",)}, []),
        ((0, 0, 1, 0, 0), {"model__branches": ("rnn",)}, []),
        # Stages of an encoder that is not there, or that is taken from elsewhere, do not run.
        ((1, 0, 0, 0, 0), {"model__branches": ("rnn",)}, [NOTHING]),
        ((1, 1, 0, 0, 0), {"train__pretrained": "runs/other"}, [NOTHING]),
        (
            (1, 0, 0, 0, 0),
            {"model__branches": ("cnn",), "train__pretrained": "a,b"},
            [NOTHING],
        ),
        ((1, 1, 1, 0, 0), {"train__pretrained": "runs/one, runs/two"}, []),
        ((0.1, 0, 0.5, 0, 0), {}, []),
    ],
)
def test_some_stage_trains_what_the_run_is_for(epochs, fields, expected):
    assert lines_of(config_of(epochs, **fields)) == expected


def test_a_plan_without_the_head_asks_for_one():
    config = default()
    set_stages(
        config,
        stage("a", trains=("cnn",), output="cnn"),
        stage("b", trains=("rnn",), output="rnn"),
    )
    assert problems_of(config) == [
        "the last stage does not train the head; give a stage with output='head'.epochs at least "
        "1, or name one encoder only in model.branches, to recognise with it"
    ]


# --- the losses ------------------------------------------------------------------------------


def test_losses_of_codes_do_not_go_with_features():
    config = config_of(model__head="features")
    config.stages.joint.losses = {"cross_entropy": 1.0, "supervised_hashing": 0.1, "semantic": 0.1}
    for name in (
        "joint.losses.supervised_hashing",
        "joint.losses.semantic",
        "full.losses.quantization",
    ):
        codes = "hash or embedding" if "supervised_hashing" in name else "hash"
        assert (
            f"stages.{name} does not go with model.head=features; set its weight to 0, or "
            f"model.head to {codes}" in problems_of(config)
        )
    assert len(problems_of(config)) == 3
    # Nothing is asked of stages that do not run, and centres are for features of any kind.
    config.stages.joint.epochs = config.stages.full.epochs = 0
    config.stages.center.losses = {"cross_entropy": 1.0, "center": 0.1, "common_center": 0.1}
    validate(config)
    config.stages.full.epochs = 1
    config.stages.full.losses.quantization = {"weight": 0}
    validate(config)


@pytest.mark.parametrize("head", HEADS)
def test_a_stage_of_the_head_has_any_loss_of_its_kind(head):
    for name in ("joint", "center", "full"):
        config = config_of(model__head=head)
        config.stages.full.losses.quantization = 0
        usable = [
            loss
            for loss, row in LOSSES.items()
            if (not row.heads or head in row.heads)
            and row.pairs != ("sketch", "photo")
            and "teacher" not in row.needs
        ]
        config.stages[name].losses = dict.fromkeys(usable, 0.5)
        validate(config)


def test_a_loss_is_a_weight_or_a_section():
    config = default()
    config.stages.full.losses = {
        "cross_entropy": 1,
        "supervised_hashing": {"weight": 0.1, "margin": 24},
    }
    validate(config)
    config.stages.full.losses = {
        "contrastive": {"margin": 24.0},
        "common_center": {"rate": 1},
    }
    validate(config)  # a weight that is left out is 1


@pytest.mark.parametrize(
    "given, expected",
    [
        ({"margins": 3}, ".margins=3 is no setting; there are weight, margin, alpha"),
        ({"margin": -1.0}, ".margin=-1.0; must be at least 0"),
        ({"margin": "24"}, ".margin='24'; give a number, such as 0.0"),
        ({"margin": True}, ".margin=True; give a number"),
        ({"margin": None, "weight": 1}, ".margin=None; give a number"),
        ({"alpha": float("nan")}, ".alpha=nan; give a number, such as 0.01"),
        ({"weight": "much"}, ".weight='much'; give a weight of at least 0"),
        ({"weight": -1}, ".weight=-1; give a weight of at least 0"),
        ({"weight": {"value": 1}}, ".weight={'value': 1}; give a weight of at least 0"),
        ("much", "='much'; give a weight of at least 0"),
        (None, "=None; give a weight of at least 0"),
        (True, "=True; give a weight of at least 0"),
        ([1.0], "=[1.0]; give a weight of at least 0"),
        (10**400, "=10000"),
    ],
    ids=str,
)
def test_settings_of_a_loss_are_checked(given, expected):
    for path in ("stages.full.losses", "stages.joint.losses"):
        config = default()
        set_field(config, f"{path}.supervised_hashing", given)
        (line,) = problems_of(config)
        assert line.startswith(f"{path}.supervised_hashing{expected}"), line


@pytest.mark.parametrize(
    "given, expected",
    [
        ({"distance": "manhattan"}, ".distance='manhattan'; choose one of snr, euclidean, cosine"),
        ({"distance": 2}, ".distance=2; choose one of snr, euclidean, cosine"),
        ({"mining": "hard"}, ".mining='hard'; choose one of all, semi_hard, distance_weighted"),
        ({"margin": "far"}, ".margin='far'; give a number, such as 1.0"),
        ({"minings": "all"}, ".minings='all' is no setting; there are weight, distance, margin"),
    ],
    ids=str,
)
def test_settings_that_are_words_are_checked(given, expected):
    config = default()
    config.stages.full.losses = {"contrastive": given}
    (line,) = problems_of(config)
    assert line.startswith(f"stages.full.losses.contrastive{expected}"), line


METRIC = ("contrastive", "triplet", "lifted_structure")
EMBEDDING = {"model__head": "embedding", "model__embedding": "unit_length"}


@pytest.mark.parametrize("loss", METRIC)
@pytest.mark.parametrize(
    "distance, most, fields, why",
    [
        ("cosine", 2.0, {}, "in cosine distance, features are at most 2 apart"),
        ("cosine", 2.0, EMBEDDING, "in cosine distance, features are at most 2 apart"),
        ("euclidean", 2.0, EMBEDDING, "features of unit length are at most 2 apart"),
        ("euclidean", 16.0, {}, "codes of 64 bits, each -1 or 1, are at most 16 apart"),
        ("euclidean", 8.0, {"model__bits": 16}, "codes of 16 bits, each -1 or 1, are at most 8"),
        ("euclidean", None, {"model__head": "embedding"}, ""),
        ("snr", None, {}, ""),
        ("snr", None, EMBEDDING, ""),
    ],
)
def test_a_margin_that_no_distance_reaches_is_refused(loss, distance, most, fields, why):
    for margin in (most or 1000.0, (most or 1000.0) + 0.5):
        config = config_of((0, 0, 0, 0, 1), **fields)
        config.stages.full.losses = {loss: {"distance": distance, "margin": margin}}
        if most is None or margin == most:
            validate(config)
            continue
        (line,) = problems_of(config)
        name = f"stages.full.losses.{loss}.margin={margin:g}"
        assert line.startswith(f"{name} cannot be reached: {why}"), line
    config.stages.full.losses = {"cross_entropy": 1.0, loss: {"weight": 0, "margin": 1000.0}}
    validate(config)  # a loss that is not there asks for nothing


def test_margins_of_supervised_hashing_are_within_its_codes():
    config = config_of((0, 0, 0, 0, 1))
    for margin, alpha, fine in ((256.0, 0.01, True), (257.0, 0.01, False), (257.0, 0.0, True)):
        config.stages.full.losses = {"supervised_hashing": {"margin": margin, "alpha": alpha}}
        assert (lines_of(config) == []) == fine
    config.stages.full.losses = {"supervised_hashing": {"margin": 300.0}}
    assert problems_of(config) == [
        "stages.full.losses.supervised_hashing.margin=300 cannot be reached: codes of 64 bits, "
        "each -1 or 1, are in squared distance at most 256 apart; take less"
    ]
    config = config_of((0, 0, 0, 0, 1), **EMBEDDING)
    config.stages.full.losses = {"supervised_hashing": 1.0}
    assert "margin=128 cannot be reached" in problems_of(config)[0]


def test_positive_pairs_have_the_smaller_margin():
    config = default()
    config.stages.full.losses = {"contrastive": {"positive_margin": 1.0}}
    assert problems_of(config) == [
        "stages.full.losses.contrastive.positive_margin=1 must be less than margin=1, or positive "
        "pairs may be as far apart as negative ones"
    ]
    config.stages.full.losses = {"contrastive": {"positive_margin": 0.9}}
    validate(config)


@pytest.mark.parametrize("loss", ["contrastive", "n_pair", "supervised_hashing"])
def test_pairs_need_two_sketches_of_a_class_and_two_classes(loss):
    for sampler, expected in (
        ({"classes": 256, "each": 1}, "sampler.classes=256 leaves one sketch of each class"),
        ({"classes": 256}, "sampler.classes=256 leaves one sketch of each class"),
        ({"classes": 1}, "sampler.classes=1 gives stages.full.losses"),
        ({"classes": 128, "each": 2}, None),
        ({}, None),
    ):
        config = default()
        config.stages.full.losses = {loss: 0.1}
        config.stages.full.sampler = sampler
        lines = lines_of(config)
        assert len(lines) == (expected is not None)
        assert all(f"stages.full.{expected}" in line for line in lines)


def test_a_normalised_embedding_needs_its_head_and_a_variance():
    assert problems_of(config_of(model__embedding="unit_length")) == [
        "model.embedding=unit_length goes with model.head=embedding only, but model.head=hash; set "
        "one of the two"
    ]
    config = config_of((0, 0, 1, 0, 0), model__head="embedding", model__embedding="batch_norm")
    validate(config)
    config.train.batch_size = 1
    assert problems_of(config) == [
        "train.batch_size=1 has no variance for model.embedding=batch_norm; take at least 2"
    ]


def test_mirror_images_are_encoded_only_where_some_are_trained_on():
    config = config_of((0, 0, 1, 0, 0), model__mirrored=True)
    (problem,) = problems_of(config)
    assert problem.startswith("model.mirrored=True encodes mirror images")
    assert "set augmentation.flip, such as 0.3" in problem
    config.augmentation.flip = 0.3
    validate(config)


def test_settings_have_upper_bounds_too():
    config = default()
    config.stages.full.losses.common_center = {"weight": 1, "rate": 1.5}
    assert problems_of(config) == ["stages.full.losses.common_center.rate=1.5; must be 0 to 1"]
    config.stages.full.losses.cross_entropy = {"margin": 1}
    assert len(problems_of(config)) == 2
    wanted = "stages.full.losses.cross_entropy.margin=1 is no setting; there are weight, smoothing"
    assert wanted in problems_of(config)


def test_losses_of_all_rows_are_checked():
    """Also of rows that do not run, or that the plan leaves out."""
    config = config_of((20, 20, 0, 5, 5), stages__joint__losses={"centre": 1.0})
    config.stages.spare = whole("spare", losses={"cross_entropy": -1})[1]
    assert [line.split(" is no")[0].split(";")[0] for line in problems_of(config)] == [
        "stages.joint.losses.centre=1.0",
        "stages.spare.losses.cross_entropy=-1",
    ]
    config.plan = ("moon",)  # and whatever else is wrong with the plan
    assert {line.split("=")[0] for line in problems_of(config)} >= {
        "stages.joint.losses.centre",
        "stages.spare.losses.cross_entropy",
    }


def test_pairs_need_a_batch_of_two():
    config = config_of(train__batch_size=1)
    validate(config)
    config.stages.center.losses = {"supervised_hashing": 1.0}
    assert problems_of(config) == [
        "train.batch_size=1 has no pairs for stages.center.losses.supervised_hashing; take at "
        "least 2"
    ]
    config.stages.center.losses = {"cross_entropy": 1.0, "supervised_hashing": {"weight": 0.0}}
    validate(config)


def test_settings_of_a_loss_may_be_words():
    config = default()
    config.stages.full.losses = {"orthohash": {"kind": "arc", "targets": "bernoulli"}}
    validate(config)
    (row,) = [row for row in stage_rows(config) if row.name == "full"]
    assert row.losses["orthohash"]["kind"] == "arc"
    config.stages.full.losses.orthohash = {"kind": "sine"}
    assert problems_of(config) == [
        "stages.full.losses.orthohash.kind='sine'; choose one of cos, arc"
    ]
    config.stages.full.losses.orthohash = {"kind": 1.0, "margin": "wide"}
    assert problems_of(config) == [
        "stages.full.losses.orthohash.kind=1.0; choose one of cos, arc",
        "stages.full.losses.orthohash.margin='wide'; give a number, such as 0.2",
    ]
    config.stages.full.losses = {"tie_aware": {"bins": 2.5}}
    assert problems_of(config) == [
        "stages.full.losses.tie_aware.bins=2.5; give a whole number of at most 4096, or 0 for as "
        "many as bits"
    ]


@pytest.mark.parametrize("loss", ["dtsh", "tie_aware", "hashnet", "mds"])
def test_balanced_batches_have_pairs_of_both_kinds(loss):
    config = default()
    config.stages.full.losses = {loss: 1.0}
    config.stages.full.sampler = {"classes": 128}
    validate(config)
    config.stages.full.sampler = {"classes": 256}
    assert problems_of(config) == [
        "stages.full.sampler.classes=256 leaves one sketch of each class to a batch of 256, so "
        f"stages.full.losses.{loss} has no pair of one class; take at most 128 classes"
    ]
    config.stages.full.sampler = {"classes": 1}
    assert problems_of(config) == [
        f"stages.full.sampler.classes=1 gives stages.full.losses.{loss} no pair of two classes; "
        "take at least 2"
    ]


def test_greedy_hash_needs_a_classifier_of_signs():
    config = default()
    config.stages.full.losses = {"greedy_hash": 1.0}
    assert problems_of(config) == [
        "stages.full.losses.greedy_hash does not go with model.head=hash; set its weight to 0, or "
        "model.head to sign_hash"
    ]
    config.model.head = "sign_hash"
    validate(config)


# --- the start of the head -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["codewords", "itq", "lda"])
def test_a_head_that_starts_has_codes_and_is_trained(kind):
    config = config_of(train__head_start=kind)
    validate(config)
    config.model.head = "features"
    config.stages.full.losses.quantization = 0
    assert problems_of(config) == [
        f"train.head_start={kind}, but model.head=features has no layer of codes; choose random"
    ]
    config = config_of(train__head_start=kind, model__head="posterior")
    assert any("has no layer of codes" in problem for problem in problems_of(config))
    config = config_of(train__head_start=kind)
    for name in ("joint", "center", "full"):
        config.stages[name].trains = ("encoders",)
    assert problems_of(config) == [
        f"train.head_start={kind}, but no stage trains the head; choose random"
    ]
    config.train.head_start = "random"
    validate(config)


# --- batches ---------------------------------------------------------------------------------


@pytest.mark.parametrize("devices, proposed", [(3, 255), (512, 512)])
def test_batches_divide_over_the_devices(devices, proposed):
    lines = problems_of(default(), devices=devices)
    start = f"train.batch_size=256 does not divide over {devices} devices; try {proposed}; "
    assert sum(line.startswith(start) for line in lines) == 1
    # A run that has begun cannot take another size.
    assert all("resumes on a number of devices that divides it" in line for line in lines)
    assert len(lines) == (2 if devices == 3 else 1)


@pytest.mark.parametrize(
    "sampler, expected",
    [
        ({"classes": 0, "each": 0}, None),
        ({"classes": 16, "each": 0}, None),
        ({"classes": 16, "each": 16}, None),
        ({"classes": 16}, None),
        ({}, None),
        ({"classes": 256, "each": 1}, None),
        (
            {"classes": 100, "each": 0},
            "train.batch_size=256 does not divide over stages.full.sampler.classes=100; try 200",
        ),
        (
            {"classes": 512},
            "train.batch_size=256 does not divide over stages.full.sampler.classes=512; try 512",
        ),
        (
            {"classes": 16, "each": 4},
            "stages.full.sampler asks for 16 x 4 sketches, but train.batch_size=256; make them "
            "equal",
        ),
        ({"each": 4}, "stages.full.sampler.each=4 needs stages.full.sampler.classes; give both"),
    ],
    ids=str,
)
def test_batches_of_classes_fill_the_batch(sampler, expected):
    config = config_of(stages__full__sampler=sampler)
    assert lines_of(config) == ([expected] if expected else [])
    config.stages.full.epochs = 0
    validate(config)


def test_batches_have_no_more_classes_than_the_data():
    config = config_of(
        data__categories=("cat", "clock", "sun"), stages__full__sampler={"classes": 4}
    )
    assert problems_of(config) == [
        "stages.full.sampler.classes=4, but data.categories has 3 for training; ask for at most "
        "that many"
    ]
    config.stages.full.sampler.classes = 2
    validate(config)
    config.data.unseen = ("cat", "sun")
    assert "has 1 for training" in problems_of(config)[0]
    config.data.unseen, config.data.unseen_count = (), 2
    assert "has 1 for training" in problems_of(config)[0]


# --- data ------------------------------------------------------------------------------------


def test_categories_kept_out_are_named_or_drawn():
    names = {"data__categories": ("cat", "clock", "sun"), "data__unseen": ("cat", "sun")}
    validate(config_of(**names))
    validate(config_of(data__unseen=("moon",)))  # of all categories of the data
    validate(config_of(data__unseen_count=20))
    (line,) = problems_of(config_of(**names, data__unseen_count=2))
    assert line == "data.unseen names categories, data.unseen_count draws them; use one"
    (line,) = problems_of(config_of(**names | {"data__unseen": ("cat", "moon", "dog")}))
    assert "'moon', 'dog'" in line
    assert "data.unseen" in line
    assert "not among data.categories" in line


def test_unusual_fields_that_are_valid():
    config = default()
    config.train.clip_norm = 0  # a whole number where a number belongs
    config.train.weight_decay = 0.0
    config.data.categories = ["cat", "clock"]
    config.evaluation.precision_at = ()
    config.evaluation.after_stages = ["full"]
    config.stages.cnn.epochs = 0
    config.stages.cnn.losses = {}  # of a stage that does not run
    config.stages.joint.losses.center = 0.0
    config.stages.joint.epochs = 0.25
    del config.stages.full.losses.center
    del config.stages.full.schedule, config.stages.full.sampler
    del config.model.encoders.rnn.dropout
    config.data.splits = {"train": 0.8, "gallery": 0.15, "query": 0.05, "validation": 0}
    validate(config)
    config.data.splits = {}
    config.data.split_file = "splits.csv"  # then the sizes are not read
    validate(config)


def test_extra_drawings_need_a_split_file():
    config = default()
    config.data.extra_train = 100
    (line,) = problems_of(config)
    assert line.startswith("data.extra_train=100 adds to a split file")
    config.data.split_file = "splits.csv"
    validate(config)


RANKINGS = [
    ("query:gallery",),
    ("sketch/query:sketch/gallery", "validation:gallery"),
    ({"queries": "sketch/query", "gallery": "gallery"}, "query:train"),
    [{"queries": "query", "gallery": "sketch/gallery"}],
    ({"gallery": "gallery", "queries": "gallery"},),
]


@pytest.mark.parametrize("rows", RANKINGS, ids=str)
def test_rankings_are_written_in_two_ways(rows):
    validate(config_of(evaluation__rankings=rows))


def test_every_split_that_is_ranked_has_sketches():
    config = config_of(evaluation__rankings=("validation:gallery",))
    config.data.splits.query = 0
    validate(config)
    config.data.splits.validation = 0
    (line,) = lines_of(config)
    assert line.endswith("gives nothing to validation; each needs sketches")
    config.evaluation.rankings = ("gallery:gallery", "query:validation")
    (line,) = lines_of(config)
    assert line.endswith("gives nothing to query, validation; each needs sketches")


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


# --- pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_the_smallest_picture_is_the_least_that_works(stride):
    def works(size):
        network, image = AlexNet(width=0.01, stem_stride=stride), jnp.zeros((1, size, size, 1))
        try:
            shapes = jax.eval_shape(network.init, jax.random.key(0), image)
        except (TypeError, ValueError, ZeroDivisionError):
            return False
        return min(shapes["params"]["dense6"]["dense"]["kernel"].shape) > 0

    config = default()
    config.drawing.size = 8
    config.model.encoders.cnn.stem_stride = stride
    config.model.encoders.cnn.width = 0.01
    (line,) = problems_of(config)
    assert line.startswith("drawing.size=8 is too small for model.encoders.cnn: alexnet with these")
    smallest = int(line.split("at least ")[1].split()[0])
    assert works(smallest)
    assert not works(smallest - 1)
    config.drawing.size = smallest
    validate(config)


def test_each_picture_encoder_has_its_own_smallest():
    config = default()
    set_encoders(config, a=encoder("resnet50"), b=encoder("sketch_a_net", stem_stride=1))
    set_stages(config, whole("all"))
    config.drawing.size = 36
    (line,) = problems_of(config)
    assert "model.encoders.b: sketch_a_net" in line
    assert "at least 37 pixels" in line
    config.model.branches = ("a",)
    validate(config)
