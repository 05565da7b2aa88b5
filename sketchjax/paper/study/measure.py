"""What a study measures beside its runs: shallow hashing (table 2), the cost of search (table 5).

Each measurement is one JSON file under WORKDIR/measured; what is there is not measured again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sketchjax.files import write_whole
from sketchjax.memory import free_bytes
from sketchjax.ops.hamming import pack_codes
from sketchjax.paper.cost import bytes_needed, search_cost
from sketchjax.paper.shallow import HASHERS
from sketchjax.paper.study.features import Features, deep_features, hog_features
from sketchjax.paper.study.plan import Key, last_weights, run_folder
from sketchjax.paper.study.state import Study
from sketchjax.retrieval import metrics

# The paper's names, unsupervised and supervised as it has them.
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
    """(name, runs that it needs, what to do) of all measurements, done or not."""
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
    """The name of table 2's measurement on these features."""
    return f"shallow-{kind.split()[0].lower()}" + (f"-seed{seed}" if seed else "")


def cost_name(gallery: int) -> str:
    """The name of table 5's measurement on so many codes."""
    return f"search-{gallery}"


def measured(workdir: Path, name: str) -> Any:
    """What a measurement found; None where it has not come to its end."""
    path = workdir / "measured" / f"{name}.json"
    return json.loads(path.read_bytes()) if path.exists() else None


def _keep(workdir: Path, name: str, found: Any) -> None:
    write_whole(workdir / "measured" / f"{name}.json", json.dumps(found, indent=1).encode())


def shallow(study: Study, kind: str, seed: int) -> None:
    """Fit every shallow method at every length and score its codes."""
    features, found = _features(study, kind, seed), []
    train, gallery = features["train"], features["gallery"]
    queries = features[study.config.base.evaluation.queries]
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
            print(f"{SHALLOW_NAMES[name]} on {kind}, {bits} bits: MAP {scores.map:.4f}", flush=True)
    _keep(study.workdir, shallow_name(kind, seed), found)


def _features(study: Study, kind: str, seed: int) -> dict[str, Features]:
    if kind == "HOG":
        return hog_features(study.config, study.folder, study.workdir / "features" / "hog")
    name = Key("deep", None, seed).name
    planned = next(run for run in study.runs if run.name == name)
    keep = study.workdir / "features" / run_folder(Path(), name).name
    weights = last_weights(study.workdir, planned)
    return deep_features(planned.config, weights, study.folder, keep)


def cost(study: Study, gallery: int) -> None:
    """Seconds a query and memory for random codes, at every length."""
    found: list[dict[str, Any]] = []
    for bits in study.config.bits:
        print(f"search in {gallery:,} codes of {bits} bits", flush=True)
        needed, free = bytes_needed(gallery, bits), free_bytes()
        if needed > free / 2:
            note = f"takes {needed / 1e9:.3g} GB, of {free / 1e9:.3g} GB free: left out"
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
