"""Many hostile inputs for one reader in little time, without a look at what they reach.

    python -m tests.fuzz.blind request --executions 1000000 --seed 0

Each input is a random change of one in tests/faults/corpus. `python -m tests.fuzz` finds more per
input, as it is guided by coverage; this one makes some ten times as many in a second. It stops at
the first input whose answer is neither data nor DataError (of the server: a status 5xx), or that
takes a second of processor time, prints it, and exits with 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.fuzz import targets
from tests.fuzz.__main__ import CORPUS, READERS, SLOW
from tests.fuzz.mutations import mutate


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("reader", choices=[*READERS])
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    seeds = [path.read_bytes() for path in sorted((CORPUS / given.reader).iterdir())]
    for data in seeds:  # kernels are compiled by their first call
        targets.run(given.reader, data)
    dice, start = random.Random(given.seed), time.monotonic()

    def plain(data: bytes, size: int) -> bytes:
        return change(data, size, dice)

    for number in range(1, given.executions + 1):
        data = mutate(dice.choice(seeds), READERS[given.reader][1], dice.getrandbits(64), plain)
        before = time.process_time()
        try:
            targets.run(given.reader, data)
        except Exception as error:
            _found(number, data, repr(error))
        if time.process_time() - before > SLOW:
            _found(number, data, f"more than {SLOW} s")
        if number % 10_000 == 0 or number == given.executions:
            print(f"{number:,} inputs, {number / (time.monotonic() - start):.0f}/s", flush=True)


def change(data: bytes, size: int, dice: random.Random) -> bytes:
    """Change one to eight bytes, or leave out, repeat or turn round a part."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8))):
        start = dice.randrange(len(changed) + 1)
        part = changed[start : start + dice.choice((1, 1, 4, 64))]
        changed[start : start + len(part)] = dice.choice(
            (dice.randbytes(len(part)), b"", part + part, part[::-1], dice.randbytes(1) * len(part))
        )
    return bytes(changed[:size])


def _found(number: int, data: bytes, reason: str) -> None:
    sys.exit(f"input {number:,}: {reason}\n{data!r}")


if __name__ == "__main__":
    main()
