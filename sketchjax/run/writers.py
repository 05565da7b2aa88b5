"""The files that a run leaves: metrics.jsonl, TensorBoard events and results.json.

Only process 0 writes, and that is known here: the loop calls `Writers` in every process.
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
from sketchjax.files import write_whole

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
JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def write_results(workdir: str | Path, results: Mapping[str, Any]) -> Path:
    """Write WORKDIR/results.json whole or not at all, the contract's keys first and in its order.

    results: has every key of RESULT_KEYS; others follow in the order given. Numpy values are
    welcome; NaN and infinity become null, as JSON has neither.
    Raises ValueError when a key of the contract is missing.
    """
    missing = [key for key in RESULT_KEYS if key not in results]
    if missing:
        raise ValueError(f"results.json lacks {', '.join(missing)}; the contract asks for them")
    ordered = {key: results[key] for key in RESULT_KEYS} | dict(results)
    path = Path(workdir) / "results.json"
    content = orjson.dumps(ordered, option=JSON_OPTIONS | orjson.OPT_INDENT_2)
    write_whole(path, content + b"\n")
    return path


def read_results(workdir: str | Path) -> dict[str, Any] | None:
    """The object in WORKDIR/results.json, or None when the run has not come to its end.

    Raises DataError when the file is there but is no JSON object.
    """
    path = Path(workdir) / "results.json"
    try:
        results = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as error:
        raise DataError(
            f"{path} is not JSON ({error}); remove it and run again to write it anew"
        ) from error
    if not isinstance(results, dict):
        raise DataError(f"{path} holds no JSON object; remove it and run again to write it anew")
    return results


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
    """The lines of WORKDIR/metrics.jsonl in order; none when there is no file.

    A last line without its newline was cut by a kill and is left out.
    Raises DataError when a whole line is no JSON object with a step.
    """
    path = Path(workdir) / "metrics.jsonl"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    # split() leaves what follows the last newline as its last part: nothing, or half a line.
    return [_parse(path, number, line) for number, line in enumerate(content.split(b"\n")[:-1], 1)]


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}: not JSON ({error}); remove the line") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("step"), int):
        raise DataError(f"{path}, line {number}: no object with a step; remove the line")
    return entry


class Writers:
    """Appends what a run measures to WORKDIR/metrics.jsonl and to TensorBoard's event files.

    `step` counts the training steps of the whole run and never falls: stage 2 goes on where
    stage 1 ended. A line stands for one (stage, step, names of values); the same one again, as
    when a run is stopped after a stage's validation but before its checkpoint, is left out.

    active: false in every process but 0, where each method does nothing.
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
        """Append one line {"stage", "step", **values}, and each number as scalar STAGE/NAME.

        step: training steps since the run began; values: numbers or strings.
        Raises ValueError when step is lower than the last one written.
        """
        if not self.active:
            return
        if self._file is None:
            raise ValueError("these writers are closed")
        if step < self._last_step:
            raise ValueError(
                f"step {step} of stage {stage} comes after step {self._last_step}; "
                "a resumed run calls truncate_after with the step that it restored"
            )
        entry = {"stage": stage, "step": int(step)} | {k: _plain(v) for k, v in values.items()}
        if _identity(entry) in self._written:
            return
        # One write call of a whole line on an unbuffered file: a kill leaves it there or not.
        line = orjson.dumps(entry) + b"\n"
        if self._file.write(line) != len(line):
            raise OSError(f"{self.path}: the line of step {step} did not fit; is the disk full?")
        self._written.add(_identity(entry))
        self._last_step = int(step)
        self._write_events(entry)

    def truncate_after(self, step: int) -> None:
        """Drop every line beyond `step`, the step that a resumed run restored (-1: all lines).

        TensorBoard is told to drop them as well.
        """
        if not self.active:
            return
        self.close()
        self._purge_step = step + 1
        self._open([entry for entry in read_metrics(self.workdir) if entry["step"] <= step])

    def flush(self) -> None:
        """Bring everything to the disk; call it before a checkpoint that counts on these lines."""
        if self._file is not None:
            os.fsync(self._file.fileno())
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Flush and close both; more than once is harmless."""
        self.flush()
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            self._events.close()
        self._file = self._events = None

    def _open(self, entries: list[dict[str, Any]]) -> None:
        """Make the file hold these entries and no half line, then append to it."""
        content = b"".join(orjson.dumps(entry) + b"\n" for entry in entries)
        if not self.path.exists() or self.path.read_bytes() != content:
            write_whole(self.path, content)
        self._written = {_identity(entry) for entry in entries}
        self._last_step = max((entry["step"] for entry in entries), default=-1)
        self._file = self.path.open("ab", buffering=0)

    def _write_events(self, entry: Mapping[str, Any]) -> None:
        if self._events is None:
            # purge_step makes TensorBoard forget what an interrupted run wrote beyond it.
            self._events = SummaryWriter(
                str(self.workdir / "tensorboard"), purge_step=self._purge_step
            )
        for name, value in entry.items():
            if name not in ("stage", "step", "stage_step") and isinstance(value, int | float):
                self._events.add_scalar(f"{entry['stage']}/{name}", value, entry["step"])


def _plain(value: Any) -> int | float | str | None:
    """A Python number or string from a scalar of Python, numpy or jax."""
    # numpy's float64 is a float that orjson refuses: item() comes first.
    return value.item() if hasattr(value, "item") else value


def _identity(entry: Mapping[str, Any]) -> tuple:
    return (entry.get("stage"), entry["step"], tuple(sorted(entry)))
