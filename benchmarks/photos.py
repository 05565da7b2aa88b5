"""Photos per second, read from a data folder: decoded and resized, on all cores.

python -m benchmarks.photos [--photos 2048] [--side 256] [--size 128] [--rounds 5] [--json FILE]

The photos are synthetic JPEG files of --side px. Ours is `PictureShards.read`, in batches of 256.
The peers are what a user would write instead: a plain loop over the files with Pillow, the same in
a pool of threads, and torchvision's decoder and resize where it is installed. All take turns in one
run. The processor time of a photo says what idle cores would do on a machine that is busy.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.record import parser, report
from benchmarks.timing import in_turn
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.pictures import PictureShards
from sketchjax.data.sources.doodles.photos import PHOTO_CATEGORIES, scene

_BATCH = 256
_DISTINCT = 96  # photos: more are copies under other names


def write(folder: Path, photos: int, side: int) -> list[Path]:
    """Write JPEG files of side × side px as a picture folder; returns their paths."""
    names = PHOTO_CATEGORIES
    made = [
        scene(names[number % len(names)], number, seed=0, sketches=0, size=side).photo
        for number in range(min(photos, _DISTINCT))
    ]
    paths = []
    for number in range(photos):
        path = folder / "photo" / "any" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[number % len(made)])
        paths.append(path)
    return paths


def ours(shards: PictureShards, size: int) -> int:
    """Read all photos of a split in batches; returns their number."""
    count = 0
    for first in range(0, len(shards), _BATCH):
        places = np.arange(first, min(first + _BATCH, len(shards)))
        count += len(shards.read(places, size).pixels)
    return count


def plain(path: Path, size: int) -> np.ndarray:
    """A photo as most loaders read it: decoded whole, then resized."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def in_threads(paths: list[Path], size: int) -> int:
    """The plain way in one thread per core; returns the number of photos."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return sum(1 for _ in pool.map(lambda path: plain(path, size), paths, chunksize=16))


def torchvision_loop(paths: list[Path], size: int) -> Callable[[], int] | None:
    """torchvision's way, None where it is not installed."""
    try:
        from torchvision.io import ImageReadMode, decode_image  # type: ignore[import-not-found]
        from torchvision.transforms.functional import resize  # type: ignore[import-not-found]
    except ImportError:
        return None

    def run() -> int:
        for path in paths:
            resize(decode_image(str(path), ImageReadMode.RGB), [size, size], antialias=True)
        return len(paths)

    return run


def main(words: list[str] | None = None) -> None:
    flags = parser(__doc__)
    flags.add_argument("--photos", type=int, default=2_048)
    flags.add_argument("--side", type=int, default=256)
    flags.add_argument("--size", type=int, default=128)
    flags.add_argument("--rounds", type=int, default=5)
    arguments = flags.parse_args(words)
    size, number = arguments.size, arguments.photos
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        paths = write(scratch / "in", number, arguments.side)
        splits = {"train": 1.0}
        convert([scratch / "in"], scratch / "out", splits=splits, progress=False)
        shards = PictureShards(scratch / "out", "photo", "train")
        assert len(shards) == number
        figures: dict[str, object] = {
            "photos": number,
            "side": arguments.side,
            "size": size,
            "cores": len(os.sched_getaffinity(0)),
            "bytes_per_photo": sum(path.stat().st_size for path in paths) / number,
        }
        ours(shards, size)
        before = time.process_time()
        ours(shards, size)
        figures["cpu_microseconds_per_photo"] = 1e6 * (time.process_time() - before) / number
        peers: dict[str, Callable[[], int] | None] = {
            "pillow_loop": lambda: sum(1 for path in paths if plain(path, size) is not None),
            "pillow_threads": lambda: in_threads(paths, size),
            "torchvision": torchvision_loop(paths, size),
        }
        for peer, work in peers.items():
            if work is None:
                figures[peer] = "not installed"
                continue
            found = in_turn(lambda: ours(shards, size), work, arguments.rounds)
            figures["photos_per_second"] = number / found.seconds
            figures[f"{peer}_photos_per_second"] = number / found.peer_seconds
            figures[f"ratio_to_{peer}"] = found.ratio
    report("photos", figures, arguments.json)


if __name__ == "__main__":
    main()
