"""What a run writes survives kills and resumes: no half line, no step twice."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from sketchjax.errors import DataError
from sketchjax.run.writers import (
    RESULT_KEYS,
    Writers,
    read_metrics,
    read_results,
    write_results,
)


def lines(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def events(workdir: Path) -> list[Event]:
    """All TensorBoard events, by the format of TFRecord: u64 length, u32, the bytes, u32."""
    found = []
    for path in sorted((workdir / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


def results(**changes) -> dict:
    return dict.fromkeys(reversed(RESULT_KEYS), 1) | changes


def write_run(writers: Writers, first: int, last: int) -> None:
    for step in range(first, last + 1):
        stage = "cnn" if step <= 30 else "joint"
        writers.write(step, {"loss": 1 / step}, stage)
        if step in (30, 60):
            writers.write(step, {"validation_accuracy": step / 100}, stage)


def test_a_line_holds_stage_step_and_values_of_any_library(tmp_path):
    with Writers(tmp_path) as writers:
        writers.write(7, {"loss": np.float32(0.5), "epoch": np.float64(2), "note": "warm"}, "cnn")
        # Every line is flushed: it can be read while the writers are open.
        assert lines(tmp_path) == [
            {"stage": "cnn", "step": 7, "loss": 0.5, "epoch": 2.0, "note": "warm"}
        ]


def test_a_value_that_is_not_finite_becomes_null(tmp_path):
    with Writers(tmp_path) as writers:
        writers.write(1, {"loss": float("nan")}, "cnn")
    assert lines(tmp_path) == [{"stage": "cnn", "step": 1, "loss": None}]


def test_tensorboard_names_scalars_by_stage(tmp_path):
    with Writers(tmp_path) as writers:
        writers.write(3, {"loss": 0.25, "stage_step": 3, "note": "text"}, "joint")
    scalars = [(e.step, v.tag, v.simple_value) for e in events(tmp_path) for v in e.summary.value]
    assert scalars == [(3, "joint/loss", 0.25)]


@pytest.mark.parametrize("stopped, restored", [(45, 40), (30, 30), (60, 29), (20, -1), (40, 40)])
def test_a_resumed_run_leaves_the_same_file_as_an_unbroken_one(tmp_path, stopped, restored):
    with Writers(tmp_path / "whole") as writers:
        write_run(writers, 0 + 1, 60)
    with Writers(tmp_path / "cut") as writers:
        write_run(writers, 1, stopped)
    with (tmp_path / "cut/metrics.jsonl").open("a") as file:
        file.write('{"stage":"cnn","step":4')  # what a kill may leave
    with Writers(tmp_path / "cut") as writers:
        writers.truncate_after(restored)
        assert all(line["step"] <= restored for line in lines(tmp_path / "cut"))
        write_run(writers, max(restored, 0) + 1, 60)
    whole, cut = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_tensorboard_drops_what_a_resume_dropped(tmp_path):
    with Writers(tmp_path) as writers:
        write_run(writers, 1, 45)
    with Writers(tmp_path) as writers:
        writers.truncate_after(40)
        write_run(writers, 41, 42)
    starts = [e.step for e in events(tmp_path) if e.session_log.status == e.session_log.START]
    assert starts == [41]


def test_a_repeated_line_is_dropped(tmp_path):
    # A run stopped between a stage's validation and its checkpoint validates again.
    for _ in range(2):
        with Writers(tmp_path) as writers:
            writers.truncate_after(5)
            writers.write(5, {"validation_accuracy": 0.5}, "cnn")
    assert len(lines(tmp_path)) == 1


def test_a_decreasing_step_raises(tmp_path):
    with Writers(tmp_path) as writers:
        writers.write(5, {"loss": 1.0}, "cnn")
        with pytest.raises(ValueError, match="truncate_after"):
            writers.write(4, {"loss": 1.0}, "cnn")
    with Writers(tmp_path) as writers, pytest.raises(ValueError, match="after step 5"):
        writers.write(4, {"loss": 1.0}, "cnn")


def test_other_processes_write_nothing(tmp_path):
    with Writers(tmp_path / "run", active=False) as writers:
        writers.write(1, {"loss": 1.0}, "cnn")
        writers.truncate_after(0)
        writers.flush()
    assert not (tmp_path / "run").exists()


def test_a_killed_writer_leaves_whole_lines_in_order(tmp_path):
    endless = (
        "import itertools, sys\n"
        "from sketchjax.run.writers import Writers\n"
        "writers = Writers(sys.argv[1])\n"
        "for step in itertools.count():\n"
        "    writers.write(step, {'loss': 1.0, 'padding': 'x' * 3000}, 'cnn')\n"
    )
    child = subprocess.Popen([sys.executable, "-c", endless, str(tmp_path)])
    path = tmp_path / "metrics.jsonl"
    deadline = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size > 100_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    Writers(tmp_path).close()
    steps = [line["step"] for line in lines(tmp_path)]
    assert len(steps) > 30
    assert steps == list(range(len(steps)))


def test_a_broken_line_is_named_by_its_number(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"stage":"cnn","step":1}\n{"stage":\n{}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 2"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("[]\n")
    with pytest.raises(DataError, match="line 1"):
        read_metrics(tmp_path)


def test_results_keep_the_contract_s_keys_first(tmp_path):
    written = results(map=np.float64(0.5), extra={"b": 1, "a": 2}, bits=np.int64(64))
    write_results(tmp_path, written)
    read = read_results(tmp_path)
    assert read == written
    assert list(read) == [*RESULT_KEYS, "extra"]
    assert list(read["extra"]) == ["b", "a"]


def test_results_without_a_key_raise_and_write_nothing(tmp_path):
    lacking = results()
    del lacking["gallery"], lacking["map"]
    with pytest.raises(ValueError, match="lacks map, gallery"):
        write_results(tmp_path, lacking)
    assert list(tmp_path.iterdir()) == []
    assert read_results(tmp_path) is None


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_results(tmp_path, monkeypatch, call):
    write_results(tmp_path, results(map=0.1))

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="disk full"):
        write_results(tmp_path, results(map=0.2))
    assert read_results(tmp_path)["map"] == 0.1
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_damaged_results_are_named(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(DataError, match=r"results\.json"):
        read_results(tmp_path)
