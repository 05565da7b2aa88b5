"""A workdir belongs to one config once it holds something: which fields may change, and when."""

from typing import Any

import orjson
import pytest

from sketchjax.config import default, encoder, flat, validate
from sketchjax.config.fields import FIELDS
from sketchjax.errors import ConfigError, DiskError
from sketchjax.files import sha256
from sketchjax.train.workdir import CONVERSION_FIELDS, changes, check_config, keep_config, locked

# Another value for each field that is neither a weight of a loss nor a size of a split.
OTHER = {
    "name": "another title",
    "seed": 7,
    "plan": ("cnn", "rnn", "joint"),
    "data.dir": "elsewhere",
    "data.source": "drawings",
    "data.split_file": "splits.csv",
    "data.extra_train": 100,
    "data.categories": ("cat", "sun"),
    "data.unseen": ("sun",),
    "data.unseen_count": 2,
    "data.word_vectors": "vectors.txt",
    "data.recognized_only": True,
    "data.max_per_category": 50,
    "data.on_bad": "skip",
    "data.shards": 4,
    "data.feed": "stream",
    "data.points": 96,
    "data.synthetic_per_category": 40,
    "data.sketches": "raster",
    "photos.contours": "canny",
    "photos.validation": 0.2,
    "photos.sketches_each": 5,
    "photos.painted_size": 96,
    "photos.size": 64,
    "photo_augmentation.scale": 0.5,
    "photo_augmentation.anisotropy": 0.5,
    "photo_augmentation.shift": 0.5,
    "photo_augmentation.contrast": 0.5,
    "photo_augmentation.brightness": 0.5,
    "photo_augmentation.hue": 0.5,
    "photo_augmentation.saturation": 0.5,
    "photo_augmentation.negative": 0.5,
    "model.dropout": 0.5,
    "model.mirrored": True,
    "model.photo_branches": ("photo",),
    "train.averaging": 0.99,
    "drawing.fit": "ink",
    "drawing.size": 112,
    "drawing.stroke_width": 2.0,
    "augmentation.drop_stroke": 0.5,
    "augmentation.jitter": 1.0,
    "augmentation.stroke_shift": 0.5,
    "augmentation.deform": 0.5,
    "augmentation.flip": 0.5,
    "augmentation.scale": 0.5,
    "augmentation.anisotropy": 0.5,
    "augmentation.shear": 0.5,
    "augmentation.rotation": 0.5,
    "augmentation.shift": 0.5,
    "model.bits": 32,
    "model.branches": ("cnn",),
    "model.dtype": "bfloat16",
    "model.fusion_features": 64,
    "model.head": "embedding",
    "model.embedding": "batch_norm",
    "model.features": 64,
    "model.encoders.cnn.kind": "sketch_a_net",
    "model.encoders.cnn.width": 0.5,
    "model.encoders.cnn.stem_stride": 2,
    "model.encoders.cnn.dense_features": 64,
    "model.encoders.cnn.batch_norm": False,
    "model.encoders.cnn.dropout": 0.25,
    "model.encoders.rnn.kind": "resnet50",
    "model.encoders.rnn.hidden": 64,
    "model.encoders.rnn.layers": 1,
    "model.encoders.rnn.dropout": 0.25,
    "model.encoders.rnn.implementation": "fused",
    "train.batch_size": 128,
    "train.inner_steps": 4,
    "train.outer_steps": 2,
    "train.weight_decay": 0.5,
    "train.clip_norm": 0.5,
    "train.head_rate": 10.0,
    "train.head_start": "itq",
    "train.max_skipped": 3,
    "train.rollback_factor": 3.0,
    "train.checkpoint_seconds": 10.0,
    "train.keep_checkpoints": 9,
    "train.workers": 2,
    "train.cpu_devices": 2,
    "train.pretrained": "runs/other",
    "train.teacher": "runs/another",
    "profile.steps": "10:12",
    "evaluation.batch_size": 256,
    "evaluation.rankings": ("validation:gallery",),
    "evaluation.precision_at": (50,),
    "evaluation.after_stages": ("full",),
    "evaluation.feature_distances": ("snr",),
    "evaluation.posterior_bits": (16,),
    "evaluation.retrieved": 12,
    "evaluation.queries_shown": 2,
}
for stage in ("cnn", "rnn", "joint", "center", "full"):
    OTHER |= {
        f"stages.{stage}.trains": ("encoders",) if stage in ("joint", "center", "full") else (),
        f"stages.{stage}.output": "head" if stage in ("cnn", "rnn") else "cnn",
        f"stages.{stage}.epochs": 3,
        f"stages.{stage}.learning_rate": 0.1,
        f"stages.{stage}.schedule": "steps",
        f"stages.{stage}.warmup_epochs": 2.0,
        f"stages.{stage}.augmentation": 0.5,
        f"stages.{stage}.inputs": ("photo",),
        f"stages.{stage}.sampler.classes": 16,
        f"stages.{stage}.sampler.each": 16,
        f"stages.{stage}.losses.cross_entropy": 0.5,
    }
