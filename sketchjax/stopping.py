"""How a run is asked to stop: by a signal, which it finishes its dispatch for."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

# A terminal, `timeout` and systemd signal all processes of a group, and a script among them passes
# its signal on: one request comes as several signals, of one kind or two.
_ONE_REQUEST_SECONDS = 1.0
_kept_open: list[socket.socket] = []  # a socket closes when nothing holds it


def stop_on_signals() -> Callable[[], bool]:
    """Ask for a stop on the first SIGTERM or SIGINT; a later one ends the process at once.

    Returns a function that says whether a stop was asked for. Python calls signal handlers between
    two of its instructions, and a dispatch may be one instruction of a minute; so a thread reads
    the signals from a socket as they come.
    """
    asked = threading.Event()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def watch() -> None:
        number = ours.recv(1)[0]
        began = time.monotonic()
        asked.set()
        name = signal.Signals(number).name
        print(f"{name}: stopping at the next safe point; again ends at once", file=sys.stderr)
        while True:
            number = ours.recv(1)[0]
            if time.monotonic() - began > _ONE_REQUEST_SECONDS:
                os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # without a handler, no signal would be passed on
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="signals", daemon=True).start()
    _kept_open.append(theirs)
    return asked.is_set
