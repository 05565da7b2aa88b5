"""What an index says about itself and its sources, in a file as in ClickHouse."""

from __future__ import annotations

import msgspec

from sketchjax.index.engine import Scale

FORMAT = 2


class Meta(msgspec.Struct, frozen=True):
    """What a database says about itself.

    format: of the tables.
    model: fingerprint of the model of the codes.
    bits: d.
    features: f.
    scale: of the features.
    next_id: the least id that nothing ever had.
    version: of the content; it rises with every change.
    complete: whether building has finished.
    """

    format: int
    model: str
    bits: int
    features: int
    scale: Scale
    next_id: int = 0
    version: int = 0
    complete: bool = False


class Progress(msgspec.Struct, frozen=True):
    """How far a source has been indexed.

    path: the key of the source; of an earlier version, followed by a colon and a name.
    bytes: the size of its files.
    modified: the last change of their inodes in ns; without a digest, of their contents.
    count: drawings in it.
    done: drawings of these that are in the index.
    digest: a sha256 of its files; empty where an earlier version wrote this.
    """

    path: str
    bytes: int
    modified: int
    count: int = 0
    done: int = 0
    digest: str = ""