OTHER |= {
    "stages.center.losses.center": 0.5,
    "stages.full.losses.center": 0.5,
    "stages.full.losses.quantization": 0.5,
    "data.splits.train": 90,
    "data.splits.validation": 90,
    "data.splits.gallery": 90,
    "data.splits.query": 90,
}
# Fields on which no figure depends.
MAY_CHANGE = {
    "name", "data.feed", "train.checkpoint_seconds", "train.cpu_devices",
    "train.keep_checkpoints", "train.max_skipped", "train.workers", "profile.steps",
    "evaluation.queries_shown", "evaluation.retrieved",
}  # fmt: skip


def complete(config, field: str) -> None:
    """Change what has to change along with a field for the config to be valid."""
    _, stage, *rest = [*field.split("."), "", ""]
    if field == "plan":
        config.evaluation.after_stages = ("joint",)
    elif field in ("model.head", "model.embedding"):
        config.model.head = "embedding"
        config.stages.full.losses.quantization = 0.0  # only the hash layer has it
    elif field == "train.teacher":
        config.model.head = "embedding"
        config.stages.full.losses = {"cross_entropy": 1.0, "distillation": 1.0}
    elif field == "model.mirrored":
        config.augmentation.flip = 0.3
    elif field == "data.extra_train":
        config.data.split_file = "splits.csv"
    elif field in ("data.sketches", "drawing.fit"):
        config.data.sketches = "raster"
        config.model.branches = ("cnn",)
    elif field == "model.photo_branches":
        config.model.encoders.photo = encoder("torch_resnet")
    elif field == "model.encoders.rnn.kind":
        config.model.encoders.rnn = encoder("resnet50")
    elif field.endswith(".sampler.each"):
        config.stages[stage].sampler.classes = 16
    elif field in ("stages.cnn.trains", "stages.rnn.trains"):
        config.stages[stage].epochs = 0
    elif rest[0] == "inputs":
        config.model.head = "embedding"
        config.model.encoders.photo = encoder("torch_resnet")
        config.model.photo_branches = ("photo",)
        config.stages[stage].trains = ("photo_encoders", "photo_head")
        config.stages[stage].output = "head"
        config.stages[stage].losses = {"cross_entropy": 1.0}
        for other in ("joint", "center", "full"):  # the last has to train the head of sketches
            config.stages[other].losses = {"cross_entropy": 1.0}
        if stage == "full":
            config.plan = ("full", "cnn", "rnn", "joint", "center")
            config.evaluation.after_stages = ()
    elif rest[0] == "output" and OTHER[field] == "cnn":
        config.stages[stage].trains = ("cnn",)
        config.stages[stage].losses = {"cross_entropy": 1.0}
        config.evaluation.after_stages = ()
        if stage == "full":  # some stage has to train the head last
            config.plan = ("full", "cnn", "rnn", "joint", "center")


def test_the_table_has_every_field():
    """A new field is refused until somebody decides otherwise, and has a row here."""
    config = default()
    assert set(OTHER) == set(flat(config))
    assert {field for field, row in FIELDS.items() if row.resumable} == MAY_CHANGE


def train_in(workdir) -> None:
    """Leave what a run with a checkpoint has."""
    (workdir / "checkpoints" / "4").mkdir(parents=True)


