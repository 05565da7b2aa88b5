"""A disk that is full, read-only or gone: a clear error, and the older checkpoint intact."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bucket_server import serving
from tiny_run import CONFIG

from sketchjax.config import default
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.sources import doodles
from sketchjax.data.sources.doodles import photos
from sketchjax.data.sources.download import download
from sketchjax.errors import DiskError
from sketchjax.train import checkpoint as checkpoint_module
from sketchjax.train.checkpoint import Checkpoints, Progress
from sketchjax.train.workdir import keep_config, locked


def tree(seed: int, size: int = 1000) -> dict:
    """Numbers that do not compress."""
    rng = np.random.default_rng(seed)
    return {"step": jnp.int32(seed), "kernel": jnp.asarray(rng.normal(size=size), jnp.float32)}


def save(folder: Path, step: int, **sizes) -> None:
    with Checkpoints(folder, keep=2) as checkpoints:
        checkpoints.save(step, tree(step, **sizes), Progress("cnn", step))


def still_there(folder: Path, step: int) -> None:
    """The checkpoint is the only one, is valid, and comes back bit for bit.

    A thread of tensorstore may write to a hidden folder after the save has failed; the next run
    deletes that.
    """
    with Checkpoints(folder, keep=2) as checkpoints:
        assert checkpoints.latest() == (step, Progress("cnn", step), [])
        state = checkpoints.restore(step, jax.eval_shape(lambda: tree(0)))
    jax.tree.map(np.testing.assert_array_equal, state, tree(step))
    assert [path.name for path in folder.iterdir() if path.name[0] != "."] == [str(step)]


# --- full ------------------------------------------------------------------------------------

FILL = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_disk import DiskError, save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
save(folder, 1)
# In the first file of all, in orbax's own, in tensorstore's.
for limit in (0, 10, 100, 300, 3000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save(folder, 2)
        result = "no error"
    except DiskError as error:
        result = f"{error.exit_code} {error}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    print(result, flush=True)
"""


