"""How a process joins those that it trains with: it says whom it waits for, and not for ever."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sketchjax.cluster import Peers
from sketchjax.errors import UnavailableError

# Pods of one set start minutes apart where an image has to be loaded.
PATIENCE_SECONDS = 300.0
# Most runs join in less; after that, a line says whom this process waits for.
_QUIET_SECONDS = 5.0
# A process that stops sending heartbeats counts as lost, and the others exit within a minute.
_SILENCE_SECONDS = 30
# Process 0 may write a large last checkpoint or report while the others wait to leave with it.
_LEAVING_SECONDS = 3600


def join(peers: Peers) -> None:
    """Make this process one of several that train together. Call it before any other use of jax.

    peers: the processes; each trains on all devices that it sees, or on those of
      JAX_LOCAL_DEVICE_IDS.

    Raises UnavailableError when the port is taken or the coordinator's host has no address. Where
    the others do not come, a thread ends the process with that error's exit code: jax's own wait
    ends only by aborting the process.
    """
    import jax

    deadline = time.monotonic() + PATIENCE_SECONDS
    whom = "the others" if peers.own == 0 else "process 0"
    waiting = f"process {peers.own} of {peers.total}: waiting for {whom} at {peers.coordinator}"
    _find_host(peers.coordinator, deadline, waiting)
    if peers.own == 0:
        _check_port(peers.coordinator)
    with _limited(deadline, waiting):
        try:
            jax.distributed.initialize(
                peers.coordinator,
                num_processes=peers.total,
                process_id=peers.own,
                # Under SLURM it would leave each process one device, even with all of these given.
                cluster_detection_method="deactivate",
                initialization_timeout=int(PATIENCE_SECONDS) + 60,
                heartbeat_timeout_seconds=_SILENCE_SECONDS,
                shutdown_timeout_seconds=_LEAVING_SECONDS,
            )
        except RuntimeError as error:  # jax's own kind of error is one
            why = " ".join(str(error).split())
            raise UnavailableError(
                f"process {peers.own} of {peers.total} cannot join the others at "
                f"{peers.coordinator} ({why}); rerun all of them with another port"
            ) from error


def _find_host(coordinator: str, deadline: float, waiting: str) -> None:
    """Wait until the host has an address: that of a pod appears only when the pod has started."""
    host, said = coordinator.rpartition(":")[0].strip("[]"), False
    while True:
        try:
            socket.getaddrinfo(host, None)
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the coordinator's host {host} has no address ({error}); correct it, or "
                    "start process 0 there"
                ) from error
            if not said:
                print(f"{waiting}, whose host has no address yet", file=sys.stderr, flush=True)
                said = True
            time.sleep(1)


def _check_port(coordinator: str) -> None:
    """Raise UnavailableError where another program listens on the coordinator's port.

    jax would share a port with a coordinator that has it already, so that the processes of two runs
    join each other.
    """
    if "JAX_COORDINATOR_BIND_ADDRESS" in os.environ:
        return
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    port = int(coordinator.rpartition(":")[2])
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=dual).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise UnavailableError(
            f"process 0 cannot listen on port {port} ({why}), where the others look for it; rerun "
            "all of them with another port"
        ) from error


@contextmanager
def _limited(deadline: float, waiting: str) -> Iterator[None]:
    """Say what is waited for when the block takes long, and end the process at the deadline."""
    joined = threading.Event()

    def watch() -> None:
        if joined.wait(_QUIET_SECONDS):
            return
        print(waiting, file=sys.stderr, flush=True)
        if joined.wait(max(0, deadline - time.monotonic())):
            return
        print(
            f"UnavailableError: {waiting} was in vain; start all processes within "
            f"{PATIENCE_SECONDS:.0f} s, each with its own number and with the address of process 0",
            file=sys.stderr,
            flush=True,
        )
        os._exit(UnavailableError.exit_code)

    threading.Thread(target=watch, name="joining", daemon=True).start()
    try:
        yield
    finally:
        joined.set()
