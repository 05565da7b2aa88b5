"""The errors that a user can meet, each with the exit code of its kind.

Every message says what was wrong, where, and what to do. `main` and `cli` print the message
alone and exit with the code; `--debug` shows the traceback.
"""


class SketchjaxError(Exception):
    """Base of all errors that are the user's to mend; never raised itself."""

    exit_code = 1


class ConfigError(SketchjaxError):
    """A config that cannot run. `problems`: one line for each field that is wrong."""

    exit_code = 64

    def __init__(self, problems: str | list[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        count = len(self.problems)
        heading = "The config cannot run" + (f", {count} problems:" if count > 1 else ":")
        super().__init__("\n".join([heading, *(f"  - {problem}" for problem in self.problems)]))


class DataError(SketchjaxError):
    """Input data that cannot be read or used."""

    exit_code = 65


class CheckpointError(SketchjaxError):
    """No valid checkpoint to go on from."""

    exit_code = 66


class NotFiniteError(SketchjaxError):
    """A loss, parameter or feature became NaN or infinite."""

    exit_code = 70


class Stopped(SketchjaxError):
    """The run was asked to stop by a signal and saved its state; run it again to go on."""

    exit_code = 75
