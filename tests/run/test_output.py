"""Printing never ends a run: what cannot be encoded is escaped, a lost target is given up."""

import errno
import io
import subprocess
import sys

import pytest

from sketchjax.run.output import Output, console

SNOW = "category \N{SNOWMAN}, caf\N{LATIN SMALL LETTER E WITH ACUTE}"
# Prints until its reader has gone, then reports to `done`, prints again and ends.
ENDLESS = """
import sys
from pathlib import Path
from sketchjax.run.progress import TrainingProgress
with TrainingProgress(interval=0) as progress:
    progress.stage("joint", epochs=1, steps=3_000)
    for step in range(1, 3_001):  # more than a pipe holds
        progress.update(step, loss=0.5)
Path(sys.argv[1]).write_text("trained")
print("the result")
"""


class Refusing(io.StringIO):
    """A target whose disk is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "encoding, shown",
    [
        ("ascii", r"category \u2603, caf\xe9"),
        ("latin-1", "category \\u2603, caf\xe9"),
        ("utf-8", SNOW),
    ],
)
def test_what_the_encoding_lacks_is_escaped(encoding, shown):
    target = io.TextIOWrapper(raw := io.BytesIO(), encoding=encoding)
    console(target).print(SNOW)
    assert raw.getvalue().decode(encoding) == f"{shown}\n"


def test_a_lone_surrogate_of_a_file_name_is_escaped():
    target = io.TextIOWrapper(raw := io.BytesIO(), encoding="utf-8")
    console(target).print("cat\udcff")
    assert raw.getvalue() == b"cat\\udcff\n"


def test_an_ascii_stdout_shows_bars_and_notes():
    script = (
        "from sketchjax.run.progress import TrainingProgress\n"
        "with TrainingProgress() as progress:\n"
        f"    progress.note({SNOW!r})\n"
        f"    with progress.task({SNOW!r}, total=1) as advance: advance(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    note, task = done.stdout.decode("ascii").splitlines()
    assert note == r"category \u2603, caf\xe9"
    assert task.startswith(r"category \u2603, caf\xe9")


@pytest.mark.parametrize("shared", [False, True], ids=["stdout", "stdout and stderr"])
def test_a_run_outlives_the_reader_of_its_log(tmp_path, shared):
    child = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path / "done")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if shared else subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert child.stdout is not None
    assert b"joint" in child.stdout.readline()
    child.stdout.close()
    # With `shared`, stderr has no reader either: nobody is left to hear about it.
    words = child.stderr.read().decode() if child.stderr else ""
    assert child.wait(timeout=120) == 0, words
    assert (tmp_path / "done").read_text() == "trained"
    if not shared:
        assert words == (
            "stdout cannot be written (Broken pipe); continuing without it: all results are files\n"
        )


def test_a_full_disk_is_reported_once(capsys):
    out = console(Refusing())
    out.print("one")
    out.print("two")
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_no_stdout_at_all_is_fine():
    output = Output(None)
    assert output.write("text") == 4
    assert not output.isatty()
    with pytest.raises(OSError, match="fileno"):
        output.fileno()
