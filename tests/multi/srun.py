"""A stand-in for srun: a step of two tasks on this machine.

Like the real one it gives each task its variables, passes SIGTERM to both, waits for both, and ends
with the greater exit code, 128 + N for a task that signal N ended. The tasks' process ids go to the
file that STEP_TASKS names.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

TASKS = 2


def main() -> None:
    words = sys.argv[1:]
    while words[0].startswith("--"):
        words = words[1:]
    step = os.environ | {"SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_NUM_TASKS": str(TASKS)}
    tasks = [
        subprocess.Popen(words, env=step | {"SLURM_PROCID": str(number)}) for number in range(TASKS)
    ]
    signal.signal(signal.SIGTERM, lambda *_: [task.terminate() for task in tasks])
    Path(os.environ["STEP_TASKS"]).write_text(" ".join(str(task.pid) for task in tasks))
    codes = [task.wait() for task in tasks]
    sys.exit(max(code if code >= 0 else 128 - code for code in codes))


if __name__ == "__main__":
    main()
