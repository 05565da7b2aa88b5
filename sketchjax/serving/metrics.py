"""Figures for Prometheus."""

from __future__ import annotations

import math

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.types import Scope

from sketchjax.errors import UnavailableError
from sketchjax.serving.limits import Workers
from sketchjax.serving.service import Service

CONTENT_TYPE = CONTENT_TYPE_LATEST
_EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)  # seconds


class Metrics:
    """Counts and times of requests by route, with the state of the server."""

    def __init__(self, service: Service, workers: Workers):
        own = self._registry = CollectorRegistry()
        labels = ("route", "status")
        self._requests = Counter("sketchjax_requests", "Requests", labels, registry=own)
        self._seconds = Histogram(
            "sketchjax_request_seconds", "Time to answer", ("route",), buckets=_EDGES, registry=own
        )
        for name, meaning, value in (
            ("ready", "Whether the server is warm", lambda: float(service.ready.is_set())),
            ("drawings", "Drawings of the index", lambda: _of_index(service, "count")),
            ("snapshot", "Number of its snapshot", lambda: _of_index(service, "snapshot")),
            ("admitted", "Requests that have or await a thread", lambda: workers.admitted),
        ):
            Gauge(f"sketchjax_{name}", meaning, registry=own).set_function(value)

    def seen(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request. Paths without a route share one name: a request cannot invent any."""
        route = getattr(scope.get("route"), "path", "other")
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All figures in Prometheus's text form."""
        return generate_latest(self._registry)


def _of_index(service: Service, name: str) -> float:
    """A number that describes the index; not a number where its engine is away."""
    try:
        return getattr(service.describe(), name)
    except UnavailableError:
        return math.nan
