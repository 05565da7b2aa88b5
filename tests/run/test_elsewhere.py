"""A model scored on other data: categories by name, scores against numpy, and what is refused."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import orjson
import pytest

from sketchjax import cli
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sources.doodles import write
from sketchjax.errors import DataError, InUseError
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.model import Model, load
from sketchjax.run.elsewhere import evaluate_model
from sketchjax.run.rebuild import rebuild
from sketchjax.run.writers import RESULT_KEYS

pytestmark = pytest.mark.usefixtures("short_runs")

SHARES = {"gallery": 0.7, "query": 0.3}
# Those of the model are cat, clock, face and sun.
LATER = ["apple", "cat", "face", "sun"]


def data_folder(folder: Path, categories: list[str], splits: dict[str, float]) -> Path:
    """A data folder of new doodles."""
    write(folder / "drawings", per_category=20, seed=7, categories=categories)
    convert([folder / "drawings"], folder / "data", splits=splits, shards=1, workers=1)
    return folder / "data"


@pytest.fixture(scope="module")
def model(plain_run) -> Model:
    return load(plain_run)


@pytest.fixture(scope="module")
def later(tmp_path_factory) -> Path:
    """Without clocks, which the model knows; with apples, which it does not know."""
    return data_folder(tmp_path_factory.mktemp("later"), LATER, SHARES)


@contextmanager
def unseen_task(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Progress that nobody sees."""
    yield lambda count: None


def evaluate(model: Model, folder: Path, out: Path) -> tuple[dict, list[str]]:
    """The results and the notes."""
    notes: list[str] = []
    results = evaluate_model(model, folder, out, batch=16, task=unseen_task, note=notes.append)
    return results, notes


def names_in(folder: Path) -> list[str]:
    """All files of a folder, except the lock's and a killed process's."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith("."))


def drawings(folder: Path, split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """The points of a split's records, and their labels."""
    with Shards(folder, split) as shards:
        records = shards.read(np.arange(len(shards)))
    return np.split(records.points, records.offsets[1:-1]), np.asarray(records.labels)


def share_recognised(model: Model, folder: Path, split: str) -> float:
    """Share of a split's sketches that `predict` names, among the categories of the model."""
    points, labels = drawings(folder, split)
    named = [model.categories[best] for best in model.predict(points).argmax(1)]
    pairs = [(name, LATER[label]) for name, label in zip(named, labels, strict=True)]
    return float(np.mean([name == own for name, own in pairs if own in model.categories]))


def stable_map(queries: Codes, gallery: Codes) -> float:
    """Mean average precision where ties stay in the gallery's order."""
    found = []
    for code, label in zip(queries.unpacked(), queries.labels, strict=True):
        distances = (code != gallery.unpacked()).sum(1)
        right = gallery.labels[np.argsort(distances, kind="stable")] == label
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        found += [precision[right].mean()] if right.any() else []
    return float(np.mean(found))


def test_the_run_s_own_data_give_its_results(model, plain_run, tmp_path):
    _, notes = evaluate(model, plain_run / "data", tmp_path)
    assert notes == []
    own = orjson.loads((plain_run / "results.json").read_bytes())
    measured = [
        name for name in own if name.startswith(("map", "precision", "d1", "d2", "feature"))
    ]
    assert len(measured) >= 8
    written = orjson.loads((tmp_path / "results.json").read_bytes())
    others = ["bits", "classes", "gallery", "queries", "accuracy", "accuracy_query", "rankings"]
    for name in [*measured, *others]:
        assert written[name] == own[name], name
    for split in ("gallery", "query"):
        assert Codes.load(tmp_path / "codes" / split) == Codes.load(plain_run / "codes" / split)


