"""What the body of a request may be: JSON, or for a search another form of `forms`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from sketchjax.serving.forms import FORMS, as_json
from sketchjax.serving.limits import replayed
from sketchjax.serving.problems import Refused, shortened

JSON = "application/json"
_IS_JSON = re.compile(r"application/([^/]+\+)?json")


def json_only(*others: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency of a route that reads JSON.

    It refuses other types (415), and a query string (422): nothing would read that.
    others: types that were converted into JSON before.
    """

    async def check(request: Request) -> None:
        kind = _kind(request)
        if not _IS_JSON.fullmatch(kind):
            raise Refused(
                415,
                f"The header Content-Type is {shortened(kind) if kind else 'missing'}; this "
                f"address takes {', '.join((JSON, *others))}.",
            )
        if query := request.scope["query_string"].decode("latin-1"):
            raise Refused(
                422,
                "A JSON request has its options in its body; leave out the query string "
                f"{shortened(query)}.",
            )

    return check


def any_form(run: Callable[..., Any]) -> type[APIRoute]:
    """A route whose requests may have any form of `forms`. run: runs work on a thread."""

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            handle = super().get_route_handler()

            async def converted(request: Request) -> Response:
                kind = _kind(request)
                if kind not in FORMS:
                    return await handle(request)
                content, options = await request.body(), request.query_params.multi_items()
                body = await run(lambda: as_json(kind, content, options))
                headers = [each for each in request.scope["headers"] if each[0] != b"content-type"]
                headers.append((b"content-type", JSON.encode()))
                scope = {**request.scope, "headers": headers, "query_string": b""}
                return await handle(Request(scope, replayed(body, request.receive)))

            return converted

    return Route


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()
