"""Flip bytes of an index's files, one at a time: `python flipping_bytes.py INDEX FLIPS`.

A flip has to be refused with a sentence, or every drawing and every answer has to be what it was.
The index has a journal as well as a database, as after a kill. Prints the counts; exits with 1
where an answer was silently wrong or the process would have crashed.
"""

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from drawings_and_codes import items_of
from test_store import index_of

from sketchjax.errors import SketchjaxError
from sketchjax.index.opening import open_index


def content_of(folder: Path) -> bytes:
    """Everything that an index holds, as bytes."""
    engine = open_index(folder)
    try:
        snapshot = engine.snapshot()
        alive = snapshot.ids[snapshot.rows_of(snapshot.ids)[1]].tolist()
        items = snapshot.get(alive)
        found = snapshot.nearest(
            items.codes[0], items.features[0], 36, least=50, most=10_000, categories=None
        )
    finally:
        engine.close()
    arrays = [items.codes, items.features, items.key_ids, items.places, items.points, items.ids]
    texts = [repr([*items.categories]), repr(items.sources), repr(snapshot.describe())]
    return b"".join([*(a.tobytes() for a in [*arrays, found.ids]), *map(str.encode, texts)])


def in_child(folder: Path, expected: bytes) -> str:
    """What reading an index leads to, in a process of its own, as damage may end it."""
    child = os.fork()
    if child == 0:
        try:
            code = 0 if content_of(folder) == expected else 1
        except SketchjaxError:
            code = 2
        except BaseException as error:
            print(repr(error)[:300], flush=True)
            code = 3
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "no effect", 1: "WRONG", 2: "refused", 3: "other error"}.get(code, f"exit {code}")


def main() -> int:
    """Flip the bytes, print what that led to."""
    folder, flips = Path(sys.argv[1]), int(sys.argv[2])
    index_of(folder, items_of(2_000))
    child = os.fork()
    if child == 0:  # leaves a journal
        engine = open_index(folder, read_only=False)
        engine.add(items_of(300, seed=5))
        engine.delete(range(0, 100, 7))
        os._exit(0)
    os.waitpid(child, 0)
    expected = content_of_in_child(folder)
    whole = folder.with_name(folder.name + "-whole")
    shutil.copytree(folder, whole)
    if in_child(folder, expected) != "no effect":
        return 1
    files = [path for path in sorted(whole.iterdir()) if path.stat().st_size]
    random, seen = np.random.default_rng(0), {}
    sizes = np.array([path.stat().st_size for path in files])
    for number in range(flips):
        # Half of the flips by size; the others by file, so that the small ones have their share.
        shares = sizes / sizes.sum() if number % 2 else np.full(len(files), 1 / len(files))
        path = files[random.choice(len(files), p=shares)]
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        place = int(random.integers(path.stat().st_size))
        with (folder / path.name).open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ int(random.integers(1, 256))]))
        effect = in_child(folder, expected)
        seen.setdefault(path.name, Counter())[effect] += 1
        if effect not in ("no effect", "refused"):
            print(f"{path.name}, byte {place}: {effect}")
    for name, counts in sorted(seen.items()):
        print(name, dict(counts))
    bad = sum(counts.total() - counts["no effect"] - counts["refused"] for counts in seen.values())
    return int(bad > 0)


def content_of_in_child(folder: Path) -> bytes:
    """The content, read by a process of its own: DuckDB's threads do not survive a fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as file:
            file.write(content_of(folder))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        content = file.read()
    os.waitpid(child, 0)
    return content


if __name__ == "__main__":
    sys.exit(main())
