"""Building an index from files of every form: resumed, whole or not there, never twice."""

import gzip
import json
import os
from contextlib import closing, nullcontext
from pathlib import Path

import numpy as np
import pytest
from projecting import Projecting

import sketchjax
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sources import write_stroke3
from sketchjax.data.sources.doodles import write
from sketchjax.errors import DataError, InUseError
from sketchjax.index import engine as engines
from sketchjax.index import sources as sourcing
from sketchjax.index.build import add, build
from sketchjax.index.encoded import CODES, FEATURES, ITEMS, write_encoded
from sketchjax.index.opening import open_index, verify
from sketchjax.index.sources import find_sources
from sketchjax.index.store import MODEL, Store


class Progress:
    """Counts what is shown."""

    def __init__(self):
        self.done, self.notes = {}, []

    def task(self, name, total):
        self.done[name] = [0, total]

        def advance(count):
            self.done[name][0] += count

        return nullcontext(advance)


@pytest.fixture(scope="module")
def doodles(tmp_path_factory) -> Path:
    """Three files of 30 doodles."""
    folder = tmp_path_factory.mktemp("build") / "doodles"
    write(folder, per_category=30, seed=0, categories=["cat", "clock", "sun"])
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(sourcing, "PART", 8)


def build_of(folder, paths, encoder=None, split="gallery", skip_bad=False, progress=None):
    encoder, progress = encoder or Projecting(), progress or Progress()
    note = progress.notes.append
    sources = find_sources(paths, encoder, split=split, skip_bad=skip_bad, note=note)
    build(folder, sources, encoder, save_model=encoder.save, task=progress.task, note=note)
    return progress


def add_to(folder, paths, encoder=None, progress=None):
    encoder, progress = encoder or Projecting(), progress or Progress()
    note = progress.notes.append
    sources = find_sources(paths, encoder, split="gallery", skip_bad=False, note=note)
    return add(folder, sources, encoder, task=progress.task, note=note)


def items_in(folder):
    with closing(open_index(folder)) as engine:
        snapshot = engine.snapshot()
        return snapshot.get(snapshot.ids.tolist())


def test_every_drawing_of_every_file_is_there(doodles, tmp_path):
    progress = build_of(tmp_path / "index", [doodles])
    assert progress.done == {"reading": [3, 3], "encoding": [90, 90]}
    items, row = items_in(tmp_path / "index"), 0
    scale = open_scale(tmp_path / "index")
    for name in ("cat", "clock", "sun"):
        for sketches in sketchjax.read(doodles / f"{name}.ndjson"):
            outputs = Projecting().outputs(sketches)
            for i in range(len(sketches)):
                assert (items.categories[row], items.sources[row]) == (name, f"{name}.ndjson")
                assert items.key_ids[row] == sketches.key_ids[i]
                assert items.places[row] == sketches.places[i]
                np.testing.assert_array_equal(items.points_of(row), sketches.points_of(i))
                np.testing.assert_array_equal(items.codes[row], outputs.codes.packed[i])
                near = scale.low + scale.step * items.features[row]
                inside = (near > scale.low) & (near < scale.low + 255 * scale.step)
                gap = np.abs(near - outputs.features[i])[inside]
                assert gap.max() <= scale.step * 0.51
                row += 1
    assert row == len(items) == 90
    assert (tmp_path / "index" / MODEL / "model.safetensors").is_file()
    assert verify(tmp_path / "index").categories == {"cat": 30, "clock": 30, "sun": 30}


def open_scale(folder):
    with closing(Store(folder, read_only=True)) as store:
        return store.meta.scale


