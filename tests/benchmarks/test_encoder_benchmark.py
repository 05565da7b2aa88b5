"""benchmarks.encoder on a tiny run."""

import orjson

from benchmarks import encoder


def test_both_runtimes_are_measured(whole, tmp_path):
    encoder.main([str(whole), "--requests", "5", "--json", str(tmp_path / "encoder.json")])
    found = orjson.loads((tmp_path / "encoder.json").read_bytes())
    assert found["same_codes"] is True
    for runtime in ("onnx", "jax"):
        assert found[f"{runtime}_milliseconds"] <= found[f"{runtime}_p99_milliseconds"]
        assert found[f"{runtime}_ready_seconds"] > 0
    assert found["onnx_mebibytes"] < found["jax_mebibytes"]
