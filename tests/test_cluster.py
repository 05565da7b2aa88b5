"""sketchjax.cluster: the processes of a run, from flags, SLURM and Kubernetes."""

import pytest

from sketchjax.cluster import Peers, find_peers, first_host
from sketchjax.errors import ConfigError

SLURM = {
    "SLURM_JOB_ID": "4097",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "node[003-004]",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_PROCID": "1",
}
JOBSET = {
    "JAX_COORDINATOR_ADDRESS": "run-workers-0-0.run:61440",
    "JAX_NUM_PROCESSES": "4",
    "JOB_COMPLETION_INDEX": "3",
}


def test_a_step_of_slurm_is_found():
    assert find_peers(SLURM) == Peers("node003:61441", 2, 1, "SLURM")


def test_an_indexed_job_is_found():
    assert find_peers(JOBSET) == Peers("run-workers-0-0.run:61440", 4, 3, "the environment")


def test_a_process_id_of_jax_comes_before_the_index():
    assert find_peers(JOBSET | {"JAX_PROCESS_ID": "0"}).own == 0


def test_flags_come_before_the_environment():
    assert find_peers(SLURM | JOBSET, "a:1", 2, 0) == Peers("a:1", 2, 0, "flags")
    assert find_peers(SLURM | JOBSET, count=1) is None


def test_each_flag_replaces_only_its_own_variable():
    assert find_peers(SLURM, "a:1") == Peers("a:1", 2, 1, "SLURM")
    assert find_peers(SLURM | {"JAX_COORDINATOR_ADDRESS": "b:2"}) == Peers("b:2", 2, 1, "SLURM")
    assert find_peers(JOBSET, count=5) == Peers(JOBSET["JAX_COORDINATOR_ADDRESS"], 5, 3, "flags")
    assert find_peers(JOBSET, own=0).own == 0


def test_steps_and_neighbouring_jobs_have_other_ports():
    """Eight steps of each of a hundred jobs that may share a machine."""
    ports = {
        find_peers(SLURM | {"SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)}).coordinator
        for job in range(70_000, 70_100)
        for step in range(8)
    }
    assert len(ports) == 800


@pytest.mark.parametrize(
    "environment",
    (
        {},
        # A batch script is no step, and an indexed job may be of runs by themselves.
        {"SLURM_JOB_ID": "5", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"},
        {"JOB_COMPLETION_INDEX": "3"},
        SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
        JOBSET | {"JAX_NUM_PROCESSES": "1", "JOB_COMPLETION_INDEX": "0"},
    ),
)
def test_one_process_trains_by_itself(environment):
    assert find_peers(environment) is None


@pytest.mark.parametrize(
    "environment, flags, text",
    (
        ({}, {"count": 2}, "give --process,"),
        ({}, {"count": 2, "coordinator": "a:1"}, "give --process,"),
        ({}, {"count": 2, "own": 0}, "--coordinator HOST:PORT"),
        ({}, {"coordinator": "a:1"}, "give --processes"),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, {"coordinator": "a:1"}, "give --processes"),
        ({"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_PROCESS_ID": "0"}, {}, "JAX_NUM_PROCESSES"),
        (JOBSET | {"JAX_NUM_PROCESSES": "0"}, {}, "0 processes, by the environment"),
        ({}, {"coordinator": "a:1", "count": 2, "own": 2}, "process 2 of 2, by flags"),
        ({}, {"own": 1, "count": 1}, "process 1 of 1"),
        ({}, {"own": 1}, "give --processes"),
        ({}, {"coordinator": "a", "count": 2, "own": 0}, "give HOST:PORT"),
        ({}, {"coordinator": "a:99999", "count": 2, "own": 0}, "give HOST:PORT"),
        (JOBSET | {"JOB_COMPLETION_INDEX": "4"}, {}, "process 4 of 4, by the environment"),
        (JOBSET | {"JAX_NUM_PROCESSES": "all"}, {}, "JAX_NUM_PROCESSES is 'all'"),
        ({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"}, {}, "JAX_COORDINATOR_ADDRESS"),
        ({name: JOBSET[name] for name in list(JOBSET)[:2]}, {}, "JOB_COMPLETION_INDEX"),
        (SLURM | {"SLURM_PROCID": "x"}, {}, "SLURM_PROCID is 'x'"),
        (SLURM | {"SLURM_PROCID": "²"}, {}, "SLURM_PROCID is '²'"),
        (JOBSET | {"JAX_NUM_PROCESSES": "4" * 5000}, {}, f"is '{'4' * 40}...' in the env"),
        ({}, {"coordinator": "a:\uff11", "count": 2, "own": 0}, "give HOST:PORT"),
        ({}, {"coordinator": "a:" + "1" * 5000, "count": 2, "own": 0}, "give HOST:PORT"),
        ({}, {"coordinator": "::1", "count": 2, "own": 0}, "or [::1]:61440"),
        ({}, {"coordinator": "fe80::1:61440", "count": 2, "own": 0}, "or [::1]:61440"),
    ),
)
def test_what_is_missing_or_wrong_is_named(environment, flags, text):
    with pytest.raises(ConfigError) as error:
        find_peers(environment, **flags)
    assert text in str(error.value)


@pytest.mark.parametrize("address", ("10.0.0.1:80", "node001:61440", "[fe80::1]:61440"))
def test_an_address_is_kept_as_it_is(address):
    assert find_peers({}, address, 2, 0) == Peers(address, 2, 0, "flags")


@pytest.mark.parametrize(
    "nodes, first",
    (
        ("node001", "node001"),
        ("node001,host2", "node001"),
        ("node[001-015],host2", "node001"),
        ("node[001,007-015],host2", "node001"),
        ("gpu-a-[7]", "gpu-a-7"),
        ("rack[1-4]-gpu", "rack1-gpu"),
        ("rack[1-2]n[3,5]", "rack1n3"),
    ),
)
def test_first_host_of_a_list(nodes, first):
    assert first_host(nodes) == first


def test_jax_finds_the_same_host(monkeypatch):
    """Where it knows the form of the list. Its port is that of a job, not of a step."""
    from jax._src.clusters.slurm_cluster import SlurmCluster

    for nodes in ("node001", "node001,host2", "node[001-015],host2", "node[001,007-015],host2"):
        environment = SLURM | {"SLURM_STEP_NODELIST": nodes}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        theirs = SlurmCluster.get_coordinator_address(60, None)
        assert find_peers(environment).coordinator.split(":")[0] == theirs.split(":")[0]
