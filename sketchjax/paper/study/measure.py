"""What a study measures besides its runs: shallow hashing (table 2), the cost of search (table 5).

Each measurement is one JSON file under WORKDIR/measured: what it was made with, and what was found.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sketchjax.config import Config, rankings
from sketchjax.data.folder.manifest import NAME
from sketchjax.errors import ConfigError, DataError, NotFiniteError
from sketchjax.files import sha256, write_whole
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
from sketchjax.paper.study.plan import Key, last_weights, table_methods
from sketchjax.paper.study.state import Study
from sketchjax.retrieval import metrics
from sketchjax.retrieval.model import load
from sketchjax.run.results import device_name, versions

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

Entry = dict[str, Any]  # what was found for a part, with the part's own keys
Part = dict[str, Any]  # one code length, of one method in table 2


@dataclass(frozen=True)
class Measurement:
    """What a study measures besides its runs, kept in one file.

    path: of the file.
    needs: the runs that have to finish first.
    parts: all that it consists of.
    made_with: what decides the figures; those of other settings are measured again.
    measure: gives an entry for each part that it could measure.
    """

    path: Path
    needs: tuple[str, ...]
    parts: list[Part]
    made_with: dict[str, Any]
    measure: Callable[[list[Part]], Iterator[Entry]]

    @property
    def name(self) -> str:
        """As progress and messages have it."""
        return self.path.stem

    def found(self) -> list[Entry]:
        """What is known with these settings."""
        kept = json.loads(self.path.read_bytes()) if self.path.exists() else {}
        # Older versions kept a list, and not what it was made with.
        is_same = isinstance(kept, dict) and kept.get("made_with") == self.made_with
        return kept["found"] if is_same else []

    def missing(self) -> list[Part]:
        """The parts that are not known."""
        found = self.found()
        return [part for part in self.parts if not any(part.items() <= e.items() for e in found)]

    def take(self) -> None:
        """Measure what is missing; each entry is kept at once."""
        found = self.found()
        for entry in self.measure(self.missing()):
            found.append(entry | {"device": device_name(), "versions": versions()})
            content = {"made_with": self.made_with, "found": found}
            write_whole(self.path, json.dumps(content, indent=1).encode())


def measurements(study: Study) -> Iterator[Measurement]:
    """All measurements, finished or not."""
    if "2" in study.config.tables:
        for seed in study.config.seeds:
            for kind in kinds(study.config):
                yield shallow(study, kind, seed)
    if "5" in study.config.tables:
        for gallery in study.config.galleries:
            yield cost(study, gallery)


def kinds(config: Config) -> tuple[str, ...]:
    """The kinds of features that table 2 has: deep ones only where their run is asked for."""
    return KINDS if table_methods(config, "2") else KINDS[:1]


def part_name(name: str, part: Part) -> str:
    """The name of a part that failed. name: of its measurement."""
    return ", ".join(
        [name, *([part["method"]] if "method" in part else []), f"{part['bits']} bits"]
    )


def shallow(study: Study, kind: str, seed: int) -> Measurement:
    """Every shallow method at every code length, by the MAP of its codes.

    kind: one of KINDS.
    seed: of the methods, and of the run that the deep features come from.
    """
    config, name = study.config, f"shallow-{kind.split()[0].lower()}"
    name += f"-seed{seed}" if seed else ""
    deep = kind != KINDS[0]
    return Measurement(
        study.workdir / "measured" / f"{name}.json",
        (Key("deep", None, seed).name,) if deep else (),
        [{"method": method, "bits": bits} for method in HASHERS for bits in config.bits],
        _made_with(study, kind, seed) | {"splits": [*rankings(config.base)[0]]},
        partial(_shallow, study, kind, seed, name),
    )


def _shallow(study: Study, kind: str, seed: int, name: str, parts: list[Part]) -> Iterator[Entry]:
    """Fit methods and score their codes; a method that cannot be fitted fails only its own part."""
    features = _features(study, kind, seed)
    queries, gallery = (features[split] for split in rankings(study.config.base)[0])
    train = features["train"]
    for part in parts:
        method, bits = part["method"], part["bits"]
        started = time.perf_counter()
        try:
            fitted = HASHERS[method](bits, seed).fit(train.features, train.labels)
        except (ConfigError, DataError, NotFiniteError) as error:
            study.fail(part_name(name, part), error)
            continue
        scores = metrics.evaluate(
            pack_codes(fitted.encode(queries.features)),
            queries.labels,
            pack_codes(fitted.encode(gallery.features)),
            gallery.labels,
            bits=bits,
        )
        seconds = round(time.perf_counter() - started, 2)
        study.out.print(f"{SHALLOW_NAMES[method]} on {kind}, {bits} bits: MAP {scores.map:.4f}")
        yield part | {"map": scores.map, "seconds": seconds}


def _made_with(study: Study, kind: str, seed: int) -> dict[str, Any]:
    """What decides the features of a kind. seed: of the run that deep features come from."""
    made_with: dict[str, Any] = {"data": sha256(study.folder / NAME)}
    if kind == KINDS[0]:
        return made_with | {
            "hog_size": study.config.hog_size,
            "points": study.config.base.data.points,
        }
    weights = _weights(study, seed)
    return made_with | {"model": sha256(weights) if weights.exists() else ""}


def _weights(study: Study, seed: int) -> Path:
    name = Key("deep", None, seed).name
    return last_weights(study.workdir, next(run for run in study.runs if run.name == name))


def _features(study: Study, kind: str, seed: int) -> dict[str, FeatureSplit]:
    """The features of the sketches that train, are ranked or ask, by split."""
    splits = ["train", *rankings(study.config.base)[0]]
    keep = study.workdir / "features"
    if kind == KINDS[0]:
        keep, blocks = keep / "hog", hog_blocks(study.config, study.folder)
    else:
        keep /= Key("deep", None, seed).name.replace("/", "-")
        batch = study.config.base.evaluation.batch_size
        blocks = fused_blocks(load(_weights(study, seed)), study.folder, batch)
    return kept_features(keep, splits, blocks, _made_with(study, kind, seed))


def cost(study: Study, gallery: int) -> Measurement:
    """Seconds per query and memory for random codes, at every code length.

    gallery: number of codes.
    """
    return Measurement(
        study.workdir / "measured" / f"search-{gallery}.json",
        (),
        [{"bits": bits} for bits in study.config.bits],
        {},
        partial(_cost, study, gallery),
    )


def _cost(study: Study, gallery: int, parts: list[Part]) -> Iterator[Entry]:
    for part in parts:
        bits = part["bits"]
        study.out.print(f"search in {gallery:,} codes of {bits} bits")
        needed, free = bytes_needed(gallery, bits), free_bytes()
        if needed > free / 2:
            note = f"needs {needed / 1e9:.3g} GB of {free / 1e9:.3g} GB free: left out"
            yield part | {"note": note}
            continue
        measure = search_cost(gallery, bits)
        yield part | {
            "seconds_per_query": float(measure.seconds_per_query),
            "memory_mb": float(measure.memory_mb),
        }
