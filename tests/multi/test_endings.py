"""An error of one process ends both within seconds, with its exit code and one reason."""

import shutil
import signal
import socket
from contextlib import nullcontext
from pathlib import Path

import pytest
from pair import STAGES, Pair
from tiny_run import finish, fork, free_port, output

from sketchjax.train.workdir import locked

# Of starting two processes, and of ending them; jax would wait 300 s.
SOON_SECONDS = 60


def ended(pair: Pair, code: int, text: str) -> None:
    """Check that both end soon, with one code and one reason, and without a dump of the stack."""
    assert pair.end(SOON_SECONDS) == [code, code], pair.printed()
    for number in range(2):
        assert text in pair.log(number).read_text(), pair.printed()
    assert "Check failure" not in pair.printed()


@pytest.mark.parametrize("code", [65, 66, 69, 75])
def test_an_error_of_process_0_ends_both(code, whole, environment, forks, tmp_path):
    workdir, data, lock = tmp_path / "run", whole / "data", nullcontext()
    own, variables = (), {}
    if code == 65:
        data, own = None, ("--config.data.source=/nowhere",)
    elif code == 66:
        (workdir / "checkpoints" / "8").mkdir(parents=True)
    elif code == 69:
        variables, forks = {"JAX_PLATFORMS": "cuda"}, None  # jax reads it when it is imported
    else:
        lock = locked(workdir)
    texts = {65: "/nowhere", 66: "no valid checkpoint remains", 69: "jax finds no device"}
    with (
        lock,
        Pair(
            workdir,
            data,
            environment,
            own=(own, own),
            environments=(variables, {}),
            forks=forks,
        ) as pair,
    ):
        ended(pair, code, texts.get(code, "another process is running in"))


def test_damaged_data_of_process_1_end_both(whole, environment, forks, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(whole / "data", other)
    shard = max(path for path in other.rglob("*") if path.is_file() and "train" in path.name)
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    own = ((), (f"--config.data.dir={other}",))
    with Pair(tmp_path / "run", whole / "data", environment, own=own, forks=forks) as pair:
        ended(pair, 65, shard.name)


@pytest.mark.parametrize(
    "own, kind, code", [(0, "KeyError", 1), (1, "sketchjax.errors.DataError", 65)]
)
def test_an_error_during_the_training_ends_both(
    own, kind, code, whole, environment, forks, tmp_path
):
    """The other one waits in a collective, or gets an error of jax that only says so."""
    faults = ["", ""]
    faults[own] = (
        "import sketchjax.errors\nfrom sketchjax.train.trainer import Trainer\n"
        f"def fail(*_): raise {kind}('this one')\nTrainer._count = fail"
    )
    with Pair(tmp_path / "run", whole / "data", environment, faults=faults, forks=forks) as pair:
        ended(pair, code, "this one")


def test_a_failed_save_at_a_stop_ends_both(whole, environment, forks, tmp_path):
    """Process 1 has stopped by then, and waits for process 0 to end with it."""
    fault = (
        "import sketchjax.train.checkpoint as c\n"
        "def full(*_): import time; time.sleep(3); raise OSError(28, 'No space left on device')\n"
        "c.save_arrays = full"
    )
    faults = (fault, "")
    with Pair(tmp_path / "run", whole / "data", environment, faults=faults, forks=forks) as pair:
        pair.wait_for(stage="full", stage_step=4)
        pair.processes[1].send_signal(signal.SIGTERM)
        ended(pair, 74, "No space left on device")


def started_one(forks, environment, folder: Path, *flags: str) -> tuple[int, str]:
    """The exit code and the output of the only process of two that is started."""
    workdir, flags = folder / "run", (*STAGES, "--processes=2", *flags)
    process = fork(forks, workdir, environment, *flags, before=f"{IMPATIENT}\n")
    return finish(process, SOON_SECONDS), output(workdir)


IMPATIENT = "import sketchjax.joining as j; j.PATIENCE_SECONDS, j._QUIET_SECONDS = 4, 1"


@pytest.mark.parametrize("own, whom", [(0, "the others"), (1, "process 0")])
def test_a_process_says_whom_it_waits_for(own, whom, environment, forks, tmp_path):
    address = f"localhost:{free_port()}"
    flags = (f"--coordinator={address}", f"--process={own}")
    code, printed = started_one(forks, environment, tmp_path, *flags)
    assert code == 69, printed
    waiting = f"process {own} of 2: waiting for {whom} at {address}"
    assert printed.splitlines()[0] == waiting
    assert printed.splitlines()[-1].startswith(f"UnavailableError: {waiting} was in vain")


def test_a_coordinator_without_an_address_is_named(environment, forks, tmp_path):
    flags = ("--coordinator=nohost.invalid:61001", "--process=1")
    code, printed = started_one(forks, environment, tmp_path, *flags)
    assert code == 69, printed
    assert "whose host has no address yet" in printed
    assert "UnavailableError: the coordinator's host nohost.invalid has no address" in printed


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_is_taken_is_refused(shared, environment, forks, tmp_path):
    """Also by a coordinator of jax, which would let a second one listen with it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        flags = (f"--coordinator=localhost:{port}", "--process=0")
        code, printed = started_one(forks, environment, tmp_path, *flags)
    assert code == 69, printed
    assert f"process 0 cannot listen on port {port} (Address already in use)" in printed
