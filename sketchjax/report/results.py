"""The flat object of results.json: the scores, and what they were measured with."""

from importlib.metadata import version
from typing import Any

import jax

from sketchjax import __version__
from sketchjax.config import Config
from sketchjax.data.manifest import Manifest
from sketchjax.report.material import PrecisionRecall
from sketchjax.retrieval.encode import Encoded
from sketchjax.retrieval.metrics import Curve, Scores, accuracy
from sketchjax.train.checkpoint import Progress


def collect_results(
    config: Config,
    manifest: Manifest,
    scores: Scores,
    gallery: Encoded,
    query: Encoded,
    progress: Progress,
) -> dict[str, Any]:
    """Everything that results.json holds; a score that does not exist is None.

    accuracy: of the classifier on the gallery, as in the paper; seconds_total: of all calls of the
    run, from the data to the scores; sketches_per_second: of training, without compilation.
    """
    numbers = scores.as_dict()
    wanted = ("map", "map_best", "map_worst", "map_stable", "precision_at_200")
    return (
        dict.fromkeys(name for name in wanted if name not in numbers)
        | numbers
        | {
            "accuracy": accuracy(gallery.predictions, gallery.labels),
            "accuracy_query": accuracy(query.predictions, query.labels),
            "classes": len(manifest.categories),
            "train": manifest.counts["train"],
            "cut_to_points": manifest.longer_than(config.data.points, "train"),
            "seconds_total": progress.seconds_total,
            "sketches_per_second": {
                stage: progress.sketches[stage] / seconds
                for stage, seconds in progress.seconds.items()
            },
            "after_stages": progress.scores,
            "config": config.to_dict(),
            "versions": versions(),
            "device": device_name(),
        }
    )


def radius_curve(curve: Curve) -> PrecisionRecall:
    """Precision and recall within each Hamming radius, for the report.

    Where no query finds anything within the smallest radii there is no precision: NaN, which is
    drawn as nothing; the place of an entry stays its radius.
    """
    return PrecisionRecall(curve.radius_recall, curve.radius_precision)


def versions() -> dict[str, str]:
    """Of this project and of what its figures depend on."""
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
    return {"sketchjax": __version__} | {name: version(name) for name in names}


def device_name() -> str:
    """Kind and number of the devices, such as `cpu x 1`."""
    return f"{jax.devices()[0].device_kind} x {jax.device_count()}"
