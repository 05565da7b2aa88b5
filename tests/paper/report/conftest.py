"""A small hand-made study: two lengths, a row of three seeds, one failed, one to do."""

import numpy as np
import pytest

from sketchjax.data.sketch import points_of_strokes
from sketchjax.paper.numbers import FULL
from sketchjax.paper.report.material import Comparison, RunState, StudyMaterial, StudyRow
from sketchjax.report.material import EntropyExample, Neighbour, PrecisionRecall, Retrieval

SEEDS = (0.81, 0.83, 0.85)


def points(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return points_of_strokes([rng.integers(0, 256, (5, 2)) for _ in range(3)])


def retrieval(correct: list[bool]) -> Retrieval:
    found = [Neighbour(points(i), "cat" if c else "dog", i, c) for i, c in enumerate(correct)]
    return Retrieval(points(99), "cat", found)


def curve(height: float, bits: int) -> PrecisionRecall:
    recall = np.linspace(0.05, 1, bits + 1)
    return PrecisionRecall(recall, height * (1 - recall**3))


@pytest.fixture(scope="session")
def material() -> StudyMaterial:
    rows = [
        StudyRow("1", "DLBHC", {"map": [0.7]}, 16, paper_model="DLBHC"),
        StudyRow("1", "DLBHC", {"map": [0.72, float("nan")]}, 64, paper_model="DLBHC"),
        StudyRow("1", "DSH-Supervised", {"map": [0.1]}, 16, paper_model="DSH-Supervised"),
        StudyRow("1", "DSH-Supervised, balanced batches", {"map": [0.6]}, 16, note="8 by 16"),
        StudyRow("1", "full", {}, 16, paper_model=FULL),
        StudyRow(
            "1",
            "full",
            {"map": SEEDS, "map_worst": [0.8], "map_best": [0.9], "precision_at_200": [0.5]},
            64,
            paper_model=FULL,
        ),
        StudyRow("1", "Our+CEL", {}, 64, paper_model="Our+CEL", failed="disk <full> & gone"),
        StudyRow("2", "SDH", {"map": [0.05]}, 16, features="HOG", paper_model="SDH"),
        StudyRow("2", "SDH", {"map": [0.6]}, 16, features="deep feature", paper_model="SDH"),
        StudyRow("5", "search", {"seconds_per_query": [1.5e-5], "memory_mb": [2.76]}, 64,
                 gallery=345_000),
        StudyRow("5", "search", {"seconds_per_query": [0.002], "memory_mb": [80.0]}, 64,
                 gallery=10_000_000),
    ]  # fmt: skip
    methods = [("full", retrieval([True] * 35 + [False])), ("DLBHC", retrieval([False] * 36))]
    return StudyMaterial(
        title="A <study>",
        tables=["1", "2", "4", "5", "6", "zero-shot"],
        rows=rows,
        facts={"classes": "55", "train": "29662", "gallery": "8,477", "device": "cpu"},
        curves=[(b, m, curve(h, b)) for b in (16, 64) for m, h in (("DLBHC", 0.7), ("full", 0.9))],
        entropy=EntropyExample(
            "star", np.random.default_rng(0).normal(0.13, 0.02, 300), 0.1051, 0.1721,
            [points(1)], [points(2), points(3)], [points(4)],
        ),
        comparisons=[Comparison("cat", 64, methods)],
        notes=["word *vectors*: none"],
        runs=[
            RunState("a", "full, 64 bits", "done", 600.0),
            RunState("b", "full, 16 bits", "to do"),
            RunState("c", "Our+CEL [64]", "failed", 30.0, "disk <full>"),
        ],
        commands=["sketchjax study --workdir runs/study"],
    )  # fmt: skip
