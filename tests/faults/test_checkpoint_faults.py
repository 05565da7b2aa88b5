"""Every file of a checkpoint, damaged in every way: it is refused by name, and the older one used.

orbax by itself restores most of these without an error.
"""

import errno
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sketchjax.errors import CheckpointError, DiskError
from sketchjax.train.checkpoint import Checkpoints, Progress
from sketchjax.train.intact import check
from sketchjax.train.state import State

STEPS = (4, 8, 12)


def make_state(seed: int) -> State:
    rng = np.random.default_rng(seed)
    params = {"hash": {"kernel": jnp.asarray(rng.normal(size=(4, 8)), jnp.float32)}}
    return State(
        step=jnp.int32(seed),
        skipped=jnp.int32(0),
        params=params,
        batch_stats={"cnn": {"mean": jnp.asarray(rng.normal(size=5), jnp.float32)}},
        optimizer=optax.adam(0.1).init(params),
        memories={"center": {"centers": jnp.asarray(rng.normal(size=(2, 8)), jnp.float32)}},
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A folder of three checkpoints."""
    folder = tmp_path_factory.mktemp("saved")
    with Checkpoints(folder, keep=3) as checkpoints:
        for step in STEPS:
            checkpoints.save(step, make_state(step), Progress("cnn", step))
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy of these, to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def files_of(checkpoint: Path) -> list[str]:
    names = [str(path.relative_to(checkpoint)) for path in checkpoint.rglob("*") if path.is_file()]
    assert {"manifest.json", "progress.json", "state/_METADATA"} < {*names}
    assert len(names) > 8
    return sorted(names)


def flip(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def truncate(path: Path, other: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def empty(path: Path, other: Path) -> None:
    os.truncate(path, 0)


def lengthen(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def delete(path: Path, other: Path) -> None:
    path.unlink()


def make_folder(path: Path, other: Path) -> None:
    path.unlink()
    path.mkdir()


def swap(path: Path, other: Path) -> None:
    """With another file of the same checkpoint."""
    mine, its = path.read_bytes(), other.read_bytes()
    assert mine != its
    path.write_bytes(its)
    other.write_bytes(mine)


@pytest.mark.parametrize(
    "harm", [flip, truncate, empty, lengthen, delete, make_folder, swap], ids=lambda f: f.__name__
)
def test_any_damage_to_any_file_is_refused_by_name(saved, tmp_path, harm):
    names = files_of(saved / "12")
    for number, name in enumerate(names):
        folder = Path(shutil.copytree(saved, tmp_path / str(number)))
        other = next(
            n
            for n in names
            if (saved / "12" / n).read_bytes() != (saved / "12" / name).read_bytes()
        )
        harm(folder / "12" / name, folder / "12" / other)
        with Checkpoints(folder, keep=3) as checkpoints:
            step, progress, refused = checkpoints.latest()
        assert (step, progress) == (8, Progress("cnn", 8)), name
        (line,) = refused
        assert line.startswith("checkpoint 12 is not valid: "), line
        # A swap damages two; the first of them is named.
        wanted = [name, other] if harm is swap else [name]
        assert any(str(folder / "12" / one) in line for one in wanted), line
        assert sorted(path.name for path in folder.iterdir()) == ["12.bad", "4", "8"]


def test_a_flipped_bit_in_any_byte_is_found(folder):
    checkpoint = folder / "12"
    check(checkpoint, 12)
    flipped = 0
    for name in files_of(checkpoint):
        content = (checkpoint / name).read_bytes()
        with (checkpoint / name).open("r+b", buffering=0) as file:
            for place in range(len(content)):
                os.pwrite(file.fileno(), bytes([content[place] ^ (1 << place % 8)]), place)
                with pytest.raises(CheckpointError, match="12/"):
                    check(checkpoint, 12)
                os.pwrite(file.fileno(), content[place : place + 1], place)
                flipped += 1
    check(checkpoint, 12)
    assert flipped > 3000


def test_a_file_of_another_checkpoint_is_refused(saved, tmp_path):
    """It has the same name, often the same length, and is whole in itself."""
    both = {*files_of(saved / "8")} & {*files_of(saved / "12")}
    differing = [
        n for n in both if (saved / "8" / n).read_bytes() != (saved / "12" / n).read_bytes()
    ]
    assert {"manifest.json", "progress.json"} < {*differing}
    for name in differing:
        folder = Path(shutil.copytree(saved, tmp_path / name.replace("/", "-")))
        shutil.copy(folder / "8" / name, folder / "12" / name)
        with Checkpoints(folder, keep=3) as checkpoints:
            assert checkpoints.latest()[0] == 8, name


def test_a_whole_checkpoint_under_another_number_is_refused(folder):
    shutil.rmtree(folder / "12")
    shutil.copytree(folder / "4", folder / "12")
    with Checkpoints(folder, keep=3) as checkpoints:
        step, _, (line,) = checkpoints.latest()
    assert step == 8
    assert "12 is checkpoint 4 under another name" in line


@pytest.mark.parametrize("name", ["extra", "state/d/extra", "state/.hidden", "state/a folder/x"])
def test_an_extra_file_is_refused(folder, name):
    path = folder / "12" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    with Checkpoints(folder, keep=3) as checkpoints:
        step, _, (line,) = checkpoints.latest()
    assert step == 8
    assert f"{path} does not belong to it" in line


def test_an_extra_empty_folder_changes_nothing(folder):
    (folder / "12" / "state" / "d" / "empty").mkdir()
    with Checkpoints(folder, keep=3) as checkpoints:
        assert checkpoints.latest() == (12, Progress("cnn", 12), [])
        state = checkpoints.restore(12, jax.eval_shape(lambda: make_state(0)))
    jax.tree.map(np.testing.assert_array_equal, state, make_state(12))


@pytest.mark.parametrize("what", ["nothing", "file", "link to nowhere", "empty folder"])
def test_something_else_with_a_checkpoints_name_is_set_aside(folder, what):
    path = folder / "20"
    if what == "file":
        path.write_text("20")
    elif what == "link to nowhere":
        path.symlink_to(folder / "nowhere")
    elif what == "empty folder":
        path.mkdir()
    with Checkpoints(folder, keep=3) as checkpoints:
        step, _, refused = checkpoints.latest()
    assert step == 12
    assert len(refused) == (what != "nothing")
    assert os.path.lexists(folder / "20.bad") == (what != "nothing")


@pytest.mark.parametrize("harmed", [1, 2])
def test_the_newest_valid_checkpoint_is_used(folder, harmed):
    shapes = jax.eval_shape(lambda: make_state(0))
    for step in STEPS[-harmed:]:
        flip(folder / str(step) / "progress.json", folder)
    with Checkpoints(folder, keep=3) as checkpoints:
        step, progress, refused = checkpoints.latest()
        state = checkpoints.restore(step, shapes)
    assert step == STEPS[-harmed - 1]
    assert progress == Progress("cnn", step)
    jax.tree.map(np.testing.assert_array_equal, state, make_state(step))
    assert [line.split()[1] for line in refused] == [str(s) for s in reversed(STEPS[-harmed:])]


def test_with_no_valid_checkpoint_there_is_an_error_each_time(folder):
    """Never silently from zero, not even when the previous run set all of them aside."""
    for step in STEPS:
        flip(folder / str(step) / "progress.json", folder)
    for again in range(3):
        with (
            Checkpoints(folder, keep=3) as checkpoints,
            pytest.raises(CheckpointError, match=f"delete {folder} to train from") as caught,
        ):
            checkpoints.latest()
        assert caught.value.exit_code == 66
        message = str(caught.value)
        for step in STEPS:
            assert f"{step}.bad" in message
        assert len(message.splitlines()) == (2 if again else 4)
        assert sorted(path.name for path in folder.iterdir()) == ["12.bad", "4.bad", "8.bad"]
    # What the message says to do helps.
    shutil.rmtree(folder)
    with Checkpoints(folder, keep=3) as checkpoints:
        assert checkpoints.latest() is None


def test_one_that_was_set_aside_and_repaired_is_valid(folder):
    extra = folder / "12" / "extra"
    extra.write_text("")
    with Checkpoints(folder, keep=3) as checkpoints:
        assert checkpoints.latest()[0] == 8
    (folder / "12.bad" / "extra").unlink()
    os.replace(folder / "12.bad", folder / "12")
    with Checkpoints(folder, keep=3) as checkpoints:
        assert checkpoints.latest()[0] == 12


def test_other_processes_refuse_the_same_and_move_nothing(folder):
    flip(folder / "12" / "progress.json", folder)
    with Checkpoints(folder, keep=3, active=False) as checkpoints:
        step, _, (line,) = checkpoints.latest()
    assert step == 8
    assert "set aside" not in line
    assert sorted(path.name for path in folder.iterdir()) == ["12", "4", "8"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ENOMEM])
def test_errors_that_are_not_damage_set_nothing_aside(folder, monkeypatch, number):
    def refuse(path):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("sketchjax.train.intact.sha256", refuse)
    with Checkpoints(folder, keep=3) as checkpoints, pytest.raises(DiskError) as caught:
        checkpoints.latest()
    assert caught.value.exit_code == 74
    assert os.strerror(number) in str(caught.value)
    assert sorted(path.name for path in folder.iterdir()) == ["12", "4", "8"]


def test_a_bad_sector_is_damage(folder, monkeypatch):
    from sketchjax.files import sha256

    def unreadable(path):
        if "12" in path.parts:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return sha256(path)

    monkeypatch.setattr("sketchjax.train.intact.sha256", unreadable)
    with Checkpoints(folder, keep=3) as checkpoints:
        step, _, (line,) = checkpoints.latest()
    assert step == 8
    assert os.strerror(errno.EIO) in line


def test_a_new_checkpoint_never_replaces_the_last_valid_one(folder):
    """Damage found too late: up to `keep` valid ones stay."""
    for step in (8, 12):
        flip(folder / str(step) / "progress.json", folder)
    with Checkpoints(folder, keep=2) as checkpoints:
        checkpoints.save(16, make_state(16), Progress("cnn", 16))
    flip(folder / "16" / "progress.json", folder)
    with Checkpoints(folder, keep=2) as checkpoints:
        step, _, refused = checkpoints.latest()
    assert step == 4
    assert len(refused) == 3
