"""The `sketchjax` command: everything but training, which is `python -m sketchjax.main`."""

from __future__ import annotations

import errno
import os
import stat
import sys
import traceback
from typing import TextIO, cast

from sketchjax.commands import files, index, runs, search, serve
from sketchjax.commands.program import app
from sketchjax.errors import ConfigError, DiskError, SketchjaxError
from sketchjax.memory import collect_seldom
from sketchjax.run.output import drain

__all__ = ["app", "files", "index", "main", "runs", "search", "serve"]


_USAGE = 2  # typer's code for a wrong command line; no command of ours exits with it


def main() -> None:
    """Run the command line; exits with the code of the error's kind, see `errors`."""
    collect_seldom()
    debug = "--debug" in sys.argv
    # What a terminal cannot show is escaped: names of categories may be of any script.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by the shell, as in `>&-`
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    # It may be anywhere: `sketchjax convert --debug …` like `sketchjax --debug convert …`.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        _run(arguments)
    except SketchjaxError as error:
        if debug:
            traceback.print_exc()
        else:
            for line in error.problems if isinstance(error, ConfigError) else [error]:
                print(f"sketchjax: {line}", file=sys.stderr)
        sys.exit(error.exit_code)


def _run(arguments: list[str]) -> None:
    """Run a command; one whose answer stdout does not take raises DiskError.

    A command line that typer refuses, with its usage and the reason, exits as our own ConfigError.
    """
    try:
        try:
            app(arguments, prog_name="sketchjax")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # at exit Python would only say that it failed
    except SystemExit as end:
        sys.exit(ConfigError.exit_code if end.code == _USAGE else end.code)
    except OSError as error:
        if error.filename is not None:  # not of a stream
            raise
        may_be_full = _is_on_disk(sys.stdout)
        drain(sys.stdout)
        if isinstance(error, BrokenPipeError):  # the reader has seen enough
            sys.exit(1)
        by_a_disk = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
        what = "stdout" if may_be_full or not by_a_disk else "a file"
        raise DiskError.of(f"{what} cannot be written", error) from error


def _is_on_disk(stream: TextIO | None) -> bool:
    """Whether a disk may be too full for a stream, as for no terminal, pipe and null device."""
    try:
        number = cast(TextIO, stream).fileno()
        found, null = os.fstat(number), os.stat(os.devnull)
    except (AttributeError, OSError, ValueError):  # it is none, or closed
        return False
    pipe = stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode)
    return not (pipe or os.isatty(number) or os.path.samestat(found, null))


if __name__ == "__main__":
    main()
