"""What a server refuses before it does any work.

`Limits` is an ASGI middleware: the Host header, the rate of an address, the size and the time of a
body. `Workers` bounds what waits for a core.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchjax.serving.problems import Refused, shortened

MOST_BYTES = 256 << 10  # of a body
MOST_BYTES_ADDED = 4 << 20  # of one that adds drawings, which needs a token
PATIENCE = 5.0  # seconds for a body to arrive
MOST_WAITING = 32  # requests that wait for a thread
RATE = 20.0  # requests a second of one address, with --public
BURST = 40.0  # that may come at once
MOST_ADDRESSES = 10_000  # remembered; the one that was quiet longest is forgotten first

Result = TypeVar("Result")


class Workers:
    """As many threads as cores; at most 32 requests wait for one.

    More threads would only share the cores, and every answer would come later.
    """

    def __init__(self, threads: int):
        self.threads, self.admitted = threads, 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="search")

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of work on a thread.  Raises Refused (503) where too many wait."""
        self.check_room()
        future = self.start(work)
        self.admit(future)
        return await asyncio.wrap_future(future)

    def check_room(self) -> None:
        """Raise Refused (503) where too many wait."""
        if self.admitted >= self.threads + MOST_WAITING:
            raise Refused(503, "The server is busy; try again in a second.", wait=1)

    def admit(self, future: Future) -> None:
        """Count a request until its future is done, not until its client loses patience."""
        self.admitted += 1
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _call_in(loop, self._release))

    def start(self, work: Callable[[], Result]) -> Future[Result]:
        """Work that a thread does when one is free; it counts as no request."""
        return self._pool.submit(work)

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self._pool.shutdown(cancel_futures=True)

    def _release(self) -> None:
        self.admitted -= 1


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)


class Rates:
    """A bucket of requests for each address, refilled at a steady rate."""

    def __init__(self, rate: float = RATE, burst: float = BURST):
        self._rate, self._burst = rate, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float) -> bool:
        """Whether a request at this time, in seconds, is within the rate of its address."""
        address = _network(address)
        left, then = self._buckets.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        self._buckets[address] = (max(left - 1, 0.0) if left >= 1 else left, now)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return left >= 1


def _network(address: str) -> str:
    """An IPv6 address's /64, of which one person has all; any other address as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))


class Limits:
    """The middleware; it also answers what went wrong inside.

    app: what is protected.
    hosts: names that the Host header may have. Addresses in digits are always right: a page from
      elsewhere can point a name of its own at this machine (DNS rebinding), but not a number.
    rates: None: as many requests as an address likes.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], rates: Rates | None):
        self._app, self._hosts, self._rates = app, hosts, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_answer = False

        async def noted(message: Message) -> None:
            nonlocal has_answer
            has_answer = True
            await send(message)

        try:
            self._check(scope)
            body = await _body(scope, receive)
            await self._app(scope, replayed(body, receive), noted)
        except Refused as refused:
            await refused.response()(scope, receive, send)
        except _Gone:
            pass  # nobody is left to answer
        except Exception:
            if not has_answer:
                broken = Refused(500, "Something in the server went wrong; its log says what.")
                await broken.response()(scope, receive, send)
            raise  # for the log

    def _check(self, scope: Scope) -> None:
        host = Headers(scope=scope).get("host", "")
        if not self._is_ours(host):
            raise Refused(
                421,
                f"This server does not answer for {shortened(host)}; start it with --allow-host "
                "and that name.",
            )
        address = (scope.get("client") or ("unknown", 0))[0]
        limited = self._rates is not None and scope["path"].startswith("/v1/")
        if limited and not self._rates.take(address, time.monotonic()):  # pyright: ignore[reportOptionalMemberAccess]
            raise Refused(
                429, "Too many requests from this address; try again in a second.", wait=1
            )

    def _is_ours(self, host: str) -> bool:
        name = host.rsplit("]", 1)[0].lstrip("[") if host.startswith("[") else host.split(":")[0]
        if name.lower().removesuffix(".") in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class _Gone(Exception):
    """The client has closed the connection."""


async def _body(scope: Scope, receive: Receive) -> bytes:
    """The whole body.  Raises Refused where it is compressed, too large or too slow."""
    coding = Headers(scope=scope).get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise Refused(
            415, f"The body is compressed ({shortened(coding)}); send it without Content-Encoding.",
            headers={"accept-encoding": "identity"},
        )  # fmt: skip
    most = MOST_BYTES_ADDED if scope["path"] == "/v1/sketches" else MOST_BYTES
    too_large = Refused(413, f"The request is larger than {most >> 10} KiB.")
    length = Headers(scope=scope).get("content-length", "0")
    if not length.isdecimal():
        raise Refused(400, "The header Content-Length is not a number.")
    if int(length[:12]) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                body += message.get("body", b"")
                if len(body) > most:
                    raise too_large
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Refused(
            408, f"The request did not arrive within {PATIENCE:g} seconds.",
            headers={"connection": "close"},
        ) from None  # fmt: skip


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what comes after it."""
    message: dict[str, Any] | None = {"type": "http.request", "body": body, "more_body": False}

    async def again() -> Message:
        nonlocal message
        if message is None:
            return await receive()
        first, message = message, None
        return first

    return again
