"""Seconds that the first run of a config takes to compile, with nothing kept from earlier runs.

    python -m benchmarks.compilation [--config FILE] [--json FILE]

The run has every stage of the config, by default the quickstart's, for an epoch of few drawings.
Programs are as large as in a whole run, which compiles no others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from benchmarks.record import REPOSITORY, parser, report

# Of jax.monitoring: (event, name of the figure).
_EVENTS = {
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
    "/jax/core/compile/backend_compile_duration": "compiling",
}


def main(arguments: list[str] | None = None) -> None:
    flags = parser(__doc__)
    flags.add_argument("--config", type=Path, default=REPOSITORY / "configs" / "quickstart.py")
    chosen = flags.parse_args(arguments)
    report("compilation", measure(chosen.config), chosen.json)


def measure(path: Path) -> dict[str, Any]:
    """Seconds and programs of a run of a config file."""
    from benchmarks import workload
    from sketchjax.run import experiment

    config = workload.read_config(path)
    config.data.dir, config.data.source = "", "synthetic"
    config.data.synthetic_per_category = 40
    for name in config.plan:
        config.stages[name].epochs = min(1, config.stages[name].epochs)
    seconds = {name: [] for name in _EVENTS.values()}

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if name := _EVENTS.get(event):
            seconds[name].append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        with _nothing_kept(), tempfile.TemporaryDirectory() as workdir:
            experiment.run(config, Path(workdir) / "run")
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    compiled = sorted(seconds["compiling"], reverse=True)
    return {
        "config": path.name,
        "programs": len(compiled),
        "compiling_seconds": sum(compiled),
        "lowering_seconds": sum(seconds["lowering"]),
        "slowest_programs": ", ".join(f"{each:.1f} s" for each in compiled[:6]),
    }


@contextmanager
def _nothing_kept() -> Iterator[None]:
    """Compile without the persistent cache.

    Whether it is used, jax decides at the first compilation of a process, and then no more: it is
    made to ask again, here and afterwards.
    """
    before = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


if __name__ == "__main__":
    main()
