"""The sketches that a report shows: one category by its entropy, and what a few queries find."""

from pathlib import Path

import numpy as np

from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Records, Shards
from sketchjax.report.material import EntropyExample, Neighbour, Retrieval
from sketchjax.retrieval.encode import Encoded
from sketchjax.retrieval.index import search
from sketchjax.retrieval.metrics import Scores


def entropy_example(folder: Path, *, shown: int = 6) -> EntropyExample:
    """One category's training sketches, with `shown` from each of its three parts.

    It is the paper's star (figure 4) where there is one, else the category of the widest bounds.
    """
    manifest = Manifest.load(folder)
    low, high = np.asarray(manifest.entropy_low), np.asarray(manifest.entropy_high)
    names = manifest.categories
    label = names.index("star") if "star" in names else int((high - low).argmax())
    with Shards(folder, "train") as shards:
        records = shards.read(np.arange(len(shards)))
    own = np.flatnonzero(records.labels == label)
    entropies = records.entropies[own]
    order = np.argsort(entropies, kind="stable")
    below = int((entropies < low[label]).sum())
    above = int((entropies > high[label]).sum())
    inside = order[below : len(own) - above]
    parts = (
        order[:below][:shown],
        inside[np.linspace(0, len(inside) - 1, min(shown, len(inside))).astype(int)],
        order[len(own) - above :][-shown:],
    )
    sketches = [[_points(records, int(own[place])) for place in part] for part in parts]
    return EntropyExample(names[label], entropies, float(low[label]), float(high[label]), *sketches)


def example_retrievals(
    folder: Path,
    codes: dict[str, np.ndarray],
    scores: Scores,
    gallery: Encoded,
    query: Encoded,
    *,
    queries: int,
    retrieved: int,
    asked: str,
) -> list[Retrieval]:
    """The nearest gallery sketches of a few queries, easy and hard ones.

    They stand at even steps of the ranking by average precision: no choice of ours.
    codes: packed, of `gallery` and `query`; queries: how many; retrieved: results of each;
    asked: the split that `query` is.
    """
    ranked = scores.query[np.argsort(-scores.average_precision, kind="stable")]
    steps = np.linspace(0.1, 0.95, queries) * (len(ranked) - 1)
    chosen = ranked[np.unique(steps.astype(int))]
    indices = {"gallery": gallery.index, "query": query.index}
    return retrievals_of(folder, codes, indices, chosen, retrieved, asked)


def retrievals_of(
    folder: Path,
    codes: dict[str, np.ndarray],
    indices: dict[str, np.ndarray],
    chosen: np.ndarray,
    retrieved: int,
    asked: str,
) -> list[Retrieval]:
    """The nearest gallery sketches of chosen queries.

    codes: packed u8[n d/8], and indices: i[n], the record of each in its split, of `gallery` and
    `query`; chosen: i[q], places in the codes of `query`; retrieved: results of each; asked: the
    split that `query` is.
    """
    distances, places = search(codes["query"][chosen], codes["gallery"], retrieved)
    names = Manifest.load(folder).categories
    retrievals = []
    with Shards(folder, asked) as asking, Shards(folder, "gallery") as items:
        own = asking.read(indices["query"][chosen])
        for row, label in enumerate(own.labels):
            found = items.read(indices["gallery"][places[row]])
            neighbours = [
                Neighbour(
                    _points(found, place),
                    names[found.labels[place]],
                    int(distances[row, place]),
                    bool(found.labels[place] == label),
                )
                for place in range(len(found.labels))
            ]
            retrievals.append(Retrieval(_points(own, row), names[label], neighbours))
    return retrievals


def _points(records: Records, index: int) -> np.ndarray:
    """The points u8[t 3] of one record."""
    return records.points[records.offsets[index] : records.offsets[index + 1]].copy()
