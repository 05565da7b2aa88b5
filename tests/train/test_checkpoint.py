"""Checkpoints: what comes back, what is valid, and what a kill or a flipped byte leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sketchjax.errors import CheckpointError
from sketchjax.train.checkpoint import Checkpoints, Progress
from sketchjax.train.state import State


def make_state(seed: int, features: int = 3) -> State:
    """A state like a real one: nested arrays, several types, an optimizer's tuples."""
    rng = np.random.default_rng(seed)
    params = {
        "hash": {"kernel": jnp.asarray(rng.normal(size=(4, features)), jnp.float32)},
        "half": {"bias": jnp.asarray(rng.normal(size=2), jnp.bfloat16)},
    }
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(lambda step: 0.1 * step))
    return State(
        step=jnp.int32(seed),
        skipped=jnp.int32(seed % 3),
        params=params,
        batch_stats={"cnn": {"mean": jnp.asarray(rng.normal(size=5), jnp.float32)}},
        optimizer=optimizer.init(params),
        memories={
            "center": {"centers": jnp.asarray(rng.normal(size=(2, 8)), jnp.float32)},
            "semantic": {
                "gram": jnp.asarray(rng.normal(size=(8, 8)), jnp.float32),
                "share": jnp.float32(0.125 * seed),
            },
        },
    )


def progress_of(step: int) -> Progress:
    return Progress("joint", step, "abc", 1.5 * step, {"cnn": 0.1}, {"cnn": 64})


def fill(folder: Path, steps, keep: int = 5) -> Path:
    with Checkpoints(folder, keep=keep) as checkpoints:
        for step in steps:
            checkpoints.save(step, make_state(step), progress_of(step))
    return folder


def files_of(path: Path) -> list[Path]:
    return [file for file in sorted(path.rglob("*")) if file.is_file()]


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_saved_state_comes_back_bit_for_bit(tmp_path):
    fill(tmp_path, [4, 8])
    shapes = jax.eval_shape(lambda: make_state(0))
    with Checkpoints(tmp_path, keep=5) as checkpoints:
        assert checkpoints.steps() == [4, 8]
        assert checkpoints.latest() == (8, progress_of(8), [])
        for step in (4, 8):
            state = checkpoints.restore(step, shapes)
            wanted = make_state(step)
            assert jax.tree.structure(state) == jax.tree.structure(wanted)
            for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(wanted), strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)


def test_a_new_folder_has_no_checkpoint(tmp_path):
    with Checkpoints(tmp_path / "new", keep=1) as checkpoints:
        assert checkpoints.latest() is None
        assert checkpoints.steps() == []


def test_the_newest_checkpoints_are_kept(tmp_path):
    fill(tmp_path, range(1, 12, 2), keep=2)
    # By number, not by name: 11 is after 9.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["11", "9"]


def test_progress_is_saved_as_it_was_when_the_save_began(tmp_path):
    progress = progress_of(3)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(3, make_state(3), progress)
        progress.seconds["cnn"], progress.feed, progress.stage = 99.0, 99, "full"
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        assert checkpoints.latest() == (3, progress_of(3), [])


def test_a_damaged_one_is_set_aside_and_the_one_before_used(tmp_path):
    fill(tmp_path, [1, 2])
    file = files_of(tmp_path / "2" / "state")[-1]
    damage(file)
    damaged = file.read_bytes()
    with Checkpoints(tmp_path, keep=5) as checkpoints:
        step, progress, refused = checkpoints.latest()
        assert (step, progress) == (1, progress_of(1))
        (line,) = refused
        assert line.startswith(f"checkpoint 2 is not valid: {file} is not what was written")
        assert line.endswith("; set aside as 2.bad")
        assert "\n" not in line
        assert checkpoints.steps() == [1]
        # Reported once: the next time there is nothing to refuse.
        assert checkpoints.latest() == (1, progress_of(1), [])
    assert (tmp_path / "2.bad" / file.relative_to(tmp_path / "2")).read_bytes() == damaged


def test_a_new_one_with_the_number_of_a_damaged_one_is_valid(tmp_path):
    fill(tmp_path, [1, 2])
    for content in (b"first", b"second"):
        (tmp_path / "2" / "progress.json").write_bytes(content)
        with Checkpoints(tmp_path, keep=5) as checkpoints:
            assert checkpoints.latest()[0] == 1
        assert (tmp_path / "2.bad" / "progress.json").read_bytes() == content
        fill(tmp_path, [2])
        with Checkpoints(tmp_path, keep=5) as checkpoints:
            assert checkpoints.latest() == (2, progress_of(2), [])


