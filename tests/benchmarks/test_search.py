"""benchmarks.search at small sizes."""

import argparse

import orjson
import pytest

from benchmarks import search
from sketchjax.paper.cost import SearchCost


def figures_of(words: str, path) -> dict:
    search.main([*words.split(), "--json", str(path)])
    return orjson.loads(path.read_bytes())


def test_each_size_has_its_figures(tmp_path):
    words = "--gallery 5000 9000 --bits 16 64 --queries 2 --k 9"
    found = figures_of(words, tmp_path / "search.json")
    sizes = found["sizes"]
    assert [(row["gallery"], row["bits"]) for row in sizes] == [
        (5000, 16),
        (5000, 64),
        (9000, 16),
        (9000, 64),
    ]
    for row in sizes:
        assert row["same_distances_as_faiss"] is True
        assert row["ratio_to_faiss"] >= row["least_ratio_to_faiss"] > 0
        assert row["code_mb"] == row["gallery"] * row["bits"] / 8e6
        assert "paper_memory_mb" not in row
    assert found["left_out"] == []


def test_the_papers_gallery_shows_the_papers_figures(monkeypatch):
    monkeypatch.setattr(
        search, "search_cost", lambda gallery, bits, **_: SearchCost(gallery, bits, 9, *[1.0] * 5)
    )
    arguments = argparse.Namespace(queries=1, k=9, seed=0, no_peer=True)
    row = search.measure(345_000, 64, arguments)
    # Table 5, last column.
    assert (row["paper_seconds_per_query"], row["paper_memory_mb"]) == (0.286, 937)
    assert "ratio_to_faiss" not in row
    assert search.table_of([row]).row_count == 1


def test_wrong_distances_are_reported(monkeypatch):
    find = search.search
    monkeypatch.setattr(search, "search", lambda *of: [part + 1 for part in find(*of)])
    found = search.compare_with_faiss(500, 16, queries=1, k=9, seed=0)
    assert found["same_distances_as_faiss"] is False


def test_a_size_that_does_not_fit_is_left_out(tmp_path, monkeypatch, capsys):
    # Codes twice and a ranking: 100 million times 8 + 8 + 12 bytes, and 64 MiB.
    assert search.bytes_needed(100_000_000, 64) == 2_800_000_000 + 2**26
    monkeypatch.setattr(search, "free_bytes", lambda: 2 * search.bytes_needed(900, 16))
    words = "--gallery 900 901 --bits 16 --queries 1 --k 9 --no-peer"
    found = figures_of(words, tmp_path / "search.json")
    assert [row["gallery"] for row in found["sizes"]] == [900]
    assert len(found["left_out"]) == 1
    assert found["left_out"][0].startswith("901 x 16 bits")
    assert "left out" in capsys.readouterr().out


def test_free_memory_is_part_of_all_memory():
    import os

    everything = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert everything / 1000 < search.free_bytes() <= everything


def test_k_must_be_a_number():
    with pytest.raises(SystemExit):
        search.main(["--k", "many"])
