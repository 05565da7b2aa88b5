"""The numbers that jax counts in here: of 32 bits, whatever it is set to elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import jax

Function = TypeVar("Function", bound=Callable[..., Any])


def in_32_bits(function: Function) -> Function:
    """A function that runs with jax's 64-bit numbers off, and leaves the caller's setting be.

    Parameters are float32 in every model file. With JAX_ENABLE_X64 or `jax.config.update` of a
    notebook, initialisers make float64 ones, and what was float32 becomes so on the way.
    """

    @wraps(function)
    def inner(*arguments: Any, **named: Any) -> Any:
        with jax.enable_x64(False):
            return function(*arguments, **named)

    return inner  # pyright: ignore[reportReturnType]
