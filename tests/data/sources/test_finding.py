"""Sketch files in folders, and what is passed over. Oracle: trees made by hand."""

import json
import os

import pytest

from sketchjax.data.sources import find, survey
from sketchjax.errors import DataError

LINE = json.dumps({"word": "dog", "key_id": "1", "drawing": [[[0, 255], [3, 4]]]}) + "\n"
TABLE = 'key_id,drawing,word\n1,"[[[0, 255], [3, 4]]]",bird\n'


def made(folder, files):
    """Write files by their names and contents; returns the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def names(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_other_files_of_a_folder_are_reported(tmp_path):
    made(
        tmp_path,
        {
            "cat.ndjson": LINE,
            "dog.jsonl": LINE,
            "owl.json": LINE,
            "bird.csv": TABLE,
            "manifest.json": '{"version": 1}',
            "list.json": '[{"version": 1}]',
            "metrics.jsonl": '{"loss": 1}\n',
            "splits.csv": "key_id,split\n1,train\n",
            "1.svg": "<svg/>",
            "clock.npy": "\x93NUMPY",
            "sub/2.SVG": "<svg/>",
            "sub/bee.ndjson.part": LINE,
            "sub/notes.txt.gz": "",
            "README": "",
            ".DS_Store": "",
            ".hidden/ant.ndjson": LINE,
        },
    )
    found = survey([tmp_path])
    assert names(found.paths, tmp_path) == ["cat.ndjson", "dog.jsonl", "owl.json"]
    assert found.notes() == [
        "passed over: 2 .csv, 2 .json, 1 .jsonl, 1 .npy, 1 .part, 2 .svg, 1 .txt.gz, "
        "1 without extension",
        "1 .csv with drawings passed over: name a .csv for it to be read",
    ]
    assert "sub/2.SVG" in names(found.passed_over, tmp_path)
    assert find([tmp_path]) == found.paths


def test_an_array_of_drawings_is_not_passed_over(tmp_path):
    made(tmp_path, {"cat.ndjson": LINE, "dog.json": f" [{LINE}]"})
    assert names(survey([tmp_path]).paths, tmp_path) == ["cat.ndjson", "dog.json"]


def test_tables_are_read_where_there_is_nothing_else(tmp_path):
    made(tmp_path, {"bird.csv": TABLE, "b/owl.CSV": TABLE, "splits.csv": "key_id,split\n1,train\n"})
    found = survey([tmp_path])
    assert names(found.paths, tmp_path) == ["b/owl.CSV", "bird.csv"]
    assert found.notes() == ["passed over: 1 .csv"]
    made(tmp_path, {"cat.ndjson": LINE})
    both = survey([tmp_path, tmp_path / "bird.csv"])
    assert names(both.paths, tmp_path) == ["bird.csv", "cat.ndjson"]


def test_a_folder_of_other_files_names_them(tmp_path):
    made(tmp_path, {"1.png": "", "2.png": "", "3.zip": ""})
    with pytest.raises(DataError, match=r"no sketch files.*passed over: 2 \.png.*\.zip \(unpack"):
        survey([tmp_path])


def test_a_table_without_drawings_says_what_it_lacks(tmp_path):
    made(tmp_path, {"points.csv": "drawing_id,x,y\n1,2,3\n"})
    with pytest.raises(DataError, match=r"\.csv \(its first line names no column 'drawing'\)"):
        survey([tmp_path])


def test_links_to_folders_are_followed(tmp_path):
    made(tmp_path, {"data/dog.ndjson": LINE, "elsewhere/deep/cat.ndjson": LINE})
    (tmp_path / "data" / "cats").symlink_to("../elsewhere")
    found = survey([tmp_path / "data"])
    assert names(found.paths, tmp_path) == ["data/cats/deep/cat.ndjson", "data/dog.ndjson"]
    assert found.notes() == []


def test_each_real_folder_and_file_counts_once(tmp_path):
    made(tmp_path, {"data/a/cat.ndjson": LINE, "data/b/dog.ndjson": LINE})
    (tmp_path / "data" / "again").symlink_to("a")
    (tmp_path / "data" / "b" / "up").symlink_to("..")
    (tmp_path / "data" / "b" / "kitten.ndjson").symlink_to("../a/cat.ndjson")
    os.link(tmp_path / "data" / "b" / "dog.ndjson", tmp_path / "data" / "b" / "puppy.ndjson")
    (tmp_path / "outer").symlink_to("data")
    for sources in (["data"], ["data", "outer"], ["data", "data/again", "data/a/cat.ndjson"]):
        found = survey([tmp_path / source for source in sources])
        assert names(found.paths, tmp_path) == ["data/a/cat.ndjson", "data/b/dog.ndjson"]
        assert names(found.repeated, tmp_path)[-2:] == [
            "data/b/kitten.ndjson",
            "data/b/puppy.ndjson",
        ]
        assert found.notes() == ["read once: 2 other names of files that are read"]


def test_broken_links_are_reported(tmp_path):
    made(tmp_path, {"cat.ndjson": LINE})
    (tmp_path / "dog.ndjson").symlink_to("nowhere")
    found = survey([tmp_path])
    assert found.notes() == ["passed over: 1 broken link"]


def test_a_folder_to_skip_is_not_looked_into(tmp_path):
    made(tmp_path, {"cat.ndjson": LINE, "out/train.arrayrecord": "", "out/dog.ndjson": LINE})
    (tmp_path / "link").symlink_to("out")
    found = survey([tmp_path], skip=tmp_path / "out")
    assert names(found.paths, tmp_path) == ["cat.ndjson"]
    assert found.notes() == []
    assert len(survey([tmp_path], skip=tmp_path / "none").paths) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path):
    made(tmp_path, {"cat.ndjson": LINE, "closed/dog.ndjson": LINE})
    (tmp_path / "closed").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot read the folder"):
            survey([tmp_path])
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_a_named_file_is_taken_whatever_its_content(tmp_path):
    made(tmp_path, {"metrics.jsonl": '{"loss": 1}\n', "a.zip": ""})
    assert survey([tmp_path / "metrics.jsonl"]).paths == [tmp_path / "metrics.jsonl"]
    with pytest.raises(DataError, match=r"a\.zip: unknown format \(unpack it"):
        survey([tmp_path / "a.zip"])


def test_links_to_themselves_are_broken_links(tmp_path):
    made(tmp_path, {"cat.ndjson": LINE})
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "here").symlink_to(tmp_path)
    found = survey([tmp_path])
    assert names(found.paths, tmp_path) == ["cat.ndjson"]
    assert found.notes() == ["passed over: 1 broken link"]


def test_a_pipe_is_refused_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "cat.ndjson")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        survey([tmp_path / "cat.ndjson"])
    made(tmp_path, {"dog.ndjson": LINE})
    assert survey([tmp_path]).notes() == ["passed over: 1 pipe or device"]


def test_svg_counts_where_its_source_has_nothing_else(tmp_path):
    made(tmp_path / "drawn", {"cat/1.svg": "<svg/>", "cat/2.SVG": "<svg/>"})
    made(tmp_path / "strokes", {"cat.ndjson": LINE, "plot.svg": "<svg/>"})
    found = survey([tmp_path / "drawn", tmp_path / "strokes"])
    assert names(found.paths, tmp_path) == [
        "drawn/cat/1.svg",
        "drawn/cat/2.SVG",
        "strokes/cat.ndjson",
    ]
    assert names(found.passed_over, tmp_path) == ["strokes/plot.svg"]
    assert survey([tmp_path / "strokes" / "plot.svg"]).paths


def test_archives_are_to_be_unpacked(tmp_path):
    made(tmp_path, {"cat.tar.gz": "", "dog.ndjson.xz": ""})
    with pytest.raises(DataError) as raised:
        survey([tmp_path])
    assert "passed over: 1 .tar.gz, 1 .xz" in str(raised.value)
    assert ".tar.gz (unpack it); .xz (unpack it; .gz can stay packed)" in str(raised.value)
    with pytest.raises(DataError, match=r"cat\.tar\.gz: unknown format \(unpack it"):
        survey([tmp_path / "cat.tar.gz"])
