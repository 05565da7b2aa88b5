"""A disk without room: exit code 74, and an index that holds what was acknowledged."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from projecting import Projecting
from test_build import add_to, build_of, doodles, encode_to, items_in  # noqa: F401

from sketchjax.errors import DiskError
from sketchjax.index.opening import open_index

# No file may grow beyond the limit in this process: DuckDB's and Python's writes both fail.
LIMITED = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
import test_full_disk
from sketchjax.errors import DiskError
work, limit = getattr(test_full_disk, sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    work(Path(sys.argv[3]))
except DiskError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def encode_it(folder):
    encode_to(folder / "new", [folder / "doodles"], Projecting())


def build_it(folder):
    build_of(folder / "new", [folder / "doodles"])


def add_it(folder):
    add_to(folder / "index", [folder / "doodles"])


def delete_it(folder):
    with closing(open_index(folder / "index", read_only=False)) as engine:
        engine.delete(range(20))


@pytest.mark.parametrize("limit", [0, 3_000])
@pytest.mark.parametrize("work", [encode_it, build_it, add_it, delete_it])
def test_a_disk_without_room(doodles, tmp_path, work, limit):  # noqa: F811
    if work is delete_it:
        limit //= 1_000  # it writes little
    (tmp_path / "doodles").symlink_to(doodles)
    build_of(tmp_path / "index", [doodles / "cat.ndjson"])
    before = len(items_in(tmp_path / "index"))
    arguments = [work.__name__, str(limit), str(tmp_path), str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == DiskError.exit_code == 74, done.stderr
    assert "cannot be written" in done.stdout
    assert not (tmp_path / "new").exists()
    assert len(items_in(tmp_path / "index")) == before
