"""Hostile bytes for readers and the server, guided by coverage: the answer is data or DataError.

python -m tests.fuzz [--reader all|ndjson|json|svg|picture|picture_record|bin|gzip|npy|npz|table|csv
                               |manifest|records|shard|request]
                     [--seconds 60 | --executions N] [--work DIR]

Needs atheris: pip install 'sketchjax[fuzz]'. Each reader runs in its own process, starting from
the inputs in tests/faults/corpus. A reader stops at its first finding: an exception other than
DataError, a malformed sketch, an answer of the server with status 5xx, or an input that takes a
second of processor time or a gigabyte. The input is kept in DIR/findings and the exit code is 1.
Inputs that reach new code are kept in DIR/corpus. DIR/progress.json counts the executions so far.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.mutations import mutate

REPOSITORY = Path(__file__).resolve().parents[2]
CORPUS = REPOSITORY / "tests" / "faults" / "corpus"
SLOW = 1.0  # seconds of processor time
MEMORY_MB = 1_024
# Executions per process: under atheris a process grows by up to 1 KB each.
_ROUND = 300_000
# Share of the executions and longest input in bytes. Readers that go through a library's parser or
# through a file are slower, and less of their code is ours.
READERS = {
    "ndjson": (0.08, 2_048),
    "json": (0.02, 2_048),
    "svg": (0.06, 4_096),
    "picture": (0.03, 8_192),
    "picture_record": (0.05, 512),
    "bin": (0.22, 2_048),
    "npy": (0.22, 2_048),
    "csv": (0.14, 512),
    "table": (0.04, 2_048),
    "records": (0.12, 2_048),
    "manifest": (0.04, 8_192),
    "gzip": (0.02, 4_096),
    "npz": (0.015, 8_192),
    "shard": (0.005, 140_000),
    "request": (0.02, 4_096),
}
_WORDS = {
    "ndjson": 'drawing word key_id recognized true null NaN 1e999 [[ ]] x y "',
    "json": "drawing word key_id recognized true null [{ }, }] [[ ]] \\x22 \\x5c",
    "svg": "svg path g d points transform M0 C A1 S Q T Z h v matrix( rotate( scale( viewBox 1e999 "
    "rect rx width 50% 1in style display:none preserveAspectRatio xMidYMin slice",
    "table": "drawing,word,key_id,recognized \\x22 [[ ]] True \\x0a",
    "csv": "key_id,split train query gallery \\x0a 18446744073709551615 \\x22",
    "request": "drawing code like form raw simplified k categories rerank points drawings features "
    "sketches category key_id true null 1e999 [[ ]] %00 svg path points transform",
    "manifest": "categories shards lengths ../ -1 1e308 18446744073709551616",
    "npy": "\\x93NUMPY _reconstruct numpy dtype ndarray \\x94 \\x85 R b",
    "npz": "PK\\x01\\x02 PK\\x03\\x04 PK\\x05\\x06 PK\\x06\\x06 train.npy",
}


# Have kernels: numba compiles them as they are written only.
_COMPILED = (
    "sketchjax.data.simplify",
    "sketchjax.data.sources.objects",
    "sketchjax.retrieval.pool",
)
_JSON = ("ndjson", "json", "manifest", "request")  # have JSON on their lines


def fuzz(names: list[str], seconds: int, executions: int, work: Path) -> dict[str, float | str]:
    """Fuzz readers one after another and return counts by reader, the total, and `findings`.

    names: keys of READERS.  seconds: for each reader, when executions is 0.
    executions: for all readers together, divided by their shares.  work: folder for what is found.
    """
    figures: dict[str, float | str] = {"executions": 0, "findings": 0}
    whole = sum(READERS[name][0] for name in names)
    for name in names:
        runs = round(executions * READERS[name][0] / whole) if executions else 0
        start, before = time.monotonic(), int(figures["executions"])
        for done, finding in _run(name, runs, seconds, work):
            figures[f"{name}_executions"] = done
            figures[f"{name}_per_second"] = done / (time.monotonic() - start)
            figures["executions"] = before + done
            if finding:
                figures[f"{name}_finding"] = str(finding)
                figures["findings"] = int(figures["findings"]) + 1
            (work / "progress.json").write_text(json.dumps(figures, indent=2))
            if finding:
                break
    return figures


def _run(name: str, runs: int, seconds: int, work: Path) -> Iterator[tuple[int, Path | None]]:
    """Fuzz one reader in one process after another: executions so far, and a finding's input."""
    for folder in (work / "corpus" / name, work / "findings"):
        folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + seconds
    log = work / f"{name}.log"
    log.unlink(missing_ok=True)
    done = 0
    while done < runs or (not runs and time.monotonic() < until):
        limit = f"-runs={min(runs - done, _ROUND)}" if runs else f"-max_total_time={seconds}"
        before = done
        for line in _lines(_command(name, work, limit), log):
            counted = re.match(r"#(\d+)\t|stat::number_of_executed_units:\s+(\d+)", line)
            if counted:
                done = max(done, before + int(counted[1] or counted[2]))
                yield done, None
            if written := re.search(r"Test unit written to (\S+)", line):
                yield done, Path(written[1])
        if done == before:
            sys.exit(f"{name} did not run; see {log}")


