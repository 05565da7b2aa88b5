"""benchmarks.train_step at tiny sizes: its figures, its JSON, and its errors."""

import sys
import time

import orjson
import pytest

from benchmarks import train_step, workload
from benchmarks.timing import in_turn, median_seconds

pytestmark = pytest.mark.usefixtures("tiny")


def figures_of(words: str, path) -> dict:
    """What one round of the recurrent stage reports."""
    train_step.main([*words.split(), "--rounds", "1", "--stages", "rnn", "--json", str(path)])
    return orjson.loads(path.read_bytes())


def test_figures_of_each_stage(drawings, tmp_path):
    figures = figures_of(f"--folder {drawings} --batch 4 8", tmp_path / "figures.json")
    assert [row["batch"] for row in figures["sweep"]] == [4, 8]
    assert figures["rnn"]["batch"] == 4
    for found in (row["rnn"] for row in figures["sweep"]):
        assert found["sketches_per_second"] > 0
        assert found["compile_seconds"] > 0
        assert found["temporary_bytes"] > 0
        rate = found["sketches_per_second"] * found["flops_per_sketch"]
        assert found["utilisation"] == pytest.approx(rate / figures["peak_flops_per_second"])


def test_peer_is_timed_next_to_ours(drawings, tmp_path):
    reason = "PyTorch is not installed: pip install sketchjax[bench]"
    pytest.importorskip("torch", reason=reason).set_num_threads(1)
    figures = figures_of(f"--folder {drawings} --peer torch", tmp_path / "figures.json")
    assert {"sketches_per_second", "peer", "ratio"} <= set(figures["rnn"])
    # One round: the ratio is that of the two speeds.
    ours, peer = figures["rnn"]["sketches_per_second"], figures["rnn"]["peer"]
    assert figures["rnn"]["ratio"] == pytest.approx(ours / peer)
    assert figures["peer_difference"]["logits"] < 1e-3


def test_missing_torch_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit) as raised:
        train_step.main(["--peer", "torch"])
    assert raised.value.code == 64
    error = capsys.readouterr().err
    assert "pip install 'sketchjax[bench]'" in error
    assert error.count("\n") == 1


def test_a_stage_trains(drawings):
    """What is timed is training: the loss of the same block falls."""
    work = workload.make_workload("sample", "float32", 0, drawings)
    stage = workload.compile_stage(work, "rnn")
    first = stage.train(stage.blocks)
    for _ in range(20):
        stage()
    assert stage.train(stage.blocks).mean() < first.mean()


def test_ratio_is_the_peers_time_over_ours():
    found = in_turn(lambda: time.sleep(0.01), lambda: time.sleep(0.03), rounds=3)
    assert 2 < found.ratio < 4
    assert found.least_ratio <= found.ratio <= found.greatest_ratio


def test_input_ratio_counts_time_to_take(drawings):
    """Taking that costs three steps' time makes the ratio four, about."""
    work = workload.make_workload("sample", "float32", 0, drawings)
    stage = workload.compile_stage(work, "rnn")
    step = median_seconds(stage, 5)

    def take():
        time.sleep(3 * step + 0.1)
        return stage.blocks

    assert train_step.input_ratio(stage, take, rounds=3) > 2.5
    assert train_step.input_ratio(stage, lambda: stage.blocks, rounds=5) < 2.5
