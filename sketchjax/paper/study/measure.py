"""What a study measures besides its runs: shallow hashing (table 2), the cost of search (table 5).

Each measurement is one JSON file under WORKDIR/measured; if the file exists, it is not repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sketchjax.config import rankings
from sketchjax.files import write_whole
from sketchjax.memory import free_bytes
from sketchjax.ops.hamming import pack_codes
from sketchjax.paper.cost import bytes_needed, search_cost
from sketchjax.paper.shallow import HASHERS
from sketchjax.paper.study.features import (
    FeatureSplit,
    fused_blocks,
    hog_blocks,
    kept_features,
)
from sketchjax.paper.study.plan import Key, last_weights, run_folder
from sketchjax.paper.study.state import Study
from sketchjax.retrieval import metrics
from sketchjax.retrieval.model import load

# The paper's names, in its order.
SHALLOW_NAMES = {
    "pca_itq": "PCA-ITQ",
    "lsh": "LSH",
    "sh": "SH",
    "sklsh": "SKLSH",
    "dsh": "DSH",
    "pcah": "PCAH",
    "sdh": "SDH",
    "cca_itq": "CCA-ITQ",
}
KINDS = ("HOG", "deep feature")

Measurement = tuple[str, tuple[str, ...], Callable[[], Any]]


def measurements(study: Study) -> Iterator[Measurement]:
    """(name, runs that it needs, what to do) of all measurements, finished or not."""
    tables = study.config.tables
    if "2" in tables:
        for seed in study.config.seeds:
            for kind in KINDS:
                name = shallow_name(kind, seed)
                needs = () if kind == "HOG" else (Key("deep", None, seed).name,)
                yield name, needs, lambda kind=kind, seed=seed: shallow(study, kind, seed)
    if "5" in tables:
        for gallery in study.config.galleries:
            name = cost_name(gallery)
            yield name, (), lambda gallery=gallery: cost(study, gallery)


def shallow_name(kind: str, seed: int) -> str:
    """The name of table 2's measurement on one kind of features."""
    return f"shallow-{kind.split()[0].lower()}" + (f"-seed{seed}" if seed else "")


def cost_name(gallery: int) -> str:
    """The name of table 5's measurement on a gallery of this many codes."""
    return f"search-{gallery}"


def measured(workdir: Path, name: str) -> Any:
    """What a measurement found; None if it has not finished."""
    path = workdir / "measured" / f"{name}.json"
    return json.loads(path.read_bytes()) if path.exists() else None


def _keep(workdir: Path, name: str, found: Any) -> None:
    write_whole(workdir / "measured" / f"{name}.json", json.dumps(found, indent=1).encode())


def shallow(study: Study, kind: str, seed: int) -> None:
    """Fit every shallow method at every code length and score its codes.

    kind: one of KINDS.
    seed: of the methods, and of the run that the deep features come from.
    """
    features, found = _features(study, kind, seed), []
    queries, gallery = (features[split] for split in rankings(study.config.base)[0])
    train = features["train"]
    for name in HASHERS:
        for bits in study.config.bits:
            started = time.perf_counter()
            method = HASHERS[name](bits, seed).fit(train.features, train.labels)
            scores = metrics.evaluate(
                pack_codes(method.encode(queries.features)),
                queries.labels,
                pack_codes(method.encode(gallery.features)),
                gallery.labels,
                bits=bits,
            )
            seconds = time.perf_counter() - started
            found.append(
                {"method": name, "bits": bits, "map": scores.map, "seconds": round(seconds, 2)}
            )
            study.out.print(f"{SHALLOW_NAMES[name]} on {kind}, {bits} bits: MAP {scores.map:.4f}")
    _keep(study.workdir, shallow_name(kind, seed), found)


def _features(study: Study, kind: str, seed: int) -> dict[str, FeatureSplit]:
    """The features of the sketches that train, are ranked or ask, by split."""
    splits = ["train", *rankings(study.config.base)[0]]
    if kind == "HOG":
        keep = study.workdir / "features" / "hog"
        return kept_features(keep, splits, hog_blocks(study.config, study.folder))
    name = Key("deep", None, seed).name
    planned = next(run for run in study.runs if run.name == name)
    keep = study.workdir / "features" / run_folder(Path(), name).name
    model = load(last_weights(study.workdir, planned))
    batch = planned.config.evaluation.batch_size
    return kept_features(keep, splits, fused_blocks(model, study.folder, batch))


def cost(study: Study, gallery: int) -> None:
    """Measure seconds per query and memory for random codes, at every code length.

    gallery: number of codes.
    """
    found: list[dict[str, Any]] = []
    for bits in study.config.bits:
        study.out.print(f"search in {gallery:,} codes of {bits} bits")
        needed, free = bytes_needed(gallery, bits), free_bytes()
        if needed > free / 2:
            note = f"needs {needed / 1e9:.3g} GB of {free / 1e9:.3g} GB free: left out"
            found.append({"bits": bits, "note": note})
            continue
        measure = search_cost(gallery, bits)
        found.append(
            {
                "bits": bits,
                "seconds_per_query": float(measure.seconds_per_query),
                "memory_mb": float(measure.memory_mb),
            }
        )
    _keep(study.workdir, cost_name(gallery), found)
