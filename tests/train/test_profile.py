"""Which dispatches are traced."""

import jax
import jax.numpy as jnp
import pytest

from sketchjax.train.profile import Profile


@pytest.fixture
def calls(monkeypatch):
    made = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: made.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: made.append("stop"))
    return made


@pytest.mark.parametrize(
    "steps, before, traced",
    [
        ("", 0, []),
        ("10:13", 0, [8, 12]),
        ("8:9", 0, [8]),
        ("8:12", 0, [8]),
        ("11:13", 0, [8, 12]),
        ("0:1", 0, [0]),
        ("16:90", 0, [16]),
        ("90:99", 0, []),
        ("110:112", 100, [8]),
        ("10:13", 100, []),
    ],
)
def test_whole_dispatches_with_the_steps_are_traced(calls, tmp_path, steps, before, traced):
    """Of 5 dispatches of 4 steps."""
    profile = Profile(steps, tmp_path, before)
    found = []
    for first in range(0, 20, 4):
        profile.starts(first, first + 4)
        if calls.count("start") > calls.count("stop"):
            found.append(first)
        profile.ended(first + 4)
    profile.close()
    assert found == traced
    assert calls == ["start", "stop"] * bool(traced)


def test_a_trace_is_left(tmp_path):
    profile = Profile("0:1", tmp_path)
    profile.starts(0, 1)
    jax.block_until_ready(jnp.ones(8) @ jnp.ones(8))
    profile.ended(1)
    assert list(tmp_path.rglob("*.xplane.pb"))