def test_categories_are_matched_by_name(model, later, tmp_path):
    results, notes = evaluate(model, later, tmp_path)
    assert notes == [
        "categories new to the model: apple",
        "categories missing from the data: clock",
    ]
    assert results["classes"] == 4
    assert (results["unseen"], results["missing"]) == (["apple"], ["clock"])
    assert results["accuracy"] == pytest.approx(share_recognised(model, later, "gallery"))
    assert results["accuracy_query"] == pytest.approx(share_recognised(model, later, "query"))
    codes = {split: Codes.load(tmp_path / "codes" / split) for split in SHARES}
    for split, own in codes.items():
        points, labels = drawings(later, split)
        assert own.categories == tuple(LATER)
        np.testing.assert_array_equal(own.labels, labels)
        np.testing.assert_array_equal(own.packed, model.encode(points).packed)
    assert results["map_stable"] == pytest.approx(stable_map(codes["query"], codes["gallery"]))


def test_categories_kept_out_of_training_do_not_count(model, plain_run, later, tmp_path):
    """In the accuracy: the classifier has a label for them, which it never learnt."""
    card = msgspec.structs.replace(model.card, unseen=("clock", "sun"))
    results, notes = evaluate(replace(model, card=card), later, tmp_path)
    assert "categories kept out of the model's training: sun" in notes
    assert results["unseen"] == ["apple", "sun"]
    points, labels = drawings(later, "gallery")
    named = [model.categories[best] for best in model.predict(points).argmax(1)]
    own = [LATER[label] for label in labels]
    right = [a == b for a, b in zip(named, own, strict=True) if b in ("cat", "face")]
    assert results["accuracy"] == pytest.approx(np.mean(right))


def test_it_leaves_results_and_a_report(model, later, tmp_path):
    evaluate(model, later, tmp_path)
    results = orjson.loads((tmp_path / "results.json").read_bytes())
    assert tuple(results)[: len(RESULT_KEYS)] == RESULT_KEYS
    page = (tmp_path / "report" / "index.html").read_text()
    assert f"all on {later}" in page
    assert "new_to_the_model" in page
    assert rebuild(tmp_path).read_text() == page


def test_a_model_without_codes_has_an_accuracy(plain_run, later, tmp_path):
    recogniser = load(plain_run / "weights" / "pen.safetensors")
    results, notes = evaluate(recogniser, later, tmp_path)
    assert notes[2:] == ["this model makes no codes: only its accuracy is measured"]
    assert results["bits"] is None
    assert results["map"] is None
    assert results["accuracy"] == pytest.approx(share_recognised(recogniser, later, "gallery"))
    assert not (tmp_path / "codes").exists()
    assert "accuracy" in (tmp_path / "report" / "index.html").read_text()


