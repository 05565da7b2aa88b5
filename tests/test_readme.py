"""The README's commands and Python, run as a newcomer would, on the tiny config."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import call
from tiny_run import CONFIG

from sketchjax.data.sources.doodles import write

README = (Path(__file__).parents[1] / "README.md").read_text()
CATEGORIES = ["cat", "clock", "face", "sun"]


def blocks(language: str, text: str = README) -> list[str]:
    """The code of each block of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def home(whole, tmp_path, monkeypatch) -> Path:
    """The current folder, with a finished run as runs/quickstart."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "quickstart").symlink_to(whole)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_shell(lines: str, environment: dict[str, str], capsys) -> str:
    """Run the commands of a block with the tiny config; returns what they print.

    The first one and the training are processes; the others run in this one.
    """
    printed = []
    for line in lines.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        program = {".venv/bin/python": [], ".venv/bin/sketchjax": ["-m", "sketchjax.cli"]}[words[0]]
        if program and printed:
            assert call(*words[1:]) == 0, line
            printed.append(capsys.readouterr().out)
            continue
        words = [sys.executable, *program, *words[1:]]
        if "--config" in words:
            words[words.index("--config") + 1] = str(CONFIG)
            # One stage in place of five, and one encoder of two.
            words += ["--config.plan=joint", "--config.evaluation.after_stages=joint"]
            words += ["--config.model.branches=rnn"]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        printed.append(done.stdout)
    return "\n".join(printed)


def test_the_first_python_finds_the_nearest_sketches(home, capsys):
    exec(blocks("python")[0], {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    found = [re.fullmatch(r"(\w+), (\d+) of 16 bits differ", line) for line in lines]
    assert all(match and match[1] in CATEGORIES for match in found), lines
    distances = [int(match[2]) for match in found if match]
    assert distances == sorted(distances)


def test_from_own_sketches_to_search_results(home, environment, capsys):
    for name, seed, number in (("my-drawings", 1, 40), ("later-drawings", 2, 20)):
        write(home / name, per_category=number, seed=seed, categories=CATEGORIES)
    new = write(home / "new", per_category=3, seed=3, categories=["sun"])
    (home / "new.ndjson").write_bytes(new[0].read_bytes())
    part = README.split("\n## Your own sketches\n")[1].split("\n## ")[0]
    shell, search = blocks("bash", part)[0], blocks("python", part)[0]
    paths = os.pathsep.join(sys.path)
    printed = run_shell(shell, environment | {"PYTHONPATH": paths}, capsys)
    assert printed.count("report: runs/") == 2
    assert "report: runs/later/report/index.html" in printed
    exec(search, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"\d+ is most like( \d+){10}", line) for line in lines), lines
