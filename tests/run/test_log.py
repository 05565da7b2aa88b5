"""What a run's reporter prints and writes."""

import json
from types import SimpleNamespace
from typing import Any

from sketchjax.run.log import RunLog
from sketchjax.train.reporter import Reporter
from sketchjax.train.stages import Stage

ROW: Any = SimpleNamespace(
    name="joint", schedule="constant", learning_rate=0.25, inputs=("sketch",)
)
STAGE = Stage(
    row=ROW,
    parts=(),
    head_parts=(),
    head_rate=1.0,
    blocks=4,
    blocks_per_epoch=2,
    inner_steps=2,
    warmup_steps=0,
)


def logged(step: int) -> Any:
    metrics = {"loss": 0.5, "accuracy": 0.75, "cross_entropy": 0.5}
    state = SimpleNamespace(step=step)
    return SimpleNamespace(state=state, metrics=metrics, sketches=300, seconds=2.0)


def lines(workdir) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_log_is_a_reporter(tmp_path):
    with RunLog(tmp_path) as log:
        reporter: Reporter = log  # pyright compares the signatures
        for name in ("note", "task", "begin", "dispatch", "scores", "resume_after", "flush"):
            assert callable(getattr(reporter, name))


def test_a_dispatch_is_written_and_shown(tmp_path, capsys):
    with RunLog(tmp_path) as log:
        log.begin(STAGE, done=2)
        log.dispatch(STAGE, 100, logged(4), seconds=9.0)
    assert lines(tmp_path) == [
        {
            "stage": "joint",
            "step": 104,
            "loss": 0.5,
            "accuracy": 0.75,
            "cross_entropy": 0.5,
            "stage_step": 4,
            "epoch": 1.0,
            "learning_rate": 0.25,
            "sketches_per_second": 150.0,
            "seconds": 9.0,
        }
    ]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "joint: resuming at epoch 0.50"
    assert "epoch 1.00/2  50 %  loss 0.5  accuracy 0.75  150 sketches/s" in printed[1]


def test_scores_that_do_not_exist_are_null_and_not_printed(tmp_path, capsys):
    with RunLog(tmp_path) as log:
        log.scores(STAGE, 100, {"map": 0.5, "d1": None, "precision_at_200": None})
        log.scores(STAGE, 100, {"d2": None})
        log.scores(STAGE, 100, {})
    assert lines(tmp_path) == [
        {"stage": "joint", "step": 108, "map": 0.5, "d1": None, "precision_at_200": None},
        {"stage": "joint", "step": 108, "d2": None},
    ]
    assert capsys.readouterr().out.splitlines() == ["after stage joint: map 0.5000"]


def test_other_processes_neither_print_nor_write(tmp_path, capsys):
    with RunLog(tmp_path / "run", active=False) as log:
        log.note("hello")
        log.begin(STAGE, done=0)
        log.dispatch(STAGE, 0, logged(4), seconds=9.0)
        log.scores(STAGE, 0, {"map": 0.5})
    assert not (tmp_path / "run").exists()
    assert capsys.readouterr().out == ""
