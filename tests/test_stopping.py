"""sketchjax.stopping: one request may come as several signals; a later one ends the process."""

import os
import signal
import subprocess
import sys
import time

WAITS = """
import time
from sketchjax.stopping import stop_on_signals
asked = stop_on_signals()
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""


def test_signals_of_one_second_are_one_request():
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
            os.kill(process.pid, number)
            time.sleep(0.1)
        assert process.stderr.readline().startswith("SIGINT: stopping at the next safe point")
        time.sleep(1.1)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 128 + signal.SIGTERM
        assert process.stderr.read() == ""
