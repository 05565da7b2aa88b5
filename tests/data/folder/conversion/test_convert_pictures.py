"""Picture folders converted, against what their files and tables say."""

import csv
import gzip
import io
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import orjson
import pytest
from picture_trees import encoded, paired, photo, put, raster, svg, table
from PIL import Image

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.conversion.picture_options import PictureOptions
from sketchjax.data.folder.conversion.picture_pieces import Look
from sketchjax.data.folder.manifest import Manifest, count_categories
from sketchjax.data.folder.pictures import PictureRecord, PictureShards
from sketchjax.data.folder.shards import Shards
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.folder.verify import verify
from sketchjax.errors import ConfigError, DataError


def run(source, out: Path, **options) -> Manifest:
    look = {name: options.pop(name) for name in Look.__dataclass_fields__ if name in options}
    names = [name for name in PictureOptions.__dataclass_fields__ if name in options]
    chosen = PictureOptions(**{name: options.pop(name) for name in names}, look=Look(**look))
    sources = source if isinstance(source, list) else [source]
    options = {"workers": 1, "progress": False, "shards": 2} | options
    return convert(sources, out, photo_options=chosen, **options)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return paired(tmp_path_factory.mktemp("source") / "set")


@pytest.fixture(scope="module")
def folder(tree, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("converted") / "out"
    run(tree, out, validation=0.3)
    return out


def all_pictures(folder: Path, kind: str) -> dict[str, tuple[str, int, int]]:
    """Split, label and instance of every picture by name."""
    found = {}
    for split in SPLITS:
        shards = PictureShards(folder, kind, split)
        rows = zip(shards.names, shards.labels.tolist(), shards.instances.tolist(), strict=True)
        found |= {name: (split, label, instance) for name, label, instance in rows}
    return found


def test_every_file_is_there_once_and_bit_for_bit(tree, folder):
    for kind, side, suffix in (("photo", "photo", ".jpg"), ("raster", "sketch", ".png")):
        wanted = {p.relative_to(tree).as_posix(): p for p in (tree / side).rglob(f"*{suffix}")}
        assert all_pictures(folder, kind).keys() == wanted.keys()
        for split in SPLITS:
            shards = PictureShards(folder, kind, split)
            blobs = shards.read_bytes(np.arange(len(shards)))
            for name, number, blob in zip(shards.names, shards.ids.tolist(), blobs, strict=True):
                record = PictureRecord.decode(blob)
                assert record.picture == wanted[name].read_bytes()
                assert (record.name, record.id, record.contour) == (name, number, b"")


def test_splits_and_pairs_are_those_of_the_tables(tree, folder):
    stated = dict(csv.reader((tree / "splits.csv").open()))
    photos, rasters = all_pictures(folder, "photo"), all_pictures(folder, "raster")
    moved = Counter()
    for name, (split, label, instance) in (photos | rasters).items():
        assert label == ("/hot_dog/" in name)
        assert split == stated[name] or (split, stated[name]) == ("validation", "train")
        moved[split] += 1
        if name in rasters:
            photo_name = f"photo/{name.split('/')[1]}/{name.split('/')[2][:2]}.jpg"
            photo_split, _, photo_instance = photos[photo_name]
            assert instance == photo_instance >= 0
            assert (photo_split, split) in {
                ("train", "train"),
                ("validation", "validation"),
                ("gallery", "query"),
            }
    assert len({instance for _, _, instance in photos.values()}) == 12
    assert moved["validation"] > 0
    assert moved["gallery"] == 4
    assert moved["query"] == 8


def test_svg_sketches_are_strokes_with_instances(tree, folder):
    photos = all_pictures(folder, "photo")
    names = []
    for split in SPLITS:
        shards = Shards(folder, split)
        records = shards.read(np.arange(len(shards)))
        if not len(shards):
            continue
        index = orjson.loads((folder / f"{split}-index.json").read_bytes())
        assert index["ids"] == records.key_ids.tolist()
        assert shards.instances.tolist() == index["instances"]
        for name, label, instance in zip(
            index["names"], records.labels.tolist(), index["instances"], strict=True
        ):
            assert name.endswith("-3.svg")
            stem = name.split("/")[2].split("-")[0]
            photo_split, photo_label, photo_instance = photos[
                f"photo/{name.split('/')[1]}/{stem}.jpg"
            ]
            assert (label, instance) == (photo_label, photo_instance)
            assert split == {"gallery": "query"}.get(photo_split, photo_split)
            names.append(name)
    assert len(names) == len(set(names)) == 12


def test_the_manifest_counts_and_verify_agrees(tree, folder):
    manifest = verify(folder)
    assert manifest.categories == ["cat", "hot dog"]
    photos, rasters = manifest.pictures["photo"], manifest.pictures["raster"]
    assert sum(photos.counts.values()) == 12
    assert sum(rasters.counts.values()) == 24
    assert sum(manifest.counts.values()) == 12
    for pictures, each in ((photos, 6), (rasters, 12)):
        assert {n: sum(c.values()) for n, c in pictures.counts_by_category.items()} == {
            "cat": each,
            "hot dog": each,
        }
    files = {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert files == {file.name for file in manifest.files()}
    assert (
        dict(count_categories([folder]))
        == dict(count_categories([tree]))
        == {
            "cat": 24,
            "hot dog": 24,
        }
    )
    sources = {source["name"]: source["files"] for source in manifest.sources}
    assert sources["set/photo/cat"] == 6
    assert sources["set/sketch/cat"] in (6, 12)


def test_pictures_are_read_in_any_order(folder):
    shards = PictureShards(folder, "photo", "train")
    order = np.random.default_rng(0).permutation(len(shards))
    found = shards.read(order, 16)
    assert found.pixels.shape == (len(shards), 16, 16, 3)
    assert found.contour is None
    for place, index in enumerate(order.tolist()):
        blob = PictureRecord.decode(shards.read_bytes(np.array([index]))[0]).picture
        plain = np.asarray(Image.open(io.BytesIO(blob)).convert("RGB"), int)
        # The middle of a quarter is far from all edges, so that every way to resize agrees.
        assert np.abs(found.pixels[place, 4::8, 4::8].astype(int) - plain[8::16, 8::16]).max() < 12
    sketches = PictureShards(folder, "raster", "train")
    assert sketches.read(np.array([0]), 32).pixels.shape == (1, 32, 32, 1)
    raw = PictureRecord.decode(sketches.read_bytes(np.array([0]))[0]).picture
    expected = np.asarray(Image.open(io.BytesIO(raw)))
    np.testing.assert_array_equal(sketches.read(np.array([0]), 32).pixels[0, ..., 0], expected)
    assert shards.read(np.zeros(0, np.int64), 16).pixels.shape == (0, 16, 16, 3)
    with pytest.raises(IndexError):
        shards.read(np.array([len(shards)]), 16)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_equal_sources_and_seed_give_equal_bytes(tree, folder, tmp_path):
    shutil.copytree(tree, tmp_path / "elsewhere" / "set")
    run(tmp_path / "elsewhere" / "set", tmp_path / "out", validation=0.3, workers=2)
    assert contents(tmp_path / "out") == contents(folder)
    run(tree, tmp_path / "other", validation=0.3, seed=1)
    assert contents(tmp_path / "other") != contents(folder)


def test_a_finished_conversion_is_left_and_another_refused(tree, folder):
    before = contents(folder)
    run(tree, folder, validation=0.3)
    assert contents(folder) == before
    with pytest.raises(DataError, match=r"pictures\.validation: 0\.3 there, 0\.2 asked for"):
        run(tree, folder, validation=0.2)
    with pytest.raises(DataError, match="is a folder of pictures, not a data folder"):
        run(tree, tree)


def test_without_splits_a_photo_and_its_sketches_go_together(tmp_path):
    source = paired(tmp_path / "set")
    (source / "splits.csv").unlink()
    manifest = run(source, tmp_path / "out", splits={"train": 0.5, "gallery": 0.3, "query": 0.2})
    photos, rasters = (all_pictures(tmp_path / "out", kind) for kind in ("photo", "raster"))
    by_instance = {instance: split for split, _, instance in photos.values()}
    assert set(by_instance.values()) == {"train", "gallery"}
    for split, _, instance in rasters.values():
        assert split == {"gallery": "query"}.get(by_instance[instance], by_instance[instance])
    assert any("no splits.csv" in note for note in manifest.decisions["set"])
    with pytest.raises(ConfigError, match="divided by shares"):
        run(source, tmp_path / "counts", splits={"train": 2, "gallery": 1, "query": 1})


def test_a_side_by_itself(tmp_path):
    photos = put(tmp_path / "p", {f"photo/cat/{n}.jpg": photo(n) for n in range(20)})
    manifest = run(photos, tmp_path / "out")
    assert sum(manifest.pictures["photo"].counts.values()) == 20
    assert "raster" not in manifest.pictures
    assert sum(manifest.counts.values()) == 0
    sketches = put(tmp_path / "s", {f"sketch/cat/{n}.png": raster(n) for n in range(20)})
    manifest = run(sketches, tmp_path / "out2")
    assert sum(manifest.pictures["raster"].counts.values()) == 20


def test_photos_beside_strokes_from_elsewhere(tmp_path):
    line = '{"word":"%s","key_id":"%d","drawing":[[[0,255],[0,%d]]]}\n'
    put(
        tmp_path,
        {
            "in/photo/puss/1.jpg": photo(1),
            "in/photo/ant/2.jpg": photo(2),
            "in/splits.csv": table(
                "path,split", "photo/puss/1.jpg,gallery", "photo/ant/2.jpg,train"
            ),
            "strokes/cat.ndjson": "".join(line % ("cat", n, n) for n in range(1, 60)).encode(),
            "strokes/dog.ndjson": "".join(line % ("dog", n, n) for n in range(70, 130)).encode(),
            "names.csv": table("category,name,drawings", "puss,cat,59", "ant,,0"),
        },
    )
    sources = [tmp_path / "in", tmp_path / "strokes"]
    manifest = run(sources, tmp_path / "all", names=tmp_path / "names.csv")
    assert manifest.categories == ["ant", "cat", "dog"]
    notes = manifest.decisions["in"]
    assert "categories with only photos: ant" in notes
    assert "categories with only sketches: dog" in notes
    manifest = run(sources, tmp_path / "both", names=tmp_path / "names.csv", both_sides=True)
    assert manifest.categories == ["cat"]
    assert manifest.left_out["of a category on one side only"] == 60
    assert manifest.left_out["pictures of a category on one side only"] == 1
    labels = Shards(tmp_path / "all", "train").read(np.arange(20)).labels
    assert set(labels.tolist()) == {1, 2}
    assert PictureShards(tmp_path / "all", "photo", "train").labels.tolist() == [0]
    assert (Shards(tmp_path / "all", "train").instances == -1).all()
    verify(tmp_path / "all")


FAULTS = {
    "truncated": ({"photo/cat/c0.jpg": photo(0)[:200]}, "c0.jpg: the file is cut short"),
    "blank": ({"sketch/cat/c0-1.png": raster(0)[:0]}, "c0-1.png: the file is empty"),
    "no svg": ({"sketch/cat/c0-3.svg": b"<svg/>"}, "no path, line or polyline"),
    "one name": ({"photo/cat/C0.JPG": photo(9)}, "two files of one name: photo/cat/C0.JPG too"),
    "missing pair": (
        {"pairs.csv": table("sketch,photo,category", "sketch/cat/no.png,photo/cat/c0.jpg,cat")},
        "pairs.csv, line 2: there is no file 'sketch/cat/no.png'",
    ),
    "pair with backslashes": (
        {"pairs.csv": table("sketch,photo,category", "sketch\\cat\\c0-1.png,photo/cat/c0.jpg,cat")},
        "write 'sketch/cat/c0-1.png'",
    ),
    "pair from elsewhere": (
        {
            "pairs.csv": table(
                "sketch,photo,category", "sketch/cat/c0-1.png,/data/photo/Cat/c0.jpg,cat"
            )
        },
        "write 'photo/cat/c0.jpg'",
    ),
    "two photos": (
        {
            "pairs.csv": table(
                "sketch,photo,category",
                "sketch/cat/c0-1.png,photo/cat/c0.jpg,cat",
                "sketch/cat/c0-1.png,photo/cat/c1.jpg,cat",
            )
        },
        "pairs.csv, line 3: sketch/cat/c0-1.png draws another photo too",
    ),
    "categories": (
        {
            "pairs.csv": table(
                "sketch,photo,category", "sketch/cat/c0-1.png,photo/hot_dog/h0.jpg,cat"
            )
        },
        "the two files are in different categories",
    ),
    "another category": (
        {"pairs.csv": table("sketch,photo,category", "sketch/cat/c0-1.png,photo/cat/c0.jpg,dog")},
        "pairs.csv, line 2: the category is 'dog', but the files are in another",
    ),
    "swapped": (
        {"pairs.csv": table("sketch,photo,category", "photo/cat/c0.jpg,sketch/cat/c0-1.png,cat")},
        "the first column is a sketch",
    ),
    "missing split": (
        {"splits.csv": table("path,split", "photo/cat/no.jpg,train", "photo/cat/c0.jpg,train")},
        "splits.csv, line 2: there is no file 'photo/cat/no.jpg'",
    ),
    "wrong split": (
        {"splits.csv": table("path,split", "photo/cat/c0.jpg,test", "photo/cat/c1.jpg,train")},
        "splits.csv, line 2: split 'test' is not one of train, validation, gallery, query",
    ),
    "two splits": (
        {"splits.csv": table("path,split", "photo/cat/c0.jpg,train", "photo/cat/c0.jpg,gallery")},
        "splits.csv, line 3: photo/cat/c0.jpg is in two splits",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named_or_skipped_and_counted(name, tmp_path):
    files, message = FAULTS[name]
    source = put(paired(tmp_path / "set"), files)
    with pytest.raises(DataError) as caught:
        run(source, tmp_path / "out")
    assert message in str(caught.value)
    manifest = run(source, tmp_path / "out", on_bad="skip")
    assert sum(manifest.bad.values()) == 1
    assert message.split(": ")[-1].split(" too")[0] in manifest.bad_listed[0]["reason"]
    verify(tmp_path / "out")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"sketch,photo\n", "line 1: the file must start with the line sketch,photo,category"),
        (b"sketch,photo,category\na,b\n", "line 2: 3 columns expected, found 2"),
        (b"sketch,photo,category\n\xff,b,c\n", "line 2: not UTF-8"),
        (
            table(
                "sketch,photo,category",
                "sketch/cat/c0-1.png,photo/cat/c0.jpg,cat",
                'sketch/cat/c1-1.png,photo/cat/c1.jpg,"cat',
                "sketch/cat/c2-1.png,photo/cat/c2.jpg,cat",
            ),
            "line 3: not valid CSV: unexpected end of data",
        ),
    ],
)
def test_malformed_tables(content, message, tmp_path):
    source = put(paired(tmp_path / "set"), {"pairs.csv": content})
    with pytest.raises(DataError, match=message):
        run(source, tmp_path / "out", on_bad="skip")


def test_a_bad_picture_does_not_make_its_table_rows_faults(tmp_path):
    source = put(paired(tmp_path / "set"), {"photo/cat/c0.jpg": b"no"})
    manifest = run(source, tmp_path / "out", on_bad="skip")
    assert manifest.bad == {"unreadable": 1}
    rasters = all_pictures(tmp_path / "out", "raster")
    assert rasters["sketch/cat/c0-1.png"][2] == -1
    assert rasters["sketch/cat/c1-1.png"][2] >= 0


def notes_of(manifest: Manifest) -> str:
    return "\n".join(note for notes in manifest.decisions.values() for note in notes)


def test_files_that_no_reader_takes_are_noted(tmp_path):
    files = ("photo/cat/a.bmp", "photo/cat/b.gif", "photo/cat/more/c.jpg", "sketch/cat/old/d.png")
    manifest = run(put(paired(tmp_path / "set"), dict.fromkeys(files, b"x")), tmp_path / "out")
    assert "passed over: 1 .bmp, 1 .gif, 2 folders" in notes_of(manifest)


def test_folders_one_level_too_deep_are_named(tmp_path):
    source = put(tmp_path / "set", {"photo/train/cat/a.jpg": photo(0)})
    with pytest.raises(DataError, match=r"passed over: 1 folder \(.*photo/CATEGORY/NAME.jpg"):
        run(source, tmp_path / "out")


def test_pictures_without_the_two_folders_say_where_they_belong(tmp_path):
    source = put(tmp_path / "set", {"photos/cat/a.jpg": photo(0), "photos/cat/b.png": raster(0)})
    with pytest.raises(DataError, match=r"\.jpg, \.png \(pictures are read from the folders"):
        run(source, tmp_path / "out")


def test_copies_of_a_photo_share_its_split(tmp_path):
    copies = {f"photo/cat/copy{number}.jpg": photo(0) for number in range(30)}
    others = {f"photo/cat/other{number}.jpg": photo(number) for number in range(1, 30)}
    manifest = run(put(tmp_path / "set", copies | others), tmp_path / "out")
    found = all_pictures(tmp_path / "out", "photo")
    assert len({found[name][0] for name in copies}) == 1
    assert len({found[name][0] for name in others}) > 1
    such = "such as photo/cat/copy1.jpg and photo/cat/copy0.jpg"
    assert f"29 pictures are the same as another, {such}" in notes_of(manifest)
    assert "another split" not in notes_of(manifest)


@pytest.mark.parametrize("made, suffix", [(raster, "png"), (svg, "svg")])
def test_copies_of_a_sketch_share_the_split_of_its_photo(made, suffix, tmp_path):
    files, rows = {}, []
    for number in range(40):
        name = f"sketch/cat/s{number}.{suffix}"
        files |= {f"photo/cat/p{number}.jpg": photo(number), name: made(number)}
        files[f"sketch/cat/s{number}_copy.{suffix}"] = files[name]
        rows.append(f"{name},photo/cat/p{number}.jpg,cat")
    source = put(tmp_path / "set", files | {"pairs.csv": table("sketch,photo,category", *rows)})
    shares = {"train": 0.4, "validation": 0.2, "gallery": 0.2, "query": 0.2}
    notes = notes_of(run(source, tmp_path / "out", splits=shares))
    split = {}
    for part in SPLITS:
        for kind in ("", "raster-"):
            if (path := tmp_path / "out" / f"{kind}{part}-index.json").exists():
                split |= dict.fromkeys(orjson.loads(path.read_bytes())["names"], part)
    assert {*split.values()} == {"train", "validation", "query"}
    for number in range(40):
        name = f"sketch/cat/s{number}"
        assert split[f"{name}.{suffix}"] == split[f"{name}_copy.{suffix}"]
    assert "40 pictures are the same as another" in notes
    assert "another split" not in notes


def test_files_numbered_in_each_category_go_to_all_splits(tmp_path):
    files = {f"photo/c{c}/{n}.jpg": photo(10 * c + n) for c in range(20) for n in (1, 2, 3)}
    counts = run(put(tmp_path / "set", files), tmp_path / "out").pictures["photo"].counts
    assert counts["train"] > 30
    assert counts["gallery"] > 0


def test_one_bad_svg_of_a_folder_is_counted_and_the_others_are_read(tmp_path):
    files = {f"sketch/cat/s{n}.svg": svg(n) for n in range(20)}
    files["sketch/cat/s0.svg"] = b"<svg"
    files["sketch/cat/z.svg.gz"] = gzip.compress(svg(99))
    manifest = run(put(tmp_path / "set", files), tmp_path / "out", on_bad="skip")
    assert sum(manifest.counts.values()) == 20
    assert manifest.bad == {"truncated": 1}
    assert manifest.bad_listed[0]["file"] == "set/sketch/cat/s0.svg"
    assert "no sketch" not in notes_of(manifest)
    assert manifest.passed_over == {}


def test_photos_that_may_show_nothing_are_noted(tmp_path):
    grey, white = (encoded(Image.new("L", (40, 40), value), "PNG") for value in (90, 255))
    files = {"photo/cat/b.png": grey, "photo/cat/a.png": white, "photo/cat/c.jpg": photo(3, 12)}
    source = paired(tmp_path / "set")
    (source / "splits.csv").unlink()
    notes = notes_of(run(put(source, files), tmp_path / "out"))
    assert "photos of one colour: 2, such as photo/cat/a.png; kept" in notes
    assert "photos smaller than 16 px: 1, such as photo/cat/c.jpg; kept" in notes


def test_copies_in_another_split_or_category_are_noted(tmp_path):
    source = put(tmp_path / "set", {f"photo/{c}/a.jpg": photo(0) for c in ("cat", "dog")})
    put(source, {"photo/cat/b.jpg": photo(0), "photo/dog/c.jpg": photo(1)})
    rows = [f"photo/cat/{name}.jpg,{split}" for name, split in (("a", "train"), ("b", "gallery"))]
    rows += ["photo/dog/a.jpg,train", "photo/dog/c.jpg,gallery"]
    manifest = run(put(source, {"splits.csv": table("path,split", *rows)}), tmp_path / "out")
    assert (
        "2 pictures are the same as another, such as photo/cat/b.jpg and photo/cat/a.jpg; "
        "in another category: 1, such as photo/dog/a.jpg and photo/cat/a.jpg; "
        "in another split: 1, such as photo/cat/b.jpg and photo/cat/a.jpg"
    ) in notes_of(manifest)


def test_links_hidden_files_and_strangers(tmp_path):
    source = paired(tmp_path / "set")
    put(
        source,
        {"photo/cat/.hidden.jpg": b"", "photo/cat/notes.txt": b"", "photo/cat/sub/a.jpg": b""},
    )
    os.link(source / "photo/cat/c0.jpg", source / "photo/cat/zz.jpg")
    (source / "photo/cat/yy.jpg").symlink_to("c1.jpg")
    manifest = run(source, tmp_path / "out")
    assert sum(manifest.pictures["photo"].counts.values()) == 12
    assert manifest.left_out["another name of a file that is read"] == 2
    assert manifest.passed_over == {".txt": 1, "folder": 1}
    (source / "photo/cat/xx.jpg").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"photo/cat/xx\.jpg: a link that leads nowhere"):
        run(source, tmp_path / "out2")


