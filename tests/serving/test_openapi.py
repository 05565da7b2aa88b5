"""Requests made from the OpenAPI document: no crash, and no answer that it does not describe."""

import contextlib

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from doodle_server import TOKEN, doodle_app  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from schemathesis.checks import CHECKS  # noqa: E402


@schemathesis.serializer("image/svg+xml", "application/x-ndjson")
def as_bytes(context, value):
    """Of any text."""
    return str(value).encode("utf-8", "replace")


app = doodle_app(token=TOKEN, hosts=("testserver",))
# schemathesis starts and stops the application for every request: it would stop its threads.
app.router.lifespan_context = lambda app: contextlib.nullcontext()
schema = schemathesis.openapi.from_asgi(
    "/openapi.json",
    app,
    config=schemathesis.Config.from_dict(
        {
            "checks": {
                "negative_data_rejection": {
                    # A body may be too large before it is anything else, which is status 413.
                    "expected-statuses": [
                        "400",
                        "401",
                        "403",
                        "404",
                        "405",
                        "406",
                        "413",
                        "415",
                        "422",
                        "429",
                        "5xx",
                    ]
                }
            }
        }
    ),
)


@schema.parametrize()
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_answers_are_as_described(case):
    case.call_and_validate(
        headers={"authorization": f"Bearer {TOKEN}"},
        # A drawing that fits the schema may still be a scribble or have lists of unequal lengths.
        excluded_checks=[CHECKS.get_one("positive_data_acceptance")],
    )


def test_the_document_names_all_calls():
    paths = schema.raw_schema["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == {
        ("post", "/v1/search"),
        ("post", "/v1/encode"),
        ("post", "/v1/sketches"),
        ("get", "/v1/sketches/{id}"),
        ("get", "/v1/sketches/{id}/thumbnail"),
        ("delete", "/v1/sketches/{id}"),
        ("get", "/v1/index"),
        ("get", "/healthz"),
        ("get", "/readyz"),
    }
