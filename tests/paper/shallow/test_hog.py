"""HOG of sketches: scikit-image on the picture, stroke directions, splits in order."""

from functools import partial

import jax
import numpy as np
import pytest

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.shards import Shards
from sketchjax.data.inputs import Strokes
from sketchjax.data.sources import doodles as synthetic
from sketchjax.errors import ConfigError
from sketchjax.ops.draw import rasterize
from sketchjax.paper.shallow.hog import BATCH, hog_features, hog_of_split

skimage = pytest.importorskip(
    "skimage.feature", reason="scikit-image: pip install 'sketchjax[study]'"
)


def single_strokes(*lines) -> Strokes:
    """Sketches of one stroke each."""
    longest = max(map(len, lines))
    points = np.zeros((len(lines), longest, 3), np.uint8)
    for place, line in enumerate(lines):
        points[place, : len(line), :2] = line
        points[place, len(line) - 1, 2] = 1
    return Strokes.of(points, np.array([len(line) for line in lines], np.int32))


SOME = single_strokes(
    [(0, 0), (255, 90), (30, 200)], [(0, 0), (0, 255)], [(0, 0), (255, 0), (255, 255)]
)


@pytest.mark.parametrize("cells_per_block", [1, 2])
def test_features_match_scikit_image(cells_per_block):
    found = hog_features(SOME, size=48, cells_per_block=cells_per_block)
    # Compiled, as ours are: a gradient on the edge of two bins is decided by the last bit.
    draw = jax.jit(partial(rasterize, size=48, stroke_width=1.5))
    pictures = np.asarray(draw(SOME))[..., 0]
    for own, picture in zip(found, pictures, strict=True):
        theirs = skimage.hog(
            picture, 9, (8, 8), (cells_per_block, cells_per_block), block_norm="L2-Hys"
        )
        np.testing.assert_allclose(own, theirs, atol=1e-5)


def test_a_line_fills_the_bin_of_its_gradient():
    lines = single_strokes([(0, 128), (255, 128)], [(128, 0), (128, 255)])
    across, down = hog_features(lines, cells_per_block=1, orientations=4).reshape(2, 8, 8, 4)
    # Bins are 45° of gradient angle; the gradient of a horizontal line is vertical.
    assert across.sum(axis=(0, 1)).argmax() == 2
    assert down.sum(axis=(0, 1)).argmax() == 0
    assert across.sum(axis=(1, 2))[[0, 7]].sum() == 0
    np.testing.assert_allclose(across.sum(axis=2)[:, 1:-1], down.sum(axis=2).T[:, 1:-1], atol=1e-3)


def test_any_number_of_sketches():
    many = Strokes(*(np.concatenate([part] * 100) for part in SOME))
    assert len(many.length) > BATCH
    found = hog_features(many)
    assert found.shape == (300, 1764)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.concatenate([hog_features(SOME)] * 100))
    assert hog_features(Strokes(*(part[:0] for part in SOME))).shape == (0, 1764)


def test_a_split_is_read_whole_and_in_order(tmp_path):
    synthetic.write(
        tmp_path / "doodles", per_category=24, seed=0, categories=synthetic.CATEGORIES[:3]
    )
    splits = {"train": 0.6, "gallery": 0.4}
    convert([tmp_path / "doodles"], tmp_path / "data", splits=splits, shards=2, workers=1)
    parts = list(hog_of_split(tmp_path / "data", "train", batch=10, size=32))
    features, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    with Shards(tmp_path / "data", "train") as shards:
        records = shards.read(np.arange(len(shards)))
    np.testing.assert_array_equal(labels, records.labels)
    assert len(parts) == -(-len(shards) // 10)
    last = records.points[records.offsets[-2] : records.offsets[-1]]
    single = hog_features(Strokes.of(last[None], np.array([len(last)], np.int32)), size=32)
    np.testing.assert_allclose(features[-1], single[0], atol=1e-4)


def test_impossible_requests_are_rejected(monkeypatch):
    with pytest.raises(ConfigError, match="size=16: only 2 cells of 8 px"):
        hog_features(SOME, size=16, cells_per_block=3)
    monkeypatch.setitem(__import__("sys").modules, "skimage.feature", None)
    with pytest.raises(ConfigError, match=r"pip install 'sketchjax\[study\]'"):
        hog_features(SOME)
