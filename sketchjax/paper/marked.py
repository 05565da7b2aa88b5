"""Tables on the terminal, and in Markdown documents between marks that they have for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from sketchjax.errors import ConfigError
from sketchjax.files import write_whole
from sketchjax.run.output import console


def marks(name: str) -> tuple[str, str]:
    """What a document has around the place of a table."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_marked(path: Path, name: str, text: str, *, title: str) -> None:
    """Write text to a Markdown file: between the marks of its name, or as a whole document.

    title: of the document where there is none yet.
    Raises ConfigError when the file exists and has no such marks.
    """
    begin, end = marks(name)
    if not path.exists():
        write_whole(path, f"# {title}\n\n{text}\n".encode())
        return
    before = path.read_text()
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not found.search(before):
        raise ConfigError(f"{path} has no place for the table; give it {begin} and {end}")
    after = found.sub(lambda _: f"{begin}\n\n{text}\n\n{end}", before)
    write_whole(path, after.encode())
