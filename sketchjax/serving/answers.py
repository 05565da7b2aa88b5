"""ASGI middlewares of every answer, also of what `limits` refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchjax.serving.problems import Refused

HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


class Seen:
    """Counts every answer, and adds the headers that keep a browser to this server.

    app: what answers.
    seen: called with the scope, the status and the seconds of every request; 499, as nginx has it,
      where the client left before there was an answer.
    """

    def __init__(self, app: ASGIApp, seen: Callable[[Scope, int, float], None]):
        self._app, self._seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 499

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, send_safely)
        finally:
            self._seen(scope, status, time.perf_counter() - start)


class Origins(CORSMiddleware):
    """Lets other pages call the server and read what it answers, errors too (CORS).

    app: what answers.
    origins: of the pages.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]):
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["content-type"],
            expose_headers=["retry-after"],
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Whether a page may send a request; a refusal is a problem like all others."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        reason = bytes(answer.body).decode()  # such as: Disallowed CORS origin
        headers = {"vary": answer.headers["vary"]}
        return Refused(
            answer.status_code, f"{reason}; see --allow-origin.", headers=headers
        ).response()


class Heads:
    """The middleware that answers HEAD as GET, without the body (RFC 9110)."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send_head)
        finally:
            scope["route"] = inner.get("route")  # for `seen`