@pytest.mark.parametrize("form", ["ndjson.gz", "npz", "csv", "raw", "json"])
def test_files_of_other_forms_are_indexed(doodles, tmp_path, form):
    sketches = next(sketchjax.read(doodles / "cat.ndjson"))
    path = tmp_path / f"cat.{form}"
    if form == "ndjson.gz":
        path.write_bytes(gzip.compress((doodles / "cat.ndjson").read_bytes()))
    elif form == "npz":
        write_stroke3(path, sketches)
    elif form == "csv":
        rows = ["word,drawing"]
        for i in range(30):
            xs, ys = sketches.points_of(i)[:, :2].T.tolist()
            rows.append(f'cat,"[[{xs}, {ys}]]"')
        path.write_text("\n".join(rows))
    else:
        path = tmp_path / "cat.ndjson"
        scale = 3.7 if form == "raw" else 1
        lines = []
        for i in range(30):
            xs, ys = (sketches.points_of(i)[:, :2].T * scale).tolist()
            times = f", {[*range(len(xs))]}" if form == "raw" else ""
            lines.append(f'{{"word": "cat", "drawing": [[{xs}, {ys}{times}]]}}')
        path.write_text("\n".join(lines))
    build_of(tmp_path / "index", [path])
    assert len(items_in(tmp_path / "index")) == 30
    expected = next(sketchjax.read(path))
    np.testing.assert_array_equal(items_in(tmp_path / "index").points, expected.points)


def test_a_data_folder_and_a_run_give_their_gallery(doodles, tmp_path):
    data = tmp_path / "run" / "data"
    convert([doodles], data, splits={"train": 0.4, "gallery": 0.4, "query": 0.2}, workers=1)
    notes = build_of(tmp_path / "one", [data]).notes
    shards = Shards(data, "gallery")
    records = shards.read(np.arange(len(shards)))
    every = sum(Manifest.load(data).counts.values())
    assert notes == [f"data/gallery: {len(shards)} of the {every} sketches of all splits"]
    np.testing.assert_array_equal(items_in(tmp_path / "one").points, records.points)
    np.testing.assert_array_equal(items_in(tmp_path / "one").key_ids, records.key_ids)
    assert set(items_in(tmp_path / "one").sources) == {"data/gallery"}
    (tmp_path / "run" / "config.json").write_text('[["data.dir", ""]]')
    with pytest.raises(DataError, match="has not finished"):
        build_of(tmp_path / "two", [tmp_path / "run"])
    (tmp_path / "run" / "results.json").write_text("{}")
    build_of(tmp_path / "two", [tmp_path / "run"], split="query")
    assert len(items_in(tmp_path / "two")) == len(Shards(data, "query"))
    with pytest.raises(DataError, match="no strokes in its split validation; it has train, "):
        build_of(tmp_path / "three", [data], split="validation")


def test_codes_of_another_length_have_the_gallery_of_their_run(doodles, tmp_path):
    """What `sketchjax recode` wrote for one length; an exported model has no drawings."""
    convert([doodles], tmp_path / "data", splits={"train": 0.5, "gallery": 0.5}, workers=1)
    recoded = tmp_path / "run" / "recode" / "8"
    recoded.mkdir(parents=True)
    (recoded / "model.safetensors").touch()
    results = {"config": {"data": {"dir": str(tmp_path / "data")}}}
    (recoded / "results.json").write_text(json.dumps(results))
    build_of(tmp_path / "index", [recoded])
    assert len(items_in(tmp_path / "index")) == len(Shards(tmp_path / "data", "gallery"))
    (recoded / "results.json").write_text("{}")
    with pytest.raises(DataError, match=r"results\.json cannot be read as a run's config"):
        build_of(tmp_path / "other", [recoded])
    exported = tmp_path / "exported"
    exported.mkdir()
    for name in ("config.json", "encoder.onnx", "model.safetensors"):
        (exported / name).touch()
    with pytest.raises(DataError, match="is an exported model, without drawings"):
        build_of(tmp_path / "other", [exported])


def test_what_a_killed_process_encoded_is_used_again(doodles, tmp_path):
    whole = tmp_path / "whole"
    build_of(whole, [doodles])

    def stop(encoded):
        if encoded >= 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_of(tmp_path / "index", [doodles], Projecting(at=stop))
    assert not (tmp_path / "index").exists()
    encoder, progress = Projecting(), Progress()
    build_of(tmp_path / "index", [doodles], encoder, progress=progress)
    assert progress.notes == ["resuming after 46 drawings"]  # 8 of the first part count twice
    assert encoder.encoded == 90 - 46
    one, other = items_in(whole), items_in(tmp_path / "index")
    np.testing.assert_array_equal(one.points, other.points)
    np.testing.assert_array_equal(one.features, other.features)
    assert not list(tmp_path.glob(".*"))
    assert verify(tmp_path / "index").count == 90


