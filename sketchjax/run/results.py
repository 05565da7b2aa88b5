"""The flat object of results.json: the scores, and what they were measured with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

from sketchjax import __version__
from sketchjax.config import Config, rankings
from sketchjax.data.inputs import PHOTO, SKETCH
from sketchjax.report.material import PrecisionRecall
from sketchjax.retrieval.metrics import Curve
from sketchjax.run.scoring import Measured
from sketchjax.train.checkpoint import Progress
from sketchjax.train.split import TrainingSplit


def collect_results(
    config: Config, splits: Mapping[str, TrainingSplit], progress: Progress, measured: Measured
) -> dict[str, Any]:
    """Everything that results.json holds; a score that does not exist is None.

    splits: of training, by side.
    progress: of the run.
    measured: its last model.

    The headline is the first ranking; `rankings` has all of them. classes: those that are ranked;
    unseen: those of them kept out of training, by name; train, train_photos: sketches and photos
    of training, the latter in runs with photos only; d1, d2: in bits, feature_d1, feature_d2: of
    features (SketchMate, table 4); accuracy: of the classifier on the gallery; seconds_total: of
    all calls of the run, from the data to the scores; sketches_per_second: of training, without
    compilation.
    """
    first = next(iter(splits.values()))
    manifest, unseen = first.manifest, first.unseen
    return headline(measured, rankings(config)) | {
        "classes": int(unseen.sum()) or len(manifest.categories),
        "unseen": [manifest.categories[label] for label in np.flatnonzero(unseen)],
        "train": splits[SKETCH].size if SKETCH in splits else 0,
        **({"train_photos": splits[PHOTO].size} if PHOTO in splits else {}),
        "cut_to_points": manifest.longer_than(config.data.points, "train"),
        "seconds_total": progress.seconds_total,
        "sketches_per_second": {
            stage: progress.sketches[stage] / seconds for stage, seconds in progress.seconds.items()
        },
        "after_stages": progress.scores,
        "config": config.to_dict(),
        "versions": versions(),
        "device": device_name(),
    }


def headline(measured: Measured, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The scores of the first ranking, flat, and those of all rankings under `rankings`.

    A run that ranks features has those scores under `feature_rankings`, and one that ranks photos
    for sketches has its scores by category and by instance under `photo_rankings`.

    pairs: splits of queries and gallery of each ranking.
    """
    scores, distances = measured.scores, measured.distances
    numbers: dict[str, Any] = {} if scores is None else scores.as_dict()
    if distances is not None:
        names = ("d1", "d2", "d1_over_d2")
        numbers |= {f"feature_{name}": getattr(distances, name) for name in names}
    queries, gallery = pairs[0]
    wanted = ("map", "map_best", "map_worst", "map_stable", "precision_at_200")
    photos = [ranking.as_row(measured.sizes) for ranking in measured.photo_rankings]
    by_features = [ranking.as_row(measured.sizes) for ranking in measured.feature_rankings]
    return (
        dict.fromkeys(wanted)
        | {"gallery": measured.sizes[gallery], "queries": measured.sizes[queries]}
        | {"bits": next((codes.bits for codes in measured.codes.values()), None)}
        | numbers
        | {
            "rankings": [ranking.as_row(measured.sizes) for ranking in measured.rankings],
            "accuracy": measured.accuracy,
            "accuracy_query": measured.accuracy_query,
        }
        | ({"feature_rankings": by_features} if by_features else {})
        | ({"photo_rankings": photos} if photos else {})
    )


def radius_curve(curve: Curve) -> PrecisionRecall:
    """Precision and recall within each Hamming radius, for the report.

    Where no query finds anything within the smallest radii there is no precision: NaN, which is
    drawn as nothing; an entry's place remains its radius.
    """
    return PrecisionRecall(curve.radius_recall, curve.radius_precision)


def versions() -> dict[str, str]:
    """Of this project and of what its figures depend on."""
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
    return {"sketchjax": __version__} | {name: version(name) for name in names}


def device_name() -> str:
    """Kind and number of the devices, such as `cpu x 1`."""
    return f"{jax.devices()[0].device_kind} x {jax.device_count()}"


def devices_and_versions(parts: Iterable[Mapping[str, Any]]) -> tuple[str, dict[str, str]]:
    """What several results were measured with: all that differ, with commas.

    parts: such as results.json, with `device` and `versions`; these are left out where there are
      none, as in files of older versions.
    """
    devices: dict[str, None] = {}
    found: dict[str, dict[str, None]] = {}
    for part in parts:
        devices |= dict.fromkeys([part["device"]] if part.get("device") else [])
        for name, number in (part.get("versions") or {}).items():
            found.setdefault(name, {})[number] = None
    return ", ".join(devices), {name: ", ".join(numbers) for name, numbers in found.items()}
