"""Benchmarks at sizes that compile in seconds, on one small folder of synthetic drawings."""

import sys
from pathlib import Path

import pytest

# The benchmarks are no part of the installed package: they run from the repository root.
sys.path.insert(0, str(Path(__file__).parents[2]))

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.sources import doodles as synthetic


@pytest.fixture(scope="session")
def drawings(tmp_path_factory) -> Path:
    """A data folder of three categories."""
    scratch = tmp_path_factory.mktemp("drawings")
    categories = synthetic.CATEGORIES[:3]
    synthetic.write(scratch / "doodles", per_category=24, seed=0, categories=categories)
    convert(
        [scratch / "doodles"], scratch / "data", splits={"train": 0.6, "gallery": 0.4}, shards=2
    )
    return scratch / "data"


@pytest.fixture
def tiny(monkeypatch) -> None:
    """The sizes of SKETCHJAX_BENCH_TINY."""
    monkeypatch.setenv("SKETCHJAX_BENCH_TINY", "1")
