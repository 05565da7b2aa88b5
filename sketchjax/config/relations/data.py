"""The rules for the data and its splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sketchjax.config.fields import ranking_sides
from sketchjax.config.relations.reading import Fields
from sketchjax.data.class_lists import expanded
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.sources.categories import canonical
from sketchjax.fields import LARGEST_INT, is_number, one_line


def of_source_and_splits(fields: Fields) -> list[str]:
    """Whether the source and the splits give each split what is asked of it."""
    problems = []
    if fields.get("data.source") == "synthetic" and fields.get("data.synthetic_per_category") == 0:
        problems.append("data.synthetic_per_category=0 with data.source=synthetic; try 300")
    if fields.get("data.extra_train") and not fields.get("data.split_file"):
        problems.append(
            f"data.extra_train={fields['data.extra_train']} adds to a split file; set "
            "data.split_file, or ask data.splits.train for more"
        )
    if "data.splits" in fields and not fields.get("data.split_file"):
        problems += _of_splits(fields["data.splits"], fields.get("evaluation.rankings", ()))
    return problems


def of_unseen(fields: Fields) -> list[str]:
    """Whether the categories that are kept out of training are named once, and are there."""
    problems = []
    unseen, categories = expanded(fields.get("data.unseen", ())), fields.get("data.categories", ())
    if unseen and fields.get("data.unseen_count"):
        problems.append("data.unseen names categories, data.unseen_count draws them; use one")
    there = {*map(canonical, categories)}
    missing = [name for name in unseen if categories and canonical(name) not in there]
    if missing:
        problems.append(f"data.unseen={one_line(missing)} are not among data.categories")
    return problems


def _of_splits(splits: Mapping[str, Any], rankings: Any) -> list[str]:
    problems = []
    for name, part in splits.items():
        if name not in SPLITS:
            problems.append(
                f"data.splits.{name}={one_line(part)} is no split; there are {', '.join(SPLITS)}"
            )
        elif not is_number(part) or not 0 <= part <= LARGEST_INT:
            problems.append(
                f"data.splits.{name}={one_line(part)}; give how many sketches, or a fraction"
            )
    if problems:
        return problems
    kinds = {type(part) for part in splits.values() if part}
    if len(kinds) > 1:
        problems.append(
            f"data.splits={one_line(splits)} mixes numbers of sketches and fractions; use one"
        )
    elif float in kinds and sum(splits.values()) > 1 + 1e-9:
        problems.append(
            f"data.splits={one_line(splits)} adds up to more than 1; take fractions of a whole"
        )
    asked = [split for row in rankings for _, split in ranking_sides(row)]
    empty = [name for name in dict.fromkeys(["train", *asked]) if not splits.get(name)]
    if empty:
        problems.append(
            f"data.splits={one_line(splits)} gives nothing to {', '.join(empty)}; each needs "
            "sketches"
        )
    return problems
