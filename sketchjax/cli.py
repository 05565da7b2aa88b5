"""The `sketchjax` command: everything but training, which is `python -m sketchjax.main`."""

from __future__ import annotations

import sys
import traceback

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
        drain(sys.stdout)
        if isinstance(error, BrokenPipeError):  # the reader has seen enough
            sys.exit(1)
        raise DiskError.of("stdout cannot be written", error) from error


if __name__ == "__main__":
    main()
