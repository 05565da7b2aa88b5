"""Processes that were not started alike refuse to train, all with one exit code and one reason."""

import re
import shutil
from pathlib import Path

import pytest
from pair import Pair

# A folder of another machine appears in 75 s or never; these never do.
NO_PATIENCE = "import sketchjax.together as t; t.PATIENCE_SECONDS = 1"


def refused(pair: Pair, *texts: str) -> None:
    """Check that both end with 64 and each text in both logs, before anything is trained."""
    with pair:
        assert pair.end(90) == [64, 64], pair.printed()
    for text in texts:
        assert all(text in pair.log(number).read_text() for number in range(2)), pair.printed()
    assert "Traceback" not in pair.printed()
    assert not list(pair.workdir.glob("checkpoints/[0-9]*"))


def test_other_configs_and_devices_are_refused(whole, environment, forks, tmp_path):
    own = ((), ("--config.stages.full.learning_rate=0.05",))
    one = re.sub(r" --xla_force\S*", "", environment["XLA_FLAGS"])
    one += " --xla_force_host_platform_device_count=1"
    refused(
        Pair(
            tmp_path / "run",
            whole / "data",
            environment,
            own=own,
            environments=({}, {"XLA_FLAGS": one}),
            forks=forks,
        ),
        "devices of each process: 2 in process 0, and 1 in process 1",
        "stages.full.learning_rate: 0.001 in process 0, and 0.05 in process 1",
    )
    assert not (tmp_path / "run" / "config.json").exists()


def test_other_data_are_refused(whole, environment, forks, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(whole / "data", other)
    manifest = other / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    own = ((), (f"--config.data.dir={other}",))
    faults = ("", NO_PATIENCE)
    data = whole / "data"
    pair = Pair(tmp_path / "run", data, environment, own=own, faults=faults, forks=forks)
    refused(pair, "sha256 of the data's manifest.json")


@pytest.mark.parametrize("finished", [False, True])
def test_a_workdir_that_only_one_sees_is_refused(finished, whole, environment, forks, tmp_path):
    """Finished only for process 1, which would then leave process 0 waiting."""
    other = tmp_path / "other"
    if finished:
        other.mkdir()
        shutil.copy(whole / "results.json", other)
    own = ((), (f"--workdir={other}",))
    faults = ("", NO_PATIENCE)
    pair = Pair(tmp_path / "run", None, environment, own=own, faults=faults, forks=forks)
    refused(pair, "results.json in --workdir" if finished else "lock in --workdir")


def test_a_checkpoint_that_only_one_sees_is_refused(whole, environment, forks, tmp_path):
    workdir = Path(tmp_path / "run")
    fault = (
        f"{NO_PATIENCE}\nfrom sketchjax.train.checkpoint import Checkpoints, Progress\n"
        "Checkpoints.latest = lambda self: (8, Progress(), [])"
    )
    refused(
        Pair(workdir, whole / "data", environment, faults=("", fault), forks=forks),
        "newest checkpoint in --workdir: nothing in process 0, and 8 in process 1",
    )
