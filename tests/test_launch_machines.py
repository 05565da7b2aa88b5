"""launch/slurm.sbatch and jobset.yaml, with stand-ins for SLURM and a list of JobSet's fields."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from sketchjax import errors
from sketchjax.cluster import find_peers

LAUNCH = Path(__file__).parents[1] / "launch"
SCRIPT = LAUNCH / "slurm.sbatch"

# Ends with the next code of its list; `wait` waits for SIGTERM and then ends with 75.
SRUN = """#!/bin/bash
here=$(dirname "$0")
echo "$*" >> "$here/srun.asked"
read -r does < "$here/does"
sed -i 1d "$here/does"
if [[ $does == wait ]]; then
    trap 'exit 75' TERM
    echo > "$here/waits"
    while :; do sleep 0.02; done
fi
exit "$does"
"""
SCONTROL = '#!/bin/bash\necho "$*" >> "$(dirname "$0")/scontrol.asked"\n'

# sbatch(1): the options that the script uses, with the values that each takes.
OPTIONS = {
    "job-name": r"[\w-]+",
    "nodes": r"\d+(-\d+)?",
    "ntasks-per-node": r"\d+",
    "gpus-per-node": r"(\w+:)?\d+",
    "cpus-per-task": r"\d+",
    "time": r"(\d+-)?\d+(:\d\d){0,2}",
    "requeue": None,
    "open-mode": r"append|truncate",
    "output": r"[\w%.-]+",
    "signal": r"([RB]+:)?\w+(@\d+)?",
}


@pytest.fixture
def slurm(tmp_path):
    """Starts the script where srun does the next of some things; returns the process."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "77"}

    def start(*does: str, arguments=("--config", "a file.py", "--workdir=w"), **more: str):
        (tmp_path / "does").write_text("".join(f"{each}\n" for each in does))
        return subprocess.Popen(
            ["bash", str(SCRIPT), *arguments],
            env=environment | more,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def asked(folder: Path, program: str) -> list[str]:
    path = folder / f"{program}.asked"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("code", (0, *sorted({64, 65, 66, 70, 74})))
def test_what_a_restart_cannot_change_ends_the_job(slurm, tmp_path, code):
    assert slurm(str(code)).wait(20) == code
    call = "python -m sketchjax.main --config a file.py --workdir=w"
    assert asked(tmp_path, "srun") == [f"--kill-on-bad-exit=0 --wait=120 {call}"]
    assert asked(tmp_path, "scontrol") == []


def test_a_lost_process_is_started_again(slurm, tmp_path):
    assert slurm("137", "134", "0").wait(20) == 0
    assert len(asked(tmp_path, "srun")) == 3


def test_restarts_have_a_limit(slurm, tmp_path):
    assert slurm("137", "137", "137", RESTARTS="1").wait(20) == 137
    assert len(asked(tmp_path, "srun")) == 2


def test_before_the_end_of_the_time_the_job_is_queued_again(slurm, tmp_path):
    process = slurm("wait")
    end = time.monotonic() + 60
    while not (tmp_path / "waits").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 75
    assert asked(tmp_path, "scontrol") == ["requeue 77"]


@pytest.mark.parametrize("arguments, job", (((), "77"), (("--workdir=w",), "")))
def test_the_usage_is_printed(slurm, arguments, job):
    process = slurm("0", arguments=arguments, SLURM_JOB_ID=job)
    _, printed = process.communicate(timeout=20)
    assert process.returncode == 64
    assert "sbatch launch/slurm.sbatch --config FILE" in printed


def test_directives_are_options_of_sbatch():
    lines = SCRIPT.read_text().splitlines()
    found = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
    # sbatch stops reading directives at the first command.
    first = next(number for number, line in enumerate(lines) if line and line[0] != "#")
    assert all(number < first for number, line in enumerate(lines) if line.startswith("#SBATCH"))
    assert [each.partition("=")[0] for each in found] == list(OPTIONS)
    for each in found:
        name, given, value = each.partition("=")
        pattern = OPTIONS[name]
        assert not given if pattern is None else re.fullmatch(pattern, value), each


# The fields of JobSet v1alpha2, Job batch/v1 and Pod v1 that the file uses, with their types;
# a list holds the fields of its items.
STRING, NUMBER = str, int
CONTAINER = {
    "name": STRING,
    "image": STRING,
    "command": [STRING],
    "env": [
        {"name": STRING, "value": STRING, "valueFrom": {"fieldRef": {"fieldPath": STRING}}},
    ],
    "ports": [{"containerPort": NUMBER}],
    "resources": {"limits": {"nvidia.com/gpu": NUMBER}},
    "volumeMounts": [{"name": STRING, "mountPath": STRING}],
}
POD = {
    "restartPolicy": STRING,
    "terminationGracePeriodSeconds": NUMBER,
    "containers": [CONTAINER],
    "volumes": [
        {
            "name": STRING,
            "persistentVolumeClaim": {"claimName": STRING},
            "emptyDir": {"medium": STRING},
        }
    ],
}
EXIT_CODES = {"containerName": STRING, "operator": STRING, "values": [NUMBER]}
JOB = {
    "parallelism": NUMBER,
    "completions": NUMBER,
    "completionMode": STRING,
    "backoffLimit": NUMBER,
    "podFailurePolicy": {"rules": [{"action": STRING, "onExitCodes": EXIT_CODES}]},
    "template": {"spec": POD},
}
JOBSET = {
    "apiVersion": STRING,
    "kind": STRING,
    "metadata": {"name": STRING},
    "spec": {
        "coordinator": {"replicatedJob": STRING, "jobIndex": NUMBER, "podIndex": NUMBER},
        "failurePolicy": {
            "maxRestarts": NUMBER,
            "rules": [{"name": STRING, "action": STRING, "onJobFailureReasons": [STRING]}],
        },
        "replicatedJobs": [{"name": STRING, "replicas": NUMBER, "template": {"spec": JOB}}],
    },
}


def unknown(value, known, where: str = "") -> list[str]:
    """The places of a document that are no known fields or have another type."""
    if isinstance(known, dict):
        if not isinstance(value, dict):
            return [where]
        return [
            line
            for name, inner in value.items()
            for line in (
                unknown(inner, known[name], f"{where}.{name}")
                if name in known
                else [f"{where}.{name}"]
            )
        ]
    if isinstance(known, list):
        if not isinstance(value, list):
            return [where]
        return [line for each in value for line in unknown(each, known[0], f"{where}[]")]
    return [] if type(value) is known else [where]


@pytest.fixture(scope="module")
def jobset() -> dict:
    return yaml.safe_load((LAUNCH / "jobset.yaml").read_text())


def test_all_fields_are_those_of_a_jobset(jobset):
    assert unknown(jobset, JOBSET) == []
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")


def test_a_wrong_field_would_be_seen(jobset):
    assert unknown(jobset | {"spec": {"replicas": 2}}, JOBSET) == [".spec.replicas"]
    assert unknown({"metadata": {"name": 3}}, JOBSET) == [".metadata.name"]


def test_its_numbers_and_names_belong_together(jobset):
    (workers,) = jobset["spec"]["replicatedJobs"]
    job, coordinator = workers["template"]["spec"], jobset["spec"]["coordinator"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    count = int(environment["JAX_NUM_PROCESSES"])
    assert job["parallelism"] == job["completions"] == count
    assert job["completionMode"] == "Indexed"
    assert coordinator == {"replicatedJob": workers["name"], "jobIndex": 0, "podIndex": 0}
    # A policy for failed pods is only allowed where they are not restarted in place.
    assert pod["restartPolicy"] == "Never"
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in pod["volumes"]}


def test_its_pods_find_each_other(jobset):
    (workers,) = jobset["spec"]["replicatedJobs"]
    (container,) = workers["template"]["spec"]["template"]["spec"]["containers"]
    found = {each["name"]: each.get("value") for each in container["env"]}
    # As the set fills its annotation: pod NAME-JOB-0-0 of the service NAME.
    name = jobset["metadata"]["name"]
    host = f"{name}-{workers['name']}-0-0.{name}"
    address = found["JAX_COORDINATOR_ADDRESS"].replace("$(COORDINATOR)", host)
    environment = {
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": found["JAX_NUM_PROCESSES"],
        "JOB_COMPLETION_INDEX": "1",
    }
    peers = find_peers(environment)
    assert peers is not None
    assert peers[:3] == ("sketchjax-workers-0-0.sketchjax:61440", 2, 1)
    assert container["ports"] == [{"containerPort": 61440}]


def test_both_end_at_the_same_exit_codes(jobset):
    """Those of the project's errors, except a stop, which is resumed, and an index's server."""
    (workers,) = jobset["spec"]["replicatedJobs"]
    (rule,) = workers["template"]["spec"]["podFailurePolicy"]["rules"]
    codes = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.SketchjaxError)
    }
    passing = {errors.Stopped.exit_code, errors.UnavailableError.exit_code}
    lasting = sorted(codes - passing - {1})
    assert rule["onExitCodes"]["values"] == lasting
    (line,) = re.findall(r"^ +(0(?: \| \d+)+)\) exit", SCRIPT.read_text(), re.MULTILINE)
    assert [int(code) for code in line.split(" | ")] == [0, *lasting]
