"""DuckDB, which only indexes need: an extra."""

from __future__ import annotations

from typing import Any

from sketchjax.errors import DataError


def duckdb() -> Any:
    """The module.  Raises DataError, which says what to install, where it is not there."""
    try:
        import duckdb
    except ImportError:
        raise DataError(
            "an index needs DuckDB, which is not installed: pip install 'sketchjax[search]'"
        ) from None
    return duckdb
