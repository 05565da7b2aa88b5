"""Which process of how many this one is, from flags or from the scheduler that started it.

jax finds these numbers itself, but under SLURM it then gives each process only one of the GPUs that
it sees, and under Kubernetes it needs a package and the right to look at other pods. The variables
that are read here are enough.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from sketchjax.errors import ConfigError

# The range of ports that systems leave to programs.
_FIRST_PORT, _PORTS = 61_440, 4_096
# An IPv6 address has colons of its own, and so brackets.
_ADDRESS = re.compile(r"([^:\[\]]+|\[[^\[\]]+\]):(?P<port>\d{1,5})", re.ASCII)


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

    environment: has what the flags do not give, each by itself: JAX_COORDINATOR_ADDRESS,
      JAX_NUM_PROCESSES and JAX_PROCESS_ID, in place of which an indexed job of Kubernetes has
      JOB_COMPLETION_INDEX; then the variables of a step of SLURM (`srun`).
    coordinator, count, own: the flags --coordinator, --processes and --process; None: not given.
    Raises ConfigError where something is missing or does not fit.
    """
    step = "SLURM_STEP_NODELIST" in environment and "SLURM_PROCID" in environment
    given = (coordinator, own, *map(environment.get, ("JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_ID")))
    origin = "flags"
    if count is None and "JAX_NUM_PROCESSES" in environment:
        count, origin = _whole(environment, "JAX_NUM_PROCESSES"), "the environment"
    elif count is None and step:
        count, origin = _whole(environment, "SLURM_STEP_NUM_TASKS"), "SLURM"
    if count is None and given == (None,) * 4:
        return None
    if count is None or (count == 1 and origin == "SLURM" and given[:2] != (None, None)):
        raise ConfigError(_NO_COUNT)
    if count < 1:
        raise ConfigError(f"{count} processes, by {origin}: there has to be at least 1")
    if own is None and (count > 1 or origin != "flags"):
        own = _own(environment, step)
    if own is not None and own >= count:
        raise ConfigError(f"process {own} of {count}, by {origin}: count from 0")
    if count == 1:
        return None
    if own is None:
        raise ConfigError(_NO_NUMBER)
    coordinator = coordinator or environment.get("JAX_COORDINATOR_ADDRESS")
    if not coordinator and step:
        coordinator = f"{first_host(environment['SLURM_STEP_NODELIST'])}:{_port(environment)}"
    if not coordinator:
        raise ConfigError(_NO_COORDINATOR)
    found = _ADDRESS.fullmatch(coordinator)
    if not found or not 0 < int(found["port"]) < 65_536:
        raise ConfigError(
            f"coordinator {coordinator!r}: give HOST:PORT, such as node001:61440 or [::1]:61440"
        )
    return Peers(coordinator, count, own, origin)


_NO_COUNT = (
    "how many processes train together is not given; give --processes or JAX_NUM_PROCESSES, or "
    "leave out coordinator and process number to train in one"
)
_NO_NUMBER = (
    "which of the processes this one is, is not given; give --process, JAX_PROCESS_ID or "
    "JOB_COMPLETION_INDEX, from 0, to each its own"
)
_NO_COORDINATOR = (
    "the address of process 0 is not given; give --coordinator HOST:PORT or JAX_COORDINATOR_ADDRESS"
)


def _own(environment: Mapping[str, str], step: bool) -> int | None:
    """The number of this process by the environment, if it says."""
    names = ["JAX_PROCESS_ID"]
    # An indexed job may also be of runs by themselves.
    names += ["JOB_COMPLETION_INDEX"] if "JAX_NUM_PROCESSES" in environment else []
    names += ["SLURM_PROCID"] if step else []
    found = next((name for name in names if name in environment), None)
    return None if found is None else _whole(environment, found)


def _port(environment: Mapping[str, str]) -> int:
    """The port of a step of SLURM: steps of one job, and jobs of one machine, differ in it.

    The factor spreads the first steps of neighbouring jobs over the range; it is prime to its size.
    """
    step = _whole(environment, "SLURM_STEP_ID") if "SLURM_STEP_ID" in environment else 0
    return _FIRST_PORT + (_whole(environment, "SLURM_JOB_ID") + 2531 * step) % _PORTS


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
    text = environment.get(name)
    if text is None or not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        shown = text if text is None or len(text) < 40 else f"{text[:40]}..."
        raise ConfigError(f"{name} is {shown!r} in the environment; it must be a whole number")
    return int(text)
