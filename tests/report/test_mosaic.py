"""The picture of a query's results: exactly the false positives are framed in red."""

import numpy as np
import pytest
from PIL import Image

from sketchjax.data.sketch import points_of_strokes
from sketchjax.report import mosaic
from sketchjax.report.material import Neighbour, Retrieval

SQUARE = points_of_strokes([np.array([(0, 0), (255, 0), (255, 255), (0, 255), (0, 0)])])


def retrieval(correct: list[bool]) -> Retrieval:
    results = [Neighbour(SQUARE, "cat" if c else "dog", i, c) for i, c in enumerate(correct)]
    return Retrieval(SQUARE, "cat", results)


def red_tiles(image: Image.Image, columns: int, size: int) -> list[int]:
    """Ranks of the tiles with a red line along their top and left edges."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    red = np.array([int(mosaic.FALSE_POSITIVE[i : i + 2], 16) for i in (1, 3, 5)])
    gap, cell = 8, size + 8
    rows = (image.height - 3 * gap) // cell - 1
    framed = []
    for rank in range(rows * columns):
        y, x = 3 * gap + (1 + rank // columns) * cell, gap + rank % columns * cell
        left, top = pixels[y + size // 2, x : x + 3], pixels[y, x : x + size]
        if (left == red).all() and (top == red).all():
            framed.append(rank)
    return framed


@pytest.mark.parametrize("count", [0, 1, 9, 10, 36])
def test_only_false_positives_are_framed_in_red(count):
    correct = [rank % 5 != 3 for rank in range(count)]
    image = mosaic.retrieval_mosaic(retrieval(correct), columns=9, size=64)
    assert red_tiles(image, 9, 64) == [rank for rank in range(count) if rank % 5 == 3]


def test_the_mosaic_file_is_small_and_keeps_its_red(tmp_path):
    mosaic.write_mosaic(tmp_path / "m.png", retrieval([False] * 36))
    assert (tmp_path / "m.png").stat().st_size < 200_000
    pixels = np.asarray(Image.open(tmp_path / "m.png").convert("RGB")).astype(int)
    red = (pixels[..., 0] > 190) & (pixels[..., 1] < 80)
    assert red.sum() > 36 * 4 * 3 * 100  # 36 frames, 4 edges of 3 by over 100 pixels


def test_precision_is_the_share_of_correct_results():
    assert retrieval([True, False, True, True]).precision == 0.75
    assert retrieval([]).precision is None
