"""What happens during a study: order, failures, stops, resumes, seeds.

The runs themselves are stand-ins; test_study_whole.py has real ones.
"""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from sketchjax.data.folder.manifest import Manifest
from sketchjax.errors import ConfigError, DataError, DiskError, NotFiniteError, Stopped
from sketchjax.paper.attempts import FAILED
from sketchjax.paper.reference import reference as paper_reference
from sketchjax.paper.study import measure
from sketchjax.paper.study import run as study_run
from sketchjax.paper.study.collect import facts, notes, run_states
from sketchjax.paper.study.plan import Key, plan_runs, run_folder
from sketchjax.paper.study.rows import table_rows
from sketchjax.paper.study.run import run_study
from sketchjax.paper.study.state import Study
from sketchjax.run.writers import RESULT_KEYS

pytestmark = pytest.mark.usefixtures("short_runs")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder of four categories, made once."""
    from sketchjax.data.folder.conversion.convert import convert
    from sketchjax.data.sources import doodles as synthetic

    folder = tmp_path_factory.mktemp("study")
    names = ["cat", "clock", "face", "sun"]
    synthetic.write(folder / "drawings", per_category=12, seed=0, categories=names)
    shares = {"train": 0.6, "validation": 0.1, "gallery": 0.2, "query": 0.1}
    convert([folder / "drawings"], folder / "data", splits=shares, shards=1, workers=1)
    return folder / "data"


@pytest.fixture
def study(tiny_study, data):
    tiny_study.base.data.dir = str(data)
    tiny_study.base.data.source = ""
    tiny_study.tables = ("6",)
    tiny_study.rows = ("cnn", "rnn", "recognition_cel", "recognition_scl")
    return tiny_study


class Runs:
    """Stands in for experiment.run: records the order, leaves results, fails where asked to."""

    def __init__(self, monkeypatch):
        self.done: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.accuracy: dict[str, float] = {}
        monkeypatch.setattr(study_run.experiment, "run", self)

    def __call__(self, config, workdir: Path, should_stop, reference):
        assert reference is paper_reference
        name = str(workdir).split("/runs/")[1]
        self.done.append(name)
        if name in self.fails:
            raise self.fails[name]
        results = dict.fromkeys(RESULT_KEYS, 0) | {
            "accuracy": self.accuracy.get(name, 0.5),
            "seconds_total": 60.0,
            "map": None,
            "bits": None,
        }
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "results.json").write_text(json.dumps(results))


OWN = {"label": "Mine", "changes": {"seed": 1}}


@pytest.fixture
def runs(monkeypatch):
    return Runs(monkeypatch)


ALL = ["rnn", "cnn", "recognition_joint", "recognition_cel", "recognition_scl"]


def accuracies(done, model):
    rows = [row for row in table_rows(done, "6") if row.model == model]
    assert len(rows) == 1
    return rows[0]


def test_every_run_is_done_once(study, runs, tmp_path):
    done = run_study(study, tmp_path)
    assert runs.done == ALL
    assert done.exit_code == 0
    assert (tmp_path / "report" / "index.html").exists()
    runs.done.clear()
    run_study(study, tmp_path)
    assert runs.done == []


def test_a_failure_shows_in_its_row_and_dependent_rows(study, runs, tmp_path):
    runs.fails = {"rnn": NotFiniteError("stage rnn, step 7: the loss is not finite")}
    done = run_study(study, tmp_path)
    assert runs.done == ["rnn", "cnn"]
    assert done.exit_code == NotFiniteError.exit_code
    assert "step 7" in accuracies(done, "our RNN branch").failed
    assert accuracies(done, "our CNN branch").values["accuracy"] == [0.5]
    assert "starts from rnn" in done.failures["recognition_joint"]
    assert "failed" in accuracies(done, "our RNN&CNN + CEL").failed
    page = (tmp_path / "report" / "index.html").read_text()
    assert "step 7" in page
    kept = json.loads((run_folder(tmp_path, "rnn") / FAILED).read_text())
    assert "NotFiniteError" in kept["traceback"]
    # The next call tries it again, and then the runs that start from it.
    runs.fails, runs.done = {}, []
    done = run_study(study, tmp_path)
    assert runs.done == ["rnn", *ALL[2:]]
    assert (done.exit_code, done.failures) == (0, {})
    assert not (run_folder(tmp_path, "rnn") / FAILED).exists()


def test_an_unexpected_error_stops_no_other_run(study, runs, tmp_path):
    runs.fails = {"rnn": ZeroDivisionError("division by zero")}
    done = run_study(study, tmp_path)
    assert done.failures["rnn"] == "ZeroDivisionError: division by zero"
    assert done.exit_code == 70
    assert "cnn" in runs.done


@pytest.mark.parametrize("error", [Stopped("stopped"), DiskError("full")])
def test_a_stop_or_full_disk_still_writes_the_report(study, runs, tmp_path, error):
    runs.fails = {"cnn": error}
    with pytest.raises(type(error)):
        run_study(study, tmp_path)
    assert runs.done == ["rnn", "cnn"]
    assert "to do" in (tmp_path / "report" / "index.html").read_text()
    runs.fails, runs.done = {}, []
    run_study(study, tmp_path)
    assert runs.done == ALL[1:]


def test_a_stop_between_two_runs(study, runs, tmp_path):
    with pytest.raises(Stopped, match="between two runs"):
        run_study(study, tmp_path, should_stop=lambda: bool(runs.done))
    assert runs.done == ["rnn"]


def test_seeds_are_separate_runs_with_mean_and_deviation(study, runs, tmp_path):
    study.seeds, study.rows = (0, 1, 2), ("cnn",)
    values = {"cnn": 0.5, "seed1/cnn": 0.6, "seed2/cnn": 0.9}
    runs.accuracy = values
    done = run_study(study, tmp_path)
    assert runs.done == list(values)
    assert accuracies(done, "our CNN branch").values["accuracy"] == list(values.values())
    page = (tmp_path / "report" / "index.html").read_text()
    assert f"{statistics.mean(values.values()):.4f}" in page
    assert f"{statistics.stdev(values.values()):.4f}" in page


def test_all_problems_are_reported_before_any_run(study, runs, tmp_path):
    study.tables = ("1", "6", "zero-shot")
    study.rows = ("cnn", "dlbhc", "dsh_sketch")
    study.query, study.unseen = "unicorn", ("griffin",)
    study.base.data.categories = ()
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("cat 1 0\nclock 0 1\nface 1 1\n")
    study.base.data.word_vectors = str(vectors)
    study.base.train.batch_size = 0
    with pytest.raises(ConfigError) as raised:
        run_study(study, tmp_path / "w")
    message = str(raised.value)
    for part in ("unicorn", "griffin", "sun", "train.batch_size=0"):
        assert part in message
    assert raised.value.exit_code == 64
    assert runs.done == []


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("bits", (16, 20), "bits=20"),
        ("bits", (16, 16), "twice"),
        ("bits", (), "at least one"),
        ("zero_shot_bits", 12, "zero_shot_bits=12"),
        ("tables", ("3",), "tables='3'; choose one of 1, 2, 4"),
        ("seeds", (-1,), "seeds=-1"),
        ("rows", ("nothing",), "rows has 'nothing'"),
        ("galleries", (0,), "galleries=0"),
        ("head_rates", (64, 2.0), "head_rates=64; give bits and a rate"),
        ("head_rates", ((64, 0),), r"head_rates=\(64, 0\)"),
        ("head_rates", (("64", 2.0),), r"head_rates=\('64', 2.0\)"),
        ("bits", 16, r"bits=16; give a tuple, such as \(16, 24, 32, 64\)"),
        ("hog_size", 8, "hog_size=8; must be 16 to 4,096"),
        ("query", 3, "query=3; give text"),
        ("base", 3, "base=3; give a section"),
        ("bogus", 1, "bogus: a study has no such field"),
        ("methods", {"mine": {"label": "Mine"}}, "give it a label and its changes"),
        ("methods", {"mine": {"label": "Mine", "changes": 3}}, "changes=3; give a section"),
        ("methods", {"mine": OWN | {"begins": ("cmn",)}}, "mine.begins names 'cmn'; choose from"),
    ],
)
def test_invalid_fields_are_refused(study, runs, tmp_path, field, value, message):
    study[field] = value
    with pytest.raises(ConfigError, match=message):
        run_study(study, tmp_path)
    assert runs.done == []


def test_an_own_method_must_name_existing_fields(study, tmp_path):
    study.methods.mine = {"label": "Mine", "changes": {"model": {"bots": 3}}}
    with pytest.raises(ConfigError, match=r"methods.mine.changes.model.bots names no field"):
        run_study(study, tmp_path)


def test_categories_missing_from_the_data_are_refused(study, runs, tmp_path):
    study.base.data.categories = ("cat", "griffin")
    with pytest.raises(ConfigError, match="griffin"):
        run_study(study, tmp_path)
    assert runs.done == []


def test_the_device_is_that_of_the_runs(study, runs, tmp_path):
    study.rows = ("cnn", "rnn")
    run_study(study, tmp_path)
    for name, device in (("rnn", "gpu x 4"), ("cnn", "gpu x 8")):
        path = run_folder(tmp_path, name) / "results.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"device": device}))
    assert facts(run_study(study, tmp_path))["device"] == "gpu x 4, gpu x 8"


@pytest.mark.parametrize(
    "unseen, said, counted",
    [
        (
            {0: ["cat", "sun"], 1: ["clock", "face"]},
            "deviations are over classes as well: cat, sun (seed 0); clock, face (seed 1).",
            "2 of 4 classes kept out, 30 to 31 training sketches of the others, 7 in the gallery",
        ),
        (
            {0: ["cat", "sun"], 1: ["cat", "sun"]},
            "are the sketches of classes kept out of training: cat, sun.",
            "2 of 4 classes kept out, 30 to 31 training",
        ),
    ],
)
def test_classes_kept_out_are_listed_by_seed(study, runs, tmp_path, unseen, said, counted):
    study.tables, study.rows, study.seeds = ("zero-shot",), ("dlbhc",), (0, 1)
    study.unseen, study.unseen_count = (), 2
    done = run_study(study, tmp_path)
    for seed, names in unseen.items():
        path = run_folder(tmp_path, Key("dlbhc", 16, seed, zero_shot=True).name) / "results.json"
        fields = {"unseen": names, "train": 30 + seed, "gallery": 7}
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    assert said in notes(done)[-1]
    assert counted in facts(done)["zero-shot"]


# --- measurements ----------------------------------------------------------------------------


def test_table_2_fits_each_method_at_each_length_once(study, runs, tmp_path, monkeypatch):
    """Methods whose codes are the class in binary, or all equal: MAP 1, and that of one tie."""
    fitted = []

    class Perfect:
        def __init__(self, bits, seed=0):
            self.bits = bits

        def fit(self, features, labels):
            fitted.append((type(self).__name__, self.bits, len(features)))
            return self

        def encode(self, features):
            # The features of `kept` are positive for one class and negative for the other.
            return np.repeat(np.asarray(features)[:, :1] > 0, self.bits, axis=1)

    class Blind(Perfect):
        def encode(self, features):
            return np.zeros((len(features), self.bits), bool)

    rng = np.random.default_rng(0)
    kept = {}
    for split, count in (("train", 20), ("gallery", 12), ("query", 6)):
        labels = np.arange(count) % 2
        features = (labels[:, None] * 2 - 1) * np.ones((1, 3)) + 0 * rng.random((count, 3))
        kept[split] = measure.FeatureSplit(features.astype(np.float32), labels)
    monkeypatch.setattr(measure, "HASHERS", {"pca_itq": Perfect, "lsh": Blind})
    monkeypatch.setattr(measure, "_features", lambda *_: kept)
    study.tables, study.rows, study.bits = ("2",), (), (16, 24)
    done = run_study(study, tmp_path)
    rows = {(row.model, row.bits): row for row in table_rows(done, "2") if row.features == "HOG"}
    for bits in (16, 24):
        assert rows["PCA-ITQ", bits].values["map"] == [1.0]
        # All twelve are in one tie, six of them relevant: see `one_tie`.
        assert rows["LSH", bits].values["map"][0] == pytest.approx(one_tie(6, 12), abs=1e-9)
    assert rows["SDH", 16].missing
    fitted.clear()
    run_study(study, tmp_path)
    assert fitted == []


@pytest.fixture
def short(monkeypatch):
    """Measurements in moments: two random methods, and two columns of HOG; the sizes drawn."""
    drawn = []

    def columns(config, folder):
        def blocks(split):
            drawn.append((config.hog_size, split))
            places = np.arange(20)
            yield np.stack([places % 4 + places / 50, places], 1).astype(np.float32), places % 4

        return blocks

    chosen = {name: measure.HASHERS[name] for name in ("lsh", "dsh")}
    monkeypatch.setattr(measure, "HASHERS", chosen)
    monkeypatch.setattr(measure, "hog_blocks", columns)
    return drawn


def test_other_settings_are_measured_again(study, runs, short, tmp_path):
    study.tables, study.rows, study.bits = ("2", "5"), ("dlbhc",), (8,)
    run_study(study, tmp_path)
    assert {size for size, _ in short} == {32}
    short.clear()
    run_study(study, tmp_path)
    assert short == []
    study.hog_size = 96
    run_study(study, tmp_path)
    assert sorted(short) == [(96, "gallery"), (96, "query"), (96, "train")]


def test_more_lengths_are_measured(study, runs, short, tmp_path):
    study.tables, study.rows, study.bits = ("2", "5"), ("dlbhc",), (8,)
    run_study(study, tmp_path)
    study.bits = (8, 16)
    done = run_study(study, tmp_path)
    lsh = [row for row in table_rows(done, "2") if row.model == "LSH"]
    for rows in (lsh, table_rows(done, "5")):
        assert [(row.bits, row.missing) for row in rows] == [(8, False), (16, False)]


def test_one_method_that_fails_keeps_no_other_back(study, runs, short, tmp_path):
    study.tables, study.rows, study.bits = ("2",), ("dlbhc",), (16,)
    done = run_study(study, tmp_path)
    rows = {row.model: row for row in table_rows(done, "2")}
    assert "cannot form" in rows["DSH"].failed  # 20 rows are fewer than its groups
    assert 0 < (rows["LSH"].values["map"][0] or 0) <= 1
    assert not rows["LSH"].failed
    assert done.exit_code == 65
    (state,) = run_states(done)
    assert (state.state, "cannot form" in state.why) == ("failed", True)


def test_without_the_deep_run_table_2_has_hog_only(study, runs, short, tmp_path):
    study.tables, study.rows, study.bits = ("2",), ("dlbhc",), (8,)
    done = run_study(study, tmp_path)
    assert runs.done == []
    assert {row.features for row in table_rows(done, "2")} == {"HOG"}
    assert "deep features are" not in " ".join(notes(done))


def test_each_seed_has_features_of_its_own_run(study, data, tmp_path, monkeypatch):
    study.tables, study.rows, study.seeds = ("2",), (), (0, 1)
    planned = plan_runs(study, tmp_path, data)
    this = Study(study, tmp_path, data, Manifest.load(data), planned)
    kept = []
    monkeypatch.setattr(measure, "load", lambda path: path)
    monkeypatch.setattr(measure, "fused_blocks", lambda weights, *_: weights)
    monkeypatch.setattr(
        measure, "kept_features", lambda keep, _, blocks, __: kept.append((keep, blocks))
    )
    for seed in study.seeds:
        measure._features(this, "deep feature", seed)
    assert kept == [
        (tmp_path / "features" / folder, tmp_path / "runs" / run / "weights/joint.safetensors")
        for folder, run in (("deep", "deep"), ("seed1-deep", "seed1/deep"))
    ]


def one_tie(relevant: int, count: int) -> float:
    """Expected average precision of a random order, place by place (law of total probability)."""
    total = 0.0
    for place in range(1, count + 1):
        before = (place - 1) * (relevant - 1) / (count - 1)
        total += relevant / count * (before + 1) / place
    return total / relevant


def test_a_failed_measurement_shows_in_its_rows(study, runs, tmp_path, monkeypatch):
    def fail(*_):
        raise DataError("no features today")

    monkeypatch.setattr(measure, "_features", fail)
    study.tables, study.rows = ("2", "5"), ()
    done = run_study(study, tmp_path)
    assert all("no features" in row.failed for row in table_rows(done, "2"))
    cost = table_rows(done, "5")
    assert [row.gallery for row in cost] == [1_000]
    assert cost[0].values["seconds_per_query"][0] > 0
