"""The launch scripts, with a stand-in for Python that records its arguments, and once for real."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bucket_server import serving

from sketchjax.data.sources import doodles as synthetic

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "launch" / "paper.sh"

# Records its arguments and exits with the next code of the step's list; 0 when it is empty.
STAND_IN = """#!/bin/bash
[[ $2 != 'import jax'* ]] || exit 0
here=$(dirname "$0")
echo "$CUDA_VISIBLE_DEVICES|$*" >> "$here/calls"
step=$([[ $2 == sketchjax.cli ]] && echo "$3" || echo "$2")
codes=$here/$step.codes
[[ -s $codes ]] || exit 0
read -r code < "$codes"
sed -i 1d "$codes"
if [[ $code == wait ]]; then
    trap 'sleep 0.3; echo saved >> "$here/calls"; exit 75' TERM INT
    echo waiting >> "$here/calls"
    while :; do sleep 0.05; done
fi
exit "$code"
"""


class Stage:
    """A folder with the stand-in, and the script run with it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.python = folder / "python"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

    def command(self, *options: str) -> list[str]:
        return ["bash", str(PAPER), "--folder", str(self.folder / "out"), *options]

    @property
    def environment(self) -> dict[str, str]:
        names = ["FOLDER", "BITS", "RECIPE", "DEVICES", "CATEGORIES", "COUNTS", "FROM"]
        names += ["CONFIG", "STEPS", "RESTARTS"]
        clean = {name: value for name, value in os.environ.items() if name not in names}
        return clean | {"PYTHON": str(self.python), "CUDA_VISIBLE_DEVICES": "all"}

    def run(self, *options: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(*options),
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def codes(self, step: str, *codes: object) -> None:
        """What the stand-in exits with in this step, call by call."""
        (self.folder / f"{step}.codes").write_text("".join(f"{code}\n" for code in codes))

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def steps(self) -> list[str]:
        """The step of each call."""
        words = [call.split("|")[1].split() for call in self.calls]
        return [word[2] if word[1] == "sketchjax.cli" else "train" for word in words]


@pytest.fixture
def stage(tmp_path) -> Stage:
    return Stage(tmp_path)


@pytest.mark.parametrize("script", sorted([*(ROOT / "launch").glob("*.sh"), ROOT / ".ci" / "run"]))
def test_scripts_parse_and_can_be_run(script):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert os.access(script, os.X_OK)


def test_the_four_steps_get_all_their_arguments(stage):
    done = stage.run("--bits", "16", "--recipe=paper", "--devices", "0,1", "--", "--config.seed=3")
    assert done.returncode == 0, done.stderr
    out = stage.folder / "out"
    config = ROOT / "configs" / "sketchmate.py"
    splits = "--train 9000 --validation 1000 --gallery 1000 --query 100"
    assert stage.calls == [
        f"0,1|-m sketchjax.cli download {out}/drawings",
        f"0,1|-m sketchjax.cli convert {out}/drawings {out}/data {splits}",
        f"0,1|-m sketchjax.main --config {config}:16,paper --workdir {out}/16-paper "
        f"--config.data.dir={out}/data --config.seed=3",
        f"0,1|-m sketchjax.cli report {out}/16-paper",
    ]
    assert stage.steps == ["download", "convert", "train", "report"]


def test_the_environment_can_replace_options(stage):
    done = stage.run(
        STEPS="convert,train", BITS="24", CATEGORIES="cat,hot dog", COUNTS="9,1,2,3", DEVICES="1"
    )
    assert done.returncode == 0, done.stderr
    convert, train = stage.calls
    assert "--train 9 --validation 1 --gallery 2 --query 3 --categories cat,hot dog" in convert
    assert "sketchmate.py:24 " in train
    assert "/24-ours " in train
    assert train.startswith("1|")


def test_dry_run_prints_what_would_run_and_does_nothing(stage):
    done = stage.run("--dry-run", "--categories", "hot dog")
    assert done.returncode == 0
    assert not stage.calls
    assert not (stage.folder / "out").exists()
    printed = [line for line in done.stdout.splitlines() if line.startswith("+")]
    stage.run("--categories", "hot dog")
    # Each printed line, given to a shell, is the call that a real run makes.
    by_hand = Path(stage.folder / "by-hand.sh")
    by_hand.write_text("\n".join(line.removeprefix("+ ") for line in printed))
    real = stage.calls
    (stage.folder / "calls").unlink()
    subprocess.run(["bash", by_hand], env=stage.environment, check=True)
    assert stage.calls == real
    assert len(real) == 4


@pytest.mark.parametrize(
    "options, words",
    [
        (["--bits", "many"], "--bits many is not a number"),
        (["--bits"], "--bits needs a value"),
        (["--recipe", "mine"], "choose ours or paper"),
        (["--per-category", "9000"], "give four counts"),
        (["--steps", "train,retrain"], "--steps names 'retrain'"),
        (["--config", "nowhere.py"], "there is no config nowhere.py"),
        (["--restarts", "-1"], "--restarts -1 is not a number"),
        (["--bit=16"], "there is no option --bit"),
        (["64"], "there is no option 64"),
    ],
)
def test_wrong_options_exit_with_64_before_anything_runs(stage, options, words):
    done = stage.run(*options)
    assert done.returncode == 64
    assert done.stderr.startswith("paper.sh: ")
    assert words in done.stderr
    assert not stage.calls


def test_an_interpreter_without_sketchjax_is_named(stage):
    done = stage.run(PYTHON="/bin/false")
    assert done.returncode == 64
    assert "/bin/false has no sketchjax; install it" in done.stderr


@pytest.mark.parametrize("step, code", [("download", 65), ("convert", 65), ("sketchjax.main", 70)])
def test_a_failed_step_ends_the_script_with_its_code(stage, step, code):
    stage.codes(step, code)
    done = stage.run()
    assert done.returncode == code
    assert f"ended with exit code {code}" in done.stderr
    order = ["download", "convert", "train", "report"]
    failed = "train" if step == "sketchjax.main" else step
    assert stage.steps == order[: order.index(failed) + 1]


def test_a_stopped_training_is_started_again(stage):
    stage.codes("sketchjax.main", 75, 75)
    done = stage.run()
    assert done.returncode == 0
    assert stage.steps == ["download", "convert", "train", "train", "train", "report"]
    train = [call for call in stage.calls if "sketchjax.main" in call]
    assert len(set(train)) == 1


def test_a_training_that_never_ends_is_given_up(stage):
    stage.codes("sketchjax.main", *[75] * 9)
    done = stage.run("--steps", "train", "--restarts", "2")
    assert done.returncode == 75
    assert stage.steps == ["train"] * 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_training_save_and_exits_with_75(stage, number):
    stage.codes("sketchjax.main", "wait")
    # Into a file: a pipe would wait for the training as well.
    errors = stage.folder / "errors"
    command = stage.command("--steps", "train")
    with errors.open("w") as file:
        script = subprocess.Popen(
            command,
            env=stage.environment,
            stderr=file,
            # A background process ignores SIGINT, and a shell cannot undo that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 30
        while "waiting" not in stage.calls and time.monotonic() < deadline:
            time.sleep(0.05)
        script.send_signal(number)
        assert script.wait(timeout=30) == 75
    finally:
        if script.poll() is None:
            os.killpg(script.pid, signal.SIGKILL)
    assert stage.calls[1:] == ["waiting", "saved"]  # saved once, and not started again
    assert "rerun the same command to resume" in errors.read_text()


TINY = """
from sketchjax.config import default

def get_config(argument):
    config = default()
    config.model.bits = int(argument)
    config.drawing.size = 63
    config.data.points = 32
    config.model.encoders.cnn.width = 0.05
    config.model.encoders.cnn.stem_stride = 2
    config.model.encoders.cnn.dense_features = 8
    config.model.encoders.rnn.hidden = 4
    config.model.encoders.rnn.layers = 1
    config.train.batch_size = config.evaluation.batch_size = 16
    config.train.inner_steps = config.train.outer_steps = 1
    config.model.branches = ("rnn",)
    for stage in ("cnn", "rnn", "center", "full"):
        config.stages[stage].epochs = 0
    config.stages.joint.epochs = 1
    config.evaluation.after_stages = ()
    config.evaluation.queries_shown = 2
    config.evaluation.retrieved = 4
    return config
"""


@pytest.fixture
def mirror(tmp_path) -> Iterator[str]:
    """The address of a local bucket with two categories, instead of Google's."""
    place = tmp_path / "bucket" / "full" / "simplified"
    synthetic.write(place, per_category=60, seed=0, categories=["cat", "clock"])
    with serving(tmp_path / "bucket") as address:
        yield address


def test_download_convert_train_report_for_real(tmp_path, mirror):
    """Two categories, a tiny model; then the same command again."""
    folder = tmp_path / "two categories"
    (tmp_path / "tiny.py").write_text(TINY)
    command = ["bash", PAPER, "--folder", folder, "--config", tmp_path / "tiny.py", "--bits", "16"]
    command += ["--categories", "cat,clock", "--per-category", "24,4,8,4", "--from", mirror]
    one_device = os.environ["XLA_FLAGS"].replace("_device_count=4", "_device_count=1")
    environment = os.environ | {"PYTHON": sys.executable, "XLA_FLAGS": one_device}
    environment |= {"JAX_PLATFORMS": "cpu"}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "NO_PROXY": "127.0.0.1"}

    def run():
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, cwd=tmp_path
        )

    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((folder / "16-ours" / "results.json").read_text())
    sizes = [results[name] for name in ("bits", "classes", "train", "gallery", "queries")]
    assert sizes == [16, 2, 48, 16, 8]
    page = folder / "16-ours" / "report" / "index.html"
    assert str(page) in done.stdout
    # Again: nothing is done twice, and the report comes back where it was lost.
    page.unlink()
    before = (folder / "16-ours" / "results.json").stat().st_mtime_ns
    again = run()
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stderr
    assert (folder / "16-ours" / "results.json").stat().st_mtime_ns == before
    assert page.exists()
