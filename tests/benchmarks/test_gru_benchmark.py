"""benchmarks.gru at a small size."""

import numpy as np
import orjson

from benchmarks import gru


def test_each_implementation_has_its_speed(tmp_path, monkeypatch):
    monkeypatch.delenv("SKETCHJAX_DATA", raising=False)
    words = "--hidden 4 --points 6 --batch 4 --rounds 1 --only fused linen --no-memory --json"
    gru.main([*words.split(), str(tmp_path / "gru.json")])
    found = orjson.loads((tmp_path / "gru.json").read_bytes())
    assert found["peer"] == "linen"
    for kind in ("real", "full"):
        assert found[f"{kind}_fused_sketches_per_second"] > 0
        assert found[f"{kind}_ratio_to_linen"] > 0


def test_lengths_without_drawings_are_like_quickdraws(monkeypatch):
    monkeypatch.delenv("SKETCHJAX_DATA", raising=False)
    lengths, source = gru.real_lengths(20_000, 1000, 0)
    assert source.startswith("log-normal")
    assert abs(lengths.mean() - 46) < 1
    assert abs(np.quantile(lengths, 0.99) - 115) < 5
    assert lengths.min() >= 1