def convert_in(workdir) -> None:
    """Leave what a run has that converted its drawings."""
    (workdir / "data").mkdir()
    (workdir / "data" / "manifest.json").touch()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A workdir in which the default config has been trained."""
    workdir = tmp_path_factory.mktemp("kept")
    keep_config(default(), workdir)
    train_in(workdir)
    return workdir


@pytest.mark.parametrize("field", OTHER)
def test_each_field_is_refused_by_name_or_may_change(kept, field):
    config = default()
    before = flat(config)[field]
    config.update_from_flattened_dict({field: OTHER[field]})
    possible = config.copy_and_resolve_references()
    complete(possible, field)
    validate(possible)
    assert flat(config)[field] == OTHER[field] != before
    content = (kept / "config.json").read_bytes()
    if field in MAY_CHANGE:
        keep_config(config, kept)
    else:
        with pytest.raises(ConfigError) as caught:
            keep_config(config, kept)
        heading, line = caught.value.problems
        plain = [list(v) if type(v) is tuple else v for v in (before, OTHER[field])]
        assert line == f"{field}: before {plain[0]!r}, now {plain[1]!r}"
        assert str(kept) in heading
        assert "rerun it with that config" in heading
        assert "another --workdir" in heading
        assert caught.value.exit_code == 64
    assert (kept / "config.json").read_bytes() == content


def test_a_field_that_older_versions_lack_has_its_default(tmp_path):
    keep_config(default(), tmp_path)
    train_in(tmp_path)
    path = tmp_path / "config.json"
    added = ("train.averaging", "stages.joint.augmentation", "model.mirrored")
    fields = orjson.loads(path.read_bytes())
    older = {name: value for name, value in fields.items() if name not in added}
    assert len(older) == len(fields) - len(added)
    path.write_bytes(orjson.dumps(older))
    check_config(default(), tmp_path)
    config = default()
    config.stages.joint.augmentation = 0.5
    with pytest.raises(ConfigError, match=r"joint\.augmentation: before 1\.0, now 0\.5"):
        check_config(config, tmp_path)


def test_all_fields_that_differ_are_named(kept):
    config = default()
    for field, value in OTHER.items():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(ConfigError) as caught:
        check_config(config, kept)
    named = [line.split(":")[0] for line in caught.value.problems[1:]]
    assert named == sorted(set(OTHER) - MAY_CHANGE)


# --- before there is anything to lose --------------------------------------------------------

TRAINED = (
    "checkpoints/4",
    "checkpoints/4.bad",
    "checkpoints/.4.replaced",
    "weights/cnn.safetensors",
    "model.safetensors",
    "results.json",
)
UNTRAINED = (
    ".lock",
    "metrics.jsonl",
    "drawings/cat.ndjson",
    "data/.partial",
    "checkpoints/.4.5eed.partial",
    "checkpoints/.4.removed",
    "tensorboard/events",
)


def leave(workdir, name: str) -> None:
    (workdir / name).parent.mkdir(parents=True, exist_ok=True)
    (workdir / name).touch()


def other_config():
    config = default()
    config.seed, config.data.source, config.train.batch_size = 7, "drawings", 64
    return config


def test_a_workdir_without_anything_to_lose_takes_another_config(tmp_path):
    keep_config(default(), tmp_path)
    for name in UNTRAINED:
        leave(tmp_path, name)
    keep_config(other_config(), tmp_path)
    kept = orjson.loads((tmp_path / "config.json").read_bytes())
    assert (kept["seed"], kept["data.source"], kept["train.batch_size"]) == (7, "drawings", 64)


@pytest.mark.parametrize("name", TRAINED)
def test_anything_trained_binds_a_workdir(tmp_path, name):
    keep_config(default(), tmp_path)
    leave(tmp_path, name)
    with pytest.raises(ConfigError, match="holds a run of another config"):
        keep_config(other_config(), tmp_path)
    assert orjson.loads((tmp_path / "config.json").read_bytes())["seed"] == 0


@pytest.mark.parametrize("field", OTHER)
def test_converted_drawings_bind_the_fields_they_were_converted_by(tmp_path, field):
    """Besides those, a config may change: a batch that was too large, say."""
    keep_config(default(), tmp_path)
    convert_in(tmp_path)
    config = default()
    config.update_from_flattened_dict({field: OTHER[field]})
    if field not in CONVERSION_FIELDS and not field.startswith("data.splits."):
        keep_config(config, tmp_path)
        kept = orjson.loads((tmp_path / "config.json").read_bytes())
        assert kept == orjson.loads(orjson.dumps(flat(config)))
        return
    with pytest.raises(ConfigError) as caught:
        keep_config(config, tmp_path)
    heading, line = caught.value.problems
    assert f"{tmp_path / 'data'} was converted under another config; delete that folder" in heading
    assert line.startswith(f"{field}: before ")


def test_every_field_of_the_data_either_converts_or_does_not():
    """A new field of the data is decided upon here."""
    after = {"dir", "unseen_count", "word_vectors", "feed", "points", "splits", "sketches"}
    data = {field for field in FIELDS if field.startswith(("data.", "photos."))}
    others = {f"data.{name}" for name in after} | {"photos.size"}
    assert data - others == CONVERSION_FIELDS - {"seed", "data.dir"}


# --- what else may be ------------------------------------------------------------------------


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_the_number_of_devices_may_change_where_batches_divide(kept, devices):
    """No field knows it, and a checkpoint has no device axis (`test_checkpoint`)."""
    validate(default(), devices=devices)
    keep_config(default(), kept)


def test_a_wrong_number_of_devices_is_refused_with_a_right_batch(kept):
    with pytest.raises(ConfigError, match=r"train\.batch_size=256 does not divide over 3 devices"):
        validate(default(), devices=3)


def test_the_same_values_in_other_types_are_the_same(kept):
    config = default()
    config.train.clip_norm = 1
    with config.ignore_type():
        config.evaluation.precision_at = [100, 200]
    keep_config(config, kept)


def rewrite(workdir, change):
    path = workdir / "config.json"
    fields = orjson.loads(path.read_bytes())
    change(fields)
    path.write_bytes(orjson.dumps(fields))


def test_a_field_that_the_project_has_gained_counts_as_its_default(tmp_path):
    keep_config(default(), tmp_path)
    train_in(tmp_path)
    rewrite(tmp_path, lambda fields: [fields.pop(n) for n in ("model.bits", "data.feed")])
    keep_config(default(), tmp_path)
    config = default()
    config.model.bits = 32
    with pytest.raises(ConfigError, match=r"model\.bits: before 64, now 32"):
        keep_config(config, tmp_path)


def test_a_field_that_the_project_has_lost_is_named(tmp_path):
    keep_config(default(), tmp_path)
    train_in(tmp_path)
    rewrite(tmp_path, lambda fields: fields.update({"model.moons": 2}))
    with pytest.raises(ConfigError, match=r"model\.moons: before 2, now not there"):
        keep_config(default(), tmp_path)


@pytest.mark.parametrize("field", ["data.splits.validation", "stages.full.losses.center"])
def test_a_split_or_loss_that_is_missing_is_not_its_default(tmp_path, field):
    """Their names are free: one that is missing has no sketches, or no weight."""
    section, name = field.rsplit(".", 1)
    config = default()
    inner = config
    for part in section.split("."):
        inner = inner[part]
    value = inner[name]
    del inner[name]
    validate(config)
    keep_config(config, tmp_path)
    train_in(tmp_path)
    keep_config(config, tmp_path)
    with pytest.raises(ConfigError, match=f"{field}: before not there, now {value}"):
        keep_config(default(), tmp_path)
    assert changes(flat(default()), flat(config))[-1] == f"{field}: before {value}, now not there"


def config_at(folder) -> Any:
    """The default config with this `data.dir`."""
    config = default()
    config.data.dir = str(folder)
    return config


def test_one_folder_may_be_named_in_two_ways(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keep_config(config_at("data"), tmp_path / "run")
    train_in(tmp_path / "run")
    keep_config(config_at(tmp_path / "data"), tmp_path / "run")
    keep_config(config_at("./run/../data"), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"data\.dir: before './run/../data', now ''"):
        keep_config(default(), tmp_path / "run")


def test_the_run_s_own_folder_may_be_named(tmp_path):
    keep_config(default(), tmp_path)
    convert_in(tmp_path)
    keep_config(config_at(tmp_path / "data"), tmp_path)
    keep_config(default(), tmp_path)


def test_data_may_be_moved_but_not_changed(tmp_path):
    """A checkpoint has the sha256 of the manifest that the run was trained with."""
    run, there = tmp_path / "run", tmp_path / "there"
    keep_config(config_at(tmp_path / "here"), run)
    there.mkdir()
    (there / "manifest.json").write_bytes(b"one")
    for step, data in ((7, sha256(there / "manifest.json")), (9, "damaged")):
        progress = run / "checkpoints" / str(step) / "progress.json"
        progress.parent.mkdir(parents=True)
        progress.write_text(f'{{"data": "{data}"}}' if step == 7 else "{")
    keep_config(config_at(there), run)
    assert orjson.loads((run / "config.json").read_bytes()) == orjson.loads(
        orjson.dumps(flat(config_at(there)))
    )
    elsewhere = there.rename(tmp_path / "elsewhere")
    (elsewhere / "manifest.json").write_bytes(b"two")
    for folder in (elsewhere, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=r"data\.dir: before "):
            keep_config(config_at(folder), run)


@pytest.mark.parametrize("content", [b"", b"[1", b"3", b"null", b"[3]", b"\xff", b'"text"'])
def test_a_config_file_that_cannot_be_read_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.json cannot be read as a config"):
        check_config(default(), tmp_path)


def test_looking_writes_nothing(tmp_path):
    check_config(default(), tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for use in (check_config, keep_config):
        with pytest.raises(ConfigError, match="it is a file; give a folder"):
            use(default(), tmp_path / "file")
    with pytest.raises(ConfigError, match="it is a file"), locked(tmp_path / "file"):
        pass
    within = tmp_path / "file" / "within"
    with pytest.raises(DiskError, match="Not a directory"):
        keep_config(default(), within)
    with pytest.raises(DiskError, match="Not a directory"), locked(within):
        pass
