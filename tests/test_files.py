"""Files that are whole or not there."""

import os
import subprocess
import sys

from sketchjax.files import write_whole


def test_the_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("fsync"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    write_whole(tmp_path / "sub" / "file", b"content")
    assert calls == ["fsync", "replace", "fsync"]
    assert (tmp_path / "sub" / "file").read_bytes() == b"content"


def test_what_a_kill_left_of_a_file_goes_with_the_next_write(tmp_path):
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
