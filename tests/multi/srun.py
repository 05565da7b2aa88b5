"""A stand-in for srun: a step of two tasks on this machine.

Like the real one it gives each task its variables, passes SIGTERM to both, waits for both, and ends
with the greater exit code, 128 + N for a task that signal N ended. While they run, their process
ids are in the file that STEP_TASKS names. They are forked, so that one imports for both.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from forking import import_libraries

TASKS = 2


def start(module: str, flags: list[str], number: int) -> int:
    """The process id of a task, `python -m MODULE FLAGS`."""
    if task := os.fork():
        return task
    step = {"SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_NUM_TASKS": str(TASKS)}
    os.environ.update(step, SLURM_PROCID=str(number))
    sys.argv = [module, *flags]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


def main() -> None:
    words = sys.argv[1:]
    while words[0].startswith("--"):
        words = words[1:]
    assert words[:2] == [sys.executable, "-m"]
    import_libraries()
    tasks = [start(words[2], words[3:], number) for number in range(TASKS)]
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(task, signal.SIGTERM) for task in tasks])
    file = Path(os.environ["STEP_TASKS"])
    written = file.with_suffix(".partial")
    written.write_text(" ".join(map(str, tasks)))
    written.rename(file)
    codes = [os.waitstatus_to_exitcode(os.waitpid(task, 0)[1]) for task in tasks]
    file.unlink()
    sys.exit(max(code if code >= 0 else 128 - code for code in codes))


if __name__ == "__main__":
    main()
