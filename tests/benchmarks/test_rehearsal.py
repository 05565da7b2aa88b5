"""benchmarks.rehearsal at the smallest sizes; its drawings and its figures against plain ones."""

import sys
import time
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks.rehearsal import __main__ as rehearsal
from benchmarks.rehearsal import drawings, table, watch
from benchmarks.rehearsal.steps import STEPS
from sketchjax.data.sources import read


def rehearse(words: str, folder: Path) -> tuple[dict, list[dict]]:
    """The only size of a rehearsal, and its rows."""
    path = folder / "figures.json"
    rehearsal.main([*words.split(), "--folder", str(folder), "--json", str(path)])
    assert [each.name for each in folder.iterdir()] == [path.name]  # nothing else is left
    (size,) = orjson.loads(path.read_bytes())["sizes"]
    return size, size["rows"]


def check_costs(rows: list[dict]) -> None:
    for row in rows:
        assert row["seconds"] > 0
        assert row["cpu_seconds"] > 0
        assert 2e7 < row["peak_bytes"] < 4e9
        assert 0 <= row["disk_bytes"] <= row["peak_disk_bytes"]


def test_an_index_needs_no_network(tmp_path):
    words = "--drawings 300 --categories 3 --only convert,index,search --form bin"
    size, rows = rehearse(words, tmp_path)
    assert size["written"] == size["drawings"] == 300
    assert [row["items"] for row in rows] == [300, 300, 300]
    assert rows[-1]["median_milliseconds"] > 0
    check_costs(rows)


@pytest.fixture
def in_this_process(monkeypatch, capsys) -> None:
    """Take the steps here: that each has a process of its own, the test above shows."""

    def taken(command: list[str], folder: Path) -> watch.Cost:
        assert command[:3] == [sys.executable, "-m", "benchmarks.rehearsal"]
        capsys.readouterr()
        begun = time.perf_counter()
        rehearsal.main(command[3:])
        seconds = time.perf_counter() - begun
        return watch.Cost(seconds, seconds, 1, 0, 0, capsys.readouterr().out)

    monkeypatch.setattr(rehearsal, "watched", taken)


@pytest.mark.usefixtures("tiny", "short_runs", "in_this_process")
def test_the_whole_way(tmp_path):
    size, rows = rehearse("--scale 0.01 --categories 16", tmp_path)
    assert [row["step"] for row in rows] == list(STEPS)
    found = {row["step"]: row for row in rows}
    items = {step: row["items"] for step, row in found.items()}
    assert size["drawings"] == 16 * (90 + 10 + 10 + 1)
    assert items["convert"] == size["written"] > size["drawings"]
    assert (items["verify"], items["resident"]) == (size["drawings"], 16 * 90)
    assert items["stream"] == 1024  # whole blocks of 4 batches of 256
    assert items["encode"] == 16 * (10 + 1)
    assert items["index"] == items["search"] == 16 * 10
    assert 1 / 16 < found["scores"]["map"] < 1
    assert found["train"]["centres_seconds"] > 0
    hours = table.schedule(size)
    full = 5 * 1440 / found["train"]["full_sketches_per_second"] / 3600
    assert hours["full"] == pytest.approx(full)


@pytest.mark.parametrize("form", ("ndjson", "bin"))
def test_written_drawings_are_read_as_they_were(tmp_path, monkeypatch, form):
    monkeypatch.delenv("SKETCHJAX_DATA", raising=False)
    monkeypatch.setattr(drawings, "DOODLES", 5)
    drawings._doodles.cache_clear()
    drawings._write_category(tmp_path, "cat", 7, 40, form)
    (found,) = read(tmp_path / f"cat.{form}")
    made = drawings.copies(drawings.originals("cat", 7), "cat", 7, 40)
    np.testing.assert_array_equal(found.points, made.points)
    np.testing.assert_array_equal(found.offsets, made.offsets)
    np.testing.assert_array_equal(found.key_ids, made.key_ids)
    assert len({made.points_of(index).tobytes() for index in range(40)}) == 40
    drawings._doodles.cache_clear()


def test_enough_is_the_least_number_that_is():
    counts = {"train": 8, "validation": 1, "gallery": 2, "query": 1}
    each = drawings.enough(counts, 40)
    wanted = np.array([*counts.values()])

    def full(number: int, each: int) -> bool:
        keys = drawings.keyed_hash(drawings.key_ids(number, each), 0)
        weights = wanted + 3 * np.sqrt(wanted)
        edges = np.cumsum(weights / weights.sum()) * 2.0**64
        inside = np.bincount(np.searchsorted(edges, keys.astype(float)), minlength=5)[:4]
        return bool((inside >= wanted).all())

    assert all(full(number, each) for number in range(40))
    assert not all(full(number, each - 1) for number in range(40))


def test_memory_and_disk_of_a_step_are_seen(tmp_path):
    code = "import time; held = bytearray(300_000_000); time.sleep(1.5)"
    code += f"; open({str(tmp_path / 'left')!r}, 'wb').write(bytes(1000))"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    begun = time.perf_counter()
    cost = watch.watched([sys.executable, "-c", nested], tmp_path)
    assert 3e8 < cost.peak_bytes < 4e8
    assert cost.disk_bytes == cost.peak_disk_bytes == 1000
    assert 1.5 < cost.seconds <= time.perf_counter() - begun


def row(step: str, items: int, seconds: float, memory: float, **figures) -> dict:
    costs = {"cpu_seconds": seconds, "peak_bytes": memory, "peak_disk_bytes": 0, "disk_bytes": 0}
    return {"step": step, "items": items, "seconds": seconds, **costs, **figures}


def test_bars_say_what_is_missed():
    size = {"drawings": 10, "rows": [row("convert", 10, 1, 5e9)]}
    assert [line.split(":")[0] for line in table.bars([size])] == ["MISSED", "MISSED"]
    size = {"drawings": 10, "rows": [row("convert", 30_000, 1, 3e9)]}
    assert [line.split(":")[0] for line in table.bars([size])] == ["holds", "holds"]


def test_growth_beyond_the_data_is_a_miss():
    small = {"drawings": 10, "rows": [row("verify", 10, 1, 1e8), row("search", 10, 1, 1e8)]}
    large = {"drawings": 50, "rows": [row("verify", 50, 5, 4e8), row("search", 50, 9, 1e8)]}
    *_, verify, search = table.bars([small, large])
    assert verify.startswith("holds: verify: 5.0 x the items")
    assert search.startswith("MISSED: search: 5.0 x the items, 9.0 x the CPU seconds")


def test_the_table_replaces_what_is_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    size = {"drawings": 10, "written": 12, "source_bytes": 100, "form": "bin"}
    table.insert(page, table.markdown([size | {"rows": [row("verify", 10, 2, 1e9)]}]))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| verify | 10 | 2.0 | 2.0 | 5 | 1.00 | 0.00 |  |" in text
    assert "old" not in text
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no lines"):
        table.insert(page, "")