def test_pictures_of_one_name_in_two_sources(tmp_path):
    first, second = paired(tmp_path / "a"), paired(tmp_path / "b")
    with pytest.raises(DataError, match=r"photo/cat/c0\.jpg is in b and in a"):
        run([first, second], tmp_path / "out")


def test_sketches_apart_from_their_photo_are_reported(tmp_path):
    source = paired(tmp_path / "set")
    rows = (source / "splits.csv").read_text().replace("-1.png,train", "-1.png,query")
    (source / "splits.csv").write_text(rows)
    manifest = run(source, tmp_path / "out", validation=0.0)
    assert "8 sketches are in query, their photos in train" in manifest.decisions["set"]


def test_changes_are_reported(tmp_path):
    printed = encoded(Image.open(io.BytesIO(photo(0))).convert("CMYK"), "JPEG")
    source = put(paired(tmp_path / "set"), {"photo/cat/c0.jpg": printed})
    manifest = run(source, tmp_path / "out", most_side=31)
    notes = manifest.decisions["set"]
    assert "encoded again: 1 CMYK, 36 larger than 31 px" in notes


def test_contour_maps(tmp_path):
    source = paired(tmp_path / "set")
    run(source, tmp_path / "canny", contours="canny", contour_sigma=1.0)
    shards = PictureShards(tmp_path / "canny", "photo", "train")
    found = shards.read(np.arange(len(shards)), 32, contours=True)
    assert found.contour.shape == (len(shards), 32, 32, 1)
    assert (found.contour == 0).any()
    run(source, tmp_path / "none")
    shards = PictureShards(tmp_path / "none", "photo", "train")
    with pytest.raises(DataError, match="has no contour map"):
        shards.read(np.array([0]), 8, contours=True)
    with pytest.raises(DataError, match="it has no contour map contour/CATEGORY/NAME"):
        run(source, tmp_path / "files", contours="files")
    maps = {
        path.relative_to(source / "photo").with_suffix(".png"): raster(number)
        for number, path in enumerate(sorted((source / "photo").rglob("*.jpg")))
    }
    put(source / "contour", {str(name): content for name, content in maps.items()})
    run(source, tmp_path / "files", contours="files")
    shards = PictureShards(tmp_path / "files", "photo", "gallery")
    for name, blob in zip(shards.names, shards.read_bytes(np.arange(len(shards))), strict=True):
        wanted = maps[Path(name).relative_to("photo").with_suffix(".png")]
        assert PictureRecord.decode(blob).contour == wanted


