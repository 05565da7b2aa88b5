"""Text between the marks of a Markdown document; all else stays as it is."""

import os

import pytest

from sketchjax.errors import ConfigError, DiskError
from sketchjax.paper.marked import markdown_table, marks, write_marked

BEGIN, END = marks("scores")


def write(path) -> None:
    write_marked(path, "scores", "new", title="Scores *today*")


def test_a_new_document_can_be_written_again(tmp_path):
    path = tmp_path / "page.md"
    for _ in range(2):
        write(path)
        assert path.read_text() == f"# Scores \\*today\\*\n\n{BEGIN}\n\nnew\n\n{END}\n"


@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_the_rest_of_a_document_stays_byte_by_byte(tmp_path, line):
    path = tmp_path / "page.md"
    lines = ["\ufeffé before", BEGIN, "old", END, "after ", ""]
    path.write_bytes(line.join(lines).encode())
    write(path)
    lines[2:3] = ["", "new", ""]
    assert path.read_bytes() == line.join(lines).encode()


@pytest.mark.parametrize(
    "text", ["", "mine", f"{BEGIN} {BEGIN} {END}", f"{END} {BEGIN}", f"{BEGIN} {END} {END}", BEGIN]
)
def test_without_a_single_place_nothing_is_written(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(ConfigError, match="no single place"):
        write(path)
    assert path.read_text() == text


def test_a_link_and_a_mode_remain(tmp_path):
    path, link = tmp_path / "page.md", tmp_path / "link.md"
    path.write_text(f"{BEGIN}{END}")
    path.chmod(0o640)
    link.symlink_to("page.md")
    write(link)
    assert os.readlink(link) == "page.md"
    assert "new" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "page.md"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        write(path)
    with pytest.raises(DiskError, match="cannot be written"):
        write(tmp_path)
    with pytest.raises(DiskError, match="cannot be written"):
        write(path / "below.md")


def test_cells_are_plain_text():
    table = markdown_table(["a", "b"], [["b | pipe *x* <i>", "0.5 ± 0.1"]])
    assert table.splitlines()[2] == r"| b \| pipe \*x\* \<i> | 0.5 ± 0.1 |"
