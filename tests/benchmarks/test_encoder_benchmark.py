"""benchmarks.encoder on a small network with random weights."""

import sys
from pathlib import Path

import orjson

from benchmarks import encoder

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))

from random_models import CATEGORIES, GRU, architecture_of, save_random

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.sources.doodles import write


def test_both_runtimes_are_measured(tmp_path):
    run = tmp_path / "run"
    save_random(run / "model.safetensors", architecture_of({"rnn": GRU | {"layers": 1}}))
    write(tmp_path / "drawings", per_category=6, seed=1, categories=CATEGORIES)
    convert([tmp_path / "drawings"], run / "data", splits={"gallery": 1.0}, workers=1)
    (run / "config.json").write_text('[["data.dir", ""]]')
    (run / "results.json").write_text("{}")
    encoder.main([str(run), "--requests", "5", "--json", str(tmp_path / "encoder.json")])
    found = orjson.loads((tmp_path / "encoder.json").read_bytes())
    assert found["same_codes"] is True
    for runtime in ("onnx", "jax"):
        assert found[f"{runtime}_milliseconds"] <= found[f"{runtime}_p99_milliseconds"]
        assert found[f"{runtime}_ready_seconds"] > 0
    assert found["onnx_mebibytes"] < found["jax_mebibytes"]
