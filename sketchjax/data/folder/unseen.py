"""Categories that are kept out of training, to score what the model has never seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sketchjax.data.class_lists import expanded
from sketchjax.data.folder.hashing import keyed_hash
from sketchjax.data.sources.categories import canonical, some, unknown_names
from sketchjax.errors import ConfigError

_KEY = 0x756E  # no other draw from the seed uses it


def found_categories(names: Sequence[str], categories: Sequence[str], field: str) -> list[str]:
    """The categories of a data folder that a field of a config names, in any known spelling.

    The name of a list, of `data.class_lists`, is short for its categories.
    Raises ConfigError with the nearest names where it has no such category.
    """
    found = [name if name in categories else canonical(name) for name in expanded(names)]
    if unknown := unknown_names({*found} - {*categories}, categories):
        raise ConfigError(
            [f"{field}: the data has no category {line}" for line in unknown]
            + [f"{field}: the data has {some(sorted(categories))}, as its manifest.json lists"]
        )
    return found


def unseen_categories(
    categories: Sequence[str], names: Sequence[str], count: int, seed: int
) -> np.ndarray:
    """Which categories of a data folder are kept out of training: bool[l].

    categories: the names of all l categories.
    names: those to keep out; they come before `count`.
    count: how many the seed draws if none is named.
    seed: of the draw.
    Raises ConfigError if a name is not a category, or fewer than two categories remain to train on.
    """
    names = found_categories(names, categories, "data.unseen")
    if names:
        unseen = np.isin(np.asarray(categories), list(names))
    else:
        drawn = np.argsort(keyed_hash(np.arange(len(categories)), (seed, _KEY)), kind="stable")
        unseen = np.isin(np.arange(len(categories)), drawn[:count])
    if unseen.sum() == 1:
        raise ConfigError(
            "data.unseen keeps out only one category, so every neighbour would be right; keep out "
            "at least two"
        )
    if unseen.any() and len(categories) - unseen.sum() < 2:
        raise ConfigError(
            f"data.unseen leaves {len(categories) - int(unseen.sum())} of {len(categories)} "
            "categories to train on; keep out fewer"
        )
    return unseen
