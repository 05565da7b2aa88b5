"""Which process of how many this one is, from flags or from the scheduler that started it.

jax finds these numbers itself, but under SLURM it then gives each process only one of the GPUs that
it sees, and under Kubernetes it needs a package and the right to look at other pods. The variables
that are read here are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sketchjax.errors import ConfigError

# As jax chooses it: a job's own port, in the range that systems leave to programs.
_FIRST_PORT, _PORTS = 61_440, 4_096


class Peers(NamedTuple):
    """Processes that train together.

    coordinator: HOST:PORT where process 0 listens.
    total: how many there are.
    own: the number of this one, from 0.
    origin: who says so, for people.
    """

    coordinator: str
    total: int
    own: int
    origin: str


def find_peers(
    environment: Mapping[str, str],
    coordinator: str | None = None,
    count: int | None = None,
    own: int | None = None,
) -> Peers | None:
    """The processes that this one trains with; None where it trains by itself.

    environment: in which flags that are not given are looked for: inside a step of SLURM (`srun`),
      or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, in place of which an indexed
      job of Kubernetes has JOB_COMPLETION_INDEX.
    coordinator, count, own: the flags --coordinator, --processes and --process; None: not given.
    Raises ConfigError where something is missing or does not fit.
    """
    if (coordinator, count, own) != (None, None, None):
        return _checked(coordinator, 1 if count is None else count, own or 0, "flags", _OF_FLAGS)
    if "JAX_NUM_PROCESSES" in environment:
        number = environment.get("JAX_PROCESS_ID", environment.get("JOB_COMPLETION_INDEX"))
        return _checked(
            environment.get("JAX_COORDINATOR_ADDRESS"),
            _whole(environment, "JAX_NUM_PROCESSES"),
            None if number is None else _number(number, "the number of this process"),
            "the environment",
            _OF_ENVIRONMENT,
        )
    if "SLURM_STEP_NODELIST" in environment and "SLURM_PROCID" in environment:
        port = _FIRST_PORT + _whole(environment, "SLURM_JOB_ID") % _PORTS
        return _checked(
            f"{first_host(environment['SLURM_STEP_NODELIST'])}:{port}",
            _whole(environment, "SLURM_STEP_NUM_TASKS"),
            _whole(environment, "SLURM_PROCID"),
            "SLURM",
            _OF_ENVIRONMENT,
        )
    return None


_OF_FLAGS = "--processes needs --coordinator HOST:PORT, the address of process 0"
_OF_ENVIRONMENT = (
    "JAX_NUM_PROCESSES needs JAX_COORDINATOR_ADDRESS, the HOST:PORT of process 0, and "
    "JAX_PROCESS_ID or JOB_COMPLETION_INDEX"
)


def _checked(
    coordinator: str | None, count: int, own: int | None, origin: str, missing: str
) -> Peers | None:
    if own is not None and not 0 <= own < max(count, 1):
        raise ConfigError(f"process {own} of {count}, by {origin}: count from 0")
    if count <= 1:
        return None
    if not coordinator or own is None:
        raise ConfigError(missing)
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(f"coordinator {coordinator!r}: give HOST:PORT, such as node001:61440")
    return Peers(coordinator, count, own, origin)


def first_host(nodes: str) -> str:
    """The first host of a list as SLURM writes it: node001 of `node[001-015,020],gpu3`."""
    before, bracket, rest = nodes.partition(",")[0].partition("[")
    if not bracket:
        return before
    first = rest.replace("]", "-").split("-")[0]
    # What follows the brackets belongs to each name: `rack[1-4]-gpu`.
    _, closed, after = nodes.partition("]")
    return before + first + (first_host(after) if closed else "")


def _whole(environment: Mapping[str, str], name: str) -> int:
    return _number(environment.get(name), name)


def _number(text: str | None, name: str) -> int:
    if text is None or not text.isdecimal():
        raise ConfigError(f"{name} is {text!r} in the environment; it must be a whole number")
    return int(text)