def test_other_drawings_or_another_model_start_over(doodles, tmp_path):
    def stop(encoded):
        if encoded >= 20:
            raise KeyboardInterrupt

    for paths, seed in (([doodles / "cat.ndjson"], 0), ([doodles], 1)):
        with pytest.raises(KeyboardInterrupt):
            build_of(tmp_path / "index", [doodles], Projecting(at=stop))
        progress = build_of(tmp_path / "index", paths, Projecting(seed=seed))
        assert "starting over" in progress.notes[0]
        assert verify(tmp_path / "index").count == 30 * (1 if seed == 0 else 3)
        (tmp_path / "index").rename(tmp_path / f"done-{seed}")


def test_the_same_command_again_does_nothing(doodles, tmp_path):
    build_of(tmp_path / "index", [doodles])
    encoder, progress = Projecting(), Progress()
    build_of(tmp_path / "index", [doodles], encoder, progress=progress)
    assert progress.notes == [f"{tmp_path / 'index'} already holds these drawings: nothing to do"]
    assert encoder.encoded == 0
    for paths, seed in (([doodles / "cat.ndjson"], 0), ([doodles], 1)):
        with pytest.raises(DataError, match="index of other drawings or of another model"):
            build_of(tmp_path / "index", paths, Projecting(seed=seed))
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="exists and is not an index"):
        build_of(tmp_path / "other", [doodles])


def test_files_are_added_once(doodles, tmp_path):
    build_of(tmp_path / "index", [doodles / "cat.ndjson"])

    def stop(encoded):
        if encoded >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_to(tmp_path / "index", [doodles], Projecting(at=stop))
    assert verify(tmp_path / "index").count == 30 + 24
    encoder, progress = Projecting(), Progress()
    assert add_to(tmp_path / "index", [doodles], encoder, progress) == 60 - 24
    assert encoder.encoded == 60 - 24
    assert progress.notes == ["cat.ndjson is in the index already: passed over"]
    assert verify(tmp_path / "index").categories == {"cat": 30, "clock": 30, "sun": 30}
    assert add_to(tmp_path / "index", [doodles]) == 0
    with pytest.raises(DataError, match="encode with the model of the index"):
        add_to(tmp_path / "index", [doodles], Projecting(seed=1))


def test_bad_drawings_end_the_work_before_it_begins(doodles, tmp_path):
    path = tmp_path / "bad.ndjson"
    lines = (doodles / "cat.ndjson").read_text().splitlines()[:20]
    path.write_text("\n".join([*lines, '{"word": "cat", "drawing": []}']))
    encoder = Projecting()
    with pytest.raises(DataError, match=r"bad\.ndjson, line 21"):
        build_of(tmp_path / "index", [path], encoder)
    assert encoder.encoded == 0
    progress = build_of(tmp_path / "index", [path], skip_bad=True)
    assert progress.notes[0].startswith("bad.ndjson: left out 21: ")
    assert verify(tmp_path / "index").count == 20


def test_a_model_without_codes_is_refused(doodles, tmp_path):
    with pytest.raises(DataError, match="makes no codes"):
        build_of(tmp_path / "index", [doodles], Projecting(None))


def test_two_processes_do_not_build_the_same_index(doodles, tmp_path):
    def again(encoded):
        if encoded == 24:
            with pytest.raises(InUseError, match="in use by another process"):
                build_of(tmp_path / "index", [doodles])

    build_of(tmp_path / "index", [doodles], Projecting(at=again))
    assert verify(tmp_path / "index").count == 90


