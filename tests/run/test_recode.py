"""Posterior codes of a finished run: from the model and from its files, and what is refused."""

import inspect
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import orjson
import pytest
from plain_runs import keep_as_drawn
from tiny_run import stable_map, tiny_config

import sketchjax
from sketchjax import cli
from sketchjax.commands import runs
from sketchjax.config import encoder, set_encoders, set_stages, stage, validate
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sources.doodles import write
from sketchjax.errors import ConfigError, DataError, Stopped
from sketchjax.models.posterior import dither
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.encode import Encoded
from sketchjax.run import experiment
from sketchjax.run.posterior import choice as choices
from sketchjax.run.posterior.finding import workdir_of
from sketchjax.run.posterior.source import Settings
from sketchjax.run.progress import TrainingProgress
from sketchjax.run.rebuild import rebuild
from sketchjax.run.recode import recode
from sketchjax.run.writers import RESULT_KEYS
from sketchjax.train.classifier import LinearClassifier

pytestmark = pytest.mark.usefixtures("short_runs")

QUICK = ("--copies=1", "--steps=60")


def drawings(folder: Path, split: str) -> list[np.ndarray]:
    """The points of a split's records."""
    with Shards(folder, split) as shards:
        records = shards.read(np.arange(len(shards)))
    return np.split(records.points, records.offsets[1:-1])


