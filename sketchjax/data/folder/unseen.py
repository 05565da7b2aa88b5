"""Categories that are kept out of training, for scores on what was never seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sketchjax.data.folder.splits import keyed_hash
from sketchjax.errors import ConfigError

_KEY = 0x756E  # no other draw of a seed is made under it


def unseen_categories(
    categories: Sequence[str], names: Sequence[str], count: int, seed: int
) -> np.ndarray:
    """Which categories of a data folder are kept out of training: bool[l].

    names: those asked for; count: how many the seed draws where none is named.
    Raises ConfigError when a name is not among the categories, or too few are left to train with.
    """
    lacking = [name for name in names if name not in categories]
    if lacking:
        raise ConfigError(
            f"data.unseen: the data has no category {', '.join(lacking)}; "
            f"it has {', '.join(sorted(categories)[:8])}, ..."
        )
    if names:
        unseen = np.isin(np.asarray(categories), list(names))
    else:
        drawn = np.argsort(keyed_hash(np.arange(len(categories)), (seed, _KEY)), kind="stable")
        unseen = np.isin(np.arange(len(categories)), drawn[:count])
    if unseen.sum() == 1:
        raise ConfigError(
            "data.unseen keeps out one category, so that every neighbour would be right; keep out "
            "two or more"
        )
    if unseen.any() and len(categories) - unseen.sum() < 2:
        raise ConfigError(
            f"data.unseen leaves {len(categories) - int(unseen.sum())} of {len(categories)} "
            "categories to train with; keep out fewer"
        )
    return unseen
