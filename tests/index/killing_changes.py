"""Kill a process that changes an index, again and again: `python killing_changes.py INDEX KILLS`.

The process says what it begins, and each change once it is acknowledged. It is killed by SIGKILL
during an addition, a deletion and a compaction in turn. Then everything that it said has to be in
the index, and at most the one change more that it did not come to say. Prints the counts; exits
with 1 where an acknowledged row was lost or one appeared that nobody added.

Processes are forks of this one, which never opens a database itself: DuckDB's threads do not
survive a fork, and importing takes longer than all the rest.
"""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from drawings_and_codes import items_of
from test_store import index_of

from sketchjax.index.opening import open_index, verify

VERBS = ("add", "delete", "compact")
ADDED, DELETED = 7, 2  # drawings of a change


def change(folder: Path, say: Callable[[str], None], random: np.random.Generator) -> None:
    """Add, delete and compact until killed."""
    engine = open_index(folder, read_only=False)
    alive = alive_in(engine)
    while True:
        verb = random.choice(VERBS, p=[0.5, 0.3, 0.2]) if len(alive) >= 10 else "add"
        say(f"begin {verb}")
        ids: list[int] = []
        if verb == "compact":
            engine.compact()
        elif verb == "add":
            ids = engine.add(items_of(ADDED, seed=int(random.integers(1 << 30)))).tolist()
            alive += ids
        else:
            ids = random.choice(alive, DELETED, replace=False).tolist()
            engine.delete(ids)
            alive = [number for number in alive if number not in ids]
        say(" ".join(map(str, [verb, *ids])))


def look(folder: Path, say: Callable[[str], None]) -> None:
    """Say the ids that are in the index."""
    say(" ".join(map(str, alive_in(open_index(folder)))))


def alive_in(engine) -> list[int]:
    """The ids in an index."""
    snapshot = engine.snapshot()
    return snapshot.ids[snapshot.rows_of(snapshot.ids)[1]].tolist()


def start(work: Callable[[Callable[[str], None]], None]) -> tuple[int, int]:
    """Fork a process; returns its id, and the end of the pipe from which its lines come."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        work(lambda line: (os.write(writing, f"{line}\n".encode()), None)[1])
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)


def main() -> int:
    """Kill as often as asked, and compare after each."""
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    os.waitpid(start(lambda _: index_of(folder, items_of()) and None)[0], 0)
    random = np.random.default_rng(int(os.environ.get("SKETCHJAX_SEED", "0")))
    alive, changes, unsaid = set(range(50)), 0, 0
    inside, seconds = Counter[str](), dict.fromkeys(VERBS, 0.02)
    for number in range(kills):
        verb, said, begun = VERBS[number % len(VERBS)], [], 0.0
        own = np.random.default_rng(number)
        child, lines = start(lambda say, own=own: change(folder, say, own))
        with os.fdopen(lines) as file:
            while (line := file.readline()) != f"begin {verb}\n":
                if not line:
                    return 1
                if not line.startswith("begin"):
                    said.append(line.split())
                    seconds[said[-1][0]] = time.monotonic() - begun
                begun = time.monotonic()
            time.sleep(random.uniform(0, seconds[verb]))
            os.kill(child, signal.SIGKILL)
            rest = [line for line in file if line.endswith("\n")]
        said += [line.split() for line in rest if not line.startswith("begin")]
        if not rest:
            inside[verb] += 1
        os.waitpid(child, 0)
        for verb, *ids in said:
            alive = alive - {*map(int, ids)} if verb == "delete" else alive | {*map(int, ids)}
        child, lines = start(lambda say: look(folder, say))
        with os.fdopen(lines) as file:
            found = {*map(int, file.read().split())}
        failed = os.waitpid(child, 0)[1]
        more, fewer = len(found - alive), len(alive - found)
        if failed or (more, fewer) not in ((0, 0), (ADDED, 0), (0, DELETED)):
            print(f"kill {number}: {more} more and {fewer} fewer drawings; said {said[-2:]}")
            return 1
        changes, unsaid = changes + len(said), unsaid + bool(more or fewer)
        alive = found
    print(f"{kills} kills, during {dict(inside)}; {changes} acknowledged changes, {unsaid} unsaid")
    return os.waitpid(start(lambda _: verify(folder) and None)[0], 0)[1] or int(not changes)


if __name__ == "__main__":
    sys.exit(main())