@pytest.mark.parametrize(
    "options, message",
    [
        ({"validation": 1.0}, "validation=1.0: must be 0 to below 1"),
        ({"contours": "sobel"}, "contours='sobel': must be one of none, canny, files"),
        ({"contour_sigma": 0.0}, "contour_sigma=0.0: must be above 0"),
        ({"most_side": 8}, "most_side=8: must be 16 to 8,192"),
    ],
)
def test_invalid_options(tree, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        run(tree, tmp_path / "out", **options)


def test_categories_are_chosen_by_any_spelling(tree, tmp_path):
    manifest = run(tree, tmp_path / "out", categories=["Hot-Dog"])
    assert manifest.categories == ["hot dog"]
    assert manifest.left_out["pictures of other categories"] == 24
    with pytest.raises(DataError, match="no category of these names"):
        run(tree, tmp_path / "out2", categories=["hot dog", "hat"])


def test_svg_files_in_plain_folders(tmp_path):
    put(tmp_path / "in", {f"svg/cat/{n}.svg": svg(n) for n in range(30)})
    put(tmp_path / "in", {f"svg/dog/{n}.svg": svg(100 + n) for n in range(30)})
    manifest = run(tmp_path / "in" / "svg", tmp_path / "out")
    assert manifest.categories == ["cat", "dog"]
    assert sum(manifest.counts.values()) == 60
    assert not manifest.pictures


def test_a_source_above_has_its_own_name(tmp_path, monkeypatch):
    """Files and folders reached through `..` give the bytes of those that are named."""
    put(tmp_path / "zebra", {f"{n}.svg": svg(n) for n in range(30)})
    put(tmp_path / "zebra" / "notes", {f"{n}.svg": svg(n) for n in range(30, 35)})
    named = run(tmp_path / "zebra", tmp_path / "named")
    assert named.categories == ["notes", "zebra"]
    monkeypatch.chdir(tmp_path / "zebra" / "notes")
    assert run("..", tmp_path / "above") == named
    files = ["../1.svg", tmp_path / "zebra" / "2.svg", "../3.svg"]
    manifest = run(files, tmp_path / "files", splits={"train": 1.0})
    assert manifest.counts_by_category["zebra"]["train"] == 3
    assert [source["files"] for source in manifest.sources] == [3]


@pytest.mark.parametrize("kind", ["shard", "index", "counts"])
def test_verify_finds_damage(folder, tmp_path, kind):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    content = orjson.loads((copy / "manifest.json").read_bytes())
    if kind == "counts":
        content["pictures"]["photo"]["counts_by_category"]["cat"]["train"] += 1
        (copy / "manifest.json").write_bytes(orjson.dumps(content))
        message = "counts_by_category"
    else:
        name = {
            "shard": "photo-gallery-00000-of-00002.arrayrecord",
            "index": "photo-train-index.json",
        }
        path = copy / name[kind]
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 255
        path.write_bytes(damaged)
        message = {"shard": "its sha256 is not", "index": "is not the file that the manifest"}[kind]
    with pytest.raises(DataError, match=message):
        verify(copy)