def test_a_limit_of_file_sizes_is_an_error_in_one_line(tmp_path):
    """In a separate process: the limit holds for everything that it writes."""
    folder = tmp_path / "checkpoints"
    process = subprocess.run(
        [sys.executable, "-c", FILL, str(folder), str(Path(__file__).parent), *sys.path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    lines = process.stdout.splitlines()
    # No lines of orbax, tensorstore or asyncio.
    assert len(lines) == 5, process.stdout
    for line in lines:
        assert line.startswith(f"74 checkpoint 2 cannot be saved in {folder} (File too large")
        assert line.endswith("allow larger files (ulimit -f), then rerun the same command")
    assert process.returncode == 0
    still_there(folder, 1)


def test_a_failed_save_does_not_disturb_the_next(tmp_path, monkeypatch):
    """A thread of tensorstore may still write after its save has failed, but not into the next."""
    folder, tried = tmp_path / "checkpoints", []

    def refuse(state: Path, _):
        for earlier in tried:  # as such a thread does
            earlier.mkdir(parents=True, exist_ok=True)
            (earlier / "late").touch()
        assert not state.exists()
        assert not (state.parent / "late").exists()
        tried.append(state)
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_module, "save_arrays", refuse)
        for _ in range(3):
            with pytest.raises(DiskError, match="File too large"):
                save(folder, 2)
    assert len(set(tried)) == 3
    save(folder, 2)
    still_there(folder, 2)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 512 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small disk: needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_keeps_the_older_checkpoint(small_disk):
    folder = small_disk / "checkpoints"
    save(folder, 1)
    for size in (100_000, 200_000):  # too much with the first one, and too much by itself
        with pytest.raises(DiskError, match=r"No space left on device.*free some space") as caught:
            save(folder, 2, size=size * 2)
        assert caught.value.exit_code == 74
        still_there(folder, 1)
    save(folder, 2)  # the failed saves take no space


def test_a_read_only_disk_is_an_error_and_loses_nothing(small_disk):
    folder = small_disk / "run" / "checkpoints"
    save(folder, 1)
    with Checkpoints(folder, keep=2) as checkpoints:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        checkpoints.save(2, tree(2), Progress("cnn", 2))
        with pytest.raises(DiskError, match=r"Read-only file system.*make it writable"):
            checkpoints.wait()
        assert checkpoints.latest()[0] == 1
    with pytest.raises(DiskError, match="Read-only"):
        keep_config(default(), folder.parent)
    with pytest.raises(DiskError, match="Read-only"), locked(folder.parent):
        pass
    with pytest.raises(DiskError, match="Read-only"):
        Checkpoints(small_disk / "new", keep=2)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    still_there(folder, 1)


# --- conversions ---


def convert_to(out: Path, drawings: Path, **changes):
    settings = {"splits": {"train": 1.0}, "shards": 1, "workers": 1, "progress": False, **changes}
    return convert([drawings], out, **settings)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory) -> Path:
    """Drawings of about 100 kB as points."""
    folder = tmp_path_factory.mktemp("drawings")
    doodles.write(folder, per_category=1000, seed=0, categories=["cat"])
    return folder


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("size", ["32k", "160k"])  # full in the first pass, and in the second
def test_a_conversion_to_a_full_disk_can_be_resumed(small_disk, drawings, tmp_path, workers, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", str(small_disk)], check=True)
    with pytest.raises(DiskError, match=r"No space left on device.*free some space") as caught:
        convert_to(small_disk / "out", drawings, workers=workers)
    assert caught.value.exit_code == 74
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    made = convert_to(small_disk / "out", drawings)
    assert made == convert_to(tmp_path / "whole", drawings)


def test_a_conversion_to_a_read_only_disk_is_an_error(small_disk, drawings):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(DiskError, match=r"Read-only file system.*make it writable"):
        convert_to(small_disk / "out", drawings)


# --- sketch files ---


@pytest.fixture
def bucket(drawings, tmp_path) -> Iterator[str]:
    """The address of a bucket that has one category."""
    place = tmp_path / "bucket" / "full" / "simplified"
    place.mkdir(parents=True)
    shutil.copy(drawings / "cat.ndjson", place)
    with serving(tmp_path / "bucket") as address:
        yield address


def sketch_files(name: str, folder: Path, bucket: str) -> None:
    """Have one of the commands that make sketch files write 100 kB or more."""
    if name == "download":
        download(folder, ["cat"], base_url=bucket, progress=False)
    elif name == "photos":
        options = {"categories": ["cat"], "workers": 1, "progress": False}
        photos.write_photos(folder, per_category=20, seed=0, **options)
    else:
        doodles.write(folder, per_category=1000, seed=0, categories=["cat"])


@pytest.mark.parametrize("name", ["download", "photos", "doodles"])
def test_sketch_files_on_a_full_disk_can_be_resumed(small_disk, tmp_path, bucket, name):
    subprocess.run(["mount", "-o", "remount,size=64k", str(small_disk)], check=True)
    with pytest.raises(DiskError, match=r"cannot be written.*No space left.*free some space"):
        sketch_files(name, small_disk / "out", bucket)
    assert not list(small_disk.glob("out/*.ndjson")), "what is not whole has no name"
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    sketch_files(name, small_disk / "out", bucket)
    sketch_files(name, tmp_path / "whole", bucket)
    same = ["diff", "-r", str(small_disk / "out"), str(tmp_path / "whole")]
    assert subprocess.run(same, capture_output=True, check=False).stdout == b""


@pytest.mark.parametrize("name", ["download", "photos", "doodles"])
@pytest.mark.parametrize("there", [True, False])
def test_sketch_files_on_a_read_only_disk(small_disk, bucket, name, there):
    if there:  # A folder that need not be made, and a part.
        for folder in ("photo/cat", "sketch/cat", "contour/cat"):
            (small_disk / "out" / folder).mkdir(parents=True)
        (small_disk / "out" / "cat.ndjson.part").write_bytes(b"{")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(DiskError, match=r"Read-only file system.*make it writable") as caught:
        sketch_files(name, small_disk / "out", bucket)
    assert caught.value.exit_code == 74


@pytest.mark.parametrize("name", ["download", "photos", "doodles"])
def test_sketch_files_where_nothing_can_be_created(bucket, name):
    with pytest.raises(DiskError, match="/proc/sketchjax"):
        sketch_files(name, Path("/proc/sketchjax"), bucket)


# --- any write ---

WRITES = [
    (Path, "write_bytes"),
    (os, "fsync"),
    (os, "replace"),
    (checkpoint_module, "save_arrays"),
    (checkpoint_module, "seal"),
    (checkpoint_module, "sync_folder"),
]


@pytest.mark.parametrize("where, name", WRITES, ids=lambda part: getattr(part, "__name__", part))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_any_write_of_a_checkpoint_may_fail(tmp_path, monkeypatch, where, name, number):
    """Root may write anywhere, so each write in turn is made to fail."""
    folder = tmp_path / "checkpoints"
    save(folder, 1)
    refused = []

    def refuse(*_, **__):
        refused.append(number)
        raise OSError(number, os.strerror(number), "some file")

    with monkeypatch.context() as patched, Checkpoints(folder, keep=2) as checkpoints:
        patched.setattr(where, name, refuse)
        checkpoints.save(2, tree(2), Progress("cnn", 2))
        with pytest.raises(DiskError) as caught:
            checkpoints.wait()
    assert refused
    assert not list(folder.glob("*.partial"))  # the failed save takes no space
    message = str(caught.value)
    assert f"checkpoint 2 cannot be saved in {folder}" in message
    assert os.strerror(number) in message
    assert "rerun the same command" in message
    with Checkpoints(folder, keep=2) as checkpoints:
        # If only the flush after the rename failed, the checkpoint is there.
        assert checkpoints.latest()[0] == (2 if name == "sync_folder" else 1)
        assert checkpoints.restore(1, jax.eval_shape(lambda: tree(0)))


def test_an_error_of_a_save_is_raised_by_the_next(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint_module, "seal", refuse)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(1, tree(1), Progress())
        with pytest.raises(DiskError, match="checkpoint 1 "):
            checkpoints.save(2, tree(2), Progress())
    # Or at the end, if no other save follows.
    with pytest.raises(DiskError, match="checkpoint 3 "), Checkpoints(tmp_path, keep=2) as last:
        last.save(3, tree(3), Progress())


# --- gone, or another's ----------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "while arrays are written", "before its name"])
@pytest.mark.parametrize("then", ["nothing", "a new folder"])
def test_a_workdir_that_vanishes_is_an_error(tmp_path, monkeypatch, moment, then):
    """orbax creates missing folders: what it leaves must not pass for a checkpoint."""
    folder = tmp_path / "run" / "checkpoints"
    save(folder, 1)
    arrays, seal = checkpoint_module.save_arrays, checkpoint_module.seal

    def vanish():
        shutil.rmtree(tmp_path / "run")
        if then == "a new folder":
            folder.mkdir(parents=True)

    def save_arrays(*arguments):
        if moment == "while arrays are written":
            vanish()
        arrays(*arguments)

    def seal_and_vanish(*arguments):
        seal(*arguments)
        if moment == "before its name":
            vanish()

    monkeypatch.setattr(checkpoint_module, "save_arrays", save_arrays)
    monkeypatch.setattr(checkpoint_module, "seal", seal_and_vanish)
    with Checkpoints(folder, keep=2) as checkpoints:
        if moment == "before":
            vanish()
        checkpoints.save(2, tree(2), Progress("cnn", 2))
        with pytest.raises(DiskError, match="checkpoint 2 cannot be saved") as caught:
            checkpoints.wait()
    assert caught.value.exit_code == 74
    with Checkpoints(folder, keep=2) as checkpoints:
        assert checkpoints.steps() == []


def test_a_partial_checkpoint_that_vanishes_is_not_sealed(tmp_path, monkeypatch):
    """Only the files that orbax writes afterwards would be there, and be sealed."""
    arrays = checkpoint_module.save_arrays

    def save_arrays(folder, state):
        shutil.rmtree(folder.parent)
        arrays(folder, state)

    save(tmp_path, 1)
    monkeypatch.setattr(checkpoint_module, "save_arrays", save_arrays)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(2, tree(2), Progress("cnn", 2))
        with pytest.raises(DiskError, match="checkpoint 2 cannot be saved"):
            checkpoints.wait()
    still_there(tmp_path, 1)


def test_nothing_is_written_to_another_runs_folder(tmp_path):
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder, keep=2) as first:
        first.save(1, tree(1), Progress("cnn", 1))
        first.wait()
        os.replace(folder, tmp_path / "moved")
        save(folder, 7)
        first.save(8, tree(8), Progress("cnn", 8))
        with pytest.raises(DiskError, match="another folder has taken its place"):
            first.wait()
    still_there(folder, 7)


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    for path in (tmp_path / "checkpoints", tmp_path / "checkpoints" / "within"):
        with pytest.raises(DiskError, match=r"cannot be used.*check what is in its place"):
            Checkpoints(path, keep=2)


