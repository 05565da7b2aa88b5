"""Photos in one .npz, as the JPEG files of CIFAR-10 are kept.

Arrays: `header` u8 (the bytes that all files begin with), `body` u8 (what follows, one after the
other), `offset` i[n + 1] into it, `label` i[n] into `categories`, `split` i[n] into `splits`, and
`name` [n], each as a path without extension.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from sketchjax.data.sources.categories import canonical
from sketchjax.data.sources.pictures.collection import PHOTO, Collection, Item
from sketchjax.errors import DataError

_ARRAYS = ("header", "body", "offset", "label", "categories", "split", "splits", "name")
LARGEST = 8 << 30  # bytes of all arrays


def is_picture_archive(path: Path) -> bool:
    """Whether a file is an .npz with the arrays of photos."""
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {"body.npy", "offset.npy"} <= {*archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False


class PictureArchive:
    """The pictures of an archive as bytes.  Raises DataError where it is damaged."""

    def __init__(self, path: Path):
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(info.file_size for info in archive.infolist()) > LARGEST:
                    raise DataError(f"{path} swells to more than {LARGEST >> 30} GB")
            with np.load(path, allow_pickle=False) as arrays:
                if missing := [name for name in _ARRAYS if name not in arrays]:
                    raise DataError(f"{path} has no array {missing[0]}, as archives of photos do")
                held = {name: arrays[name] for name in _ARRAYS}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, MemoryError) as error:
            raise DataError(f"{path} cannot be read: {str(error)[:200]}") from error
        self.names, self.labels, self.splits = held["name"], held["label"], held["split"]
        self.categories, self.split_names = held["categories"], held["splits"]
        self._header = held["header"].astype(np.uint8).tobytes()
        self._body, self._offsets = held["body"], held["offset"].astype(np.int64)
        self._check(path)

    def _check(self, path: Path) -> None:
        lengths = {len(self.names), len(self.labels), len(self.splits), len(self._offsets) - 1}
        for what, right in (
            ("name, label, split and offset differ in length", len(lengths) == 1),
            ("offset does not rise from 0 to the end of body", self._rises()),
            ("a label is not among the categories", self._within(self.labels, self.categories)),
            ("a split is not among the splits", self._within(self.splits, self.split_names)),
        ):
            if not right:
                raise DataError(f"{path}: {what}; get the file again")

    def _rises(self) -> bool:
        edges = self._offsets
        whole = len(edges) > 0 and edges[0] == 0 and edges[-1] == len(self._body)
        return bool(whole and (np.diff(edges) >= 0).all())

    @staticmethod
    def _within(values: np.ndarray, names: np.ndarray) -> bool:
        return not len(values) or bool(values.min() >= 0 and values.max() < len(names))

    def content(self, place: int) -> bytes:
        """The bytes of one picture's file."""
        return self._header + self._body[self._offsets[place] : self._offsets[place + 1]].tobytes()


def read_archive(path: Path, splits: tuple[str, ...], names: dict[str, str]) -> Collection:
    """Read which photos an archive holds; arguments as of `layout.read_folder`."""
    archive, found = PictureArchive(path), Collection(path)
    found.splits = {}
    categories = [canonical(str(name)) for name in archive.categories]
    for place, name in enumerate(archive.names.astype(str).tolist()):
        folder = categories[archive.labels[place]]
        split = str(archive.split_names[archive.splits[place]])
        if split not in splits:
            raise DataError(f"{path}: split {split!r} is not one of {', '.join(splits)}")
        full = f"{PHOTO}/{name}"  # CIFAR-10's names have the category in them
        if full in found.items:
            found.fault(full, "repeated", "two photos of one name; keep one")
            continue
        found.items[full] = Item(full, PHOTO, names.get(folder) or folder, path, place)
        found.splits[full] = split
    found.sort()
    return found
