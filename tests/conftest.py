"""Settings that hold for every test: a CPU with four virtual devices, and real data."""

import os
from pathlib import Path

# Before jax is imported anywhere: four virtual devices, so that pmap is tested on one machine.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
).strip()

import pytest
from tiny_run import quick_compilation, whole_run


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """What other processes need to compile as quickly as this one does."""
    with quick_compilation(tmp_path_factory) as environment:
        yield environment


@pytest.fixture(scope="module")
def whole(tmp_path_factory, environment) -> Path:
    """The workdir of a tiny run that was never stopped, in one process with four devices."""
    return whole_run(tmp_path_factory, environment)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real QuickDraw drawings that SKETCHJAX_DATA names."""
    folder = os.environ.get("SKETCHJAX_DATA")
    if not folder:
        pytest.skip("SKETCHJAX_DATA is not set: the real QuickDraw drawings are not at hand")
    path = Path(folder)
    assert path.is_dir(), f"SKETCHJAX_DATA={folder} is not a folder"
    return path
