"""A Python client of the server, with nothing but the standard library."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen


class Client:
    """Calls a server that `sketchjax serve` started.

    address: of the server.
    timeout: seconds to wait for an answer.
    """

    def __init__(self, address: str = "http://127.0.0.1:8000", timeout: float = 10.0):
        self.address, self.timeout = address.rstrip("/"), timeout

    def search(self, drawing: Any = None, **options: Any) -> dict[str, Any]:
        """The nearest drawings: `results`, `categories`, `code`, `ties`, ...

        drawing: strokes as [[xs, ys], ...]; or give `code` or `like` among the options.
        options: k, categories, rerank, points, form; see docs/search.md.
        Raises ValueError with the server's sentence for what it refuses.
        """
        return self.call("/v1/search", {"drawing": drawing, **options})

    def index(self) -> dict[str, Any]:
        """What the index holds."""
        return self.call("/v1/index")

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON at a path; POST where there is a body, else GET."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.address + path, data, {"content-type": "application/json"})
        try:
            with urlopen(request, timeout=self.timeout) as response:
                return json.load(response)
        except HTTPError as error:
            raise ValueError(json.load(error)["detail"]) from None
