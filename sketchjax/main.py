"""Train, evaluate and report: python -m sketchjax.main --config FILE[:ARG] --workdir DIR.

FILE is the config of one run, or of a study: a set of runs that share what can be shared, and one
report over all of them. Rerun with the same flags, it resumes where it stopped; when it is done, it
prints the result. Any field of the config can be given as --config.SECTION.FIELD=VALUE; a list of
names is given with commas, as in --config.data.categories=cat,clock.
"""

import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from sketchjax.cluster import Peers, find_peers
from sketchjax.config import validate
from sketchjax.errors import ConfigError, SketchjaxError, on_disk
from sketchjax.fields import home_path
from sketchjax.memory import collect_seldom
from sketchjax.paper.studies import (
    is_study,
    run_study,
    study_literal,
    validate_study,
    wrong_study_text,
)
from sketchjax.stopping import stop_on_signals

# jax is imported when the flags are right: a wrong one is answered without delay, and the processes
# that read data ahead import this module without it.

_CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment's config file.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints, results and report.")
# Under SLURM and Kubernetes the next three are found in the environment.
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0, where several processes train together."
)
_PROCESSES = flags.DEFINE_integer("processes", None, "How many train together.", lower_bound=1)
_PROCESS = flags.DEFINE_integer("process", None, "Which of them this one is.", lower_bound=0)
# How a study is started in one process, by what asked for several.
_IN_ONE = {
    "flags": "leave out --processes",
    "the environment": "leave out JAX_NUM_PROCESSES",
    "SLURM": "start one task, with srun --ntasks=1",
}
_DEBUG = "--debug"
_FIELD = re.compile(r"--?(no)?config\.([^=]*)(?:=(.*))?", re.DOTALL)
flags.DEFINE_bool("debug", False, "Show the traceback of every error.")


class _Number(flags.IntegerParser):
    """Reads the text of a field in which the config has a whole number.

    A fraction is one as well: `validate` knows which fields take whole numbers only.
    """

    def convert(self, argument: Any) -> Any:
        try:
            return super().convert(argument)
        except ValueError:
            return float(argument)


config_flags.register_flag_parser(parser=_Number())(int)


