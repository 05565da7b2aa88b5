"""Folders of exported models: what is in them, and what is refused."""

import json
import re
import subprocess
import sys

import msgspec
import numpy as np
import onnx
import pytest
from random_models import (
    CATEGORIES,
    GRU,
    POINTS,
    SIZE,
    TOWER,
    GraphRunner,
    all_drawings,
    architecture_of,
    save_random,
)

import sketchjax
from sketchjax.errors import CheckpointError, ConfigError, DataError, InUseError
from sketchjax.export.choice import reason_for_jax
from sketchjax.export.description import read_description
from sketchjax.export.folder import export, halved
from sketchjax.export.onnx_encoder import OnnxEncoder
from sketchjax.files import sha256, sole_writer

ENCODERS = {"cnn": {"kind": "alexnet", **TOWER}, "rnn": GRU}
PHOTO = {"photo": {"kind": "torch_resnet", "depth": "18"}}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """What export reads of a finished run."""
    workdir = tmp_path_factory.mktemp("run")
    save_random(workdir / "model.safetensors", architecture_of(ENCODERS))
    results = {"map": 0.875, "accuracy_query": 0.5, "precision_at_200": None, "train": 1200}
    (workdir / "results.json").write_text(json.dumps(results))
    return workdir


@pytest.fixture(scope="module")
def exported(workdir, tmp_path_factory):
    """The folder of that run, with a program for 4 drawings."""
    folder = tmp_path_factory.mktemp("exported") / "my model"
    export(workdir, folder, batches=[4], licence="cc-by-4.0")
    return folder


@pytest.fixture(scope="module")
def half(workdir, tmp_path_factory):
    """The same with kernels of float16."""
    folder = tmp_path_factory.mktemp("half") / "half"
    export(workdir, folder, half=True)
    return folder


def test_config_says_what_the_graph_needs(exported, workdir):
    config = json.loads((exported / "config.json").read_text())
    assert config["categories"] == CATEGORIES
    assert (config["points"], config["bits"], config["features"]) == (POINTS, 32, 32)
    assert config["drawing"] == {"size": SIZE, "stroke_width": 1.5, "offset_scale": 21.5}
    assert (config["offset_scale"], config["threshold"]) == (21.5, 0.5)
    assert (config["bit_order"], config["weights"]) == ("little", "float32")
    assert config["fingerprint"] == sketchjax.load(workdir).fingerprint
    names = {path.name for path in exported.iterdir()} - {"config.json"}
    assert config["files"] == {name: sha256(exported / name) for name in names}
    assert names == {"README.md", "encoder-4.jax", "encoder.onnx", "model.safetensors"}


def test_the_graph_has_the_names_and_types_of_its_contract(exported):
    graph = onnx.load(exported / "encoder.onnx").graph

    def listed(values):
        return [
            (
                value.name,
                onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
                [one.dim_value or one.dim_param for one in value.type.tensor_type.shape.dim],
            )
            for value in values
        ]

    assert listed(graph.input) == [
        ("points", "UINT8", ["batch", POINTS, 3]),
        ("lengths", "INT32", ["batch"]),
    ]
    assert listed(graph.output) == [
        ("codes", "UINT8", ["batch", 4]),
        ("features", "FLOAT", ["batch", 32]),
        ("probabilities", "FLOAT", ["batch", 3]),
    ]


def test_load_reads_the_folder_back(exported, workdir):
    assert sketchjax.load(exported).fingerprint == sketchjax.load(workdir).fingerprint
    assert (exported / "model.safetensors").read_bytes() == (
        workdir / "model.safetensors"
    ).read_bytes()


