"""benchmarks.draw, encode, operations and scaling at tiny sizes; Pillow draws the same pictures."""

import argparse

import numpy as np
import orjson
import pytest

from benchmarks import draw, encode, operations, scaling, workload
from sketchjax.ops.draw import rasterize

pytestmark = pytest.mark.usefixtures("tiny")


def figures_of(main, words: str, path) -> dict:
    main([*words.split(), "--json", str(path)])
    return orjson.loads(path.read_bytes())


def test_draw_prints_speeds_and_share(drawings, tmp_path):
    found = figures_of(draw.main, f"--folder {drawings} --rounds 1", tmp_path / "draw.json")
    assert found["32px_ratio_to_pillow_2x"] > 0
    assert found["48px_pillow_plain_sketches_per_second"] > 0
    assert 0 < found["share_of_joint_step"] < 1


def test_pillow_draws_the_same_picture(drawings):
    work = workload.make_workload("sample", "float32", 0, drawings)
    strokes = draw.first_batch(work.batch)
    ours = np.asarray(rasterize(strokes, size=64, stroke_width=1.5))[..., 0]
    for own, one, count in zip(ours, strokes.points, strokes.length, strict=True):
        theirs = draw.pillow(np.asarray(one[:count]), 64, 1.5, 2) / 255
        # A line of 3 px at twice the size, off by at most a pixel: alike, not equal.
        assert np.corrcoef(own.ravel(), theirs.ravel())[0, 1] > 0.85


def test_encode_counts_the_gallery(drawings, tmp_path):
    found = figures_of(encode.main, f"--folder {drawings} --rounds 1", tmp_path / "encode.json")
    # 3 x 24 drawings, 40 % of them in the gallery, less than the 32 that were asked for.
    assert 20 <= found["sketches"] <= 32
    assert found["ratio"] > 0
    assert found["sketches_per_second"] > 0
    assert found["onnx_sketches_per_second"] > 0


def test_operations_are_those_of_the_step(drawings, tmp_path):
    words = f"--folder {drawings} --stage cnn --rounds 1 --steps 3 --top 5"
    found = figures_of(operations.main, words, tmp_path / "operations.json")
    assert found["busy_milliseconds_a_step"] > 0
    assert found["cnn conv2, gradient, ms a step"] > 0
    assert not any(name.startswith("rnn") for name in found)
    drawn = [one for one in found["operations"] if "conv2/conv_general_dilated" in one["source"]]
    # Once in each of three steps, forward and for the gradient of its input.
    assert {one["runs"] for one in drawn} == {3}


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("jit(f)/while/body/jvp(Layers)/cnn/conv2/add", "cnn conv2"),
        ("jit(f)/transpose(jvp(Layers))/cnn/conv2/norm/mul", "cnn conv2, gradient"),
        ("jit(f)/jvp(Layers)/cnn/jit(relu)/max", "cnn"),
        ("jit(f)/transpose(jvp(Layers))/classifier/dot_general", "classifier, gradient"),
        ("jit(f)/jvp(Layers)/concatenate", "the rest of the network"),
        ("jit(f)/while/body/jvp()/while/body/min", "outside the network"),
        ("", "outside the network"),
    ],
)
def test_operations_belong_to_a_part(source, part):
    assert operations.part_of(source) == part


def test_scaling_has_the_same_losses(drawings, tmp_path, monkeypatch):
    def here(flags, count, folder):
        """One device in this process, which has four; two as usual in a process with two."""
        if count > 1:
            return in_own_process(flags, count, folder)
        return scaling.measure(argparse.Namespace(**{**vars(flags), "alone": 1, "folder": folder}))

    in_own_process = scaling.run_alone
    monkeypatch.setattr(scaling, "run_alone", here)
    words = f"--folder {drawings} --devices 1 2 --rounds 1 --stage cnn"
    found = figures_of(scaling.main, words, tmp_path / "scaling.json")
    assert found["note"] == scaling.NOTE
    assert found["1_greatest_difference"] == 0
    assert found["2_greatest_difference"] < 1e-4
    assert found["2_time_to_first"] > 0


def test_scaling_sees_other_losses():
    run = {"losses": [1.0, 2.0], "seconds": 1.0, "sketches": 4, "platform": "cpu"}
    found = scaling.compare([1, 2], [run, run | {"losses": [1.0, 2.2]}])
    assert found["2_greatest_difference"] == pytest.approx(0.1)


def test_weak_scaling_is_a_ratio_of_speeds():
    runs = [
        {"seconds": 1.0, "sketches": 4, "platform": "cpu"},
        {"seconds": 2.5, "sketches": 8, "platform": "cpu"},
        {"missing": "2 devices here"},
    ]
    found = scaling.weak([1, 2, 4], runs)
    assert (found["1_efficiency"], found["2_efficiency"]) == (1, pytest.approx(0.8))
    assert found["4 devices"] == "not measured: 2 devices here"