def _command(name: str, work: Path, limit: str) -> list[str]:
    command = [sys.executable, "-m", "tests.fuzz", "--one", name, "--", limit]
    command += [str(work / "corpus" / name), str(CORPUS / name), f"-max_len={READERS[name][1]}"]
    if name in _WORDS:
        words = work / f"{name}.dict"
        quoted = [word.replace('"', '\\"') for word in _WORDS[name].split()]
        words.write_text("".join(f'"{word}"\n' for word in quoted))
        command.append(f"-dict={words}")
    command += [f"-artifact_prefix={work / 'findings' / name}-", f"-rss_limit_mb={MEMORY_MB}"]
    # Slow is what `fuzz_one` finds slow: libFuzzer's own report counts the time of busy neighbours.
    command += ["-timeout=60", "-report_slow_units=60"]
    return [*command, "-malloc_limit_mb=512", "-print_final_stats=1"]


def _lines(command: list[str], log: Path) -> Iterator[str]:
    """Run a command and yield its output line by line, copied to the log."""
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
    """Fuzz one reader in this process, and exit with it. options: libFuzzer's."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        sys.exit("fuzzing needs atheris: pip install 'sketchjax[fuzz]'")
    for module in _COMPILED:
        importlib.import_module(module)
    with atheris.instrument_imports(include=["sketchjax", "zipfile"]):
        from tests.fuzz import targets

        if name == "request":  # imports the server
            targets.run(name, (CORPUS / name / "drawing").read_bytes())

    def target(data: bytes) -> None:
        # Processor time, because other processes may hold this one up.
        start = time.process_time()
        targets.run(name, data)
        if time.process_time() - start > SLOW:
            raise TimeoutError(f"{len(data)} bytes took more than {SLOW} s")

    def custom(data: bytes, size: int, seed: int) -> bytes:
        return mutate(data, size, seed, atheris.Mutate)

    json_within = {"custom_mutator": custom} if name in _JSON else {}
    atheris.Setup([sys.argv[0], *options], target, **json_within)
    atheris.Fuzz()


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--reader", choices=["all", *READERS], default="all")
    parser.add_argument("--seconds", type=int, default=60, help="for each reader")
    parser.add_argument("--executions", type=int, default=0, help="for all readers together")
    parser.add_argument("--work", type=Path, help="folder for what is found")
    parser.add_argument("--one", choices=[*READERS], help="fuzz this reader in this process")
    parser.add_argument("options", nargs="*", help="libFuzzer's, with --one, after --")
    given = parser.parse_args()
    if given.one:
        fuzz_one(given.one, given.options)
    work = (given.work or Path(tempfile.mkdtemp(prefix="sketchjax-fuzz-"))).absolute()
    names = [*READERS] if given.reader == "all" else [given.reader]
    figures = fuzz(names, given.seconds, given.executions, work)
    print(json.dumps({**figures, "work": str(work)}, indent=2))
    sys.exit(1 if figures["findings"] else 0)


if __name__ == "__main__":
    main()
