"""Which lengths of codes, and settings of their training, are possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sketchjax.errors import ConfigError
from sketchjax.ops.codebook import codebook


def checked(
    bits: Sequence[int], numbers: Mapping[str, tuple[int, int]], problems: Sequence[str] = ()
) -> list[int]:
    """The lengths of codes, each once; raises ConfigError with all that is wrong.

    bits: as they were given.
    numbers: by name, each with the least that it may be.
    problems: what else is wrong.
    """
    found = [*_wrong_lengths(bits), *problems]
    found += [
        f"{name}={value}: must be at least {least}"
        for name, (value, least) in numbers.items()
        if value < least
    ]
    if found:
        raise ConfigError(found)
    return list(dict.fromkeys(bits))


def _wrong_lengths(bits: Sequence[int]) -> list[str]:
    """One line for each length of codes that is out of range."""
    if not bits:
        return ["bits=(): name at least one length, such as 16,32,64"]
    return [
        f"bits={length}: must be a multiple of 8, from 8 to 512"
        for length in bits
        if length % 8 or not 8 <= length <= 512
    ]


def check_codebooks(unseen: np.ndarray, lengths: Sequence[int]) -> None:
    """Raise ConfigError for lengths with fewer words than trained categories. unseen: bool[l]."""
    for length in lengths:
        codebook(int((~unseen).sum()), length)
