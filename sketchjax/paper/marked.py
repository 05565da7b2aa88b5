"""Tables on the terminal, and in Markdown documents between marks that they have for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from sketchjax.errors import ConfigError, on_disk
from sketchjax.files import write_whole
from sketchjax.run.output import console

_SPECIAL = {ord(character): f"\\{character}" for character in "\\`*_[]|<#"}


def marks(name: str) -> tuple[str, str]:
    """What a document has around the place of a table."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def plain(text: str) -> str:
    """Text on one line, with Markdown's special characters escaped."""
    return " ".join(text.split()).translate(_SPECIAL)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain text in Markdown."""
    first, *others = ([plain(cell) for cell in line] for line in (columns, *rows))
    lines = [first, ["---"] * len(columns), *others]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_marked(path: Path, name: str, text: str, *, title: str) -> None:
    """Write text between the marks that a Markdown file has for it; the rest stays as it is.

    Where there is no file yet, it gets a title and the marks.

    name: of the marks.
    title: of a new document.
    Raises ConfigError when the file exists and is not text with one such pair of marks; DiskError.
    """
    begin, end = marks(name)
    own = f"{begin}\n\n{text}\n\n{end}"
    with on_disk(f"{path} cannot be written"):
        if not path.exists():
            write_whole(path, f"# {plain(title)}\n\n{own}\n".encode())
            return
        content = path.read_bytes()
        try:
            before = content.decode()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is not text in UTF-8 ({error}); name another file") from None
        start, stop = before.find(begin), before.find(end)
        if [before.count(mark) for mark in (begin, end)] != [1, 1] or stop < start:
            raise ConfigError(
                f"{path} has no single place for the table; give it {begin} and then {end}, each "
                "once, or name a file that does not exist"
            )
        if "\r\n" in before:
            own = own.replace("\n", "\r\n")
        write_whole(path, (before[:start] + own + before[stop + len(end) :]).encode())
