"""A conversion that is run again after its sources changed: never the old data without a word."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from picture_trees import paired, photo, put, svg, table

from sketchjax.data.folder.conversion import output
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.conversion.summary import summarize
from sketchjax.data.folder.verify import verify
from sketchjax.errors import DataError

LINE = '{"word":"%s","key_id":"%d","drawing":[[[0,255],[0,%d]]]}\n'
SPLITS = {"train": 0.4, "validation": 0.2, "gallery": 0.2, "query": 0.2}


def run(*sources: Path, out: Path, **options):
    return convert(sources, out, **{"workers": 1, "progress": False, "shards": 2} | options)


def drawings(path: Path, word: str, first: int = 0) -> Path:
    lines = [LINE % (word, first + number, 100 + number) for number in range(40)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_of_the_same_size_with_other_content_is_refused(tmp_path):
    drawings(tmp_path / "in" / "a.ndjson", "cat")
    path = drawings(tmp_path / "in" / "b.ndjson", "dog", 100)
    run(tmp_path / "in", out=tmp_path / "out")
    drawings(path, "cow", 100)
    with pytest.raises(DataError, match=r"source file b\.ndjson: it has another content now"):
        run(tmp_path / "in", out=tmp_path / "out")
    drawings(path, "dog", 100)
    assert run(tmp_path / "in", out=tmp_path / "out").categories == ["cat", "dog"]


@pytest.mark.parametrize("most", [0, 1 << 30])
def test_another_file_of_the_same_name_and_size_is_refused(most, monkeypatch, tmp_path):
    for folder, word in (("monday", "cat"), ("tuesday", "dog")):
        drawings(tmp_path / folder / "x.ndjson", word)
    run(tmp_path / "tuesday", out=tmp_path / "out")
    # The one that is asked for later is the older one, and only its folder was touched.
    shutil.move(tmp_path / "tuesday", tmp_path / "wednesday")
    shutil.move(tmp_path / "monday", tmp_path / "tuesday")
    monkeypatch.setattr(output, "_ALWAYS_READ", most)
    with pytest.raises(DataError, match="another content"):
        run(tmp_path / "tuesday", out=tmp_path / "out")


def test_sources_that_were_copied_or_touched_are_the_same(tmp_path):
    drawings(tmp_path / "in" / "a.ndjson", "cat")
    paired(tmp_path / "in" / "set")
    sources = tmp_path / "in" / "a.ndjson", tmp_path / "in" / "set"
    run(*sources, out=tmp_path / "out")
    before = contents(tmp_path / "out")
    os.utime(sources[0])
    shutil.copytree(tmp_path / "in", tmp_path / "copy")
    for home in ("in", "copy"):
        run(tmp_path / home / "a.ndjson", tmp_path / home / "set", out=tmp_path / "out")
        assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("kind, ending", [("photo", ""), ("sketch", "-1"), ("sketch", "-3")])
def test_pictures_that_swapped_their_names_are_refused(kind, ending, tmp_path):
    source = paired(tmp_path / "set")
    suffix = ".jpg" if kind == "photo" else ".svg" if ending == "-3" else ".png"
    one, other = (source / kind / "cat" / f"c{n}{ending}{suffix}" for n in (0, 1))
    run(source, out=tmp_path / "out")
    swap = tmp_path / "swap"
    one.rename(swap)
    other.rename(one)
    swap.rename(other)
    with pytest.raises(DataError, match=rf"set/{kind}/cat: it has another content now"):
        run(source, out=tmp_path / "out")


def test_a_photo_of_another_name_is_refused(tmp_path):
    source = put(tmp_path / "set", {f"photo/cat/{n}.jpg": photo(n) for n in range(20)})
    run(source, out=tmp_path / "out")
    (source / "photo/cat/3.jpg").rename(source / "photo/cat/x.jpg")
    with pytest.raises(DataError, match="set/photo/cat: it has another content now"):
        run(source, out=tmp_path / "out")


KILLED = """
import os, sys
import sketchjax.data.folder.conversion.with_pictures as pictures
from sketchjax.data.folder.conversion.convert import convert
pictures.Pictured.pack = lambda *given: os.kill(os.getpid(), 9)
convert([sys.argv[1]], sys.argv[2], on_bad="skip", workers=1, shards=2, progress=False,
        splits=dict(train=0.4, validation=0.2, gallery=0.2, query=0.2))
"""


@pytest.mark.parametrize("change", ["mended", "removed"])
def test_photos_that_change_after_a_kill_move_their_sketches(change, tmp_path):
    """Sketches as SVG go where their photos go, so their shards may be of an old plan."""
    files = {f"photo/cat/p{n}.jpg": photo(n) for n in range(40)}
    files |= {f"sketch/cat/s{n}.svg": svg(n) for n in range(40)}
    rows = [f"sketch/cat/s{n}.svg,photo/cat/p{n}.jpg,cat" for n in range(40)]
    files["pairs.csv"] = table("sketch,photo,category", *rows)
    source = put(tmp_path / "set", files)
    mended = range(8)
    for number in mended if change == "mended" else ():
        (source / f"photo/cat/p{number}.jpg").write_bytes(b"no picture")
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(source), str(tmp_path / "out")]
    assert subprocess.run(command, check=False).returncode == -9
    for number in mended:
        path = source / f"photo/cat/p{number}.jpg"
        path.write_bytes(photo(number)) if change == "mended" else path.unlink()
    for out in ("out", "fresh"):
        run(source, out=tmp_path / out, on_bad="skip", splits=SPLITS)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")
    verify(tmp_path / "out")


@pytest.mark.parametrize("picture", [False, True])
def test_a_file_that_changes_during_its_conversion_is_refused(picture, monkeypatch, tmp_path):
    path = drawings(tmp_path / "in" / "a.ndjson", "cat")
    if picture:
        path = paired(tmp_path / "in") / "photo" / "cat" / "c1.jpg"

    def change(*given):
        path.write_bytes(path.read_bytes() + b" ")
        return summarize(*given)

    with monkeypatch.context() as patch:
        patch.setattr("sketchjax.data.folder.conversion.convert.summarize", change)
        with pytest.raises(DataError, match=rf"{path} changed while it was read; rerun the same"):
            run(tmp_path / "in", out=tmp_path / "out")
    run(tmp_path / "in", out=tmp_path / "out")
    run(tmp_path / "in", out=tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_another_file_of_the_same_size_and_time_after_a_kill(monkeypatch, tmp_path):
    """As archives whose files all have one time give it."""
    path = drawings(tmp_path / "in" / "a.ndjson", "cat")
    os.utime(path, (1, 1))
    with monkeypatch.context() as patch:
        patch.setattr("sketchjax.data.folder.conversion.convert.summarize", None)
        with pytest.raises(TypeError):
            run(tmp_path / "in", out=tmp_path / "out")
    drawings(path, "dog")
    os.utime(path, (1, 1))
    assert run(tmp_path / "in", out=tmp_path / "out").categories == ["dog"]


def test_a_folder_of_an_earlier_version_goes_by_name_and_size(tmp_path):
    """Its manifest has no digests; nothing says that the content is another."""
    path = drawings(tmp_path / "in" / "a.ndjson", "cat")
    manifest = run(tmp_path / "in", out=tmp_path / "out")
    assert [set(source) for source in manifest.sources] == [{"name", "bytes", "digest"}]
    del manifest.sources[0]["digest"]
    manifest.save(tmp_path / "out")
    time.sleep(0.01)
    os.utime(path)
    assert run(tmp_path / "in", out=tmp_path / "out").sources == manifest.sources