def test_half_halves_the_files_and_keeps_jax_and_onnx_equal(exported, half):
    for name in ("model.safetensors", "encoder.onnx"):
        whole, small = (folder.joinpath(name).stat().st_size for folder in (exported, half))
        assert small < 0.75 * whole  # the rest are names and biases of a tiny model
    model, encoder, drawings = sketchjax.load(half), OnnxEncoder.load(half), all_drawings()
    wanted, found = model.outputs(drawings), encoder.outputs(drawings)
    np.testing.assert_array_equal(found.codes.packed, wanted.codes.packed)
    codes, _, _ = GraphRunner((half / "encoder.onnx").read_bytes()).of(drawings)
    np.testing.assert_array_equal(codes, wanted.codes.packed)
    assert found.codes.model == wanted.codes.model == model.fingerprint
    whole = sketchjax.load(exported).outputs(drawings)
    assert 1e-6 < np.abs(whole.features - wanted.features).max() < 0.05


def test_half_stores_rounded_kernels_and_whole_biases(half, workdir):
    whole, rounded = (sketchjax.load(path).variables["params"]["cnn"] for path in (workdir, half))
    kernel = np.asarray(whole["conv1"]["kernel"])
    np.testing.assert_array_equal(
        rounded["conv1"]["kernel"], kernel.astype(np.float16).astype(np.float32)
    )
    np.testing.assert_array_equal(rounded["conv1"]["norm"]["bias"], whole["conv1"]["norm"]["bias"])


def test_what_float16_cannot_hold_is_refused():
    with pytest.raises(DataError, match=r"cnn/kernel has numbers beyond 65,504"):
        halved({"cnn/kernel": np.full((2, 2), 1e5, np.float32)})


def test_exporting_twice_gives_the_same_bytes(half, tmp_path):
    export(half, tmp_path / "half")
    for name in ("model.safetensors", "encoder.onnx"):
        assert (tmp_path / "half" / name).read_bytes() == (half / name).read_bytes()


def test_a_program_of_jax_gives_the_same_codes(exported):
    from jax import export as jax_export

    from sketchjax.data.feed.batch import pad_points

    program = jax_export.deserialize((exported / "encoder-4.jax").read_bytes())
    drawings = all_drawings()
    points, lengths = pad_points(drawings.points, drawings.offsets, POINTS)
    wanted = GraphRunner((exported / "encoder.onnx").read_bytes()).of(drawings)
    for first in range(0, 32, 4):
        now = slice(first, first + 4)
        codes, features, shares = map(np.asarray, program.call(points[now], lengths[now]))
        np.testing.assert_array_equal(codes, wanted[0][now])
        np.testing.assert_allclose(features, wanted[1][now], atol=2e-5)
        np.testing.assert_allclose(shares, wanted[2][now], atol=2e-5)
    assert program.platforms == ("cpu", "cuda")


def test_the_card_holds_the_figures_of_the_run(exported, half):
    text = (exported / "README.md").read_text()
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert front is not None
    yaml = pytest.importorskip("yaml").safe_load(front[1])
    assert (yaml["library_name"], yaml["license"]) == ("sketchjax", "cc-by-4.0")
    (entry,) = yaml["model-index"]
    metrics = {one["type"]: one["value"] for one in entry["results"][0]["metrics"]}
    assert (entry["name"], metrics) == (
        "my model",
        {"mean_average_precision": 0.875, "accuracy": 0.5},
    )
    assert "1,200 sketches to train on" in text
    assert "before the kernels were rounded" not in text
    assert "before the kernels were rounded" in (half / "README.md").read_text()


def test_the_card_of_a_model_without_its_run_says_so(workdir, tmp_path):
    export(workdir / "model.safetensors", tmp_path / "bare")
    text = (tmp_path / "bare" / "README.md").read_text()
    assert "exported without its run" in text
    assert "model-index" not in text
    assert "license" not in text


def test_the_python_of_the_card_runs(exported, monkeypatch):
    monkeypatch.chdir(exported)
    blocks = re.findall(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})


