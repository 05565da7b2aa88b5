"""The header Accept, compared with what werkzeug makes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchjax.serving.accept import preferred

OFFERS = ("application/json", "image/svg+xml", "application/x-ndjson")
IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"  # of <img> in Chrome


@pytest.mark.parametrize(
    "accept, form",
    [
        ("", "json"),
        ("*/*", "json"),
        ("image/svg+xml", "svg"),
        ("IMAGE/SVG+XML", "svg"),
        ("image/*", "svg"),
        (IMAGE, "svg"),
        ("image/svg+xml, */*", "svg"),
        ("image/svg+xml;q=0, application/json", "json"),
        ("application/json, image/svg+xml;q=0.1", "json"),
        ("application/json;q=0.1, image/svg+xml;q=0.2", "svg"),
        ("*/*, application/json;q=0", "svg"),
        ("text/html, application/x-ndjson", "ndjson"),
        ("application/json;charset=utf-8", "json"),
        ("text/html", None),
        ("image/svg+xml;q=0", None),
        ("application/json;q=0, */*;q=0", None),
        ("nonsense", "json"),
        ("image/svg+xml;q=many, application/x-ndjson", "ndjson"),
    ],
)
def test_forms_are_chosen_by_their_weight(accept, form):
    found = preferred(accept, OFFERS)
    assert found == next((each for each in OFFERS if form and form in each), None)


RANGES = st.sampled_from([*OFFERS, "image/*", "application/*", "*/*", "text/html", "Image/SVG+xml"])
WEIGHTS = st.sampled_from(["", ";q=0", ";q=0.3", "; q=0.5", ";q=0.55", ";q=1", ";q=1.000"])


@given(st.lists(st.tuples(RANGES, WEIGHTS), min_size=1), st.permutations(OFFERS))
def test_headers_are_read_as_werkzeug_reads_them(parts, offers):
    http = pytest.importorskip("werkzeug.http", reason="werkzeug is not installed")
    accept = pytest.importorskip("werkzeug.datastructures").MIMEAccept
    header = ", ".join(map("".join, parts))
    wanted = http.parse_accept_header(header.lower(), accept).best_match(offers)
    assert preferred(header, offers) == wanted
