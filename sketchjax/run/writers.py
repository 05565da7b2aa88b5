"""The files that a run leaves: metrics.jsonl, TensorBoard events and results.json.

Only process 0 writes. That is decided here: the loop calls `Writers` in every process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from tensorboardX import SummaryWriter

from sketchjax.errors import DataError
from sketchjax.files import JSON_OPTIONS, write_whole

RESULT_KEYS = (
    "map",
    "map_best",
    "map_worst",
    "map_stable",
    "precision_at_200",
    "accuracy",
    "bits",
    "classes",
    "train",
    "gallery",
    "queries",
    "seconds_total",
    "sketches_per_second",
    "config",
    "versions",
    "device",
)


def write_results(workdir: str | Path, results: Mapping[str, Any]) -> Path:
    """Write WORKDIR/results.json whole or not at all.

    results: every key of RESULT_KEYS, which come first and in that order, then any others in the
      order given. Values may be numpy's; NaN and infinity become null, as JSON has neither.
    Raises ValueError when a key of RESULT_KEYS is missing.
    """
    missing = [key for key in RESULT_KEYS if key not in results]
    if missing:
        raise ValueError(f"results.json lacks {', '.join(missing)}; add them, None for no value")
    ordered = {key: results[key] for key in RESULT_KEYS} | dict(results)
    path = Path(workdir) / "results.json"
    content = orjson.dumps(ordered, option=JSON_OPTIONS | orjson.OPT_INDENT_2)
    write_whole(path, content + b"\n")
    return path


def read_results(workdir: str | Path) -> dict[str, Any] | None:
    """The object in WORKDIR/results.json, or None while the run has not finished.

    Raises DataError when the file exists but does not hold a JSON object.
    """
    path = Path(workdir) / "results.json"
    try:
        results = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as error:
        raise DataError(
            f"{path} is not JSON ({error}); delete it and rerun the same command to write it again"
        ) from error
    if not isinstance(results, dict):
        raise DataError(
            f"{path} is not a JSON object; delete it and rerun the same command to write it again"
        )
    return results


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
    """The lines of WORKDIR/metrics.jsonl in order; an empty list when there is no file.

    A last line without a newline was cut off by a kill and is skipped.
    Raises DataError when any other line is not a JSON object with a step.
    """
    path = Path(workdir) / "metrics.jsonl"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    # The last part of split() is whatever follows the last newline: nothing, or half a line.
    return [_parse(path, number, line) for number, line in enumerate(content.split(b"\n")[:-1], 1)]


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}: not JSON ({error}); delete the line") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("step"), int):
        raise DataError(f"{path}, line {number}: not an object with a step; delete the line")
    return entry


class Writers:
    """Appends what a run measures to WORKDIR/metrics.jsonl and to TensorBoard's event files.

    Steps are counted over the whole run and never decrease: stage 2 continues where stage 1 ended.
    A line is identified by its stage, its step and the names of its values. A second line with the
    same identity is dropped: a run that is stopped between a stage's validation and its checkpoint
    validates again when it resumes.

    workdir: the run's folder; created if it does not exist.
    active: False in every process but 0, where all methods do nothing.
    """

    def __init__(self, workdir: str | Path, *, active: bool = True):
        self.active = active
        self.workdir = Path(workdir)
        self.path = self.workdir / "metrics.jsonl"
        self._file = None
        self._events: SummaryWriter | None = None
        self._purge_step: int | None = None
        self._last_step = -1
        self._written: set[tuple] = set()
        if active:
            self.workdir.mkdir(parents=True, exist_ok=True)
            self._open(read_metrics(self.workdir))

    def __enter__(self) -> Writers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, step: int, values: Mapping[str, Any], stage: str) -> None:
        """Append the line {"stage", "step", **values}, and each number as the scalar STAGE/NAME.

        step: training steps since the beginning of the run.
        values: numbers, strings or None, by name.
        stage: the name of the current stage.
        Raises ValueError when step is lower than the last one written.
        """
        if not self.active:
            return
        if self._file is None:
            raise ValueError("these writers are closed")
        if step < self._last_step:
            raise ValueError(
                f"step {step} of stage {stage} comes after step {self._last_step}; "
                "a resumed run must call truncate_after with the step that it restored"
            )
        entry = {"stage": stage, "step": int(step)} | {k: _plain(v) for k, v in values.items()}
        if _identity(entry) in self._written:
            return
        # One unbuffered write of a whole line: after a kill, the line is there or it is not.
        line = orjson.dumps(entry) + b"\n"
        if self._file.write(line) != len(line):
            raise OSError(f"{self.path}: the line of step {step} was cut off; is the disk full?")
        self._written.add(_identity(entry))
        self._last_step = int(step)
        self._write_events(entry)

    def truncate_after(self, step: int) -> None:
        """Drop every line after `step`, the step that a resumed run restored (-1: all lines).

        TensorBoard's event files record that it should drop them too.
        """
        if not self.active:
            return
        self.close()
        self._purge_step = step + 1
        self._open([entry for entry in read_metrics(self.workdir) if entry["step"] <= step])

    def flush(self) -> None:
        """Flush everything to disk; called before a checkpoint that relies on these lines."""
        if self._file is not None:
            os.fsync(self._file.fileno())
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Flush and close all files. It may be called more than once."""
        self.flush()
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            self._events.close()
        self._file = self._events = None

    def _open(self, entries: list[dict[str, Any]]) -> None:
        """Make the file hold exactly these entries, without a half line, and open it to append."""
        content = b"".join(orjson.dumps(entry) + b"\n" for entry in entries)
        if not self.path.exists() or self.path.read_bytes() != content:
            write_whole(self.path, content)
        self._written = {_identity(entry) for entry in entries}
        self._last_step = max((entry["step"] for entry in entries), default=-1)
        self._file = self.path.open("ab", buffering=0)

    def _write_events(self, entry: Mapping[str, Any]) -> None:
        if self._events is None:
            # purge_step makes TensorBoard drop what an interrupted run wrote after that step.
            self._events = SummaryWriter(
                str(self.workdir / "tensorboard"), purge_step=self._purge_step
            )
        for name, value in entry.items():
            if name not in ("stage", "step", "stage_step") and isinstance(value, int | float):
                self._events.add_scalar(f"{entry['stage']}/{name}", value, entry["step"])


def _plain(value: Any) -> int | float | str | None:
    """A plain Python value from a scalar of Python, numpy or jax."""
    # numpy's float64 is a subclass of float, yet orjson refuses it: call item() first.
    return value.item() if hasattr(value, "item") else value


def _identity(entry: Mapping[str, Any]) -> tuple:
    return (entry.get("stage"), entry["step"], tuple(sorted(entry)))
