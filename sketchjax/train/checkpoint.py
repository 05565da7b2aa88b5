"""Checkpoints through orbax: the state, the feed's position and the progress, as one."""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from sketchjax.errors import CheckpointError


class Checkpoints:
    """The folder of a run's checkpoints; a checkpoint's number is the run's step.

    Saving is asynchronous: the step goes on while orbax writes, and a checkpoint counts only
    when it is whole.
    """

    def __init__(self, folder: Path, *, keep: int):
        self._manager = ocp.CheckpointManager(
            folder.resolve(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, create=True, enable_async_checkpointing=True
            ),
        )

    def latest(self) -> tuple[int, dict[str, Any]] | None:
        """Number and progress of the newest checkpoint; None where there is none."""
        self._manager.wait_until_finished()
        step = self._manager.latest_step()
        if step is None:
            return None
        restored = self._manager.restore(step, args=ocp.args.Composite(progress=_READ_JSON))
        return step, restored["progress"]

    def restore(self, step: int, like: Any) -> Any:
        """The state of checkpoint `step`, in the structure, shapes and types of `like`.

        Raises CheckpointError when it holds another structure.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        try:
            return self._manager.restore(step, args=args)["state"]
        except (ValueError, KeyError, FileNotFoundError) as error:
            raise CheckpointError(
                f"checkpoint {step} in {self._manager.directory} does not fit this config's "
                f"model: {error}; use another --workdir, or the config that it was made with"
            ) from error

    def save(self, step: int, state: Any, progress: dict[str, Any]) -> None:
        """Start saving; returns as soon as the state is copied."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress)
            ),
            force=True,
        )

    def close(self) -> None:
        """Wait until what was started is whole."""
        self._manager.wait_until_finished()
        self._manager.close()


_READ_JSON = ocp.args.JsonRestore()