def test_a_place_where_nothing_can_be_created_is_an_error(tmp_path):
    """/proc takes no folders, not even from root."""
    for path in (Path("/proc/sketchjax"), Path("/dev/null/sketchjax")):
        with pytest.raises(DiskError) as caught:
            keep_config(default(), path)
        assert str(path.parent) in str(caught.value)
        with pytest.raises(DiskError), locked(path):
            pass
        with pytest.raises(DiskError):
            Checkpoints(path, keep=2)


# --- what reaches the user -------------------------------------------------------------------

RUN = """
import os, sys
from sketchjax import main
import sketchjax.run.compilation
import sketchjax.run.experiment

def run(*_):
    raise OSError(28, os.strerror(28), "WORKDIR/metrics.jsonl")

sketchjax.run.experiment.run = run
sketchjax.run.compilation.keep_compiled = lambda: None
sys.argv = ["main", *sys.argv[1:]]
main.main()
"""


def test_any_error_of_the_disk_ends_the_command_in_one_line(tmp_path):
    """Wherever in the run it happens, as here in metrics.jsonl."""
    process = subprocess.run(
        [sys.executable, "-c", RUN, f"--config={CONFIG}", f"--workdir={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 74, process.stderr
    assert process.stderr == (
        "DiskError: the run cannot continue (No space left on device: WORKDIR/metrics.jsonl); "
        "free some space, then rerun the same command\n"
    )


@pytest.mark.parametrize(
    "number, remedy",
    [
        (errno.ENOSPC, "free some space"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EACCES, "make it writable"),
        (errno.ENOENT, "check what removed it"),
        (errno.ENOTDIR, "check what is in its place"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "check the disk"),
    ],
)
def test_each_error_of_the_disk_has_its_remedy(number, remedy):
    message = str(DiskError.of("it failed", OSError(number, os.strerror(number), "a/file")))
    assert message.startswith(f"it failed ({os.strerror(number)}: a/file); ")
    assert remedy in message
    assert "\n" not in message


def test_an_error_without_a_number_or_a_file_has_a_message():
    assert "(no reason)" in str(DiskError.of("it failed", OSError("no reason")))
    assert "(OSError)" in str(DiskError.of("it failed", OSError()))
