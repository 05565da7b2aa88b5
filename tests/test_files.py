"""Files that are complete or absent."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import orjson
import pytest

from sketchjax.errors import ConfigError, DataError, InUseError
from sketchjax.files import JSON_OPTIONS, read_json, sole_writer, whole_folder, write_whole


def test_content_is_flushed_before_the_rename(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("fsync"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    write_whole(tmp_path / "sub" / "file", b"content")
    assert calls == ["fsync", "replace", "fsync"]
    assert (tmp_path / "sub" / "file").read_bytes() == b"content"


def test_the_next_write_removes_what_a_kill_left(tmp_path):
    path = tmp_path / "file"
    script = (
        "import os, sys; from pathlib import Path; from sketchjax.files import write_whole\n"
        "os.fsync = lambda _: os._exit(9)\n"
        "write_whole(Path(sys.argv[1]), b'half')"
    )
    assert subprocess.run([sys.executable, "-c", script, path]).returncode == 9
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    write_whole(path, b"whole")
    assert list(tmp_path.iterdir()) == [path]


def test_json_takes_numpy_values_and_integer_keys():
    content = {200: np.float32(0.5), "codes": np.arange(3)}
    assert orjson.dumps(content, option=JSON_OPTIONS) == b'{"200":0.5,"codes":[0,1,2]}'


@pytest.mark.parametrize("content", [None, b"{", b'{"a": "text"}'])
def test_json_that_cannot_be_read_says_where_and_what_to_do(tmp_path, content):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{path} cannot be read \(.+\); write it again"):
        read_json(path, dict[str, int], remedy="write it again", error=ConfigError)
    path.write_bytes(b'{"a": 3}')
    assert read_json(path, dict[str, int], remedy="") == {"a": 3}


def test_a_folder_is_there_when_all_of_it_is(tmp_path):
    folder = tmp_path / "new" / "folder"
    with whole_folder(folder) as partial:
        (partial / "file").write_bytes(b"one")
        assert not folder.exists()
    assert [*folder.iterdir()] == [folder / "file"]
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "other") as partial:
        (partial / "file").write_bytes(b"%d" % (1 // 0))
    assert [*tmp_path.iterdir()] == [tmp_path / "new"]
    assert [*folder.parent.iterdir()] == [folder]


def test_one_process_writes_a_folder(tmp_path):
    """The second is refused while the first lives; what a killed one left is replaced."""
    script = (
        "import sys; from pathlib import Path; from sketchjax.files import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as partial:\n"
        "    (partial / 'old').touch(); print('writing', flush=True); sys.stdin.read()"
    )
    folder = tmp_path / "folder"
    process = subprocess.Popen(
        [sys.executable, "-c", script, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        with pytest.raises(InUseError, match="in use by another process"), whole_folder(folder):
            raise AssertionError
        assert (tmp_path / ".folder.part" / "old").exists()
    finally:
        process.kill()
        process.communicate()
    with whole_folder(folder) as partial:
        (partial / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [*tmp_path.iterdir()] == [folder]


def test_a_lock_has_one_holder_however_many_try(tmp_path):
    """Its file is removed and made again all the time."""
    held, most, times, end = 0, 0, 0, threading.Event()

    def work():
        nonlocal held, most, times
        while not end.is_set():
            try:
                with sole_writer(tmp_path / "folder"):
                    held += 1
                    most, times = max(most, held), times + 1
                    held -= 1
            except InUseError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    end.wait(1)
    end.set()
    for thread in threads:
        thread.join()
    assert (most, held) == (1, 0)
    assert times > 10


def test_only_an_empty_folder_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path / "empty" / "inner")
    for name in (".", "..", "../../empty", "../../file"):
        with pytest.raises(DataError, match="exists already"), whole_folder(Path(name)):
            raise AssertionError
    monkeypatch.chdir(tmp_path)
    with whole_folder(Path("empty/inner")) as partial:
        (partial / "file").touch()
    assert [*(tmp_path / "empty" / "inner").iterdir()] == [tmp_path / "empty/inner/file"]


def test_a_file_keeps_its_mode_and_its_links(tmp_path):
    """Written through two links, one of which leads to another folder."""
    (tmp_path / "there").mkdir()
    path, link = tmp_path / "there" / "file", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o600)
    link.symlink_to("there/file")
    (tmp_path / "second").symlink_to(link)
    write_whole(tmp_path / "second", b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert link.is_symlink()
    assert (tmp_path / "second").is_symlink()
    assert [each.name for each in path.parent.iterdir()] == ["file"]