def test_a_model_with_nothing_to_score_is_refused(plain_run, later, tmp_path):
    recogniser = load(plain_run / "weights" / "pen.safetensors")
    params = dict(recogniser.variables["params"])
    params["pen_classifier"] = params["pen_classifier"] | {"bias": np.zeros(4, np.float32)}
    untrained = replace(recogniser, variables=recogniser.variables | {"params": params})
    with pytest.raises(DataError, match="no codes and its classifier was not trained"):
        evaluate(untrained, later, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_of_other_categories_only_are_refused(model, tmp_path):
    folder = data_folder(tmp_path, ["house", "moon"], SHARES)
    wanted = "share no category: the data has house, moon, the model was trained on cat, clock"
    with pytest.raises(DataError, match=wanted):
        evaluate(model, folder, tmp_path / "out")


def test_data_without_a_gallery_are_refused(model, tmp_path):
    folder = data_folder(tmp_path, ["cat"], {"query": 1.0})
    with pytest.raises(DataError, match="no sketches in the split gallery; convert"):
        evaluate(model, folder, tmp_path / "out")


def test_files_of_runs_and_data_are_not_replaced(model, plain_run, later):
    with pytest.raises(DataError, match="is the workdir of a run; name another folder"):
        evaluate(model, later, plain_run)
    with pytest.raises(DataError, match="is a data folder; name another folder"):
        evaluate(model, later, later)


def test_only_an_earlier_evaluation_is_replaced(model, plain_run, later, tmp_path):
    """Not the report of a run, nor posterior codes, which have the same results.json and more."""
    with pytest.raises(DataError, match=r"report holds more than an evaluation \(distances"):
        evaluate(model, later, plain_run / "report")
    codes = tmp_path / "16"
    codes.mkdir()
    for name in ("model.safetensors", "results.json"):
        shutil.copy(plain_run / name, codes)
    with pytest.raises(DataError, match=r"holds more than an evaluation \(model.safetensors\)"):
        evaluate(model, later, codes)
    (codes / "model.safetensors").unlink()
    (codes / "results.json").write_text('{"recode_of": {}}')
    with pytest.raises(DataError, match="holds other results than an evaluation"):
        evaluate(model, later, codes)
    assert [path.name for path in codes.iterdir()] == ["results.json"]


def test_a_second_evaluation_leaves_nothing_of_the_first(model, plain_run, later, tmp_path):
    """Of the same folder after a kill too, which leaves a part and no results."""
    recogniser = load(plain_run / "weights" / "pen.safetensors")
    used, fresh = tmp_path / "used", tmp_path / "fresh"
    evaluate(model, later, used)
    (used / "results.json").rename(used / ".results.json.part")
    for out in (used, fresh):
        evaluate(recogniser, later, out)
    assert names_in(used) == names_in(fresh)


def test_a_replacement_that_stops_does_not_look_finished(model, later, tmp_path, monkeypatch):
    evaluate(model, later, tmp_path)

    def full(*_, **__):
        assert not (tmp_path / "results.json").exists()
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("sketchjax.run.elsewhere.write_report", full)
    with pytest.raises(OSError, match="full"):
        evaluate(model, later, tmp_path)
    with pytest.raises(DataError, match=r"has no results\.json: .* once it has finished"):
        rebuild(tmp_path)


def test_the_command_prints_the_scores(plain_run, later, tmp_path, monkeypatch, capsys):
    arguments = ["evaluate", str(plain_run), str(later), str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["sketchjax", *arguments, "--ranking", "gallery:query"])
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main()
    results = orjson.loads((tmp_path / "out" / "results.json").read_bytes())
    assert results["rankings"][0]["queries"] == "gallery"
    scores, sizes, report = capsys.readouterr().out.splitlines()[-3:]
    assert scores.startswith(f"MAP {results['map']:.4f} ")
    assert sizes == f"16 bits, 4 classes, {results['queries']} queries against {results['gallery']}"
    assert report == f"report: {tmp_path / 'out' / 'report' / 'index.html'}"
    assert f"{plain_run.name} on data" in (tmp_path / "out" / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["{damaged}", "{later}", "{out}"], 66, "is damaged"),
        (["{out}", "{later}", "{out}"], 66, "there is no model file"),
        (["{run}", "{out}", "{out}"], 65, "is not a data folder"),
        (["{run}", "{later}", "{damaged}/out"], 74, "out cannot be used"),
        (
            ["{run}", "{later}", "{out}", "--ranking=query"],
            64,
            "--ranking query: give two",
        ),
    ],
)
def test_mistakes_are_one_line(
    plain_run, later, tmp_path, monkeypatch, capsys, arguments, code, message
):
    content = bytearray((plain_run / "model.safetensors").read_bytes())
    content[-1] ^= 1
    paths = {"damaged": tmp_path / "bad.safetensors", "out": tmp_path / "out", "run": plain_run}
    paths["damaged"].write_bytes(content)
    filled = [argument.format(**paths, later=later) for argument in arguments]
    monkeypatch.setattr("sys.argv", ["sketchjax", "evaluate", *filled])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code
    printed = capsys.readouterr().err
    assert printed.startswith("sketchjax: ")
    assert printed.count("\n") == 1
    assert message in printed


def test_a_second_process_is_refused(model, later, tmp_path):
    """One folder holds one evaluation: codes of one and results of another would not fit."""
    refused = []

    @contextmanager
    def again(name: str, total: int) -> Iterator[Callable[[int], None]]:
        if not refused:
            with pytest.raises(InUseError, match=r"process is running in .*another OUT"):
                evaluate(model, later, tmp_path)
            refused.append(name)
        yield lambda count: None

    evaluate_model(model, later, tmp_path, batch=16, task=again, note=print)
    assert refused
