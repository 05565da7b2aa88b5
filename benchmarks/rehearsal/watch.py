"""What a step costs: seconds, the memory of all its processes, and the disk of a folder."""

from __future__ import annotations

import resource
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

_EVERY_SECONDS = 0.1
_DISK_EVERY = 20  # samples of memory between two of the disk


class Cost(NamedTuple):
    """Of a step.

    cpu_seconds: of all processes together; a busy machine changes them less than `seconds`.
    peak_bytes: the most that the step and its processes had of their own at one time. Pages of
      mapped files are the system's: it takes them back when it needs them.
    disk_bytes: what the step left in the folder; peak_disk_bytes: the most that it took there.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    disk_bytes: int
    peak_disk_bytes: int
    output: str


def watched(command: list[str], folder: Path) -> Cost:
    """Run a command to its end and watch it. Raises CalledProcessError when it fails.

    folder: where the command writes.
    """
    before = disk_bytes(folder)
    begun, used = time.perf_counter(), _cpu_seconds()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        memory, disk = [0], [before]
        ended = threading.Event()

        def watch() -> None:
            sample = 0
            while not ended.is_set():
                memory.append(max(memory.pop(), memory_of_tree(process.pid)))
                if sample % _DISK_EVERY == 0:
                    disk.append(max(disk.pop(), disk_bytes(folder)))
                sample += 1
                ended.wait(_EVERY_SECONDS)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            output, _ = process.communicate()
        finally:
            ended.set()
            watcher.join()
    seconds, cpu_seconds = time.perf_counter() - begun, _cpu_seconds() - used
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    after = disk_bytes(folder)
    most = max(disk[0], after)
    return Cost(seconds, cpu_seconds, memory[0], after - before, most - before, output)


def _cpu_seconds() -> float:
    """Of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_of_tree(process: int) -> int:
    """Bytes that a process and all its descendants have of their own; 0 when it has ended."""
    own, tasks = 0, Path(f"/proc/{process}/task")
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                own += int(line.split()[1]) << 10
        children = " ".join((task / "children").read_text() for task in tasks.iterdir()).split()
    except (FileNotFoundError, ProcessLookupError):
        return own
    return own + sum(memory_of_tree(int(child)) for child in children)


def disk_bytes(folder: Path) -> int:
    """Bytes of all files in a folder, at any depth."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # it was renamed or removed meanwhile
            continue
    return total
