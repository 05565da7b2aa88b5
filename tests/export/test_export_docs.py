"""The section Export of docs/search.md: its commands, its Python, and what it promises."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from random_models import CATEGORIES, GRU, TOWER, architecture_of, save_random

import sketchjax
from sketchjax.data.sources.doodles import write

TEXT = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
SECTION = TEXT.split("\n## Export\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory, environment) -> Path:
    """A folder in which every command of the section was run, on a small model."""
    home = tmp_path_factory.mktemp("home")
    own = architecture_of({"cnn": {"kind": "alexnet", **TOWER}, "rnn": GRU})
    save_random(home / "runs" / "quickstart" / "model.safetensors", own)
    (home / "runs" / "quickstart" / "results.json").write_text('{"map": 0.5}')
    write(home / "my-drawings", per_category=5, seed=1, categories=CATEGORIES)
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    block, _ = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)  # the other is a benchmark
    for line in block.splitlines():
        if line and not line.startswith("#"):
            command = line.replace(
                ".venv/bin/sketchjax", f"{shlex.quote(sys.executable)} -m sketchjax.cli"
            )
            done = subprocess.run(
                command,
                shell=True,
                capture_output=True,
                text=True,
                cwd=home,
                env=environment | {"PYTHONPATH": paths},
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
    return home


def test_the_folders_are_there(home):
    names = set(re.findall(r"^\| `([a-zA-Z.]+)` \|", SECTION, re.MULTILINE))
    for name in ("quickstart", "small"):
        assert {path.name for path in (home / "exported" / name).iterdir()} == names
    assert 'license: "apache-2.0"' in (home / "exported/quickstart/README.md").read_text()
    config = json.loads((home / "exported/small/config.json").read_text())
    assert config["weights"] == "float16"
    index = sketchjax.load(home / "indexes/small/model")
    assert index.fingerprint == config["fingerprint"]


def test_the_python_prints_a_code_and_a_category(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    (block,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    exec(block, {})
    code, category = capsys.readouterr().out.split()
    model = sketchjax.load(home / "exported" / "quickstart")
    strokes = [[[0, 255, 128], [0, 0, 221]]]
    assert code == model.encode(strokes).packed[0].tobytes().hex()
    assert category == CATEGORIES[model.predict(strokes)[0].argmax()]
