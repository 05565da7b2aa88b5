"""benchmarks.shallow at a small size: its reader against numpy, and its figures."""

import numpy as np
import orjson
import pytest

from benchmarks import shallow
from sketchjax.paper.shallow import HASHERS


def test_all_methods_are_timed_and_the_file_is_removed(tmp_path):
    path = tmp_path / "figures.json"
    words = f"--rows 600 --width 16 --classes 5 --bits 8 --folder {tmp_path} --json {path}"
    shallow.main([*words.split(), "--methods", "pca_itq", "sdh"])
    found = orjson.loads(path.read_bytes())
    for name in ("pca_itq", "sdh"):
        for work in ("fit", "encode"):
            assert found[f"{name}_{work}_seconds"] > 0
            assert found[f"{name}_{work}_cpu_seconds"] > 0
        assert 2e7 < found[f"{name}_peak_bytes"] <= found["greatest_peak_bytes"] < 2e9
        assert 0.05 < found[f"{name}_bits_set"] < 0.95
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]


def test_the_file_is_read_as_an_array(tmp_path, monkeypatch):
    monkeypatch.setattr(shallow, "BLOCK", 7)
    shallow.write_features(tmp_path, 40, 5, 3)
    rows = np.memmap(tmp_path / "features", np.float32, mode="r").reshape(-1, 5)
    file = shallow.RowFile(tmp_path / "features", 5)
    assert len(file) == len(rows) == 40
    for part in (slice(0, 7), slice(35, 60), slice(40, 50), slice(None)):
        np.testing.assert_array_equal(file[part], rows[part])
    labels = np.load(tmp_path / "labels.npy")
    assert labels.shape == (40,)
    assert set(labels) == {0, 1, 2}


@pytest.mark.parametrize("name", HASHERS)
def test_each_method_reads_the_file(name, tmp_path):
    shallow.write_features(tmp_path, 300, 16, 5)
    figures = shallow.fit_and_encode(name, tmp_path, 16, 8)
    labels = np.load(tmp_path / "labels.npy")
    rows = np.fromfile(tmp_path / "features", np.float32).reshape(-1, 16)
    codes = HASHERS[name](8).fit(rows, labels).encode(rows)
    assert figures["bits_set"] == pytest.approx(codes.mean(), abs=1e-3)
