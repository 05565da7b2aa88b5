"""The study of objectives from its config to its table; its runs are copies of one tiny run."""

import json
import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest
from tiny_run import tiny_config

from sketchjax import cli
from sketchjax.errors import ConfigError, Stopped
from sketchjax.models.card import FILE
from sketchjax.models.weights import load_weights, save_weights
from sketchjax.paper.marked import marks
from sketchjax.paper.objectives import run as study_run
from sketchjax.paper.objectives.config import default_objectives
from sketchjax.paper.objectives.run import check_given, read_settings, run_objectives
from sketchjax.paper.objectives.table import MARK
from sketchjax.paper.studies import is_study, study_literal, validate_study, wrong_study_text
from sketchjax.run import results as results_module
from sketchjax.run.objectives import RATES, TrainedHead
from sketchjax.run.results import device_name
from sketchjax.train.workdir import keep_config

pytestmark = pytest.mark.usefixtures("short_runs", "plain_encoders")


@pytest.fixture
def study():
    """Two runs, one of unseen categories, three rows at one length."""
    study = default_objectives()
    study.name = "tiny objectives"
    study.base = tiny_config()
    study.bits, study.seeds, study.epochs = (8,), (0, 1), 1
    study.objectives = ("cross_entropy", "posterior", "pcah")
    study.unseen_count = 2
    return study


@pytest.fixture
def runs(plain_run, monkeypatch) -> list[str]:
    """Copies of the tiny run in place of training; the names of those that were asked for."""
    asked = []

    def copied(config, workdir: Path, should_stop, reference):
        asked.append(workdir.name)
        if workdir.exists():
            return
        ignored = shutil.ignore_patterns("checkpoints", "report", "codes", "tensorboard", "data")
        shutil.copytree(plain_run, workdir, ignore=ignored)
        variables, card = load_weights(workdir / FILE)
        head = variables["params"]["hash"]
        head["bias"] = head["bias"] + np.float32(len(asked))
        save_weights(workdir / FILE, variables, card)
        fields = orjson.loads((plain_run / "config.json").read_bytes())
        fields |= {
            "seed": config.seed,
            "data.dir": str(plain_run / "data"),
            "data.unseen_count": config.data.unseen_count,
        }
        (workdir / "config.json").write_bytes(orjson.dumps(fields))

    monkeypatch.setattr(study_run.experiment, "run", copied)
    monkeypatch.setattr(study_run, "prepare_data", lambda config, workdir: plain_run / "data")
    return asked


def results(workdir: Path) -> dict:
    return json.loads((workdir / "results.json").read_text())


def test_the_study_chooses_then_scores_and_can_be_rerun(study, runs, tmp_path, monkeypatch, capsys):
    with pytest.raises(Stopped, match="rerun"):
        run_objectives(study, tmp_path, lambda: True)
    assert runs == ["seed0", "seed1", "unseen"]
    assert not (tmp_path / "settings.json").exists()
    assert len(json.loads((tmp_path / "compared" / "compare.json").read_text())["rows"]) == 1

    run_objectives(study, tmp_path)
    found = results(tmp_path)
    assert {row["objective"] for row in found["rows"]} == {*study.objectives}
    assert len(found["unseen"]) == 2
    for row in found["rows"]:
        assert [len(row[name]) for name in ("map", "map_validation", "map_unseen")] == [2, 2, 1]
        scores = [*row["map"], *row["precision_at_100"], *row["map_unseen"]]
        assert all(0 < score <= 1 for score in scores)
    maps = [np.mean(row["map"]) for row in found["rows"]]
    assert maps == sorted(maps, reverse=True)
    assert [len(found[name]) for name in ("map_posteriors", "map_posteriors_unseen")] == [2, 1]
    rates = read_settings(tmp_path / "settings.json")
    assert {*rates} == {("cross_entropy", 8)}
    assert rates["cross_entropy", 8] in RATES
    # The zero-shot run chose nothing: it has the rates of the others.
    zero_shot = json.loads((tmp_path / "compared-unseen" / "compare.json").read_text())["rows"]
    assert zero_shot[0]["learning_rate"] == rates["cross_entropy", 8]

    # Another device reports it: what trained and fitted is what counts.
    monkeypatch.setattr(TrainedHead, "fit", None)
    trained_on = found["device"]
    assert trained_on == device_name()
    monkeypatch.setattr(results_module, "device_name", lambda: "gpu x 8")
    run_objectives(study, tmp_path)
    assert results(tmp_path) == found
    assert "tiny objectives" in capsys.readouterr().out

    document = tmp_path / "page.md"
    document.write_text("before\n{}\nold\n{}\nafter\n".format(*marks(MARK)))
    for _ in range(2):
        arguments = ["sketchjax", "study", str(tmp_path), "--markdown", str(document)]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    own = next(row for row in found["rows"] if row["objective"] == "pcah")
    assert f"{np.mean(own['map']):.3f} ± {np.std(own['map'], ddof=1):.3f}" in text
    assert f"{own['map_unseen'][0]:.3f}" in text


