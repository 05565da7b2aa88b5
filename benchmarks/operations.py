"""Where the time of a training step goes, operation by operation of the compiled program.

    python -m benchmarks.operations [--stage joint] [--sizes sample|paper] [--batch 64] [--steps 2]
        [--dtype float32|bfloat16] [--top 25] [--json FILE]

Runs one dispatch of k steps under jax's profiler, on a CPU or a GPU. `busy` is the time of all
operations together: on a CPU that of all threads, so it can exceed the time of the dispatch. Loops
are not counted, only what runs inside them. Each operation is printed with its source: the part of
the network that asked for it, and whether for its gradient.
"""

from __future__ import annotations

import gzip
import re
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import orjson

from benchmarks import workload
from benchmarks.feed import data_folder
from benchmarks.record import report
from benchmarks.timing import median_seconds

STAGES = ("cnn", "rnn", "joint", "center", "full")
# Operations whose time is that of others which the trace has too.
_CONTAINERS = ("while", "call", "conditional")
_NAMED = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = .*op_name="([^"]*)"', re.MULTILINE)


class Operation(NamedTuple):
    """An operation of the program. seconds: of all its runs; source: as jax names it, or empty."""

    name: str
    seconds: float
    runs: int
    source: str


def main(arguments: list[str] | None = None) -> None:
    flags = read_flags(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = flags.folder or data_folder(Path(scratch))
        work = workload.make_workload(
            flags.sizes, flags.dtype, flags.batch, folder, steps=flags.steps
        )
        stage = workload.compile_stage(work, flags.stage)
        steps = work.config.train.inner_steps
        figures: dict[str, Any] = {"stage": flags.stage, "sizes": flags.sizes, "dtype": flags.dtype}
        figures["batch"] = work.config.train.batch_size
        figures["milliseconds_a_step"] = median_seconds(stage, flags.rounds) / steps * 1e3
        operations = traced(stage, Path(scratch))
    figures["busy_milliseconds_a_step"] = sum(one.seconds for one in operations) / steps * 1e3
    figures["operations_a_step"] = sum(one.runs for one in operations) / steps
    for part, seconds in longest_first(by_part(operations)):
        figures[f"{part}, ms a step"] = seconds / steps * 1e3
    figures["operations"] = [one._asdict() for one in operations]
    report("operations", figures, flags.json)
    for one in operations[: flags.top]:
        print(
            f"{one.seconds / steps * 1e3:9.3f} ms {one.runs / steps:8.1f} times  "
            f"{one.name[:44]:44}  {one.source[-90:]}"
        )


def read_flags(arguments: list[str] | None) -> Any:
    flags = workload.step_parser(__doc__, rounds=3)
    flags.add_argument("--stage", choices=STAGES, default="joint")
    flags.add_argument("--batch", type=int, default=0, help="sketches; 0: the config's")
    flags.add_argument("--steps", type=int, default=2, help="k")
    flags.add_argument("--top", type=int, default=25, help="operations to print")
    return flags.parse_args(arguments)


def traced(stage: workload.CompiledStage, scratch: Path) -> list[Operation]:
    """The operations of one dispatch, longest first. scratch: for the profiler's files."""
    with jax.profiler.trace(str(scratch / "trace")):
        stage()
    (file,) = (scratch / "trace").rglob("*.trace.json.gz")
    events = orjson.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    # `run` is the compiled program with what the devices hold as its first argument.
    sources = dict(_NAMED.findall(cast(Any, stage.run).func.as_text()))
    seconds: defaultdict[str, float] = defaultdict(float)
    runs: Counter[str] = Counter()
    for event in events:
        name = event.get("args", {}).get("hlo_op", "")
        if name and event.get("ph") == "X" and not name.startswith(_CONTAINERS):
            seconds[name] += event["dur"] / 1e6
            runs[name] += 1
    return [
        Operation(name, took, runs[name], sources.get(name, ""))
        for name, took in longest_first(seconds)
    ]


def longest_first(seconds: dict[str, float]) -> list[tuple[str, float]]:
    """Names and their seconds."""
    return sorted(seconds.items(), key=lambda pair: -pair[1])


def by_part(operations: list[Operation]) -> dict[str, float]:
    """Seconds of each part of the network, forward and for the gradient, and of the rest."""
    found: defaultdict[str, float] = defaultdict(float)
    for one in operations:
        found[part_of(one.source)] += one.seconds
    return found


def part_of(source: str) -> str:
    """The part of the network that an operation is for.

    source: such as `jit(f)/while/body/jvp(Layers)/cnn/conv2/add` and, in the pass for the gradient,
      `jit(f)/while/body/transpose(jvp(Layers))/cnn/conv2/add`. Its last word is the operation.
    """
    backward = "transpose(jvp(Layers))/" in source
    _, inside, path = source.partition("jvp(Layers))/" if backward else "jvp(Layers)/")
    if not inside:
        return "outside the network"
    # A part has a name of its own; what else is in the path has brackets, or is the operation.
    names = [name for name in path.split("/")[:-1] if "(" not in name][:2]
    part = " ".join(names) or "the rest of the network"
    return f"{part}, gradient" if backward else part


if __name__ == "__main__":
    main()