def test_files_of_one_name_keep_their_paths(doodles, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cat.ndjson").write_bytes((doodles / "cat.ndjson").read_bytes())
    build_of(tmp_path / "index", [tmp_path / "a", tmp_path / "b"])
    expected = {str(tmp_path / folder / "cat.ndjson") for folder in ("a", "b")}
    assert set(items_in(tmp_path / "index").sources) == expected


def test_more_categories_than_an_index_can_have(doodles, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "MOST_CATEGORIES", 2)
    with pytest.raises(DataError, match="at most 2 categories; divide the drawings"):
        build_of(tmp_path / "index", [doodles])
    assert not list(tmp_path.iterdir())
    build_of(tmp_path / "index", [doodles / "cat.ndjson", doodles / "sun.ndjson"])
    with pytest.raises(DataError, match="at most 2 categories"):
        add_to(tmp_path / "index", [doodles])
    assert verify(tmp_path / "index").count == 60


def test_a_file_is_the_same_however_it_is_named(doodles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = (doodles / "cat.ndjson").read_text().splitlines(keepends=True)
    for name, own in (("a", lines[:5]), ("b", lines[5:8])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cat.ndjson").write_text("".join(own))
    (tmp_path / "link").symlink_to("a")
    build_of(tmp_path / "index", [Path("a")])
    assert add_to(tmp_path / "index", [Path("a"), Path("b")]) == 3
    for paths in ([tmp_path / "a", Path("b")], [Path("link/cat.ndjson"), Path("a")]):
        assert add_to(tmp_path / "index", paths) == 0
    assert verify(tmp_path / "index").count == 8
    build_of(tmp_path / "both", [Path("a"), Path("b")])
    progress = build_of(tmp_path / "both", [tmp_path / "b" / "cat.ndjson", Path("link")])
    assert "nothing to do" in progress.notes[-1]


def test_what_is_named_twice_is_taken_once(doodles, tmp_path):
    encode_to(tmp_path / "encoded", [doodles], Projecting())
    convert([doodles], tmp_path / "data", splits={"gallery": 1.0}, workers=1)
    named = [tmp_path / name for name in ("encoded", "data")]
    progress = build_of(tmp_path / "index", [*named, *named])
    assert progress.notes == [
        f"{name} is named more than once: taken once" for name in ("encoded", "data/gallery")
    ]
    assert verify(tmp_path / "index").count == 180
    assert add_to(tmp_path / "index", [*named, *named, doodles / "cat.ndjson"]) == 30
    encode_to(tmp_path / "once", [tmp_path / "encoded"] * 2, Projecting())
    assert len(np.load(tmp_path / "once" / CODES)) == 90


def as_of_before(folder, path):
    """Make the record of a source what earlier versions wrote."""
    import duckdb

    with duckdb.connect(str(folder / "index.duckdb")) as connection:
        connection.execute("alter table progress drop column digest")
        named = f"{path.resolve()}:{path}"
        connection.execute(
            "update progress set path = ?, modified = ?", [named, path.stat().st_mtime_ns]
        )


@pytest.mark.parametrize("old", [False, True])
def test_what_has_changed_is_not_added_again(doodles, tmp_path, old):
    path, index = tmp_path / "cat.ndjson", tmp_path / "index"
    lines = (doodles / "cat.ndjson").read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5]))
    build_of(index, [path])
    if old:
        as_of_before(index, path)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.chmod(0o600)  # which is no change
    assert add_to(index, [path]) == 0
    assert add_to(index, [path, doodles / "sun.ndjson"]) == 30
    if not old:
        os.utime(path)
        assert add_to(index, [path]) == 0
    for content, keeps_time in (("".join(lines[:6]), False), ("".join(lines[4::-1]), not old)):
        other = tmp_path / "other"
        other.write_text(content)
        if keeps_time:  # as a copy with `cp -p` does
            os.utime(other, ns=times)
        other.rename(path)
        with pytest.raises(DataError, match=r"changed since: .*cat\.ndjson; put what is new into"):
            add_to(index, [doodles, path])
        with pytest.raises(DataError, match="index of other drawings"):
            build_of(index, [path, doodles / "sun.ndjson"])
    assert verify(index).count == 35


