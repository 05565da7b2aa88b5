"""Files that are complete or absent."""

import os
import subprocess
import sys

import numpy as np
import orjson
import pytest

from sketchjax.errors import ConfigError
from sketchjax.files import JSON_OPTIONS, read_json, write_whole


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
