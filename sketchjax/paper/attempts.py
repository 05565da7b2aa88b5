"""The parts of a study, tried one after another: a failure concerns its own row only."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from sketchjax.errors import DiskError, SketchjaxError, Stopped
from sketchjax.files import write_whole
from sketchjax.run.output import console

FAILED = "failed.json"


@dataclass(kw_only=True)
class Attempts:
    """What failed so far.

    failures: what went wrong, by the name of the run or measurement.
    exit_code: of the first failure; 0 if there is none.
    out: where it prints.
    """

    failures: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0
    out: Console = field(default_factory=console)

    def attempt(
        self, name: str, folder: Path, needs: tuple[str, ...], work: Callable[[], Any]
    ) -> None:
        """Do one part; a failure is kept for its row and does not stop the other parts.

        name: of the run or measurement.
        folder: gets the traceback of a failure.
        needs: the runs that it starts from.
        work: what to do.
        Raises Stopped and DiskError, which concern all parts.
        """
        if lacking := [other for other in needs if other in self.failures]:
            self.failures[name] = f"starts from {', '.join(lacking)}, which failed"
            self.out.print(f"{name} {self.failures[name]}", markup=False)
            return
        try:
            work()
        except (Stopped, DiskError):
            raise
        except Exception as error:
            self.fail(name, error)
            content = {"what": self.failures[name], "traceback": traceback.format_exc()}
            write_whole(folder / FAILED, json.dumps(content, indent=1).encode())
        else:
            (folder / FAILED).unlink(missing_ok=True)
        finally:
            # The compiled programs of one run serve no other: thirty would keep gigabytes of them.
            jax.clear_caches()

    def fail(self, name: str, error: Exception) -> None:
        """Keep what went wrong with one part, and print it."""
        known = isinstance(error, SketchjaxError)
        self.failures[name] = str(error) if known else f"{type(error).__name__}: {error}"
        self.exit_code = self.exit_code or getattr(error, "exit_code", 70)
        self.out.print(f"{name} failed: {self.failures[name]}", markup=False)
