"""benchmarks.compilation on a config with one small stage."""

import jax
import orjson
import pytest
from tiny_run import CONFIG

from benchmarks import compilation

ONE_STAGE = """
import importlib.util

spec = importlib.util.spec_from_file_location("tiny", {path!r})
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)


def get_config():
    config = tiny.get_config()
    config.plan = ("rnn",)
    for name in ("cnn", "joint", "center", "full"):
        del config.stages[name]
    config.model.branches = ("rnn",)
    config.evaluation.after_stages = ()
    return config
"""


@pytest.mark.usefixtures("short_runs")
def test_every_program_of_a_run_is_compiled(tmp_path):
    # A program compiled before: jax knows by then that this process has a cache.
    jax.jit(lambda x: x + 1)(0)
    path = tmp_path / "one.py"
    path.write_text(ONE_STAGE.format(path=str(CONFIG)))
    events = []

    def listen(event: str, **_: object) -> None:
        events.append(event)

    jax.monitoring.register_event_listener(listen)
    try:
        compilation.main(["--config", str(path), "--json", str(tmp_path / "found.json")])
    finally:
        jax.monitoring.unregister_event_listener(listen)
    found = orjson.loads((tmp_path / "found.json").read_bytes())
    assert found["config"] == "one.py"
    # The initialiser, a dispatch of the stage, a pass over the data, and small ones.
    assert found["programs"] > 3
    assert found["compiling_seconds"] > 0
    assert found["lowering_seconds"] > 0
    # Compiled, not loaded: the tests have the cache on, and nobody asked for it.
    assert "/jax/compilation_cache/task_disabled_cache" in events
    assert "/jax/compilation_cache/compile_requests_use_cache" not in events
    assert jax.config.values["jax_enable_compilation_cache"]
