"""launch/processes.sh: several processes as one, with a stand-in for Python."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "launch" / "processes.sh"

# Records its arguments, then does what `NUMBER.does` says: exits with a code, or waits for SIGTERM
# and exits with 75, like a run that has saved.
STAND_IN = """#!/usr/bin/env -S --default-signal=INT,HUP bash
here=$(dirname "$0")
[[ $1 != -c ]] || { echo 12345; exit; }
number=${@: -1}
number=${number#--process=}
echo "$*" > "$here/$number.asked"
echo "${CUDA_VISIBLE_DEVICES-unset}" > "$here/$number.gpu"
read -r does 2>/dev/null < "$here/$number.does" || does=0
if [[ $does == wait ]]; then
    saved=
    trap 'echo saved >> "$here/$number.saved"; saved=yes' TERM
    trap 'echo interrupted >> "$here/$number.saved"' INT HUP
    echo > "$here/$number.waits"
    until [[ $saved ]]; do sleep 0.02; done
    for _ in {1..20}; do sleep 0.02; done # time for a second signal
    exit 75
fi
# Not before the others are waiting.
for other in $(grep -lsx wait "$here"/*.does); do
    until [[ -e ${other%.does}.waits ]]; do sleep 0.02; done
done
exit "$does"
"""


class Launch:
    """A folder with the stand-in, and the script started with it."""

    def __init__(self, folder: Path):
        self.folder = folder
        python = folder / "python"
        python.write_text(STAND_IN)
        python.chmod(0o755)
        self.environment = {name: text for name, text in os.environ.items() if name != "PORT"}
        self.environment["PYTHON"] = str(python)

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Its exit code, and what it printed."""
        with self.started(*arguments, **environment) as process:
            pass
        assert process.stderr is not None
        return process.returncode, process.stderr.read()

    @contextmanager
    def started(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen]:
        """The script while it runs; waits for it at the end, and leaves no process behind."""
        process = subprocess.Popen(
            ["bash", str(SCRIPT), *arguments],
            env=self.environment | environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
            process.wait(timeout=20)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def does(self, *each: object) -> None:
        """What each process does, by its number."""
        for number, what in enumerate(each):
            (self.folder / f"{number}.does").write_text(f"{what}\n")

    def numbers(self, ending: str) -> list[int]:
        """The processes that left a file with this ending."""
        return sorted(int(path.stem) for path in self.folder.glob(f"*.{ending}"))


@pytest.fixture
def launch(tmp_path) -> Launch:
    return Launch(tmp_path)


def test_each_process_gets_its_number_and_the_coordinator(launch):
    assert launch.run("3", "--config", "a file.py", "--config.seed=2") == (0, "")
    assert launch.numbers("asked") == [0, 1, 2]
    for number in range(3):
        assert (launch.folder / f"{number}.asked").read_text() == (
            "-m sketchjax.main --config a file.py --config.seed=2 "
            f"--coordinator=localhost:12345 --processes=3 --process={number}\n"
        )


def test_the_port_can_be_given(launch):
    assert launch.run("1", "--workdir=w", PORT="4321")[0] == 0
    assert "--coordinator=localhost:4321 " in (launch.folder / "0.asked").read_text()


@pytest.mark.parametrize("arguments", [(), ("2",), ("0", "--workdir=w"), ("--workdir=w", "2")])
def test_wrong_arguments_print_the_usage(launch, arguments):
    code, printed = launch.run(*arguments)
    assert code == 64
    assert "launch/processes.sh COUNT --config FILE --workdir DIR" in printed
    assert "#" not in printed
    assert launch.numbers("asked") == []


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_when_one_fails_the_others_stop_and_its_code_is_kept(launch, failing):
    does = ["wait"] * 3
    does[failing] = "70"
    launch.does(*does)
    assert launch.run("3", "--workdir=w")[0] == 70
    assert launch.numbers("saved") == [number for number in range(3) if number != failing]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("group", [False, True])
def test_a_signal_goes_once_to_all_and_they_save(launch, number, group):
    """A terminal sends it to the whole group of the script."""
    launch.does("wait", "wait")
    with launch.started("2", "--workdir=w") as process:
        deadline = time.monotonic() + 60
        while launch.numbers("waits") != [0, 1]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (os.killpg if group else os.kill)(process.pid, number)
    assert process.returncode == 75
    for own in range(2):
        assert (launch.folder / f"{own}.saved").read_text() == "saved\n"


def gpus(launch, count: int) -> None:
    """Put a stand-in for nvidia-smi on the path, of a machine with this many GPUs."""
    program = launch.folder / "nvidia-smi"
    lines = "".join(f"GPU {number}: Some GPU (UUID: GPU-{number})\n" for number in range(count))
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}END\n")
    program.chmod(0o755)
    launch.environment["PATH"] = f"{launch.folder}:{os.environ['PATH']}"
    for name in ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES"):
        launch.environment.pop(name, None)


@pytest.mark.parametrize("visible, own", [(None, "0 1"), ("2,3,5", "2 3"), ("", "- -")])
def test_each_process_gets_a_gpu_of_those_that_are_visible(launch, visible, own):
    gpus(launch, 6)
    more = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert launch.run("2", "--workdir=w", **more)[0] == 0
    found = [(launch.folder / f"{number}.gpu").read_text().strip() or "-" for number in range(2)]
    assert found == own.split()


@pytest.mark.parametrize("visible", [None, "3,4"])
def test_more_processes_than_gpus_are_refused(launch, visible):
    gpus(launch, 6 if visible else 2)
    more = {"CUDA_VISIBLE_DEVICES": visible} if visible else {}
    code, printed = launch.run("3", "--workdir=w", **more)
    assert code == 64
    assert "3 processes, and there are 2 GPUs" in printed
    assert launch.numbers("asked") == []
    assert launch.run("3", "--workdir=w", JAX_PLATFORMS="cpu", **more)[0] == 0


def test_one_that_has_saved_does_not_stop_the_others(launch):
    """They were asked to stop too, and must not be asked twice."""
    launch.does("75", "75")
    assert launch.run("2", "--workdir=w")[0] == 75
    launch.does("75", "wait")
    with launch.started("2", "--workdir=w") as process:
        time.sleep(0.5)
        assert process.poll() is None
        assert launch.numbers("saved") == []
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 75
    assert launch.numbers("saved") == [1]
