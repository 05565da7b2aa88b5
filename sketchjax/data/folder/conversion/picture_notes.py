"""What a manifest says of pictures, besides the pictures: what was bad, left out and decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sketchjax.data.folder.conversion.picture_pieces import PicturesFound
from sketchjax.data.folder.conversion.picture_plan import PicturePlan
from sketchjax.data.folder.conversion.pieces import LISTED
from sketchjax.data.folder.conversion.plan import Plan
from sketchjax.data.folder.manifest import Manifest, listed
from sketchjax.data.sources.categories import some
from sketchjax.data.sources.pictures import Collection


def counts(
    manifest: Manifest,
    collections: Sequence[Collection],
    names: Mapping[Path, str],
    pieces: Sequence[PicturesFound],
    plan: PicturePlan,
) -> tuple[dict[str, int], list[dict], dict[str, int]]:
    """What was bad, the first of it, and what was left out, with the strokes' own.

    manifest: of the strokes.
    names: of the collections, by their root.
    pieces: what the reading of the pictures found.
    """
    bad, left_out = Counter(manifest.bad), Counter(manifest.left_out)
    bad_listed = list(manifest.bad_listed)
    for found in collections:
        title = names[found.root]
        for fault in found.faults:
            bad[fault.kind] += 1
            bad_listed.append(asdict(fault) | {"file": f"{title}/{fault.file}"})
    for piece in pieces:
        bad.update(piece.bad)
        bad_listed += piece.bad_listed
    left_out.update(plan.left_out)
    counted = ({k: n for k, n in sorted(own.items()) if n} for own in (bad, left_out))
    bad_counts, left_counts = counted
    return bad_counts, bad_listed[:LISTED], left_counts


def doubts(pieces: Sequence[PicturesFound]) -> list[str]:
    """Which photos of a source may show nothing."""
    doubtful: dict[str, list[str]] = {}
    for piece in pieces:
        for what, names in piece.doubtful.items():
            doubtful.setdefault(what, []).extend(names)
    return [
        f"photos {what}: {len(names):,}, such as {min(names)}; kept, may be placeholders"
        for what, names in sorted(doubtful.items())
    ]


def changes(pieces: Sequence[PicturesFound]) -> list[str]:
    """What of a source had to be encoded again, and why."""
    total = sum((Counter(piece.changes) for piece in pieces), Counter[str]())
    if not total:
        return []
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(total.items()))
    return [f"encoded again: {reasons}"]


def one_sided(strokes: Plan, pictures: PicturePlan) -> list[str]:
    """The categories that have only photos, or only sketches."""
    used = {strokes.categories[label] for label in np.unique(strokes.rows["label"]).tolist()}
    sketched, photos = used | pictures.categories(False), pictures.categories(True)
    if not (sketched and photos):
        return []
    sides = ("photos", photos - sketched), ("sketches", sketched - photos)
    return [f"categories with only {what}: {some(sorted(names))}" for what, names in sides if names]


def faulty(title: str, found: Collection) -> str:
    """The message about what cannot be used in a source."""
    count = len(found.faults)
    heading = (
        f"{title} has {count:,} {'problem' if count == 1 else 'problems'}; fix it, or skip what "
        "cannot be used (--on-bad skip):"
    )
    return "\n".join([heading, listed([str(fault) for fault in found.faults], 10)])
