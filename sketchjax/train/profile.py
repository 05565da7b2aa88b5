"""A trace of some steps by jax's profiler, for TensorBoard or Perfetto."""

from pathlib import Path

import jax


class Profile:
    """Traces the dispatches that contain steps first to end - 1 of the run.

    steps: `FIRST:END`; empty for none.
    folder: where the trace goes.
    before: steps of the stages before this one.

    A dispatch is traced whole or not at all, as it is one call of the device.
    """

    def __init__(self, steps: str, folder: Path, before: int = 0):
        self._folder, self._before, self._tracing = folder, before, False
        first, _, end = steps.partition(":")
        self._first, self._end = (int(first), int(end)) if steps else (0, 0)

    def starts(self, first: int, end: int) -> None:
        """A dispatch of the stage's steps first to end - 1 is about to start."""
        first, end = self._before + first, self._before + end
        wanted = max(first, self._first) < min(end, self._end)
        if wanted and not self._tracing:
            jax.profiler.start_trace(str(self._folder))
            self._tracing = True

    def ended(self, end: int) -> None:
        """The dispatch before step `end` has ended."""
        if self._tracing and self._before + end >= self._end:
            self.close()

    def close(self) -> None:
        """End a trace in progress; the stage or the run is over."""
        if self._tracing:
            jax.profiler.stop_trace()
            self._tracing = False
