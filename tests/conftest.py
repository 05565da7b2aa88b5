"""Settings that hold for every test: a CPU with four virtual devices, and real data."""

import atexit
import io
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

# Before jax is imported anywhere, and for all processes that the tests start. Four virtual devices,
# so that pmap is tested on one machine.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # where a test imports onnxruntime first
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
).strip()
# Compile with little optimisation, and each program once for a checkout: the last stage of the
# quickstart takes 39 s of CPU to compile with all optimisations, 25 s with few, 14 s without XLA's
# newer way to emit fusions too, and 0.2 s to load. Small programs are kept as well, of which each
# module, worker and process has hundreds: one takes 37 ms of CPU to compile and 11 ms to load. jax
# knows a program by its content and its options, so a changed one is compiled. LLVM gets a program
# in one piece in place of 32, whose common part it would read 32 times.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ["XLA_FLAGS"] += " --xla_cpu_parallel_codegen_split_count=1"
if version("jaxlib").startswith("0.10."):  # the next one has only the newer way
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = Path(__file__).parents[1] / ".jax_cache"
    try:
        # Above 2 GB, the programs of old versions are forgotten, and all others with them.
        if sum(file.stat().st_size for file in _compiled.glob("*")) > 2 << 30:
            shutil.rmtree(_compiled)
        _compiled.mkdir(exist_ok=True)
    except OSError:  # a checkout that is read-only
        _compiled = Path(tempfile.mkdtemp(prefix="sketchjax-compiled-"))
        atexit.register(shutil.rmtree, _compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_compiled)

import pytest
from forking import Forks
from PIL import Image
from tiny_run import whole_run

from sketchjax.memory import collect_seldom

collect_seldom()

TESTS = Path(__file__).parent
# Marked `slow`: benchmarks, browsers, processes that are killed, whole runs beyond those of
# tests/run/test_experiment.py, and what takes long for what it adds to the others. They are 1 test
# in 11, and take longer than all others together.
SLOW = (
    "benchmarks",
    "data/folder/conversion/test_real_pictures.py",
    "export/test_onnx_graph.py",
    "export/test_serving_without_jax.py",
    "index/test_clickhouse.py",
    "models/test_dsh_nets.py",
    "models/test_photo_nets.py",
    "models/test_resnet.py",
    "multi",
    "paper/objectives/test_objectives_study.py",
    "paper/study/test_study_run.py",
    "paper/study/test_study_whole.py",
    "run/test_compare.py",
    "run/test_evaluation.py",
    "run/test_hashing_runs.py",
    "run/test_metric_learning.py",
    "run/test_photo_recode.py",
    "run/test_photo_run.py",
    "run/test_photos_only.py",
    "run/test_recode.py",
    "serving/test_drawing_page.py",
    "serving/test_packaged.py",
    "serving/test_page_codes.py",
    "serving/test_page_files.py",
    "serving/test_page_index.py",
    "serving/test_page_photos.py",
    "serving/test_static.py",
    "serving/test_static_failures.py",
    "train/test_frozen.py",
    "train/test_paired_training.py",
    "test_adding.py",
    "test_compiled.py",
    "test_launch.py",
    "test_main.py",
    "test_readme.py",
    "test_sketchmate_config.py",
)
assert all((TESTS / name).exists() for name in SLOW)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests."""
    for item in items:
        if item.path.relative_to(TESTS).as_posix().startswith(SLOW):
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Let jax 0.10 lower 50 programs in one MLIR context, as jax 0.11 does 10.

    Making a context takes 6 ms, a fifth of the time of tests with many small programs.
    """
    lowering = sys.modules.get("jax._src.interpreters.mlir")
    if lowering is None or not version("jax").startswith("0.10."):
        return
    make_context = lowering.make_ir_context
    kept = threading.local()

    def lasting_context():
        if getattr(kept, "left", 0) == 0:
            kept.context, kept.left = make_context(), 50
        kept.left -= 1
        return kept.context

    lowering.make_ir_context = lasting_context


@pytest.fixture(scope="module", autouse=True)
def forget_compiled() -> Iterator[None]:
    """Forget compiled programs after a module once this worker has a sixth of the memory."""
    yield
    memory = Path("/proc/self/statm")
    pages = int(memory.read_text().split()[1]) if memory.exists() else sys.maxsize
    if "jax" in sys.modules and pages > os.sysconf("SC_PHYS_PAGES") / 6:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="module")
def optimised() -> Iterator[None]:
    """Compile as users do: with little optimisation, the last bit depends on the shapes."""
    import jax

    # jax would take a program that was compiled before, by whatever options.
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def usual_emitters() -> Iterator[None]:
    """Emit fusions as users do: the older way rounds some of them otherwise within a loop."""
    option = "xla_cpu_use_fusion_emitters"
    if option not in os.environ["XLA_FLAGS"]:
        yield
        return
    from jax._src import compiler

    options_of = compiler.get_compile_options

    def with_emitters(*arguments, **settings):
        options = options_of(*arguments, **settings)
        options.env_option_overrides = [*options.env_option_overrides, (option, True)]
        return options

    import jax

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "get_compile_options", with_emitters)
        jax.clear_caches()
        yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def short_runs() -> Iterator[None]:
    """Runs in this process leave to other tests what takes long and is the same in each.

    Posterior codes are trained for at most 60 steps in place of 1,500
    (train/test_posterior_codes.py), and figures are made but not rendered (report/test_plots.py,
    run/test_rebuild.py and the run of `whole`): 7 s of CPU for each length, 3 s for each report.
    """
    from sketchjax.report import plots
    from sketchjax.run.posterior import choice

    train_codes = choice.train_codes
    blank = io.BytesIO()
    Image.new("L", (1, 1)).save(blank, "PNG")

    def few_steps(*arguments, steps: int, **settings):
        return train_codes(*arguments, steps=min(steps, 60), **settings)

    def unrendered(draw, theme) -> bytes | None:
        return None if draw(theme) is None else blank.getvalue()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "train_codes", few_steps)
        patch.setattr(plots, "figure_png", unrendered)
        yield


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The variables of a process that a test starts; a copy to change."""
    return dict(os.environ)


@pytest.fixture(scope="session")
def forks(environment) -> Iterator[Forks]:
    """One process that has imported jax, from which tests fork theirs."""
    with Forks(environment) as forks:
        yield forks


@pytest.fixture(scope="module")
def whole(tmp_path_factory, environment) -> Path:
    """The workdir of a tiny run that was never stopped, in one process with four devices."""
    return whole_run(tmp_path_factory, environment)


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory) -> Path:
    """The workdir of a finished run of two plain encoders, to be read only."""
    from plain_runs import plain_workdir  # imports jax

    return plain_workdir(tmp_path_factory)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real QuickDraw drawings that SKETCHJAX_DATA names."""
    folder = os.environ.get("SKETCHJAX_DATA")
    if not folder:
        pytest.skip("SKETCHJAX_DATA is not set: the real QuickDraw drawings are not at hand")
    path = Path(folder)
    assert path.is_dir(), f"SKETCHJAX_DATA={folder} is not a folder"
    return path
