"""Sketchy, TU-Berlin and archives of photos, as generated trees of the same layout."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sketchjax.data.class_lists import class_list, letters
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.sources.pictures import PHOTO, RASTER, STROKES, collect, is_pictures
from sketchjax.data.sources.pictures.known_sets import sketchy, tu_berlin
from sketchjax.data.sources.pictures.tables import read_names
from sketchjax.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def kinds(found) -> Counter:
    return Counter(item.kind for item in found.items.values())


BASE = "256x256/photo/tx_000000000000"
DRAWN = "256x256/sketch/tx_000000000000"


def test_sketchy_extended(tmp_path):
    root = touch(
        tmp_path,
        f"{BASE}/ape/n1_1.jpg",
        f"{BASE}/ape/n1_2.jpg",
        f"{BASE}/hot-air_balloon/n2_1.jpg",
        "256x256/photo/tx_000100000000/ape/n1_1.jpg",
        f"{DRAWN}/ape/n1_1-1.png",
        f"{DRAWN}/ape/n1_1-12.png",
        f"{DRAWN}/ape/n1_9-1.png",
        "256x256/sketch/tx_000000000010/ape/n1_1-1.png",
        "EXTEND_image_sketchy/ape/n1_1.jpg",  # again
        "EXTEND_image_sketchy/ape/ext_1.jpg",
        "EXTEND_image_sketchy/hot-air_balloon/n1_1.jpg",  # of another category: it stays
        "sketches/ape/n1_2-1.svg",
    )
    assert is_pictures(root)
    found = collect(root, SPLITS, {})
    assert kinds(found) == {PHOTO: 5, RASTER: 3, STROKES: 1}
    assert found.pairs == {
        f"{DRAWN}/ape/n1_1-1.png": f"{BASE}/ape/n1_1.jpg",
        f"{DRAWN}/ape/n1_1-12.png": f"{BASE}/ape/n1_1.jpg",
        "sketches/ape/n1_2-1.svg": f"{BASE}/ape/n1_2.jpg",
    }
    assert found.left_out["photo of the base set again, by category and name"] == 1
    assert {item.category for item in found.items.values()} == {"ape", "hot air balloon"}
    notes = "\n".join(found.notes)
    assert "Sketchy: 3 photos, 12,500 known" in notes
    assert "Sketchy: 2 extended photos, 60,502 known" in notes
    assert "Sketchy: 1 sketches whose photo is not here" in notes
    assert "renderings that are not read: tx_000000000010, tx_000100000000" in notes
    assert not found.faults


def test_sketchy_in_other_copies(tmp_path):
    root = touch(
        tmp_path,
        "photo/tx_000000000000_ready/car_(sedan)/a.jpg",
        "extended_photo/car_(sedan)/b.jpg",
    )
    found = collect(root, SPLITS, {"car_(sedan)": "car"})
    assert kinds(found) == {PHOTO: 2}
    assert {item.category for item in found.items.values()} == {"car"}


def test_a_folder_that_is_no_category_is_named(tmp_path):
    root = touch(tmp_path, f"{BASE}/ape/a.jpg", f"{BASE}/apes/a.jpg")
    with pytest.raises(DataError, match=r"looks like Sketchy, but has .* of it: apes"):
        collect(root, SPLITS, {})


def test_tu_berlin_and_its_photos_agree_on_categories(tmp_path):
    pairs = {
        "bear (animal)": "bearanimal",
        "mouse (animal)": "mouse",
        "space shuttle": "spacesshuttle",
        "wrist-watch": "wristwatching",
        "t-shirt": "tshirt",
        "giraffe": "griaffe",
    }
    for sketched, photographed in pairs.items():
        touch(tmp_path, f"png/{sketched}/1.png", f"svg/{sketched}/1.svg")
        touch(tmp_path, f"ImageResized/{photographed}/n1.JPEG")
    found = collect(tmp_path, SPLITS, {})
    assert kinds(found) == {RASTER: 6, STROKES: 6, PHOTO: 6}
    by_category = Counter(item.category for item in found.items.values())
    assert set(by_category.values()) == {3}
    assert len(by_category) == 6
    assert any("6 photos, 204,070 known" in note for note in found.notes)
    assert not found.pairs


def test_other_folders_called_svg_are_not_tu_berlin(tmp_path):
    root = touch(tmp_path, "svg/my things/1.svg", "svg/others/1.svg")
    assert not is_pictures(root)


def test_a_users_own_folder_is_not_tu_berlin_for_its_other_folders(tmp_path):
    touch(tmp_path, "photo/cat/1.jpg", "sketch/cat/1.png", "svg/cat/1.svg", "png/cat/1.png")
    found = collect(tmp_path, SPLITS, {})
    assert kinds(found) == {PHOTO: 1, RASTER: 1}
    assert found.notes == ["not part of the picture folder: png, svg"]


@pytest.mark.parametrize(
    "photo, sketch",
    [
        ("photo/tx_000000000000/cat/a.jpg", "sketch/tx_000000000000/cat/b.png"),
        ("ImageResized/cat/a.jpg", "png/cat/b.png"),
    ],
)
def test_tables_next_to_a_known_set_are_read(photo, sketch, tmp_path):
    root = touch(tmp_path, photo, sketch)
    (root / "splits.csv").write_text(f"path,split\n{photo},gallery\n{sketch},query\n")
    (root / "pairs.csv").write_text(f"sketch,photo,category\n{sketch},{photo},cat\n")
    found = collect(root, SPLITS, {})
    assert (found.splits, found.pairs) == ({photo: "gallery", sketch: "query"}, {sketch: photo})
    assert not found.faults
    assert not any("is not here" in note for note in found.notes)
    (root / "splits.csv").write_text(f"path,split\n{photo},test\n")
    assert "split 'test' is not one of" in str(collect(root, SPLITS, {}).faults[0])


def test_a_table_may_name_photos_that_both_sketchy_folders_have(tmp_path):
    again = "EXTEND_image_sketchy/cat/a.jpg"
    root = touch(tmp_path, "photo/tx_000000000000/cat/a.jpg", again)
    (root / "splits.csv").write_text(f"path,split\n{again},gallery\n")
    assert not collect(root, SPLITS, {}).faults


def test_the_tables_are_whole_and_without_doubles():
    assert len(sketchy().names) == 125
    assert len({*tu_berlin().names.values()}) == 250
    lines = list(class_list("tu-berlin"))
    assert lines == sorted(lines)
    assert len({letters(line) for line in lines}) == 250


def archive(path: Path, **changes) -> Path:
    files = []
    for level in (10, 120, 240):
        buffer = io.BytesIO()
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(buffer, "JPEG")
        files.append(buffer.getvalue())
    head = 20
    arrays = {
        "header": np.frombuffer(files[0][:head], np.uint8),
        "body": np.frombuffer(b"".join(file[head:] for file in files), np.uint8),
        "offset": np.cumsum([0, *(len(file) - head for file in files)]),
        "label": np.array([1, 0, 1], np.uint8),
        "categories": np.array(["cat", "hot_dog"]),
        "split": np.array([0, 1, 2], np.uint8),
        "splits": np.array(["train", "gallery", "query"]),
        "name": np.array([b"a/1", b"a/2", b"b/1"]),
    }
    np.savez(path, **(arrays | changes))
    return path


def test_an_archive_of_photos(tmp_path):
    path = archive(tmp_path / "photos.npz")
    assert is_pictures(path)
    found = collect(path, SPLITS, {"cat": "puss"})
    rows = {name: (item.category, found.splits[name]) for name, item in found.items.items()}
    assert rows == {
        "photo/a/1": ("hot dog", "train"),
        "photo/a/2": ("puss", "gallery"),
        "photo/b/1": ("hot dog", "query"),
    }


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"offset": np.array([0, 5, 3, 9])}, "offset does not rise"),
        ({"label": np.array([0, 1, 2], np.uint8)}, "a label is not among the categories"),
        ({"split": np.array([0, 1], np.uint8)}, "differ in length"),
        ({"splits": np.array(["train", "test", "query"])}, "split 'test' is not one of train"),
        ({"name": np.array([{"a": 1}], object)}, "cannot be read"),
    ],
)
def test_damaged_archives(tmp_path, changes, message):
    path = archive(tmp_path / "photos.npz", **changes)
    with pytest.raises(DataError, match=message):
        collect(path, SPLITS, {})


def test_sketch_rnns_archives_are_not_photos(tmp_path):
    np.savez(tmp_path / "cat.npz", train=np.zeros((2, 3)))
    assert not is_pictures(tmp_path / "cat.npz")


def test_names_for_categories(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("category,quickdraw,drawings\nalarm_clock,alarm clock,5\npuss,cat,1\nape,,\n")
    assert read_names(path) == {"alarm clock": "alarm clock", "puss": "cat"}
    path.write_text("category,quickdraw\na,b\na,c\n")
    with pytest.raises(DataError, match="line 3: 'a' is also 'b'; keep one"):
        read_names(path)