def test_a_file_that_changed_while_it_was_added_is_refused(doodles, tmp_path):
    path = tmp_path / "sun.ndjson"
    path.write_bytes((doodles / "sun.ndjson").read_bytes())
    build_of(tmp_path / "index", [doodles / "cat.ndjson"])

    def stop(encoded):
        if encoded >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_to(tmp_path / "index", [path], Projecting(at=stop))
    path.write_bytes((doodles / "clock.ndjson").read_bytes())
    with pytest.raises(DataError, match="changed since"):
        add_to(tmp_path / "index", [path])


def encode_to(out, paths, encoder):
    sources = find_sources(paths, encoder, split="gallery", skip_bad=False, note=print)
    parts = ((source.name, *part) for source in sources for part in source.parts(encoder, 0))
    return write_encoded(out, encoder.fingerprint, parts)


def test_encoded_folders_are_files_that_others_read(doodles, tmp_path):
    import duckdb

    encoder = Projecting()
    assert encode_to(tmp_path / "out", [doodles], encoder) == 90
    codes = np.load(tmp_path / "out" / CODES)
    features = np.load(tmp_path / "out" / FEATURES, mmap_mode="r")
    assert (codes.shape, codes.dtype, features.shape) == ((90, 2), np.uint8, (90, 16))
    rows = duckdb.sql(f"select * from '{tmp_path / 'out' / ITEMS}'").fetchall()
    row = 0
    for name in ("cat", "clock", "sun"):
        for sketches in sketchjax.read(doodles / f"{name}.ndjson"):
            outputs = Projecting().outputs(sketches)
            np.testing.assert_array_equal(codes[row : row + 30], outputs.codes.packed)
            np.testing.assert_array_equal(features[row : row + 30], outputs.features)
            for i in range(30):
                expected = (int(sketches.key_ids[i]), name, f"{name}.ndjson", sketches.places[i])
                assert rows[row + i][:4] == expected
            row += 30
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [CODES, FEATURES, ITEMS]
    with pytest.raises(DataError, match="exists already"):
        encode_to(tmp_path / "out", [doodles], encoder)


def test_an_encoded_folder_is_indexed_without_encoding(doodles, tmp_path):
    encode_to(tmp_path / "out's", [doodles], Projecting())
    encoder = Projecting()
    build_of(tmp_path / "index", [tmp_path / "out's"], encoder)
    build_of(tmp_path / "direct", [doodles])
    one, other = items_in(tmp_path / "index"), items_in(tmp_path / "direct")
    assert encoder.encoded == 0
    for name in ("codes", "key_ids", "places", "points", "offsets"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.categories == other.categories
    with pytest.raises(DataError, match="encoded by model 000000000000"):
        build_of(tmp_path / "more", [tmp_path / "out's"], Projecting(seed=1))


def test_two_processes_do_not_encode_to_the_same_folder(doodles, tmp_path):
    def again(encoded):
        if encoded == 8:
            with pytest.raises(InUseError, match="in use by another process"):
                encode_to(tmp_path / "out", [doodles / "sun.ndjson"], Projecting())

    encode_to(tmp_path / "out", [doodles / "cat.ndjson"], Projecting(at=again))
    build_of(tmp_path / "index", [tmp_path / "out"])
    build_of(tmp_path / "direct", [doodles / "cat.ndjson"])
    one, other = items_in(tmp_path / "index"), items_in(tmp_path / "direct")
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.points, other.points)


def test_an_encoding_that_fails_leaves_nothing(doodles, tmp_path):
    def stop(encoded):
        if encoded >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_to(tmp_path / "out", [doodles], Projecting(at=stop))
    assert not list(tmp_path.iterdir())
    encode_to(tmp_path / "out", [doodles], Projecting())
    np.save(tmp_path / "out" / CODES, np.zeros((3, 2), np.uint8))
    with pytest.raises(DataError, match="do not belong together"):
        build_of(tmp_path / "index", [tmp_path / "out"])