def command(monkeypatch, *arguments: str) -> int:
    """The exit code of `sketchjax recode`."""
    monkeypatch.setattr("sys.argv", ["sketchjax", "recode", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def recoded(plain_run, tmp_path_factory):
    """The folder of codes of 8 and 16 bits, and what the command printed."""
    out = tmp_path_factory.mktemp("recoded") / "out"
    with pytest.MonkeyPatch.context() as patch:
        assert command(patch, str(plain_run), "--bits=8,16", f"--out={out}", *QUICK) == 0
    return out


def results(folder: Path) -> dict:
    return orjson.loads((folder / "results.json").read_bytes())


@pytest.mark.parametrize("bits", [8, 16])
def test_each_length_has_its_model_codes_scores_and_report(plain_run, recoded, bits):
    found, model = results(recoded / str(bits)), sketchjax.load(recoded / str(bits))
    assert list(found)[: len(RESULT_KEYS)] == list(RESULT_KEYS)
    assert found["bits"] == model.bits == bits
    assert found["map_stable"] == pytest.approx(stable_map(recoded / str(bits)))
    assert model.categories == sketchjax.load(plain_run).categories
    assert found["own"]["map"] == pytest.approx(results(plain_run)["map"])
    assert "posterior" in rebuild(recoded / str(bits)).read_text()


def test_codes_are_those_that_the_model_gives(plain_run, recoded):
    model, kept = sketchjax.load(recoded / "16"), Codes.load(recoded / "16" / "codes" / "query")
    points = drawings(plain_run / "data", "query")
    assert (model.encode(points).packed == kept.packed).all()
    single = [model.encode(drawing).packed[0] for drawing in points[:5]]
    assert (single == kept.packed[:5]).all()
    assert model.fingerprint == kept.model


def test_features_are_the_posterior_s_mean_codeword(plain_run, recoded):
    model = sketchjax.load(recoded / "16")
    points = drawings(plain_run / "data", "query")
    own = {name: np.asarray(each) for name, each in model.variables["params"]["posterior"].items()}
    posterior = model.predict(points)
    sharper = posterior ** (1 / own["temperature"])
    sharper /= sharper.sum(1, keepdims=True)
    wanted = np.zeros((len(points), 16))
    for place in range(len(points)):
        for bit in range(16):
            mean = sum(p * c for p, c in zip(sharper[place], own["codebook"][:, bit], strict=True))
            wanted[place, bit] = mean - own["thresholds"][bit]
    np.testing.assert_allclose(model.features(points), wanted, atol=1e-4)


def test_the_same_seed_gives_the_same_codes(plain_run, recoded, tmp_path, monkeypatch):
    arguments = (str(plain_run), "--bits=8", f"--out={tmp_path}")
    assert command(monkeypatch, *arguments, *QUICK) == 0
    name = "model.safetensors"
    assert (tmp_path / "8" / name).read_bytes() == (recoded / "8" / name).read_bytes()


def test_a_rerun_computes_only_what_is_missing(plain_run, recoded, tmp_path, monkeypatch, capsys):
    shutil.copytree(recoded, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "8")
    rebuild(tmp_path / "out" / "16")
    kept = (tmp_path / "out" / "16" / "results.json").stat().st_mtime_ns
    arguments = (str(plain_run), "--bits=8,16", f"--out={tmp_path / 'out'}")
    assert command(monkeypatch, *arguments, *QUICK) == 0
    assert (tmp_path / "out" / "16" / "results.json").stat().st_mtime_ns == kept
    assert results(tmp_path / "out" / "8")["map"] == results(recoded / "8")["map"]
    assert "16" in capsys.readouterr().out


def test_mirrored_codes_are_of_both_images(plain_run, recoded, tmp_path, monkeypatch, capsys):
    arguments = (str(plain_run), "--bits=16", f"--out={tmp_path}")
    assert command(monkeypatch, *arguments, *QUICK, "--mirrored") == 0
    assert "trained without any (augmentation.flip=0)" in " ".join(capsys.readouterr().out.split())
    found, plain = results(tmp_path / "16"), results(recoded / "16")
    assert found["own"] == plain["own"]
    assert found["recode_of"] == plain["recode_of"] | {"mirrored": True}
    model = sketchjax.load(tmp_path / "16")
    points = drawings(plain_run / "data", "query")
    turned = [each.copy() for each in points]
    for each in turned:
        each[:, 0] = each[:, 0].max() - each[:, 0]
    for each in (points, turned):
        codes = model.encode(each).packed
        kept = Codes.load(tmp_path / "16" / "codes" / "query").packed
        assert (codes == kept).mean() > 0.99  # a bit at its threshold may turn by rounding
    assert (sketchjax.load(recoded / "16").encode(turned).packed != kept).any()


def run_config(**fields):
    """The tiny config with one stage, of one encoder."""
    config = tiny_config()
    keep_as_drawn(config)
    set_encoders(config, pen=encoder("plain"))
    set_stages(config, stage("only", trains=("encoders", "head"), learning_rate=1e-2))
    config.update_from_flattened_dict(fields)
    return config


def test_a_run_makes_them_itself_and_shows_what_unseen_classes_cost(tiny_data, tmp_path):
    fields = {"data.unseen": ("cat", "sun"), "evaluation.posterior_bits": (8,)}
    config = run_config(**fields, **{"data.dir": str(tiny_data)})
    own = experiment.run(config, tmp_path)
    found = results(tmp_path / "recode" / "8")
    (row,) = own["posterior_codes"]
    assert {name: found[name] for name in row} == row
    assert found["unseen"] == ["cat", "sun"]
    assert found["own"]["map"] == pytest.approx(own["map"])
    assert 0 < found["map_seen"] <= 1
    # The codes on disk, and so the headline, are those of the unseen classes.
    assert found["map_stable"] == pytest.approx(stable_map(tmp_path / "recode" / "8"))
    kept = Codes.load(tmp_path / "recode" / "8" / "codes" / "gallery")
    assert {kept.categories[label] for label in kept.labels} == {"cat", "sun"}
    model = sketchjax.load(tmp_path / "recode" / "8")
    codewords = np.asarray(model.variables["params"]["posterior"]["codebook"])
    for name, codeword in zip(model.categories, codewords, strict=True):
        assert codeword.any() == (name not in ("cat", "sun"))
    posterior = model.predict(drawings(tiny_data, "query"))
    assert posterior[:, [model.categories.index(name) for name in ("cat", "sun")]].max() == 0


def split_by_category(folder: Path, splits: dict[str, list[str]]) -> dict:
    """Fields of `data` for categories with one drawing for each split that is named."""
    rows = ["key_id,split"]
    for name, own in splits.items():
        (path,) = write(folder, per_category=len(own), seed=0, categories=[name])
        ids = [orjson.loads(line)["key_id"] for line in path.read_text().splitlines()]
        rows += [f"{key},{split}" for key, split in zip(ids, own, strict=True)]
    (folder / "splits.csv").write_text("\n".join(rows) + "\n")
    return {"source": str(folder), "split_file": str(folder / "splits.csv")}


def test_queries_of_unseen_classes_only_are_scored(tmp_path, monkeypatch):
    """There is no ranking of the classes trained on, and so no score of one."""
    seen, kept_out = ["train"] * 20 + ["validation"] * 4, ["gallery"] * 6 + ["query"] * 4
    splits = {"cat": kept_out, "sun": kept_out, "clock": seen, "face": seen}
    config = run_config()
    config.data.update(split_by_category(tmp_path / "drawings", splits))
    config.data.unseen, config.evaluation.posterior_bits = ("cat", "sun"), (8,)
    own = experiment.run(config, tmp_path / "run")
    (row,) = own["posterior_codes"]
    assert row["map_posteriors"] is row["map_seen"] is None
    assert row["map"] == pytest.approx(results(tmp_path / "run" / "recode" / "8")["map"])
    arguments = (str(tmp_path / "run"), "--bits=8", f"--out={tmp_path / 'out'}", "--steps=0")
    assert command(monkeypatch, *arguments) == 0
    assert results(tmp_path / "out" / "8")["map_posteriors"] is None


def test_a_network_with_this_head_trains_like_any_other(tiny_data, tmp_path, monkeypatch):
    """Stopped while its codes are chosen, and resumed."""
    fields = {"model.head": "posterior", "evaluation.posterior_bits": (16,)}
    config, chosen = run_config(**fields, **{"data.dir": str(tiny_data)}), []
    codebook = choices.codebook

    def noted(*arguments, **settings):
        chosen.append(True)
        return codebook(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(choices, "codebook", noted)
        with pytest.raises(Stopped, match="rerun the same command"):
            experiment.run(config, tmp_path, lambda: bool(chosen))
    assert len(chosen) == 1
    assert not (tmp_path / "results.json").exists()

    found = experiment.run(config, tmp_path)
    assert found["map_stable"] == pytest.approx(stable_map(tmp_path))
    recoded = results(tmp_path / "recode" / "16")
    assert {**found, **recoded} == {**found, **recoded, "posterior": found["posterior"]}
    assert found["map_validation"] == recoded["map_validation"]
    own, other = (
        Codes.load(folder / "codes" / "query") for folder in (tmp_path, tmp_path / "recode" / "16")
    )
    np.testing.assert_array_equal(own.packed, other.packed)


def test_the_command_and_the_function_have_the_same_defaults():
    given = inspect.signature(runs.recode).parameters
    for name, value in vars(Settings()).items():
        assert given[name].default == value, name


def test_a_posterior_head_keeps_its_classifier(tiny_data, tmp_path):
    fields = {
        "data.dir": str(tiny_data),
        "model.head": "posterior",
        "evaluation.posterior_bits": (16,),
        "data.unseen": ("cat", "sun"),
    }
    found = experiment.run(run_config(**fields), tmp_path)
    weights = sorted((tmp_path / "weights").glob("*.safetensors"))
    trained, own, recoded = (
        jax.device_get(sketchjax.load(path).variables["params"]["classifier"])
        for path in (weights[-1], tmp_path, tmp_path / "recode" / "16")
    )
    seen = ~np.isin(sketchjax.load(tmp_path).categories, ("cat", "sun"))
    for kept in (own, recoded):
        np.testing.assert_array_equal(kept["kernel"][:, seen], trained["kernel"][:, seen])
        np.testing.assert_array_equal(kept["bias"][seen], trained["bias"][seen])
        assert (kept["bias"][~seen] == -1e4).all()
    assert found["accuracy"] == results(tmp_path / "recode" / "16")["accuracy"]


# Validation sketches of a category kept out of training choose nothing.
ONLY_UNSEEN = {
    "cat": ["validation"] * 4 + ["gallery", "query"] * 3,
    "sun": ["validation"] * 4 + ["gallery", "query"] * 3,
    "clock": ["train"] * 20 + ["validation"] + ["gallery", "query"] * 3,
    "face": ["train"] * 20 + ["gallery", "query"] * 3,
}


@pytest.mark.parametrize("unseen", [(), ("cat", "sun")])
def test_without_validation_sketches_codes_stay_as_they_began(tmp_path, capsys, unseen):
    config = run_config(**{"model.head": "posterior", "data.splits.validation": 0})
    if unseen:
        config.data.update(split_by_category(tmp_path / "drawings", ONLY_UNSEEN), unseen=unseen)
    found = experiment.run(config, tmp_path)
    assert "posterior" not in found
    assert "without two validation sketches" in " ".join(capsys.readouterr().out.split())
    own = sketchjax.load(tmp_path).variables["params"]["posterior"]
    np.testing.assert_array_equal(own["codebook"], sketchjax.codebook(4, 16))
    np.testing.assert_array_equal(own["thresholds"], dither(16, 0.8))


def test_codes_are_not_chosen_by_unseen_classes(tmp_path, monkeypatch, capsys):
    config = run_config()
    config.data.update(split_by_category(tmp_path / "drawings", ONLY_UNSEEN))
    config.data.unseen, config.evaluation.posterior_bits = ("cat", "sun"), (8,)
    said = "no two validation sketches of one category that is trained on"
    with pytest.raises(DataError, match=said):
        experiment.run(config, tmp_path / "run")
    assert not (tmp_path / "run" / "weights").exists()
    config.evaluation.posterior_bits = ()
    experiment.run(config, tmp_path / "run")
    assert command(monkeypatch, str(tmp_path / "run"), "--bits=8") == 65
    assert said in capsys.readouterr().err


def test_training_is_kept_only_where_validation_sketches_rank_better(
    plain_run, recoded, tmp_path, monkeypatch
):
    arguments = (str(plain_run), "--bits=8,16", f"--out={tmp_path}", "--copies=1", "--steps=0")
    assert command(monkeypatch, *arguments) == 0
    for bits in ("8", "16"):
        closed, trained = results(tmp_path / bits), results(recoded / bits)
        assert not closed["posterior"]["trained"]
        codebook = sketchjax.load(tmp_path / bits).variables["params"]["posterior"]["codebook"]
        assert set(np.unique(codebook)) == {-1, 1}
        gain = trained["map_validation"] - closed["map_validation"]
        assert gain > 0 if trained["posterior"]["trained"] else gain == 0
    assert results(recoded / "8")["posterior"]["trained"], "else there is nothing to keep"


@pytest.mark.parametrize("seed", [0, 2])
def test_of_several_trainings_validation_sketches_choose(seed, monkeypatch):
    """All classes share a word at first; a training leaves it to some of them."""
    labels = np.arange(60, dtype=np.int32) % 6
    logits = 9 * np.eye(6, dtype=np.float32)[labels]
    sketches = Encoded(logits, labels, labels, np.arange(60), np.zeros(60, "u8"), np.zeros(60, "f"))
    words, sharing, asked = sketchjax.codebook(6, 16), iter((3, 1, 2, 4)), []

    def trained(begin, *_, seed, **__):
        asked.append(seed)
        codewords = words.copy()
        codewords[: next(sharing)] = words[0]
        return begin._replace(codewords=codewords)

    monkeypatch.setattr(choices, "train_codes", trained)
    monkeypatch.setattr(choices, "codebook", lambda *_, **__: np.tile(words[0], (6, 1)))
    classifier = LinearClassifier(np.eye(6, dtype="f"), np.zeros(6, "f"))
    choice = choices.choose(
        [sketches],
        classifier,
        (logits, labels),
        np.zeros(6, bool),
        16,
        steps=5,
        starts=4,
        seed=seed,
    )
    assert asked == [4 * seed + start for start in range(4)]
    assert choice.trained
    assert choice.map_validation == 1
    np.testing.assert_array_equal(choice.codes.codewords, words)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"evaluation.posterior_bits": (12,)}, "give multiples of 8"),
        ({"evaluation.posterior_bits": (8,), "data.splits.validation": 0.0}, "some"),
    ],
)
def test_a_config_that_cannot_have_them_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        validate(run_config(**fields))


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["{run}", "--bits=12"], 64, "bits=12: must be a multiple of 8"),
        (["{run}", "--bits=many"], 64, "--bits many: give lengths as numbers"),
        (["{run}", "--copies=-1"], 64, "copies=-1: must be at least 0"),
        (["{run}", "--epochs=0"], 64, "epochs=0: must be at least 1"),
        (
            ["{run}/weights/pen.safetensors"],
            66,
            "has no trained classifier over all",
        ),
        (["{empty}"], 66, "has no model.safetensors"),
        (["{unfinished}"], 65, "has not finished"),
        (["{moved}"], 64, "name the data with --data"),
        (["{run}", "--data={other}"], 65, "has other categories than the model"),
        (["{run}", "--out={run}"], 65, "is the workdir of a run"),
        (["{run}", "--out={runs}", "--bits=8"], 65, "runs/8 is the workdir of a run"),
        (
            ["{run}", "--out={runs}", "--bits=16"],
            65,
            "runs/16 holds other results than posterior codes",
        ),
    ],
)
def test_bad_input_is_one_clear_line(
    plain_run, tmp_path, monkeypatch, capsys, arguments, code, message
):
    empty, unfinished, other = (tmp_path / name for name in ("empty", "unfinished", "other"))
    empty.mkdir()
    unfinished.mkdir()
    shutil.copy(plain_run / "config.json", unfinished)
    shutil.copy(plain_run / "model.safetensors", unfinished)
    shutil.copy(plain_run / "model.safetensors", tmp_path / "moved.safetensors")
    shutil.copytree(unfinished, tmp_path / "runs" / "8")
    (tmp_path / "runs" / "16").mkdir()
    shutil.copy(plain_run / "results.json", tmp_path / "runs" / "16")
    shutil.copytree(plain_run / "data", other)
    manifest = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(manifest.replace('"sun"', '"son"'))
    paths = {
        "run": plain_run,
        "runs": tmp_path / "runs",
        "empty": empty,
        "unfinished": unfinished,
        "other": other,
        "moved": tmp_path / "moved.safetensors",
    }
    given = [argument.format(**paths) for argument in arguments]
    assert command(monkeypatch, *given) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_a_model_is_found_from_inside_its_run(plain_run, tmp_path, monkeypatch):
    """By a name without folders, by a way up and down, and by links to it and from it."""
    run, kept = tmp_path / "run", tmp_path / "elsewhere"
    (run / "weights").mkdir(parents=True)
    kept.mkdir()
    shutil.copy(plain_run / "config.json", run)
    (run / "weights" / "a.safetensors").touch()
    (kept / "b.safetensors").touch()
    (run / "linked").symlink_to(kept)
    (kept / "link.safetensors").symlink_to(run / "weights" / "a.safetensors")
    for place, model in (
        (run / "weights", "a.safetensors"),
        (run / "weights", "../weights/a.safetensors"),
        (run, "linked/b.safetensors"),
        (run / "weights", ".."),
        (kept, "link.safetensors"),
    ):
        monkeypatch.chdir(place)
        found = workdir_of(Path(model))
        assert found is not None, model
        assert found.samefile(run), model
    assert workdir_of(kept / "b.safetensors") is None


