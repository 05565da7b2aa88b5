"""Train, evaluate and report: python -m sketchjax.main --config FILE[:ARG] --workdir DIR.

Run again with the same flags, it goes on where it was stopped; when it is done, it prints the
result. Any field of the config can be given as --config.SECTION.FIELD=VALUE.
"""

import hashlib
import os
import platform
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console

from sketchjax.errors import ConfigError, SketchjaxError

# jax is imported when the flags are right: an answer to a wrong one takes no seconds, and the
# processes that read data ahead import this module without it.

_CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment's config file.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints, results and report.")
_kept_open: list[socket.socket] = []  # a socket closes when nothing holds it
flags.DEFINE_bool("debug", False, "Show the traceback of every error.")


def main() -> None:
    """Entry point; exits with the code of the error's kind."""
    app.run(_run, flags_parser=_parse)


def _parse(arguments: list[str]) -> list[str]:
    """Read the flags and the config file; what is wrong with them exits as a bad config."""
    try:
        rest = flags.FLAGS(arguments)
        if rest[1:]:
            raise ConfigError(f"{rest[1]!r} is no flag; give fields as --config.SECTION.FIELD=1")
        for flag in (_CONFIG, _WORKDIR):
            if not flag.present:
                raise ConfigError(f"--{flag.name} is missing; give --config FILE --workdir DIR")
        file = Path(config_flags.get_config_filename(flags.FLAGS["config"]).split(":")[0])
        if not file.is_file():
            raise ConfigError(f"--config: there is no file {file}")
        return rest
    except Exception as error:
        # A config file is a program: it may raise anything.
        _fail(error if isinstance(error, SketchjaxError) else ConfigError(_cause(error)))


def _cause(error: BaseException) -> str:
    """In one line, why the flags or the config file could not be read."""
    if isinstance(error, flags.Error) and "Traceback" not in str(error):
        return str(error)
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    for argument in sys.argv[1:]:
        field = argument.split("=")[0]
        if isinstance(error, KeyError) and field.split(".")[-1] == error.args[0]:
            return f"{field} names no field of the config"
    return f"the config file cannot be loaded: {type(error).__name__}: {error}"


def _run(_: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    should_stop = stop_on_signals()
    from sketchjax import experiment

    keep_compiled()
    workdir = Path(str(_WORKDIR.value))
    try:
        results = experiment.run(_CONFIG.value, workdir, should_stop)
    except SketchjaxError as error:
        _fail(error)
    show(results, workdir)


def _fail(error: SketchjaxError) -> NoReturn:
    """Say what went wrong and exit with the code of its kind."""
    # Not from the flag: reading the flags may be what went wrong.
    if "--debug" in sys.argv:
        traceback.print_exc()
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def keep_compiled() -> None:
    """Keep what jax compiles, so that a run that goes on, or the next one, starts in seconds.

    It lies in the user's cache, unless JAX_COMPILATION_CACHE_DIR names another folder.
    """
    import jax

    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "sketchjax" / f"compiled-{_processor()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # It saves time, and nothing else.
    jax.config.update("jax_compilation_cache_dir", str(folder))


def _processor() -> str:
    """A name for this kind of processor: code compiled for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    kind = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return hashlib.sha256("\n".join([platform.machine(), *sorted(kind)]).encode()).hexdigest()[:12]


def stop_on_signals() -> Callable[[], bool]:
    """Ask for a stop on the first SIGTERM or SIGINT; the second one ends the process at once.

    Returns a function that tells whether a stop was asked for. Python calls handlers of signals
    between two of its instructions, and a dispatch may be one instruction of a minute; so a thread
    reads the signals from a socket, as they come.
    """
    asked = threading.Event()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def watch() -> None:
        number = ours.recv(1)[0]
        asked.set()
        name = signal.Signals(number).name
        print(f"{name}: stopping at the next safe place; once more ends at once", file=sys.stderr)
        os._exit(128 + ours.recv(1)[0])

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # a handler, or its signals would not be sent on
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="signals", daemon=True).start()
    _kept_open.append(theirs)
    return asked.is_set


def show(results: dict, workdir: Path) -> None:
    """Print the main figures and where the report is."""
    out = Console(soft_wrap=True, highlight=False)
    out.print(
        f"MAP {results['map']:.4f} (between {results['map_worst']:.4f} and "
        f"{results['map_best']:.4f} over orders of ties)  "
        f"precision@200 {results['precision_at_200']:.4f}  accuracy {results['accuracy']:.4f}"
    )
    out.print(
        f"{results['bits']} bits, {results['classes']} classes, {results['train']:,} training "
        f"sketches, {results['queries']:,} queries against {results['gallery']:,}"
    )
    out.print(f"report: {workdir / 'report' / 'index.html'}")


if __name__ == "__main__":
    main()
