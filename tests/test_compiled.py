"""numba kernels where their code can be cached, and where it cannot."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sketchjax
from sketchjax.data.entropy import ink_fraction

PACKAGE = Path(sketchjax.__file__).parent

# Imports every module that has kernels, and calls one that calls others and another module's
# function: it takes 2.5 s to compile.
SCRIPT = """
import importlib, sys
import numpy as np
import sketchjax
from sketchjax.data.entropy import ink_fraction

for name in sys.argv[1:]:
    importlib.import_module(name)
print(sketchjax.__file__)
print(ink_fraction(np.array([[0, 0, 0], [255, 0, 0], [255, 255, 1]], np.uint8), np.array([0, 3])))
"""

# Scores and searches, then again in forked children, which have none of numba's threads.
FORKING = """
import multiprocessing
import numpy as np
from sketchjax.retrieval.feature_scores import evaluate_features
from sketchjax.retrieval.index import search
from sketchjax.retrieval.metrics import evaluate

codes = np.random.default_rng(0).integers(0, 256, (50, 8), np.uint8)
labels = np.arange(50) % 5

def ask(_):
    distances, places = search(codes, codes, 3)
    sides = codes, labels, codes, labels
    scores = evaluate(*sides, bits=64, precision_at=(5,), backend="numba")
    floats = evaluate_features(*sides, distance="euclidean", precision_at=(5,))
    return distances.tolist(), places.tolist(), scores.as_dict(), floats.as_dict()

expected = ask(0)
with multiprocessing.get_context("fork").Pool(1) as pool:
    assert pool.map_async(ask, [0, 0]).get(100) == [expected] * 2
"""


def modules_with_kernels() -> list[str]:
    paths = [path for path in PACKAGE.rglob("*.py") if "sketchjax.compiled" in path.read_text()]
    return [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in paths]


# A kernel that is compiled at once, and another module's function that it calls.
CALLED = """
from numba.extending import register_jitable
from sketchjax.compiled import kernel

MARGIN = 0.125

@register_jitable
def share():
    return MARGIN

@kernel
def margin(side):
    return share() * side
"""
CALLING = """
from called import margin
from sketchjax.compiled import kernel

@kernel
def inner_side(side):
    return side - 2 * margin(side)
"""
CALL = "from calling import inner_side; print(inner_side(64.0))"
ANSWER = ["48.0"]


def run_kernels(
    *roots: Path, script: str = SCRIPT, largest_file: int | None = None, **environment: Path
) -> list[str]:
    """What a script prints with the modules in the folders `roots`.

    largest_file: bytes that a file may have, as on a disk that is full.
    """

    def limit() -> None:
        assert largest_file is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    inherited = {key: os.environ[key] for key in os.environ.keys() - {"XDG_CACHE_HOME"}}
    done = subprocess.run(
        [sys.executable, "-c", script, *modules_with_kernels()],
        # Python 3.11 keeps bytecode that a limit cut off, and then cannot read it.
        env=inherited
        | {"PYTHONPATH": os.pathsep.join(map(str, roots)), "PYTHONDONTWRITEBYTECODE": "1"}
        | {k: str(v) for k, v in environment.items()},
        cwd=roots[0],
        capture_output=True,
        text=True,
        preexec_fn=None if largest_file is None else limit,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The folder of a copy of the package in which nobody can write a cache, root included."""
    copy = tmp_path_factory.mktemp("compiled") / "installed" / "sketchjax"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in list(copy.rglob("*.py")):
        (path.parent / "__pycache__").touch()  # a file, so no folder can be made in its place
    return copy.parent


@pytest.fixture(scope="module")
def expected() -> str:
    """What SCRIPT prints of a drawing."""
    points = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 1]], np.uint8)
    return str(ink_fraction(points, np.array([0, 3])))


def test_kernels_run_where_nothing_can_be_cached(package, expected, tmp_path):
    home = tmp_path / "home"
    home.touch()
    file, result = run_kernels(package, HOME=home, NUMBA_CACHE_DIR=home / "numba")
    assert Path(file).is_relative_to(package)
    assert result == expected
    assert not any(package.rglob("*.nbi"))


def test_kernels_are_cached_where_numba_has_a_place(package, expected, tmp_path):
    _, result = run_kernels(package, NUMBA_CACHE_DIR=tmp_path / "numba")
    assert result == expected
    cached = {path.name.split(".")[0] for path in (tmp_path / "numba").rglob("*.nbi")}
    assert cached == {"entropy"}


@pytest.fixture
def small(package, tmp_path):
    """A folder for the cache of a small kernel, and a call of it that returns what it prints."""
    for name, text in (("called", CALLED), ("calling", CALLING)):
        (tmp_path / f"{name}.py").write_text(text)
    cache = tmp_path / "numba"

    def run(**options) -> list[str]:
        return run_kernels(tmp_path, package, script=CALL, NUMBA_CACHE_DIR=cache, **options)

    return cache, run


def test_a_cache_that_cannot_be_written_is_done_without(small):
    cache, run = small
    assert run(largest_file=500) == ANSWER
    assert not any(cache.rglob("*.nbc"))
    assert run() == ANSWER
    assert any(cache.rglob("*.nbc"))


@pytest.mark.parametrize("kind, size", [("nbi", 0), ("nbc", 500)])
def test_a_damaged_cache_is_written_again(small, kind, size):
    cache, run = small
    assert run() == ANSWER
    sizes = {path: path.stat().st_size for path in cache.rglob(f"*inner_side*.{kind}")}
    assert sizes
    for path in sizes:
        os.truncate(path, size)
    assert run() == ANSWER
    assert all(path.stat().st_size > 0.9 * sizes[path] for path in sizes)


def test_a_cache_that_cannot_be_read_is_done_without(small):
    cache, run = small
    assert run() == ANSWER
    for path in list(cache.rglob("*.nbi")):
        path.unlink()
        path.mkdir()
    assert run() == ANSWER


def test_a_kernel_is_compiled_again_when_what_it_calls_changes(small, tmp_path):
    """numba compares only the file of the kernel itself."""
    _, run = small
    assert run() == ANSWER
    (tmp_path / "called.py").write_text(CALLED.replace("MARGIN = 0.125", "MARGIN = 0.25"))
    assert run() == ["32.0"]


def test_parallel_kernels_run_in_forked_processes():
    done = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_kernel_goes_through_one_place():
    assert len(modules_with_kernels()) > 4
    for path in PACKAGE.rglob("*.py"):
        if path != PACKAGE / "compiled.py":
            assert "cache=True" not in path.read_text(), path