def test_data_named_from_another_folder_are_asked_for(plain_run, tmp_path, monkeypatch, capsys):
    shutil.copy(plain_run / "model.safetensors", tmp_path)
    shutil.copy(plain_run / "results.json", tmp_path)
    fields = orjson.loads((plain_run / "config.json").read_bytes()) | {"data.dir": "my/data"}
    (tmp_path / "config.json").write_bytes(orjson.dumps(fields))
    assert command(monkeypatch, str(tmp_path), "--bits=8") == 65
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "data.dir=my/data, which is relative to the folder that the training was" in line
    assert line.endswith("name it with --data")


def test_a_second_process_is_refused_by_the_folder_s_lock(plain_run, tmp_path, monkeypatch, capsys):
    out, codes = tmp_path / "out", []

    def again(name, total):
        if not codes:
            codes.append(command(monkeypatch, str(plain_run), "--bits=8", f"--out={out}"))
        return TrainingProgress(active=False).task(name, total=total)

    settings = Settings(copies=0, epochs=1, steps=0)
    recode(plain_run, [8], out=out, settings=settings, task=again, note=print)
    assert codes == [75]
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"another process is running in {out}: process {os.getpid()} on " in line
    assert line.endswith("wait until it finishes, stop it, or use another --out")
    assert results(out / "8")["recode_of"]["epochs"] == 1