@pytest.mark.parametrize(
    "fields, card, words",
    [
        ({"encoders": {}, "photo_encoders": PHOTO, "photo_size": 32}, {}, "reads photos only"),
        ({"sketches": "raster"}, {}, "reads pictures of sketches"),
        ({"head": "features"}, {}, "its head features makes no codes"),
        ({"dtype": "bfloat16"}, {}, "computes in bfloat16"),
        ({}, {"output": "cnn"}, "trained up to its encoder cnn"),
    ],
)
def test_models_without_a_graph_are_refused(tmp_path, fields, card, words):
    own = msgspec.structs.replace(architecture_of({"cnn": {"kind": "alexnet", **TOWER}}), **fields)
    path = save_random(tmp_path / "model.safetensors", own, **card)
    with pytest.raises(DataError, match=f"cannot be exported to ONNX: .*{words}"):
        export(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert words in (reason_for_jax(path) or "")
    with pytest.raises(DataError, match=words):
        reason_for_jax(path, wanted=True)


def test_a_model_of_sketches_and_photos_exports_its_sketches(tmp_path):
    own = architecture_of(
        {"cnn": {"kind": "alexnet", **TOWER}}, photo_encoders=PHOTO, photo_size=32
    )
    path = save_random(tmp_path / "model.safetensors", own)
    export(path, tmp_path / "out")
    drawings = all_drawings(2)
    wanted = sketchjax.load(path).outputs(drawings)
    assert OnnxEncoder.load(tmp_path / "out").outputs(drawings).codes == wanted.codes
    codes, _, _ = GraphRunner((tmp_path / "out" / "encoder.onnx").read_bytes()).of(drawings)
    np.testing.assert_array_equal(codes, wanted.codes.packed)


def test_a_folder_that_is_there_is_left_alone(workdir, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="exists already; name another folder"):
        export(workdir, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_two_processes_do_not_export_to_the_same_folder(workdir, tmp_path):
    with sole_writer(tmp_path / "out"), pytest.raises(InUseError, match="another process"):
        export(workdir, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing_behind(workdir, tmp_path, monkeypatch):
    from sketchjax.export import folder

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "sha256", full)
    with pytest.raises(Exception, match="out cannot be written"):
        export(workdir, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_batch_of_none_is_refused(workdir, tmp_path):
    with pytest.raises(ConfigError, match="--jax-batch 0: must be at least 1"):
        export(workdir, tmp_path / "out", batches=[0])


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("encoder.onnx", lambda old: old[:-9] + b"\0" * 9, "is not what config.json describes"),
        ("config.json", lambda old: b"{}", "is not a folder that sketchjax export wrote"),
        ("config.json", lambda old: old.replace(b"folder 1", b"folder 9"), "has the format"),
    ],
)
def test_damaged_folders_are_refused(exported, tmp_path, name, change, words):
    for each in exported.iterdir():
        content = each.read_bytes()
        (tmp_path / each.name).write_bytes(change(content) if each.name == name else content)
    with pytest.raises(CheckpointError, match=words):
        read_description(tmp_path)


def test_without_onnx_the_extra_is_named(workdir, tmp_path, environment):
    program = (
        "import sys; sys.modules['onnx'] = None; from sketchjax import cli; "
        f"sys.argv = ['sketchjax', 'export', {str(workdir)!r}, {str(tmp_path / 'out')!r}]; "
        "cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 64, done.stderr
    assert done.stderr == "sketchjax: export needs onnx: pip install 'sketchjax[export]'\n"


def test_an_exported_folder_without_onnx_is_run_by_jax(exported, monkeypatch):
    """Its graph is written again, without the drawing, before onnxruntime runs it."""
    from sketchjax.export import choice

    monkeypatch.setattr(choice, "find_spec", lambda name: None if name == "onnx" else object())
    assert "onnx is not installed" in (reason_for_jax(exported) or "")


def test_saving_an_encoder_gives_the_file_of_its_model(exported, tmp_path):
    saved = OnnxEncoder.load(exported).save(tmp_path / "model.safetensors")
    assert sketchjax.load(saved).fingerprint == sketchjax.load(exported).fingerprint
