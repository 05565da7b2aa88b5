"""benchmarks.photos at a tiny size: both sides read every photo, and see the same."""

import numpy as np
import orjson

from benchmarks import photos
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.pictures import PictureShards


def test_it_prints_speeds_and_ratios(tmp_path):
    path = tmp_path / "figures.json"
    photos.main(
        ["--photos", "8", "--side", "64", "--size", "32", "--rounds", "1", "--json", str(path)]
    )
    found = orjson.loads(path.read_bytes())
    assert found["photos_per_second"] > 0
    assert found["ratio_to_pillow_loop"] > 0
    assert found["ratio_to_pillow_threads"] > 0
    assert found["cpu_microseconds_per_photo"] > 0


def test_both_sides_see_the_same_picture(tmp_path):
    paths = photos.write(tmp_path / "in", 4, 64)
    convert([tmp_path / "in"], tmp_path / "out", splits={"train": 1.0}, progress=False, workers=1)
    shards = PictureShards(tmp_path / "out", "photo", "train")
    ours = shards.read(np.arange(4), 32).pixels.astype(int)
    by_name = {path.name: photos.plain(path, 32).astype(int) for path in paths}
    for name, picture in zip(shards.names, ours, strict=True):
        # Ours is decoded at half its size: a few units off, except where a line is thin.
        assert np.abs(picture - by_name[name.rsplit("/", 1)[-1]]).mean() < 4
