"""What a refused request is answered: application/problem+json with one sentence for people."""

from __future__ import annotations

import http
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from sketchjax.errors import (
    BrokenIndexError,
    DataError,
    DiskError,
    DoubtfulError,
    InUseError,
    MovedError,
    UnavailableError,
)
from sketchjax.serving.schema import Problem

_LOG = logging.getLogger("uvicorn.error")  # the server's own


class Refused(Exception):
    """A request that is answered with an error; detail: one sentence for people.

    status: of HTTP.
    wait: seconds after which to try again; None: no use.
    headers: more of them.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        wait: int | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})
        if wait is not None:
            self.headers["retry-after"] = str(wait)

    def response(self) -> Response:
        """The error as application/problem+json."""
        title = http.HTTPStatus(self.status).phrase
        content = msgspec.json.encode(Problem(title, self.status, self.detail))
        kind = "application/problem+json"
        return Response(content, self.status, headers=self.headers, media_type=kind)


def sentence(text: str) -> str:
    """A message of our errors as a sentence."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?")) else f"{text}."


def shortened(text: str) -> str:
    """What a request says, as a sentence may quote it."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.response()


async def _bad_data(request: Request, error: Exception) -> Response:
    return Refused(422, sentence(str(error))).response()


async def _away(request: Request, error: Exception) -> Response:
    return Refused(503, sentence(str(error)), wait=5).response()


def _own_fault(
    status: int, detail: str, wait: int | None = None
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The handler of an error that is not the client's. Its own words name files of the server, so
    only the log has them.
    """

    async def handler(request: Request, error: Exception) -> Response:
        _LOG.error("%s %s: %s", request.method, request.url.path, error)
        return Refused(status, detail, wait=wait).response()

    return handler


def _not_json(reason: str) -> Refused:
    return Refused(422, f"The body is not JSON: {reason}.")


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where, *path = first["loc"]
    if first["type"] == "json_invalid":
        reason = first["ctx"]["error"]
        return _not_json(f"{reason} at character {path[0]}").response()
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    message = first["msg"].removeprefix("Value error, ")
    place = place.lstrip(".") or f"the {where}"
    detail = f"{place[:120]}: {message[:1].lower()}{message[1:300]}"
    return Refused(422, detail.rstrip(".") + ".").response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    match error.__cause__:  # of FastAPI's "error parsing the body"
        case UnicodeDecodeError() as cause:
            byte = f"0x{cause.object[cause.start]:02x}"
            return _not_json(
                f"byte {cause.start} is {byte}, which is not {cause.encoding}"
            ).response()
        case RecursionError():
            return _not_json("its lists or objects are nested too deeply").response()
        case ValueError() as cause:  # whole numbers of more than 4,300 digits
            return _not_json(str(cause).split(";")[0]).response()
    detail = {
        404: "There is nothing at this address; the page is at /.",
        405: "This address does not take this method.",
    }.get(error.status_code, sentence(str(error.detail)))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:  # starlette names the methods of one route only
        own = [route for route in request.app.routes if route.matches(request.scope)[0].value]
        methods = {each for route in own for each in route.methods}
        headers["allow"] = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
    return Refused(error.status_code, detail, headers=headers).response()


HANDLERS = {
    Refused: _refused,
    DataError: _bad_data,
    BrokenIndexError: _own_fault(
        500, "The index of this server is damaged or refuses the server; its log says more."
    ),
    UnavailableError: _away,
    InUseError: _own_fault(
        503, "Another process is using the index; try again in a few seconds.", wait=5
    ),
    DiskError: _own_fault(
        507,
        "The disk or the memory of the server is full or failing, and its log says why; this "
        "request has changed nothing.",
    ),
    DoubtfulError: _own_fault(
        507,
        "The server could not complete this change, and its log says why; the change may have been "
        "made all the same, so look for it before you send it again.",
    ),
    MovedError: _own_fault(
        503,
        "The folder of the index was moved, deleted or replaced while the server was running, so "
        "it cannot be changed; move it back, or restart the server where it is now.",
    ),
    RequestValidationError: _invalid,
    HTTPException: _http,
}


def problems() -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says about the errors of every route."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    content = {"application/problem+json": {"schema": schema}}
    return {"4XX": {"description": "An error of the request.", "content": content},
            "5XX": {"description": "An error of the server.", "content": content}}  # fmt: skip
