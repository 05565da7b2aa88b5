"""A server and a search with onnxruntime load no jax and nothing of the trainer."""

import json
import subprocess
import sys

import pytest
from command_line import call
from random_models import CATEGORIES, GRU, TOWER, architecture_of, save_random

import sketchjax
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.sources.doodles import write
from sketchjax.serving import server

TRAINER = ("jax", "jaxlib", "flax", "optax", "orbax", "grain")

PROGRAM = """
import sys
from sketchjax import cli

def loaded(where):
    found = {{name.split(".")[0] for name in sys.modules}} & set({trainer})
    print(where, sorted(found), flush=True)

def no_server(app, listening, ready):
    app.state.service.warm()
    ready()
    loaded("serving")
    listening.close()

import sketchjax.serving.server as server
server.run = no_server
sys.argv = ["sketchjax", *{words}]
try:
    cli.main()
finally:
    loaded("end")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with what serve reads of a finished run, and drawings."""
    home = tmp_path_factory.mktemp("home")
    own = architecture_of({"cnn": {"kind": "alexnet", **TOWER}, "rnn": GRU})
    save_random(home / "run" / "model.safetensors", own)
    write(home / "drawings", per_category=12, seed=1, categories=CATEGORIES)
    convert(
        [home / "drawings"], home / "run" / "data", splits={"train": 0.5, "gallery": 0.5}, workers=1
    )
    (home / "run" / "config.json").write_text(json.dumps([["data.dir", ""]]))
    (home / "run" / "results.json").write_text("{}")
    return home


def run(home, environment, *words: str) -> str:
    """What a command prints, and the heavy modules that it loaded."""
    environment = {name: value for name, value in environment.items() if "XLA" not in name}
    program = PROGRAM.format(trainer=TRAINER, words=words)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=home,
        env=environment | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_serve_needs_no_jax(home, environment):
    said = run(home, environment, "serve", "run", "--port", "0")
    assert "encoder: onnxruntime" in said
    assert "serving []" in said


def test_serve_runs_jax_where_asked_to(home, monkeypatch, capfd):
    served = []

    def no_server(app, listening, ready):
        app.state.service.warm()
        ready()
        served.append(app.state.service.encoder)
        listening.close()

    monkeypatch.setattr(server, "run", no_server)
    monkeypatch.chdir(home)
    assert call("serve", "run", "--port", 0, "--encoder", "jax") == 0
    assert "encoder: jax (asked for)" in "".join(capfd.readouterr())
    assert [type(encoder) for encoder in served] == [sketchjax.Model]


def test_index_and_search_need_no_jax(home, environment, monkeypatch, capfd):
    said = run(home, environment, "index", "mine", "drawings", "--model", "run")
    assert "encoder: onnxruntime" in said
    assert "36 drawings of 3 categories" in said
    assert said.endswith("end []\n")
    found = run(home, environment, "search", "mine", "drawings/cat.ndjson", "-k", "3", "--json")
    assert found.endswith("end []\n")
    monkeypatch.chdir(home)
    words = ("mine", "drawings/cat.ndjson", "-k", 3, "--json", "--encoder", "jax")
    assert call("search", *words) == 0
    with_jax = capfd.readouterr().out

    def results(said):
        answers = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return [(one["code"], one["results"]) for one in answers]

    assert len(results(found)) == 12
    assert [code for code, _ in results(found)] == [code for code, _ in results(with_jax)]
    assert [[result["id"] for result in answers] for _, answers in results(found)] == [
        [result["id"] for result in answers] for _, answers in results(with_jax)
    ]


ENCODE = """
import sys
from pathlib import Path
from sketchjax.export.onnx_encoder import OnnxEncoder
print(OnnxEncoder.load(Path(sys.argv[1])).outputs([[[0, 9], [0, 9]]]).codes.packed.shape)
"""


def test_onnxruntime_reports_to_nobody(home, environment, tmp_path):
    places = {name: str(tmp_path / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for place in places.values():
        (tmp_path / place).mkdir()
    environment = {
        name: value for name, value in environment.items() if name != "ORT_DISABLE_TELEMETRY"
    } | {**places, "NUMBA_DISABLE_JIT": "1"}  # kernels take seconds to compile, into a cache
    done = subprocess.run(
        [sys.executable, "-c", ENCODE, str(home / "run")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for name in places for path in (tmp_path / name).rglob("*")] == []
