"""The page as a folder that any web host serves: the model and a gallery are in the browser.

The folder holds the server's page, the scripts of `local/` in place of its HTTP interface, the
gallery as `gallery.json` and `gallery.bin`, the model as `encoder.onnx`, in `photos/` the pictures
of photos, and in `ort/` onnxruntime-web, which comes from its npm package.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sketchjax.errors import ConfigError, DataError
from sketchjax.files import check_absent, whole_folder
from sketchjax.index.engine import Description, Items, Numbering
from sketchjax.index.memory_snapshot import MemorySnapshot
from sketchjax.index.search import check_model
from sketchjax.models.card import fingerprint, model_file, read_model_file

RUNTIME = "onnxruntime-web 1.30.0"
RUNTIME_URL = "https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-1.30.0.tgz"
# The files of its folder `dist` that run a model on one thread, with their sha256.
RUNTIME_FILES = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": (
        "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}
_ALIGNMENT = 8  # bytes, of an array of gallery.bin
_CHARSET = '<meta charset="utf-8">\n'
# The page searches by itself, and can call no other host: nothing that is drawn leaves the browser.
_HEAD = """\
<meta name="gallery" content="gallery.json">
<meta http-equiv="Content-Security-Policy" content="default-src 'self'; \
script-src 'self' 'wasm-unsafe-eval'; base-uri 'none'; form-action 'none'; object-src 'none'">
"""


@dataclass(frozen=True)
class Graph:
    """A model as an ONNX graph.

    onnx: the file, see `export.onnx_graph`.
    fingerprint: of the model.
    points: t, of a drawing.
    categories: the name of each probability.
    """

    onnx: bytes
    fingerprint: str
    points: int
    categories: Sequence[str]

    @classmethod
    def of(cls, source: Path) -> Graph:
        """Of a model file, the workdir of a run, or a folder that `export` wrote.

        Raises CheckpointError for what cannot be read, DataError for a model that has no graph.
        """
        from sketchjax.export.onnx_graph import encoder_graph

        arrays, card = read_model_file(model_file(source))
        own = card.architecture
        return cls(
            encoder_graph(arrays, card), fingerprint(arrays, own), own.points, own.categories
        )


def write_page(
    folder: Path, snapshot: MemorySnapshot, graph: Graph, runtime: Mapping[str, bytes]
) -> int:
    """Write the folder, whole or not at all; returns how many drawings its gallery has.

    folder: to write.
    snapshot: of the index that becomes the gallery.
    graph: of the model that made its codes.
    runtime: see `read_runtime`.
    Raises DataError where the folder exists, the index is empty, or its codes are of another model;
    InUseError where another process writes the folder; DiskError.
    """
    check_model(graph.fingerprint, snapshot.describe().model)
    check_absent(folder)
    files = page_files() | gallery_files(snapshot, graph)
    files |= {f"ort/{name}": content for name, content in runtime.items()}
    with whole_folder(folder) as partial:
        for name, content in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return snapshot.describe().count


def page_files() -> dict[str, bytes]:
    """The page that searches by itself: its files by name."""
    here = Path(__file__).parent
    files = {
        path.name: path.read_bytes()
        for room in ("page", "local")
        for path in sorted((here / room).iterdir())
        if path.is_file()
    }
    page = files["index.html"].decode()
    files["index.html"] = page.replace(_CHARSET, _CHARSET + _HEAD, 1).encode()
    return files


def gallery_files(snapshot: MemorySnapshot, graph: Graph) -> dict[str, bytes]:
    """The gallery and the model, as `local/search.js` and `local/encode.js` read them, and photos.

    snapshot: of an index; what is deleted is left out.
    graph: of its model.
    """
    ids = snapshot.ids
    items = snapshot.get(ids[snapshot.rows_of(ids)[1]].tolist())
    if not len(items):
        raise DataError("the index has no drawing to show")
    photos = items.ids[items.are_photos].tolist()
    state = snapshot.describe()
    about, content = _gallery(items, state)
    checked = {"gallery.bin": content, "encoder.onnx": graph.onnx}
    about |= {
        "encoder": {"points": graph.points, "categories": list(graph.categories)},
        # In the addresses of both files, so that a browser keeps neither of an earlier export.
        "version": hashlib.sha256(content + graph.onnx).hexdigest()[:16],
        # A browser has SHA-256 only on https and localhost, see local/crc32.js.
        "crc32": {name: zlib.crc32(file) for name, file in checked.items()},
    }
    return {
        "gallery.json": msgspec.json.encode(about),
        **checked,
        **{f"photos/{id_}.jpg": snapshot.thumbnail(id_) for id_ in photos},
    }


def _gallery(items: Items, state: Description) -> tuple[dict[str, Any], bytes]:
    """What gallery.json says about items, and the arrays of gallery.bin, all little-endian."""
    categories, sources = Numbering(sorted(state.categories)), Numbering()
    codes = np.pad(items.codes, [(0, 0), (0, -items.codes.shape[1] % 4)])
    arrays = {
        "codes": codes.astype("u1"),  # as u32[n w], the first bit lowest
        "features": items.features.astype("u1"),
        "labels": categories.number(items.categories, "<u2"),
        "ids": items.ids.astype("<f8"),  # whole numbers below 2^53
        "keys": items.key_ids.astype("<u8"),
        "sources": sources.number(items.sources, "<u4"),
        "places": items.places.astype("<f8"),
        "points": items.points.astype("u1"),
        "offsets": items.offsets.astype("<f8"),
    }
    content, places = bytearray(), {}
    for name, array in arrays.items():
        content.extend(bytes(-len(content) % _ALIGNMENT))
        # JavaScript counts items of an array's own type; codes are read as words of four bytes.
        count = array.size // 4 if name == "codes" else array.size
        places[name] = {"start": len(content), "length": count}
        content.extend(array.tobytes())
    about = {
        **msgspec.to_builtins(state),
        "categories": categories.names,
        "sources": sources.names,
        "arrays": places,
    }
    return about, bytes(content)


def read_runtime(path: Path | None) -> dict[str, bytes]:
    """The files of onnxruntime-web that a browser needs, by name.

    path: of its npm package `RUNTIME`, as a .tgz or unpacked.
    Raises ConfigError where it is not there, or not of that version: the sha256 of each is checked.
    """
    how = f"curl -LO {RUNTIME_URL}, then --ort {RUNTIME_URL.rsplit('/', 1)[1]}"
    if path is None:
        raise ConfigError(f"a page without a server needs {RUNTIME}: {how}")
    try:
        files = _of_folder(path) if path.is_dir() else _of_archive(path)
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        raise ConfigError(f"--ort {path} cannot be read ({error}); {how}") from None
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != RUNTIME_FILES[name]:
            raise ConfigError(f"--ort {path}: its {name} is not that of {RUNTIME}; {how}")
    return files


def _of_folder(path: Path) -> dict[str, bytes]:
    """The files of a folder: the package, its `dist`, or what an archive was unpacked to."""
    inner = next((p for p in (path / "dist", path / "package/dist") if p.is_dir()), path)
    return {name: (inner / name).read_bytes() for name in RUNTIME_FILES}


def _of_archive(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {name: archive.extractfile(f"package/dist/{name}") for name in RUNTIME_FILES}
        return {name: file.read(1 << 26) if file else b"" for name, file in found.items()}
