"""Hostile bytes for every reader, guided by coverage: what comes out must be data or a DataError.

python -m benchmarks.fuzz [--reader all|ndjson|bin|gzip|npy|npz|csv|manifest|records|shard]
                          [--seconds 60 | --executions N] [--work DIR] [--json FILE]

Wants atheris: pip install 'sketchjax[fuzz]'. Each reader runs in a process of its own, from the
inputs in tests/faults/corpus; seconds are for each, executions for all, shared out. A finding ends
its reader: an exception that is no DataError, a broken sketch, an input that takes a second of
processor time or a gigabyte. Its bytes are kept in DIR/findings, and the exit code is 1. New
inputs that reach new code are kept in DIR/corpus; DIR/progress.json tells how far it is.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from benchmarks.fuzz_json import mutate
from benchmarks.record import REPOSITORY, parser, report
from sketchjax.files import write_whole

CORPUS = REPOSITORY / "tests" / "faults" / "corpus"
SLOW = 1.0  # seconds of processor time
MEMORY_MB = 1_024
# Executions of a process: under atheris one grows by up to 1 KB each, by itself it does not.
_ROUND = 300_000
# The share of the executions, and the longest input in bytes. What goes through a library's own
# parser or a file is slower, and less of it is ours.
READERS = {
    "ndjson": (0.08, 2_048),
    "bin": (0.26, 2_048),
    "npy": (0.26, 2_048),
    "csv": (0.20, 512),
    "records": (0.12, 2_048),
    "manifest": (0.04, 8_192),
    "gzip": (0.02, 4_096),
    "npz": (0.015, 8_192),
    "shard": (0.005, 140_000),
}
_WORDS = {
    "ndjson": [
        "drawing",
        "word",
        "key_id",
        "recognized",
        "true",
        "null",
        "NaN",
        "1e999",
        "[[",
        "]]",
    ],
    "csv": ["key_id,split", "train", "query", "gallery", "\\x0a", "18446744073709551615", "\\x22"],
    "manifest": ["categories", "shards", "lengths", "../", "-1", "1e308", "18446744073709551616"],
    "npy": ["\\x93NUMPY", "_reconstruct", "numpy", "dtype", "ndarray", "\\x94", "\\x85", "R", "b"],
    "npz": ["PK\\x01\\x02", "PK\\x03\\x04", "PK\\x05\\x06", "PK\\x06\\x06", "train.npy"],
}


def fuzz(names: list[str], seconds: int, executions: int, work: Path) -> dict[str, float | str]:
    """Fuzz the readers one after another; figures by reader, and `findings`.

    seconds: of each, where executions is 0; executions: of all, shared out.
    """
    figures: dict[str, float | str] = {}
    total = findings = 0
    whole = sum(READERS[name][0] for name in names)
    for name in names:
        runs = round(executions * READERS[name][0] / whole) if executions else 0
        start = time.monotonic()

        tell = partial(_tell, work / "progress.json", {**figures, "executions": total}, name)
        done, kept = _run(name, runs, 0 if executions else seconds, work, tell)
        elapsed = time.monotonic() - start
        figures[f"{name}_executions"] = done
        figures[f"{name}_per_second"] = done / elapsed
        if kept:
            figures[f"{name}_finding"] = str(kept)
            findings += 1
        total += done
    figures["executions"], figures["findings"] = total, findings
    write_whole(work / "progress.json", orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    return figures


def _tell(path: Path, before: dict[str, float | str], name: str, done: int) -> None:
    """Note how far the fuzzing is."""
    total = int(before["executions"]) + done
    now = {**before, f"{name}_executions": done, "executions": total}
    path.write_bytes(orjson.dumps(now, option=orjson.OPT_INDENT_2))


def _run(
    name: str, runs: int, seconds: int, work: Path, tell: Callable[[int], None]
) -> tuple[int, Path | None]:
    """One reader, in one process after another: executions done, and the input of a finding."""
    found = work / "findings"
    for folder in (work / "corpus" / name, found):
        folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + seconds
    done, kept = 0, None
    (work / f"{name}.log").unlink(missing_ok=True)
    while kept is None and (done < runs or (not runs and time.monotonic() < until)):
        limit = f"-runs={min(runs - done, _ROUND)}" if runs else f"-max_total_time={seconds}"
        before = done
        for line in _lines(_command(name, work, limit), work / f"{name}.log"):
            told = re.match(r"#(\d+)\t|stat::number_of_executed_units:\s+(\d+)", line)
            if told:
                done = max(done, before + int(told[1] or told[2]))
                tell(done)
            if written := re.search(r"Test unit written to (\S+)", line):
                kept = Path(written[1])
        if done == before:
            sys.exit(f"{name} did not run; {work / name}.log says why")
    return done, kept


def _command(name: str, work: Path, limit: str) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.fuzz", "--one", name, "--", limit]
    command += [str(work / "corpus" / name), str(CORPUS / name), f"-max_len={READERS[name][1]}"]
    if name in _WORDS:
        words = work / f"{name}.dict"
        words.write_text("".join(f'"{word}"\n' for word in _WORDS[name]))
        command.append(f"-dict={words}")
    command += [f"-artifact_prefix={work / 'findings' / name}-", f"-rss_limit_mb={MEMORY_MB}"]
    return [*command, "-malloc_limit_mb=512", "-timeout=60", "-print_final_stats=1"]


def _lines(command: list[str], log: Path) -> Iterator[str]:
    """What the command says, line by line, which is kept in the log."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": REPOSITORY}
    with (
        log.open("a") as file,
        subprocess.Popen(command, text=True, errors="replace", **options) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            file.flush()
            yield line


def fuzz_one(name: str, options: list[str]) -> None:
    """Fuzz one reader in this process, which it ends. options: libFuzzer's."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        sys.exit("fuzzing wants atheris: pip install 'sketchjax[fuzz]'")
    with atheris.instrument_imports(include=["sketchjax.data", "zipfile"]):
        from benchmarks import fuzz_targets

    def target(data: bytes) -> None:
        # Not the clock on the wall: other processes may hold this one up.
        start = time.process_time()
        fuzz_targets.run(name, data)
        if time.process_time() - start > SLOW:
            raise TimeoutError(f"{len(data)} bytes took more than {SLOW} s")

    def custom(data: bytes, size: int, seed: int) -> bytes:
        return mutate(data, size, seed, atheris.Mutate)

    json_within = {"custom_mutator": custom} if name in ("ndjson", "manifest") else {}
    atheris.Setup([sys.argv[0], *options], target, **json_within)
    atheris.Fuzz()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--reader", choices=["all", *READERS], default="all")
    arguments.add_argument("--seconds", type=int, default=60, help="for each reader")
    arguments.add_argument("--executions", type=int, default=0, help="of all readers together")
    arguments.add_argument("--work", type=Path, help="a folder for what is found")
    arguments.add_argument("--one", choices=[*READERS], help="in this process")
    arguments.add_argument("options", nargs="*", help="libFuzzer's, with --one, after --")
    given = arguments.parse_args()
    if given.one:
        fuzz_one(given.one, given.options)
    work = (given.work or Path(tempfile.mkdtemp(prefix="sketchjax-fuzz-"))).absolute()
    names = [*READERS] if given.reader == "all" else [given.reader]
    figures = fuzz(names, given.seconds, given.executions, work)
    report("fuzz", {**figures, "work": str(work)}, given.json)
    sys.exit(1 if figures["findings"] else 0)


if __name__ == "__main__":
    main()
