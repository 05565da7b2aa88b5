"""The server's request bodies as a function of bytes: any answer but an error of its own is fine.

The first line says what is asked and in which form, a letter of `ROUTES` and then a query string;
what follows is the body.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from pathlib import Path
from typing import Any

import orjson

# The index of doodles and the encoder of the server's own tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

ROUTES = {
    b"j": ("/v1/search", b"application/json"),
    b"s": ("/v1/search", b"image/svg+xml"),
    b"n": ("/v1/search", b"application/x-ndjson"),
    b"e": ("/v1/encode", b"application/json"),
    b"a": ("/v1/sketches", b"application/json"),
}


def ask(data: bytes) -> None:
    """Send a request; raises AssertionError for an answer that a server must not give."""
    first, _, body = data.partition(b"\n")
    path, kind = ROUTES.get(first[:1], ROUTES[b"j"])
    app, loop, token = _server()
    headers = [(b"host", b"localhost"), (b"content-type", kind)]
    headers += [(b"authorization", b"Bearer " + token.encode())]
    headers += [(b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": first[1:],
        "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("localhost", 1),
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    loop.run_until_complete(app(scope, receive, send))
    status, answer = sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])
    found = orjson.loads(answer)
    if status in (200, 201):
        if status == 201:  # what was added would slow all that follows
            engine = app.state.service.engine
            assert engine.delete([int(id_) for id_ in found["ids"]]) == len(found["ids"]) > 0
        return
    assert 400 <= status < 500, (status, found)
    assert 0 < len(found["detail"]) < 1_000, found


@functools.cache
def _server() -> tuple[Any, asyncio.AbstractEventLoop, str]:
    from doodle_server import TOKEN, doodle_app

    return doodle_app(token=TOKEN, threads=1), asyncio.new_event_loop(), TOKEN
