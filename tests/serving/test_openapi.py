"""Requests made from the OpenAPI document: no crash, and no answer that it does not describe."""

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from doodle_server import TOKEN, doodle_app  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

app = doodle_app(token=TOKEN, hosts=("testserver",))
schema = schemathesis.openapi.from_asgi("/openapi.json", app)
schema.config.generation.update(max_examples=25)


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_described(case):
    case.call_and_validate(
        headers={"authorization": f"Bearer {TOKEN}"},
        excluded_checks=[
            # A drawing that fits the schema may still be a scribble or have unequal lists.
            schemathesis.checks.CHECKS.get_one("positive_data_acceptance"),
            schemathesis.checks.CHECKS.get_one("ignored_auth"),
        ],
    )
