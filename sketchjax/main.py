"""Train, evaluate and report: python -m sketchjax.main --config FILE[:ARG] --workdir DIR."""

import signal
import sys
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console

from sketchjax import experiment
from sketchjax.errors import SketchjaxError

_CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment's config file.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints, results and report.")
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of every error.")


def main() -> None:
    """Entry point; exits with the code of the error's kind."""
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(_main)


def _main(_: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    workdir = Path(_WORKDIR.value)
    # Compiled steps are kept: a resumed run starts in seconds.
    jax.config.update("jax_compilation_cache_dir", str(workdir / "compiled"))
    try:
        results = experiment.run(_CONFIG.value, workdir, stop_on_signals())
    except SketchjaxError as error:
        if _DEBUG.value:
            raise
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    show(results, workdir)


def stop_on_signals():
    """Ask for a stop on the first SIGTERM or SIGINT; the second one ends the process at once.

    Returns a function that tells whether a stop was asked for.
    """
    asked: list[int] = []

    def ask(number: int, _frame) -> None:
        if asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        asked.append(number)
        print("stopping after this dispatch; once more to stop at once", file=sys.stderr)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return lambda: bool(asked)


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
