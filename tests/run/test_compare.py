"""Ways to codes compared on the features of finished runs."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from sketchjax import cli
from sketchjax.errors import DataError
from sketchjax.losses.table import LOSSES
from sketchjax.models.card import FILE
from sketchjax.models.table import FUSION, HEADS
from sketchjax.models.weights import load_weights, save_weights
from sketchjax.paper.objectives.shallow import SHALLOW
from sketchjax.retrieval.model import load
from sketchjax.run.compare import Rates, compare
from sketchjax.run.compare_scores import score
from sketchjax.run.objectives import (
    FIRST_RATES,
    OBJECTIVES,
    RATES,
    PosteriorHead,
    TrainedHead,
    next_rates,
)
from sketchjax.run.posterior.choice import chosen
from sketchjax.run.posterior.classifier import classify
from sketchjax.run.posterior.finding import find_source
from sketchjax.run.posterior.source import Settings
from sketchjax.run.progress import TrainingProgress

pytestmark = pytest.mark.usefixtures("short_runs")


def command(monkeypatch, *arguments: str) -> int:
    """The exit code of `sketchjax compare`."""
    monkeypatch.setattr("sys.argv", ["sketchjax", "compare", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def rows_in(out) -> list[dict]:
    return orjson.loads((out / "compare.json").read_bytes())["rows"]


def scores_in(out) -> dict[str, dict]:
    scores = orjson.loads((out / "scores.json").read_bytes())["scores"]
    return {each["objective"]: each for each in scores}


def task(name, total):
    return TrainingProgress(active=False).task(name, total=total)


def compared(paths, out, objectives: list[str], *, rates: Rates | None = None, others=None):
    """Rows of 8 bits, with one head of each run."""
    return compare(
        paths,
        out,
        [8],
        objectives=objectives,
        others=others,
        rates=rates,
        seeds=1,
        epochs=1,
        task=task,
        note=print,
    )


class Signs:
    """The signs of eight features, minus a number that is fitted."""

    def __init__(self, setting):
        self.bits = setting.bits

    def fit(self, material, rate, seed):
        return {"mean": material.frozen.features[:, : self.bits].mean(0)}

    def encode(self, arrays, features):
        return features[:, : self.bits] > arrays["mean"]


def changed(
    run: Path, workdir: Path, by: float = 0.01, fields: dict[str, Any] | None = None
) -> Path:
    """A copy of a run with slightly other weights, as if of another seed, and other fields."""
    ignored = shutil.ignore_patterns("checkpoints", "report", "codes", "tensorboard", "weights")
    shutil.copytree(run, workdir, ignore=ignored)
    variables, card = load_weights(workdir / FILE)
    for part in variables["params"].values():
        if "bias" in part:
            part["bias"] = part["bias"] + np.float32(by)
    save_weights(workdir / FILE, variables, card)
    config = orjson.loads((workdir / "config.json").read_bytes())
    config |= {"data.dir": str(run / "data"), **(fields or {})}
    (workdir / "config.json").write_bytes(orjson.dumps(config))
    return workdir


@pytest.fixture(scope="module")
def second(plain_run, tmp_path_factory) -> Path:
    return changed(plain_run, tmp_path_factory.mktemp("runs") / "second")


@pytest.fixture(scope="module")
def unseen(plain_run, tmp_path_factory) -> Path:
    """A run that counts as trained without two of the four categories."""
    workdir = tmp_path_factory.mktemp("runs") / "unseen"
    return changed(plain_run, workdir, fields={"data.unseen": ["clock", "sun"]})


def expected_map(queries, query_labels, gallery, gallery_labels) -> float:
    """MAP of codes bool[n d] over all orders inside ties, term by term."""
    values = []
    for code, label in zip(queries, query_labels, strict=True):
        distances = (gallery != code).sum(1)
        before = right_before = 0
        total, found = 0.0, gallery_labels == label
        for distance in range(gallery.shape[1] + 1):
            tied = distances == distance
            n, right = int(tied.sum()), int((tied & found).sum())
            for t in range(1, n + 1):
                others = (t - 1) * (right - 1) / (n - 1) if n > 1 else 0
                total += right / n * (right_before + 1 + others) / (before + t)
            before, right_before = before + n, right_before + right
        if found.any():
            values.append(total / found.sum())
    return float(np.mean(values))


def own_map(run: Path, arrays: dict[str, np.ndarray]) -> float:
    """The MAP of a kept cross-entropy head on the queries and the gallery of its run."""
    source = find_source(run, None, task)
    passes, sides = source.passes(source.model.network), []
    for split in source.pairs[0]:
        encoded = passes.encode(source.model.variables, split, FUSION)
        if source.unseen.any():
            encoded = encoded[source.unseen[encoded.labels]]
        hidden = encoded.features @ arrays["params/hash/kernel"] + arrays["params/hash/bias"]
        sides += [hidden > 0, encoded.labels]
    return expected_map(*sides)


def test_every_objective_has_losses_and_a_head_with_codes():
    for name, objective in OBJECTIVES.items():
        assert HEADS[objective.head].threshold is not None, name
        assert sum(share for _, share in objective.stages.values()) == pytest.approx(1)
        for losses, _ in objective.stages.values():
            assert {*losses} <= {*LOSSES}, name
            for loss in losses:
                assert not LOSSES[loss].heads or objective.head in LOSSES[loss].heads, name
                assert not LOSSES[loss].pairs or objective.balanced, name


@pytest.fixture
def fitted(monkeypatch) -> list:
    """The learning rate and seed of each head that is trained."""
    done, fit = [], TrainedHead.fit

    def counted(self, material, rate, seed):
        done.append((rate, seed))
        return fit(self, material, rate, seed)

    monkeypatch.setattr(TrainedHead, "fit", counted)
    return done


def test_rows_are_kept_and_only_missing_ones_computed(
    plain_run, tmp_path, monkeypatch, capsys, fitted
):
    out = tmp_path / "out"
    arguments = [str(plain_run), str(out), "--bits=8", "--epochs=2", "--seeds=2"]
    assert command(monkeypatch, *arguments, "--objectives=cross_entropy") == 0
    (first,) = rows_in(out)
    assert (first["objective"], first["bits"]) == ("cross_entropy", 8)
    chosen = first["learning_rate"]
    assert len(first["map_validation"]) == 2
    assert all(0 < score <= 1 for score in first["map_validation"])
    tried = [rate for rate, _ in fitted[:-1]]
    assert fitted == [*((rate, 0) for rate in tried), (chosen, 1)]
    assert tried[: len(FIRST_RATES)] == [*FIRST_RATES]
    assert chosen in tried
    assert next_rates(chosen, tried) == []

    fitted.clear()
    assert command(monkeypatch, *arguments, "--objectives=pcah, cross_entropy") == 0
    assert fitted == []
    assert rows_in(out)[0] == first
    assert [row["objective"] for row in rows_in(out)] == ["cross_entropy", "pcah"]
    printed = capsys.readouterr().out
    assert "pcah" in printed
    assert f"{sum(first['map_validation']) / 2:.4f}" in printed
    assert "P@100" not in printed


@pytest.mark.parametrize(
    "best, tried, wanted",
    [
        (3e-3, FIRST_RATES, []),
        (1e-2, FIRST_RATES, [3e-2]),
        (3e-2, (*FIRST_RATES, 3e-2), [1e-1]),
        (1e-1, (*FIRST_RATES, 3e-2, 1e-1), []),
        (1e-3, FIRST_RATES, [3e-4]),
        (1e-4, RATES[:5], []),
    ],
)
def test_a_rate_at_the_edge_is_not_the_last_that_is_tried(best, tried, wanted):
    assert next_rates(best, tried) == wanted


def test_kept_heads_of_all_runs_are_scored_after_the_choice(
    plain_run, second, tmp_path, monkeypatch, capsys, fitted
):
    out = tmp_path / "out"
    arguments = [str(plain_run), str(second), str(out), "--bits=8", "--epochs=1"]
    arguments.append("--objectives=cross_entropy,posterior,cca_itq")
    assert command(monkeypatch, *arguments) == 0
    assert not (out / "scores.json").exists()
    chosen = (out / "compare.json").read_bytes()
    fitted.clear()
    monkeypatch.setattr(PosteriorHead, "fit", None)
    capsys.readouterr()
    assert command(monkeypatch, *arguments, "--score") == 0
    assert fitted == []
    assert (out / "compare.json").read_bytes() == chosen
    scores = scores_in(out)
    assert {*scores} == {"cross_entropy", "posterior", "cca_itq", "posteriors"}
    assert all(len(own["map"]) == 2 for own in scores.values())
    found = compared([plain_run, second], out, objectives=["cross_entropy"])
    (row,) = found.rows
    for run, workdir in enumerate((plain_run, second)):
        score = own_map(workdir, found.head(row, run, 0))
        assert scores["cross_entropy"]["map"][run] == pytest.approx(score, abs=1e-6)
    assert f"{np.mean(scores['cca_itq']['map']):.4f}" in capsys.readouterr().out
    assert command(monkeypatch, *arguments) == 0
    assert "P@100" not in capsys.readouterr().out


def test_a_run_that_kept_categories_out_is_scored_by_these_only(unseen, tmp_path):
    found = compared([unseen], tmp_path, objectives=["cross_entropy"])
    (own,) = score(found, task)
    (row,) = found.rows
    assert own.map[0] == pytest.approx(own_map(unseen, found.head(row, 0, 0)), abs=1e-6)


def test_the_posterior_row_is_what_recode_chooses(plain_run, tmp_path):
    (row,) = compared([plain_run], tmp_path, objectives=["posterior"]).rows
    source = find_source(plain_run, None, task)
    classifier = classify(source, Settings(copies=0), print)
    choice = chosen(source, classifier, 8, Settings(starts=1))
    assert row.map_validation == pytest.approx((choice.map_validation,))


def test_given_learning_rates_are_taken_as_they_are(plain_run, tmp_path, monkeypatch, fitted):
    rates = {("csq", 8): 0.02, ("dpn", 8): None}
    found = compared([plain_run], tmp_path, rates=rates, objectives=["csq", "dpn"])
    assert fitted == [(0.02, 0)]
    assert [(row.objective, row.learning_rate) for row in found.rows] == [
        ("csq", 0.02),
        ("dpn", None),
    ]
    for wrong, said in [({("csq", 8): 0.01}, "has learning rate 0.02"), ({}, "no learning rate")]:
        with pytest.raises(Exception, match=said):
            compared([plain_run], tmp_path, rates=wrong, objectives=["csq"])


def test_an_unknown_way_to_codes_is_one_more_row(plain_run, tmp_path):
    found = compared([plain_run], tmp_path, objectives=["signs"], others={"signs": Signs})
    (row,) = found.rows
    assert 0 < (row.map_validation[0] or 0) <= 1
    assert row.bytes == 8 * 4
    assert score(found, task)[0].map[0]


def test_a_row_that_lacks_data_leaves_the_others(plain_run, tmp_path, capsys):
    class Greedy(Signs):
        def fit(self, material, rate, seed):
            raise DataError("7 rows cannot form 9 groups")

    makers = {"greedy": Greedy, "signs": Signs}
    found = compared([plain_run], tmp_path, objectives=[*makers], others=makers)
    scores = {row.objective: row.map_validation for row in found.rows}
    assert scores["greedy"] == ()
    assert 0 < (scores["signs"][0] or 0) <= 1
    assert "greedy, 8 bits, run 0, seed 0: 7 rows cannot form" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--objectives=ortohash"], "'ortohash' is no objective; did you mean orthohash?"),
        (["--bits=12"], "bits=12: must be a multiple of 8"),
        (["--seeds=0", "--epochs=0"], "seeds=0: must be at least 1"),
        (["--epochs=3", "--objectives=csq"], "delete it, or give another folder"),
    ],
)
def test_what_is_refused(plain_run, tmp_path, monkeypatch, capsys, arguments, said):
    out = tmp_path / "out"
    out.mkdir()
    (out / "compare.json").write_bytes(b'{"mark": {}, "rows": []}')
    assert command(monkeypatch, str(plain_run), str(out), *arguments) == 64
    assert said in capsys.readouterr().err


def test_rows_of_an_earlier_version_are_refused(plain_run, tmp_path, monkeypatch, capsys):
    row = {"objective": "csq", "bits": 8, "learning_rate": 0.01, "map_validation": [0.5]}
    content = {"mark": {}, "rows": [row]}
    (tmp_path / "compare.json").write_bytes(orjson.dumps(content))
    assert command(monkeypatch, str(plain_run), str(tmp_path), "--bits=8") == 64
    assert "an earlier version" in capsys.readouterr().err


def test_runs_that_do_not_belong_together_are_refused(
    plain_run, unseen, tmp_path, monkeypatch, capsys
):
    other = changed(plain_run, tmp_path / "other", 0.02, {"data.dir": str(tmp_path / "data")})
    shutil.copytree(plain_run / "data", tmp_path / "data")
    manifest = tmp_path / "data" / "manifest.json"
    content = orjson.loads(manifest.read_bytes())
    lengths = content["lengths"]["train"]
    least, most = (pick(lengths, key=lengths.__getitem__) for pick in (min, max))
    lengths[least], lengths[most] = lengths[most], lengths[least]
    manifest.write_bytes(orjson.dumps(content))
    runs = [str(run) for run in (plain_run, plain_run, unseen, other)]
    assert command(monkeypatch, *runs, str(tmp_path / "out")) == 64
    said = capsys.readouterr().err
    assert "has the same model as" in said
    assert "kept categories out of training" in said
    assert "was trained on other drawings or splits" in said
    assert load(plain_run).fingerprint != load(other).fingerprint
    assert not (tmp_path / "out").exists()


def test_a_second_process_is_refused_by_the_folder_s_lock(plain_run, tmp_path, monkeypatch, capsys):
    out, codes = tmp_path / "out", []

    def again(name, total):
        if name in ("rows", "scores"):
            codes.append(command(monkeypatch, str(plain_run), str(out), "--bits=8"))
        return task(name, total)

    found = compare(
        [plain_run], out, [8], objectives=["pcah"], others=SHALLOW, seeds=1, task=again, note=print
    )
    assert score(found, again)[0].map[0]
    assert codes == [75, 75]
    for line in capsys.readouterr().err.strip().splitlines():
        assert f"another process is running in {out}: process {os.getpid()} on " in line
        assert line.endswith("wait until it finishes, stop it, or use another OUT")
    assert [row["objective"] for row in rows_in(out)] == ["pcah"]
