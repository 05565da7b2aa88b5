"""The documents on adding a loss and an encoder: their code is installed as they say, and trained.

Each is one new file, found through the package's path, one row of a table, and lines of a config.
"""

import importlib
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orjson
import pytest
from plain_runs import keep_as_drawn, plain_data, plain_rows
from tiny_run import tiny_config

import sketchjax
from sketchjax import config as configs
from sketchjax.config import architecture, encoder, set_encoders, validate
from sketchjax.data.inputs import Strokes
from sketchjax.data.sources.doodles import CATEGORIES
from sketchjax.errors import ConfigError
from sketchjax.losses import objective
from sketchjax.models.network import build
from sketchjax.run import experiment

pytestmark = pytest.mark.usefixtures("short_runs")

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENTS = {"adding-a-method.md": "LOSSES", "adding-an-encoder.md": "ENCODERS"}
STEPS = re.compile(r"^\*\*\d\. ([^*]+)\*\*(.*?)```python\n(.*?)```", re.DOTALL | re.MULTILINE)


def steps(document: str) -> dict[str, tuple[str, str]]:
    """By the title of a step, the words before its code, and its code."""
    found = STEPS.findall((DOCS / document).read_text())
    return {title: (words, code) for title, words, code in found}


@pytest.fixture(params=DOCUMENTS)
def document(request):
    return request.param


def install(document: str, monkeypatch, folder: Path) -> str:
    """Add the document's file and row; returns the name of the row."""
    words, code = steps(document)["The file"]
    match = re.search(r"sketchjax/(\w+)/(\w+)\.py", words)
    assert match is not None
    package, name = importlib.import_module(f"sketchjax.{match[1]}"), match[2]
    assert importlib.util.find_spec(f"{package.__name__}.{name}") is None, "it is not new"
    (folder / f"{name}.py").write_text(code)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    words, code = steps(document)["The row"]
    table = importlib.import_module(f"sketchjax.{match[1]}.table")
    assert f"`{DOCUMENTS[document]}` of `{match[1]}/table.py`" in words
    # As if it stood in the table: with the names that the file has.
    ((row, declared),) = eval("{" + code + "}", vars(table)).items()
    assert row == name
    rows = getattr(table, DOCUMENTS[document])
    assert row not in rows, "it is not new"
    monkeypatch.setitem(rows, row, declared)
    return row


@pytest.fixture
def added(monkeypatch, tmp_path):
    """Installs a document and gives its config, on top of the tiny one without augmentation."""

    def add(document: str):
        install(document, monkeypatch, tmp_path)
        config = tiny_config()
        keep_as_drawn(config)
        exec(steps(document)["The config"][1], vars(configs) | {"config": config})
        return config

    before = set(sys.modules)
    yield add
    objective.loss.cache_clear()
    for name in {*sys.modules} - before:
        if name.startswith(("sketchjax.losses.", "sketchjax.models.")):
            del sys.modules[name]


def test_an_example_is_short(document):
    code = [code for _, code in steps(document).values()]
    assert len(code) == 3
    assert sum(len(block.splitlines()) for block in code) < 40


def test_the_config_names_what_it_needs(document):
    """The document tells the reader to import what the lines use."""
    words, code = steps(document)["The config"]
    assert "`configs/quickstart.py`" in words
    assert "imported from `sketchjax.config`" in words
    used = set(re.findall(r"(\w+)\(", code))
    assert used <= {*configs.__all__}
    compile(code, document, "exec")


def test_without_the_row_the_config_is_refused(document):
    config = tiny_config()
    exec(steps(document)["The config"][1], vars(configs) | {"config": config})
    refusal = {"LOSSES": "is no loss;", "ENCODERS": "kind='stroke_transformer'; choose"}
    with pytest.raises(ConfigError, match=refusal[DOCUMENTS[document]]):
        validate(config)


def test_the_loss_is_a_loop_over_pairs(added):
    added("adding-a-method.md")
    own = importlib.import_module("sketchjax.losses.cosine")
    random = np.random.default_rng(0)
    outputs = random.normal(size=(7, 5)).astype(np.float32)
    labels = random.integers(0, 3, 7)
    total, pairs = 0.0, 0
    for i in range(7):
        for j in range(i):
            cos = outputs[i] @ outputs[j] / np.linalg.norm(outputs[i]) / np.linalg.norm(outputs[j])
            total += 1 - cos if labels[i] == labels[j] else max(cos - 0.1, 0)
            pairs += 1
    found = own.cosine(jnp.asarray(outputs), jnp.asarray(labels), margin=0.1)
    assert float(found) == pytest.approx(total / pairs, rel=1e-5)
    gradient = jax.grad(own.cosine)(jnp.zeros((3, 4)), jnp.array([0, 0, 1]), margin=0.1)
    assert np.isfinite(gradient).all()


