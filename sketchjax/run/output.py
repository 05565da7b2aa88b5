"""Where a run prints: a console that no terminal, log file or reader can break."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import IO, TextIO, cast

from rich.console import Console


def console(stream: TextIO | None = None) -> Console:
    """A rich console that prints through an `Output`, without wrapping lines at 80 columns.

    stream: where to print; by default what sys.stdout is now.
    """
    output = Output(sys.stdout if stream is None else stream)
    return Console(file=cast(IO[str], output), soft_wrap=True, highlight=False, emoji=False)


class Output:
    """A text stream that escapes what its target cannot encode and outlives its target.

    Characters that the target's encoding lacks are printed as backslash escapes, as Python does on
    stderr. When the target refuses a write (the reader of a pipe has gone, the terminal is lost,
    the disk is full), one line on stderr says so and everything after it is dropped. All figures
    are in files in any case, so a lost log is no reason to end hours of training.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream

    @property
    def encoding(self) -> str:
        """The target's encoding; utf-8 where it names none."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Print text, or drop it once the target is gone; returns its length either way."""
        if self._stream is not None:
            encoding = self.encoding
            try:
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Bring what was printed to the target; a pipe without a reader shows here first."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def isatty(self) -> bool:
        """Whether the target is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """The target's file descriptor. Raises OSError once the target is gone."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def _give_up(self, error: OSError) -> None:
        lost, self._stream = self._stream, None
        drain(lost)
        reason = error.strerror or type(error).__name__
        line = f"stdout cannot be written ({reason}); continuing without it: all results are files"
        try:
            print(line, file=sys.stderr, flush=True)
        except OSError:  # both went into the same pipe
            drain(sys.stderr)


def drain(stream: TextIO | None) -> None:
    """Send to nowhere what a stream still holds and what others print to it.

    Otherwise Python fails once more when it flushes the stream at exit, and exits with code 120.
    """
    with suppress(OSError, ValueError, AttributeError):  # not a file, or closed, or None
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, cast(TextIO, stream).fileno())
        finally:
            os.close(nowhere)