def test_finished_runs_and_chosen_settings_are_taken_as_they_are(
    study, runs, plain_run, tmp_path, monkeypatch
):
    study.runs, study.unseen_count = str(plain_run), 0
    study.objectives = ("cross_entropy",)
    settings = tmp_path / "chosen.json"
    settings.write_text('{"learning_rates": {"cross_entropy": {"8": 0.007}}}')
    study.settings = str(settings)
    tried, fit = [], TrainedHead.fit

    def counted(self, material, rate, seed):
        tried.append(rate)
        return fit(self, material, rate, seed)

    monkeypatch.setattr(TrainedHead, "fit", counted)
    run_objectives(study, tmp_path / "study")
    assert runs == []
    assert tried == [0.007]
    (row,) = results(tmp_path / "study")["rows"]
    assert (row["learning_rate"], row["map_unseen"]) == (0.007, [])

    study.bits = (8, 16)
    with pytest.raises(ConfigError, match="cross_entropy, 16 bits: no learning rate is given"):
        run_objectives(study, tmp_path / "study")
    settings.write_text("{}")
    with pytest.raises(ConfigError, match="settings="):
        run_objectives(study, tmp_path / "study")


@pytest.mark.parametrize(
    "given, said",
    [
        ({"runs": "seen,unseen"}, "runs names unseen, which kept categories out"),
        ({"runs": "seen", "unseen_run": "seen"}, "unseen_run=seen kept no category out"),
    ],
)
def test_a_run_of_the_other_column_is_refused(study, tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    for name, count in (("seen", 0), ("unseen", 2)):
        config = tiny_config()
        config.data.unseen_count = count
        keep_config(config, tmp_path / name)
    study.update(given)
    with pytest.raises(ConfigError, match=said):
        run_objectives(study, tmp_path / "study")
    study.update({"runs": "seen", "unseen_run": "unseen"})
    check_given(study)


@pytest.mark.parametrize("rate", ["-0.5", "0", '"fast"'])
def test_a_rate_is_above_0(tmp_path, rate):
    path = tmp_path / "settings.json"
    path.write_text(f'{{"learning_rates": {{"csq": {{"16": {rate}}}}}}}')
    with pytest.raises(ConfigError, match=r"settings\.json cannot be read"):
        read_settings(path)


def test_fields_are_checked_and_read_from_text(study):
    assert is_study(study)
    assert wrong_study_text("objectives", "csq,dpn") is None
    assert study_literal("objectives", "csq, dpn") == "('csq', 'dpn')"
    assert study_literal("tables", "1,2") == "('1', '2')"
    validate_study(study)
    study.bits, study.epochs = (12,), 0
    study.other = 1
    with pytest.raises(ConfigError, match="other"):
        validate_study(study)
    del study.other
    with pytest.raises(ConfigError) as raised:
        validate_study(study)
    assert len(raised.value.problems) == 2
