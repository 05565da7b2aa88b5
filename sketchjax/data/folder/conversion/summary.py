"""The manifest of a conversion, summed over its pieces and shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sketchjax.data import entropy
from sketchjax.data import sources as formats
from sketchjax.data.folder.conversion import pack
from sketchjax.data.folder.conversion.identity import BAD_KEY
from sketchjax.data.folder.conversion.pieces import BAD_FILE, LISTED, Piece
from sketchjax.data.folder.conversion.plan import Plan
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.offsets import scale


def bad_records(
    pieces: Sequence[Piece], strangers: Sequence[str], plan: Plan
) -> tuple[dict[str, int], list[dict]]:
    """Bad records of all pieces: counted by kind, and the first ones listed.

    strangers: the names of files of no known format.
    """
    counts = Counter[str]()
    listed = []
    for name in strangers:
        counts[BAD_FILE] += 1
        reason = f"unknown format; known are {', '.join(formats.EXTENSIONS)}"
        listed.append({"file": name, "place": None, "kind": BAD_FILE, "reason": reason})
    for piece in pieces:
        counts.update(piece.found.bad)
        listed += piece.found.bad_listed
    if plan.clashes:
        counts[BAD_KEY] = plan.clashes
        listed += plan.clashes_listed
    return dict(sorted(counts.items())), listed[:LISTED]


def decisions(pieces: Sequence[Piece], plan: Plan) -> dict[str, list[str]]:
    """What was decided about each file, by the readers and by the plan."""
    found = {
        piece.file: piece.found.decisions + plan.decisions.get(piece.file, []) for piece in pieces
    }
    return {file: texts for file, texts in found.items() if texts}


def summarize(
    plan: Plan,
    packed: Mapping[str, list[tuple[pack.Packed, np.ndarray]]],
    settings: dict[str, Any],
    sources: list[dict[str, Any]],
    bad: dict[str, int],
    bad_listed: list[dict],
    decisions: dict[str, list[str]],
    passed_over: dict[str, int],
) -> Manifest:
    """The manifest, from what is known when all shards are written.

    plan: the records of all shards.
    packed: by split, the finished shards and the entropies of their sketches.
    settings: everything that decided the conversion.
    sources: name and bytes of each source file.
    bad, bad_listed: of `bad_records`.
    decisions: of `decisions`.
    passed_over: by extension, files in the source folders that no reader takes.
    """
    by_category: dict[str, dict[str, int]] = {
        name: dict.fromkeys(SPLITS, 0) for name in plan.categories
    }
    lengths = {}
    for split in SPLITS:
        counts = np.bincount(plan.split_rows(split)["label"], minlength=len(plan.categories))
        for name, count in zip(plan.categories, counts.tolist(), strict=True):
            by_category[name][split] = count
        total = Counter[int]()
        for part, _ in packed[split]:
            total.update(part.lengths)
        lengths[split] = dict(sorted(total.items()))
    low, high = _thresholds(plan, [values for _, values in packed["train"]])
    return Manifest(
        categories=plan.categories,
        counts={split: len(plan.split_rows(split)) for split in SPLITS},
        counts_by_category=by_category,
        offset_scale=scale([part.offset_sums for part, _ in packed["train"]]),
        entropy_low=low,
        entropy_high=high,
        lengths=lengths,
        shards={split: [part.shard for part, _ in packed[split]] for split in SPLITS},
        settings=settings,
        sources=sources,
        bad=bad,
        bad_listed=bad_listed,
        left_out=plan.left_out,
        dropped=plan.dropped,
        decisions=decisions,
        passed_over=passed_over,
    )


def _thresholds(plan: Plan, entropies: list[np.ndarray]) -> tuple[list[float], list[float]]:
    """Entropy quantiles of each category's training sketches; 0 and 1 if it has none."""
    labels = plan.split_rows("train")["label"]
    values = np.concatenate(entropies) if entropies else np.zeros(0, np.float32)
    pairs = entropy.thresholds_by_label(values, labels, len(plan.categories), pack.ENTROPY_KEEP)
    return [low for low, _ in pairs], [high for _, high in pairs]
