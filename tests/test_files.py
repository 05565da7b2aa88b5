"""Files that are whole or not there."""

import os

from sketchjax.files import write_whole


def test_the_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("fsync"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    write_whole(tmp_path / "sub" / "file", b"content")
    assert calls == ["fsync", "replace", "fsync"]
    assert (tmp_path / "sub" / "file").read_bytes() == b"content"