def test_settings_of_the_loss_are_checked(added):
    config = added("adding-a-method.md")
    validate(config, devices=4)
    config.stages.pairs.losses.cosine.margin = 3
    with pytest.raises(ConfigError) as caught:
        validate(config)
    (line,) = caught.value.problems
    assert line == "stages.pairs.losses.cosine.margin=3.0; must be -1 to 1"
    assert f"`{line}`" in (DOCS / "adding-a-method.md").read_text()


def test_settings_of_the_encoder_are_checked(added):
    config = added("adding-an-encoder.md")
    validate(config, devices=4)
    config.model.encoders.strokes.width = 30
    config.model.encoders.strokes.heads = 2
    with pytest.raises(ConfigError) as caught:
        validate(config)
    assert [line.split("; ")[0] for line in caught.value.problems] == [
        "model.encoders.strokes.heads=2 is no field",
        "model.encoders.strokes.width=30",
    ]


def test_the_encoder_reads_no_padding(added):
    config = added("adding-an-encoder.md")
    config.model.encoders.strokes.layers = 1
    network = build(architecture(config, ["cat", "sun"], 20.0))
    random = np.random.default_rng(0)
    points = random.integers(0, 256, (3, config.data.points, 3)).astype(np.uint8)
    length = np.array([4, 9, config.data.points], np.int32)
    points[np.arange(config.data.points) >= length[:, None]] = 0
    strokes = Strokes.of(points, length)
    # Any weights will do, and `initialise` takes 3 s to compile.
    variables = jax.tree.map(
        lambda leaf: random.normal(0, 0.1, leaf.shape).astype(leaf.dtype), network.shapes()
    )
    fused = jax.jit(network.fused)
    found = fused(variables, strokes)
    assert found.shape == (3, 32)
    assert found.dtype == jnp.float32
    # Each by itself: neither the others of the batch nor its padding matter, the order does.
    for row in range(3):
        alone = fused(variables, jax.tree.map(lambda leaf, r=row: leaf[r : r + 1], strokes))
        np.testing.assert_allclose(alone[0], found[row], atol=1e-5)
    ((_, _, make),) = network.layers.encoders
    encode, own = jax.jit(make().apply), {"params": variables["params"]["strokes"]}
    (sequence, lengths), *_ = network.views(strokes, "strokes").values()
    filled = np.where(np.arange(len(points[0]))[:, None] < lengths[:, None, None], sequence, 7.0)
    filled = filled.astype(np.float32)
    np.testing.assert_allclose(encode(own, filled, lengths), found, atol=1e-5)
    turned = encode(own, sequence[:, ::-1], jnp.full(3, len(points[0])))
    assert np.abs(turned[2] - found[2]).max() > 1e-3


def logged(workdir: Path) -> list[dict]:
    return [orjson.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_with_the_loss(added, tmp_path, tmp_path_factory):
    """Two stages of a small network, on four devices."""
    config = added("adding-a-method.md")
    config.data.dir = str(plain_data(tmp_path_factory))
    config.stages.classes.epochs = config.stages.pairs.epochs = 1
    with plain_rows():
        set_encoders(config, pen=encoder("plain"))
        results = experiment.run(config, tmp_path / "run")
    assert 0 < results["map"] <= 1
    assert set(results["after_stages"]) == {"classes", "pairs"}
    values = [line["cosine"] for line in logged(tmp_path / "run") if "cosine" in line]
    assert values
    assert all(0 < value < 2 for value in values)
    assert "cosine" in (tmp_path / "run" / "report" / "index.html").read_text()


def test_a_run_with_the_encoder(added, tmp_path, tmp_path_factory):
    """Trained by itself and with the hash layer; its model file encodes."""
    config = added("adding-an-encoder.md")
    config.data.dir = str(plain_data(tmp_path_factory))
    config.model.encoders.strokes.layers = 1
    config.stages.strokes.epochs = config.stages.codes.epochs = 1
    results = experiment.run(config, tmp_path / "run")
    assert 0 < results["map"] <= 1
    model = sketchjax.load(tmp_path / "run")
    assert set(model.categories) <= {*CATEGORIES}
    assert model.bits == 16
