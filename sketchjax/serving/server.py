"""One process that listens, warms up, answers, and stops when it is asked to."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import threading
import time
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from sketchjax.errors import ConfigError
from sketchjax.serving.answers import HEADERS
from sketchjax.serving.problems import Refused

GRACE = 10  # seconds for running requests once the server was asked to stop


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a port that is taken is known before any work.

    host: a name or an address.
    port: 0 for any that is free.
    Raises ConfigError where nobody can listen.
    """
    if not 0 <= port <= 65_535:
        raise ConfigError(f"--port {port}: must be from 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        own = socket.socket(family, kind, protocol)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind(address)
        own.listen()  # until then, another process could bind the same port
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"cannot listen at {host}:{port} ({reason}); choose another --port or --host"
        ) from None
    return own


def address_of(listening: socket.socket) -> str:
    """The address of a socket for a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


class _Protocol(AutoHTTPProtocol):
    """HTTP as uvicorn reads it; what is no HTTP is a problem like all other errors."""

    transport: asyncio.Transport

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read and close the connection. msg: of uvicorn."""
        refused = Refused(400, msg, headers=HEADERS | {"connection": "close"}).response()
        lines = [b"HTTP/1.1 400 Bad Request", *map(b": ".join, refused.raw_headers)]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(refused.body)]))
        self.transport.close()


def config_of(app: FastAPI) -> uvicorn.Config:
    """How uvicorn runs an application."""
    return uvicorn.Config(
        app,
        http=_Protocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        ws="none",
    )


def run(app: FastAPI, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM; those that run then are finished.

    app: of `create_app`; it is warmed here.
    listening: of `listen`.
    ready: called once searches are answered.
    Raises what warming raises.
    """
    failures: list[Exception] = []
    server, stopped = uvicorn.Server(config_of(app)), threading.Event()

    def warm() -> None:
        try:
            app.state.service.warm()
            # What is loaded by now stays. An answer makes a thousand small lists, and each full
            # collection would look through everything again: 70 ms at the 99th percentile.
            gc.collect()
            gc.freeze()
            while not (server.started or stopped.is_set()):
                time.sleep(0.01)
            if server.started:
                ready()
        except Exception as error:
            failures.append(error)
            server.should_exit = True

    # uvicorn raises the signal again once it has stopped, to whatever handled it before.
    before = {each: signal.signal(each, lambda *_: None) for each in _SIGNALS}
    warming = threading.Thread(target=warm, name="warm", daemon=True)
    try:
        warming.start()
        server.run(sockets=[listening])
    finally:
        stopped.set()
        for each, handler in before.items():
            signal.signal(each, handler)
        listening.close()
    if failures:
        raise failures[0]


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