class _ConfigFile(flags.ArgumentParser):
    """Reads FILE[:ARG] as ml_collections does; FILE may have colons of its own."""

    def __init__(self, usual: flags.ArgumentParser):
        super().__init__()
        self._usual = usual

    def parse(self, argument: str) -> Any:
        file, own = _split_file(argument)
        if ":" not in file:
            return self._usual.parse(argument)
        spec = importlib.util.spec_from_file_location("config", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.get_config(*own)


flags.FLAGS["config"].parser = _ConfigFile(flags.FLAGS["config"].parser)


def _split_file(text: str) -> tuple[str, list[str]]:
    """The file that FILE[:ARG] names, and its argument, if any: FILE is the first part that exists.

    Where none does, it ends at the first colon.
    """
    parts = text.split(":")
    ends = [end for end in range(1, len(parts) + 1) if Path(":".join(parts[:end])).is_file()]
    end = ends[0] if ends else 1
    return ":".join(parts[:end]), [":".join(parts[end:])] if parts[end:] else []


def main() -> None:
    """Entry point; exits with the code of the error's kind."""
    collect_seldom()
    app.run(_run, flags_parser=_parse)


def _parse(arguments: list[str]) -> list[str]:
    """Read the flags and the config file; whatever is wrong with them exits as a bad config."""
    right, problems = _sift(arguments)
    # The config's flag looks for fields here, not in what it is given.
    sys.argv[:] = right
    rest: list[str] = []
    try:
        rest = _read_flags(right)
        if is_study(_CONFIG.value):
            validate_study(_CONFIG.value)
            if peers := _peers():
                raise ConfigError(
                    f"a study runs in one process, and {peers.total} are asked for by "
                    f"{peers.origin}; {_IN_ONE[peers.origin]}"
                )
        else:
            validate(_CONFIG.value)
    except ConfigError as error:
        problems += error.problems
    except (Exception, SystemExit) as error:
        # A config file is a program: it may raise anything.
        if isinstance(error, SystemExit) and not _place(error):
            raise  # of --help
        problems.append(_cause(error))
        _show_traceback()
    if problems:
        _fail(ConfigError(problems))
    return rest


def _read_flags(arguments: list[str]) -> list[str]:
    rest = flags.FLAGS(arguments)
    if rest[1:]:
        raise ConfigError(f"{rest[1]!r} is no flag; give fields as --config.SECTION.FIELD=1")
    for flag in (_CONFIG, _WORKDIR):
        if not flag.present or flag.value == "":
            raise ConfigError(f"--{flag.name} is missing; give --config FILE --workdir DIR")
    _peers()
    file = Path(_config_file())
    if not file.is_file():
        raise ConfigError(f"--config: there is no file {file}")
    return rest


def _sift(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The arguments without invalid fields, and one line for each of those.

    Fields that hold several values come back as ml_collections reads them.
    """
    right, problems = [], []
    remaining = iter(arguments)
    for argument in remaining:
        if argument.startswith("--config=~"):  # which the shell leaves as it is
            right.append("--config=" + os.path.expanduser(argument.removeprefix("--config=")))
            continue
        match = _FIELD.fullmatch(argument)
        if match is None:
            right.append(argument)
            continue
        negated, path, text = match.groups()
        parts = [argument]
        if text is None and not negated and not _is_switch(path):
            parts.append(text := next(remaining, ""))
        problem = wrong_study_text(path, "true" if text is None else text)
        if problem:
            problems.append(problem)
        elif text is not None and (literal := study_literal(path, text)) != text:
            right.append(f"--config.{path}={literal}")
        else:
            right += parts
    return right, problems


def _is_switch(path: str) -> bool:
    """Whether a field takes True or False, so that its flag may have no value."""
    return wrong_study_text(path, "true") is None and wrong_study_text(path, "?") is not None


def _peers() -> Peers | None:
    """The processes that train together; None for one by itself."""
    return find_peers(os.environ, _COORDINATOR.value, _PROCESSES.value, _PROCESS.value)


def _config_file() -> str:
    return _split_file(config_flags.get_config_filename(flags.FLAGS["config"]))[0]


def _cause(error: BaseException) -> str:
    """Why the flags or the config file could not be read, in one line."""
    if isinstance(error, flags.Error) and "Traceback" not in str(error):
        return " ".join(str(error).split())
    place = _place(error)
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
        place = _place(error) or place
    # Of a flag, unless the config file looks for a field by itself.
    for argument in sys.argv[1:] if isinstance(error, KeyError) and not place else ():
        field = argument.split("=")[0]
        names = field.split(".")[1:]
        if error.args[0] in names:
            named = ".".join(names[: names.index(error.args[0]) + 1])
            return (
                f"{field} names no field of the config, which has no {named}; correct the name, or "
                "give it in the config file"
            )
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"the config file cannot be loaded: {what}{place}"


def _place(error: BaseException) -> str:
    """Where in a config file an error came up: its line and that line's text."""
    files = [os.path.abspath(_split_file(text.split("=")[-1])[0]) for text in sys.argv[1:]]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if os.path.abspath(frame.filename) in files:
            return f" ({Path(frame.filename).name}, line {frame.lineno}: {frame.line})"
    return ""


def _run(_: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    # What a terminal cannot show is escaped: names of categories may be of any script.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by the shell, as in `>&-`
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    peers = _peers()
    try:
        with _joined(peers) if peers else nullcontext():
            _train(summary=not (peers and peers.own))
    except SketchjaxError as error:
        _fail(error)


@contextmanager
def _joined(peers: Peers) -> Iterator[None]:
    """Train together with other processes, and end together with them."""
    from sketchjax.joining import join
    from sketchjax.together import one_ending

    # Before our handlers of signals: jax sets its own, which stops this process only.
    join(peers)
    with one_ending(_show):
        yield


def _train(*, summary: bool) -> None:
    """Train what the flags ask for. summary: whether to print the result."""
    should_stop = stop_on_signals()
    from sketchjax.paper.reference import reference
    from sketchjax.run import experiment
    from sketchjax.run.compilation import keep_compiled
    from sketchjax.run.summary import print_summary

    keep_compiled()
    with on_disk("the run cannot continue"):
        if is_study(_CONFIG.value):
            sys.exit(run_study(_CONFIG.value, workdir(), should_stop))
        results = experiment.run(_CONFIG.value, workdir(), should_stop, reference)
    if summary:
        print_summary(results, workdir())


def workdir() -> Path:
    """The folder that --workdir names."""
    return home_path(str(_WORKDIR.value))


def _fail(error: SketchjaxError) -> NoReturn:
    """Report what went wrong and exit with the code of its kind."""
    _show(error)
    sys.exit(error.exit_code)


def _show(error: Exception) -> None:
    """Report an error: one that a user cannot fix with its traceback."""
    if isinstance(error, SketchjaxError):
        _show_traceback()
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)


def _show_traceback() -> None:
    # Not from the flag: reading the flags may be what went wrong.
    if _DEBUG in sys.argv and sys.exc_info()[1] is not None:
        traceback.print_exc()


if __name__ == "__main__":
    main()
