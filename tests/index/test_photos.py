"""An index of photos: every step from a folder to a picture in an answer, by an untrained model."""

import dataclasses
import io
import json
import re
import shutil
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import call
from drawings_and_codes import items_of, memory_of
from PIL import Image
from projecting import Projecting
from test_store import index_of
from tiny_run import CONFIG
from untrained import save_untrained

from sketchjax.config import architecture
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.pictures import PictureRecord, PictureShards
from sketchjax.data.sources.doodles.photos import write_photos
from sketchjax.errors import DataError
from sketchjax.index import opening
from sketchjax.index.asking import ask
from sketchjax.index.database import DATABASE
from sketchjax.index.known import begun, records_of
from sketchjax.index.opening import open_index, verify
from sketchjax.index.photos import PhotoSource, PictureShardSource, find_photos, thumbnail
from sketchjax.index.search import Query, answer
from sketchjax.index.sources import find_sources
from sketchjax.retrieval.model import load
from sketchjax.serving.gallery import index_in_memory

sys.path.insert(0, str(CONFIG.parent))
from tiny_pairs import get_config

DAMAGED = (
    r"photo-gallery-\d{5}-of-\d{5}\.arrayrecord, record \d: not a JPEG, PNG or WebP picture; "
    "run `sketchjax verify` on the folder"
)
HOUSE = [[[40, 40, 200, 200, 40], [110, 240, 240, 110, 110]], [[40, 120, 200], [110, 30, 110]]]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A picture folder of 12 photos, and a model of sketches and photos with random weights."""
    home = tmp_path_factory.mktemp("photos")
    write_photos(home / "pictures", per_category=4, seed=0, categories=["cat", "clock", "sun"])
    own = architecture(get_config(sketches="strokes"), ["cat", "clock", "sun"], 20.0)
    save_untrained(home / "model.safetensors", own)
    return home


@pytest.fixture(scope="module")
def folder(home):
    """An index of the photos."""
    assert (
        call("index", home / "index", home / "pictures", "--model", home / "model.safetensors") == 0
    )
    return home / "index"


def test_codes_and_features_are_those_of_the_model(folder, home):
    model = load(home / "model.safetensors")
    paths = sorted((home / "pictures" / "photo").rglob("*.jpg"))
    outputs = model.picture_outputs([path.read_bytes() for path in paths])
    np.testing.assert_array_equal(outputs.codes.packed, model.encode_photos(paths).packed)
    np.testing.assert_array_equal(outputs.features, model.photo_features(paths))
    np.testing.assert_array_equal(outputs.probabilities, model.predict_photos(paths))
    with closing(open_index(folder)) as engine:
        snapshot = engine.snapshot()
        items = snapshot.get(range(12))
        scale = snapshot.describe().scale
        np.testing.assert_array_equal(items.codes, outputs.codes.packed)
        np.testing.assert_array_equal(items.features, scale.bytes_of(outputs.features))
        assert items.categories == [path.parent.name for path in paths]
        assert items.sources == [f"pictures/{p.relative_to(home / 'pictures')}" for p in paths]
        for number, path in enumerate(paths):
            own, small = Image.open(path), Image.open(io.BytesIO(snapshot.thumbnail(number)))
            assert (small.format, max(small.size)) == ("JPEG", 128)
            gap = np.asarray(own.resize(small.size), float) - np.asarray(small, float)
            assert np.abs(gap).mean() < 6
    assert verify(folder).categories == {"cat": 4, "clock": 4, "sun": 4}


def test_a_drawing_finds_photos(folder, home, capsys):
    drawing = home / "house.json"
    drawing.write_text(json.dumps(HOUSE))
    capsys.readouterr()
    assert call("search", folder, drawing, "--json") == 0
    found = json.loads(capsys.readouterr().out)["results"]
    assert len(found) == 10
    for result in found:
        assert (result["kind"], result["points"]) == ("photo", None)
        assert result["thumbnail"] == f"v1/sketches/{result['id']}/thumbnail"
    assert call("search", folder, drawing, "--html", home / "found.html") == 0
    page = (home / "found.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == 10
    assert call("search", folder, drawing) == 0
    printed = capsys.readouterr().out
    assert f"pictures/photo/{found[0]['category']}/" in printed
    assert "12 photos in" in printed
    assert call("index", "describe", folder) == 0
    assert "12 photos of 3 categories" in capsys.readouterr().out


@pytest.fixture(scope="module")
def data(home):
    """The picture folder, converted."""
    convert([home / "pictures"], home / "data", workers=1)
    return home / "data"


def test_a_damaged_photo_of_a_data_folder_is_named(data, monkeypatch):
    whole = PictureShards.read_bytes

    def damaged(shards, places):
        blobs = [*whole(shards, places)]
        blobs[1] = dataclasses.replace(PictureRecord.decode(blobs[1]), picture=b"no photo").encode()
        return blobs

    monkeypatch.setattr(PictureShards, "read_bytes", damaged)
    encoder: Any = None  # it is not asked
    with pytest.raises(DataError, match=DAMAGED):
        next(PictureShardSource(data, "photo", "gallery").parts(encoder, 0))


def test_a_split_of_photos_is_the_gallery_of_a_run(home, data):
    """Of a data folder with both sides, the photos: that is what drawings are ranked against."""
    model = load(home / "model.safetensors")
    notes = []
    (source,) = find_sources([data], model, split="gallery", skip_bad=False, note=notes.append)
    find_sources([data], model, split="train", skip_bad=False, note=notes.append)
    assert notes == [
        "data/photo/gallery: 3 of the 12 photos of all splits",
        "data/photo/train: 7 of the 12 photos of all splits; its sketches are left out",
    ]
    engine = index_in_memory("photos", source, model, lambda name, total: nullcontext(id))
    items = engine.snapshot().get(range(3))
    names = [name.removeprefix("data/photo/gallery/") for name in items.sources]
    paths = [home / "pictures" / name for name in names]
    assert {path.parent.name for path in paths} == {"cat", "clock", "sun"}
    assert all(path.stem.endswith("_00002") for path in paths)  # every third is in the gallery
    np.testing.assert_array_equal(items.codes, model.encode_photos(paths).packed)
    found = answer(engine, Query.of(model.outputs(HOUSE), k=2))
    assert [result.kind for result in found.results] == ["photo", "photo"]
    ((_, own),) = ask(engine, lambda: model, paths[1], k=1)  # of a photo, this very photo
    assert (own.results[0].category, own.results[0].distance) == (paths[1].parent.name, 0)
    (train,) = find_sources([data], model, split="train", skip_bad=False, note=notes.append)
    assert train.count() + 3 <= 12


def test_a_server_sends_thumbnails(folder):
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from starlette.testclient import TestClient

    from sketchjax.serving.app import create_app
    from sketchjax.serving.settings import Settings

    app = create_app(open_index(folder), load(folder / "model"), Settings())
    app.state.service.warm()
    with TestClient(app, base_url="http://localhost") as client:
        first = client.post("/v1/search", json={"drawing": HOUSE}).json()["results"][0]
        assert first["kind"] == "photo"
        reply = client.get(f"/{first['thumbnail']}")
        assert reply.headers["content-type"] == "image/jpeg"
        assert max(Image.open(io.BytesIO(reply.content)).size) == 128
        like = client.post("/v1/search", json={"like": first["id"]}).json()["results"][0]
        assert (like["id"], like["distance"]) == (first["id"], 0)
        assert client.get("/v1/sketches/0").json()["kind"] == "photo"
        for accept in ("image/svg+xml", "text/html, application/x-ndjson"):  # it has no strokes
            refused = client.get("/v1/sketches/0", headers={"accept": accept})
            assert (refused.status_code, "/v1/sketches/0/thumbnail" in refused.text) == (406, True)
        of_img = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
        assert client.get("/v1/sketches/0", headers={"accept": of_img}).json()["kind"] == "photo"
        assert client.get("/v1/sketches/12/thumbnail").status_code == 404


def test_photos_above_have_the_name_of_their_folder(tmp_path, monkeypatch):
    (tmp_path / "zebra" / "notes").mkdir(parents=True)
    Image.new("RGB", (30, 20)).save(tmp_path / "zebra" / "1.png")
    monkeypatch.chdir(tmp_path / "zebra" / "notes")
    assert [item.category for item in find_photos(Path(".."))[0]] == ["zebra"]


def test_bad_photos_stop_the_work_or_are_left_out(tmp_path):
    (tmp_path / "album" / "red car").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (300, 200), (number, 0, 0)).save(
            tmp_path / "album" / "red car" / f"{number}.png"
        )
    (tmp_path / "album" / "red car" / "1.png").write_bytes(b"no picture")
    photos, faults = find_photos(tmp_path / "album")
    assert not faults
    assert [item.category for item in photos] == ["red car"] * 3
    with pytest.raises(DataError, match=r"1\.png: not a JPEG, PNG or WebP picture; fix or remove"):
        PhotoSource(tmp_path / "album", photos, None).count()
    bad = []
    assert PhotoSource(tmp_path / "album", photos, bad.append).count() == 2
    assert re.search("red car/1.png: not a JPEG", bad[0].reason)
    (tmp_path / "album" / "cat.ndjson").write_text("{}")
    assert find_photos(tmp_path / "album") == ([], [])


def album(root):
    """Three photos of two folders, of which one is a link."""
    for name in ("in/cat/a", "in/cat/b", "dog/c"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), (len(name), 0, 0)).save(root / f"{name}.png")
    (root / "in" / "dog").symlink_to(root / "dog")
    return root / "in"


def test_photos_of_linked_folders_are_found_and_hidden_files_are_not(tmp_path):
    root = album(tmp_path)
    (root / "cat" / "._a.png").write_bytes(b"of a Mac")
    (root / "labels.csv").write_text("photo,label\n")
    (root / "metadata.json").write_text('{"author": "me"}')
    photos, _ = find_photos(root)
    assert [photo.name for photo in photos] == ["cat/a.png", "cat/b.png", "dog/c.png"]
    assert photos[2].category == "dog"


def test_a_folder_with_one_more_photo_is_refused(tmp_path):
    root = album(tmp_path)

    def source():
        return PhotoSource(root, find_photos(root)[0], None)

    file = begun(source())
    assert (file.count, records_of([source()], [file])) == (3, [file])
    shutil.copy(root / "cat" / "a.png", root / "cat" / "d.png")
    with pytest.raises(DataError, match="changed since: in; put what is new into"):
        records_of([source()], [file])


def test_photos_of_one_name_end_the_work_or_are_noted(tmp_path):
    root = album(tmp_path)
    shutil.copytree(root / "cat", root / "photo" / "cat")
    shutil.copy(root / "cat" / "a.png", root / "photo" / "cat" / "B.PNG")
    found = {"split": "gallery", "skip_bad": False, "note": print}
    with pytest.raises(DataError, match=r"two files of one name: photo/cat/B\.PNG too.*--on-bad"):
        find_sources([root], Reading(), **found)
    notes = []
    sources = find_sources([root], Reading(), **found | {"skip_bad": True, "note": notes.append})
    assert [source.count() for source in sources] == [2]
    assert "two files of one name" in notes[0]


class Reading(Projecting):
    """An encoder that reads photos as well."""

    def __init__(self):
        super().__init__()
        self.reads = frozenset({"photo", "strokes"})


def test_a_model_of_drawings_reads_no_photos(home):
    with pytest.raises(DataError, match="no sketch files"):
        find_sources(
            [home / "pictures" / "photo"], Projecting(), split="gallery", skip_bad=False, note=print
        )


def test_a_thumbnail_of_a_small_photo_is_not_enlarged():
    content = io.BytesIO()
    Image.new("RGB", (60, 30), (9, 9, 9)).save(content, "png")
    assert Image.open(io.BytesIO(thumbnail(content.getvalue()))).size == (60, 30)


def with_photos(items):
    """The same items, of which every third one is a photo."""
    lengths = np.diff(items.offsets)
    photos = np.arange(len(items)) % 3 == 0
    kept = np.repeat(~photos, lengths)
    return dataclasses.replace(
        items,
        points=items.points[kept],
        offsets=np.concatenate([[0], np.cumsum(np.where(photos, 0, lengths))]),
        thumbnails=[b"jpeg %d" % i if photo else b"" for i, photo in enumerate(photos)],
    )


@pytest.mark.parametrize("where", ["memory", "file", "file, points not in memory"])
def test_photos_and_drawings_share_an_index(tmp_path, where, monkeypatch):
    monkeypatch.setattr(opening, "_SHARE_OF_MEMORY", 0 if "not" in where else 0.25)
    items = with_photos(items_of(60))
    if where == "memory":
        engine = memory_of(items)
    else:
        engine = open_index(index_of(tmp_path / "index", items), read_only=False)
    ids = engine.add(dataclasses.replace(items, ids=np.zeros(0, np.int64))).tolist()
    snapshot = engine.snapshot()
    assert snapshot.thumbnail(57) == snapshot.thumbnail(ids[57]) == b"jpeg 57"
    found = answer(engine, Query(like=57)).results[0]
    assert (found.id, found.kind, found.points) == ("57", "photo", None)
    assert answer(engine, Query(like=58)).results[0].kind == "drawing"
    assert (snapshot.describe().photos, snapshot.describe().noun) == (40, "item")
    engine.delete([57, 58])
    assert engine.snapshot().describe().photos == 39
    for gone in (57, 58, 999):
        with pytest.raises(DataError, match=f"no photo {gone} in the index"):
            engine.snapshot().thumbnail(gone)
    engine.compact()
    assert engine.snapshot().thumbnail(54) == b"jpeg 54"
    assert (engine.snapshot().describe().count, engine.snapshot().describe().photos) == (118, 39)
    engine.close()
    if where != "memory":
        assert (verify(tmp_path / "index").count, verify(tmp_path / "index").photos) == (118, 39)


def test_a_damaged_thumbnail_is_found(tmp_path):
    import duckdb

    folder = index_of(tmp_path / "index", with_photos(items_of(60)))
    with duckdb.connect(str(folder / DATABASE)) as connection:
        connection.execute("update photos set thumbnail = 'other'::blob where id = 3")
    with pytest.raises(DataError, match="not what was written"):
        verify(folder)
