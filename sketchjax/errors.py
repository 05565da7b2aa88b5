"""The errors a user can meet, each with its exit code.

Every message says what was wrong, where, and what to do. `main` and `cli` print only the message
and exit with the code; `--debug` shows the traceback.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class SketchjaxError(Exception):
    """Base class of the errors a user can fix; never raised itself."""

    exit_code = 1


class ConfigError(SketchjaxError):
    """A config that cannot run. problems: one line per field that is wrong."""

    exit_code = 64

    def __init__(self, problems: str | list[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        count = len(self.problems)
        heading = "The config cannot run" + (f", {count} problems:" if count > 1 else ":")
        super().__init__("\n".join([heading, *(f"  - {problem}" for problem in self.problems)]))


class DataError(SketchjaxError):
    """Input data that cannot be read or used."""

    exit_code = 65


class BrokenIndexError(DataError):
    """An index that is damaged, or whose database refuses: no other input would help."""


class CheckpointError(SketchjaxError):
    """No valid checkpoint to resume from."""

    exit_code = 66


class UnavailableError(SketchjaxError):
    """A server that does not answer, or a device that jax does not find."""

    exit_code = 69


class NotFiniteError(SketchjaxError):
    """A loss, parameter or feature became NaN or infinite.

    records: i64[b], the training sketches of the batch where it happened; None if unknown.
    """

    exit_code = 70
    records = None


class DiskError(SketchjaxError):
    """A disk that is full, read-only or failing, or a folder that disappeared during a run."""

    exit_code = 74

    @classmethod
    def of(cls, what: str, error: OSError) -> "DiskError":
        """The error for an OSError: what could not be done, why, and how to fix it.

        what: the beginning of a sentence, such as "The report cannot be written".
        """
        where = f": {error.filename}" if error.filename else ""
        reason = error.strerror or str(error) or type(error).__name__
        return cls(f"{what} ({reason}{where}); {_remedy(error)}, then rerun the same command")


class MovedError(DiskError):
    """A folder that was moved, deleted or replaced while it was open for writing."""


class DoubtfulError(DiskError):
    """A change that could not be completed, and may have been made all the same."""


@contextmanager
def on_disk(what: str) -> Iterator[None]:
    """Raise DiskError for an OSError. what: as in `DiskError.of`."""
    try:
        yield
    except OSError as error:
        raise DiskError.of(what, error) from error


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "free some space"
        case errno.EFBIG:
            return "allow larger files (ulimit -f)"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return "make it writable"
        case errno.ENOENT | errno.ESTALE:
            return "check what removed it"
        case errno.ENOTDIR | errno.EEXIST | errno.EISDIR:
            return "check what is in its place"
        case errno.ENOLCK | errno.ENOSYS | errno.EOPNOTSUPP:
            return "use a file system that has locks (Lustre has them when mounted with -o flock)"
        case errno.EMFILE | errno.ENFILE:
            return "allow more open files (ulimit -n)"
        case _:
            return "check the disk"


class Stopped(SketchjaxError):
    """A signal stopped the run, which saved its state; rerun the same command to resume."""

    exit_code = 75


class InUseError(SketchjaxError):
    """Something that another process holds; try again when it has finished."""

    exit_code = 75
