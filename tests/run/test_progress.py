"""Plain lines that read well in a log, bars on a terminal, honest times."""

import io

import pytest
from rich.console import Console

from sketchjax.run.progress import TrainingProgress, clock


class Clock:
    def __init__(self):
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def plain_progress(**settings):
    out, now = io.StringIO(), Clock()
    console = Console(file=out, soft_wrap=True, highlight=False)
    return TrainingProgress(console=console, now=now, **settings), out, now


def test_plain_lines_every_ten_seconds_and_at_the_end():
    progress, out, now = plain_progress()
    with progress:
        progress.stage("joint", epochs=5, steps=100)
        for step in range(1, 101):
            now.time += 1
            progress.update(step, loss=0.5, accuracy=0.75, speed="1,234 sketches/s")
    # Steps 1, 11, 21, … 91, and the last one.
    written = out.getvalue().splitlines()
    assert len(written) == 11
    first = "joint epoch 0.05/5 1 % loss 0.5 accuracy 0.75 1,234 sketches/s"
    assert written[0].split() == first.split()
    assert "epoch 4.55/5  91 %" in written[-2]
    assert written[-2].endswith("0:09 left")
    assert written[-1].endswith("done")


def test_time_left_excludes_compilation():
    progress, out, now = plain_progress(interval=0)
    progress.stage("cnn", epochs=1, steps=10)
    now.time += 500  # compiling
    progress.update(2)
    now.time += 30
    progress.update(4)
    assert "90 %" not in out.getvalue()
    assert out.getvalue().splitlines()[-1].endswith("1:30 left")  # 6 steps of 15 s


def test_a_resumed_stage_measures_its_pace_from_there():
    progress, out, now = plain_progress(interval=0)
    progress.stage("cnn", epochs=2, steps=1000, done=500)
    progress.update(510)
    now.time += 10
    progress.update(520)
    written = out.getvalue().splitlines()
    assert written[0] == "cnn: resuming at epoch 1.00"
    assert written[-1].endswith("8:00 left")


def test_a_task_counts_items():
    progress, out, now = plain_progress()
    with progress, progress.task("encoding gallery", total=3000) as advance:
        for _ in range(3):
            now.time += 4
            advance(1000)
    written = out.getvalue().splitlines()
    assert len(written) == 2
    assert "3,000/3,000" in written[-1]


def test_other_processes_print_nothing():
    progress, out, _ = plain_progress(active=False)
    with progress:
        progress.stage("cnn", epochs=1, steps=2, done=1)
        progress.update(2, loss=1.0)
        progress.note("hello")
    assert out.getvalue() == ""


def test_a_terminal_gets_one_bar_per_stage():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, height=30, _environ={})
    with TrainingProgress(console=console) as progress:
        for name in ("cnn", "rnn [2]"):
            progress.stage(name, epochs=2, steps=4)
            for step in range(1, 5):
                progress.update(step, loss=0.25, accuracy=0.9, speed="150 sketches/s")
        progress.note("validation accuracy 0.88 [of all] :cat:")
    last_picture = out.getvalue().split("\x1b[2K")[-2:]
    text = "".join(last_picture)
    for word in ("cnn", "rnn [2]", "epoch 2.00/2", "loss 0.25", "150 sketches/s", "done"):
        assert word in text
    assert "validation accuracy 0.88 [of all] :cat:" in out.getvalue()


def test_an_update_before_a_stage_raises():
    with pytest.raises(ValueError, match="stage"):
        TrainingProgress(active=False).update(1)


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00"), (59.6, "1:00"), (3599.4, "59:59"), (3600, "1:00:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
