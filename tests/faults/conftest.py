"""The command line asked many times, with one import."""

import subprocess
import sys

import orjson
import pytest

# One process imports the command once and forks for each case: 2 ms in place of 2 s.
ASK = """
import json, os, sys
from sketchjax import main
assert "jax" not in sys.modules

def ask(arguments):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.dup2(theirs, 1)
        os.dup2(theirs, 2)
        sys.argv = ["main", *arguments]
        main._run = lambda _: print("RUNS")
        code = 0
        try:
            main.main()
        except SystemExit as error:
            code = error.code or 0
        except BaseException as error:
            print("RAISED", repr(error))
        if {"jax", "orbax", "grain"} & {*sys.modules}:
            print("IMPORTED TOO EARLY")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    os.close(theirs)
    with os.fdopen(ours, errors="replace") as answer:
        said = answer.read()
    return said, os.waitstatus_to_exitcode(os.wait()[1])

for line in sys.stdin:
    print(json.dumps(ask(json.loads(line))), flush=True)
"""


@pytest.fixture(scope="module")
def ask():
    """Gives the function that asks the command: flags -> (what it said, its exit code)."""
    process = subprocess.Popen(
        [sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    source, answers = process.stdin, process.stdout

    def ask(*arguments: str) -> tuple[str, int]:
        source.write(orjson.dumps(arguments).decode() + "\n")
        source.flush()
        said, code = orjson.loads(answers.readline())
        return said, code

    yield ask
    source.close()
    assert process.wait(60) == 0