def test_only_valid_checkpoints_count_as_kept(tmp_path):
    fill(tmp_path, [1, 2, 3])
    damage(tmp_path / "2" / "progress.json")
    damage(tmp_path / "3" / "manifest.json")
    fill(tmp_path, [4], keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3", "4"]
    # Two newer ones are valid: now the others can go.
    fill(tmp_path, [5], keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4", "5"]


def test_other_files_in_the_folder_are_left_as_they_are(tmp_path):
    fill(tmp_path, [1])
    others = [".nfs0001", "notes.txt", "07", "2x", ".hidden", "1.copy"]
    for name in others:
        (tmp_path / name).write_text(name)
    fill(tmp_path, [8], keep=1)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        assert checkpoints.latest() == (8, progress_of(8), [])
        assert checkpoints.steps() == [8]
    for name in others:
        assert (tmp_path / name).read_text() == name


def test_progress_of_another_version_is_not_damage(tmp_path, monkeypatch):
    """It has a field that this version does not know: nothing is set aside, nothing is lost."""
    monkeypatch.setattr(
        "sketchjax.train.checkpoint.asdict", lambda progress: {"stage": "cnn", "moons": 2}
    )
    fill(tmp_path, [1])
    with (
        Checkpoints(tmp_path, keep=5) as checkpoints,
        pytest.raises(CheckpointError, match=r"another version of sketchjax.*moons"),
    ):
        checkpoints.latest()
    assert checkpoints.steps() == [1]
    # A missing field has its default.
    monkeypatch.setattr("sketchjax.train.checkpoint.asdict", lambda progress: {"stage": "cnn"})
    fill(tmp_path, [1])
    with Checkpoints(tmp_path, keep=5) as checkpoints:
        assert checkpoints.latest() == (1, Progress("cnn"), [])


def test_a_state_of_four_devices_comes_back_on_one(tmp_path):
    """A state has no device axis: the number of devices may change between two calls."""
    devices = jax.devices()
    assert len(devices) == 4
    mesh = jax.sharding.Mesh(np.array(devices), ("devices",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(1, jax.device_put(make_state(1), everywhere), progress_of(1))
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        state = checkpoints.restore(1, jax.eval_shape(lambda: make_state(0)))
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(make_state(1)), strict=True):
        assert a.devices() == {devices[0]}
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (lambda: make_state(0, features=4), r"hash.*float32\[4, 3\] there, float32\[4, 4\] here"),
        (lambda: make_state(0).replace(params={}), r"hash.*float32\[4, 3\] there, nothing here"),
        (
            lambda: make_state(0).replace(memories={"center": {"centers": jnp.zeros((2, 9))}}),
            r"memories.*center.*centers",
        ),
        (lambda: make_state(0).replace(memories={}), "semantic.*gram"),
        (lambda: make_state(0).replace(optimizer=optax.EmptyState()), "optimizer"),
    ],
)
def test_arrays_of_another_model_are_refused_by_name(tmp_path, like, message):
    fill(tmp_path, [1])
    with (
        Checkpoints(tmp_path, keep=5) as checkpoints,
        pytest.raises(CheckpointError, match=rf"(?s)does not fit.*{message}"),
    ):
        checkpoints.restore(1, jax.eval_shape(like))


def test_partial_checkpoints_never_count_and_are_deleted(tmp_path):
    fill(tmp_path, [1, 2])
    os.replace(tmp_path / "2", tmp_path / ".2.5eed.partial")
    (tmp_path / ".1.removed").mkdir()
    (tmp_path / ".1.replaced").mkdir()
    with Checkpoints(tmp_path, keep=5) as checkpoints:
        assert checkpoints.latest()[0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_kill_while_one_is_replaced_leaves_the_first(tmp_path):
    fill(tmp_path, [1])
    os.replace(tmp_path / "1", tmp_path / ".1.replaced")
    with Checkpoints(tmp_path, keep=5) as checkpoints:
        assert checkpoints.latest() == (1, progress_of(1), [])
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_only_the_first_process_writes(tmp_path):
    with Checkpoints(tmp_path / "none", keep=5, active=False) as checkpoints:
        checkpoints.save(1, make_state(1), progress_of(1))
    assert not (tmp_path / "none").exists()


SAVE_FOR_EVER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_checkpoint import Checkpoints, make_state, progress_of
with Checkpoints(Path(sys.argv[1]), keep=2) as checkpoints:
    step = (checkpoints.latest() or (0,))[0]
    while True:
        step += 1
        checkpoints.save(step, make_state(step), progress_of(step))
"""


def test_a_kill_at_any_moment_leaves_a_valid_checkpoint(tmp_path):
    """Kills while one checkpoint after the other is written, at different moments."""
    shapes = jax.eval_shape(lambda: make_state(0))
    last = 0
    for delay in (0.05, 0.123):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path), str(Path(__file__).parent)]
        )
        try:
            end = time.monotonic() + 300
            while not (tmp_path / str(last + 3)).exists():
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.005)
            time.sleep(delay)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        with Checkpoints(tmp_path, keep=2) as checkpoints:
            step, progress, damaged = checkpoints.latest()
            assert step >= last + 3
            assert damaged == []
            assert progress == progress_of(step)
            state = checkpoints.restore(step, shapes)
        jax.tree.map(np.testing.assert_array_equal, state.memories, make_state(step).memories)
        last = step
