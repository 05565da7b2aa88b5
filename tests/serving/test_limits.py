"""Every limit of the server: the request beyond it is refused with its status and a sentence."""

import asyncio
import gzip
import http.client
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from doodle_server import HOUSE, TOKEN, doodle_app, running
from starlette.testclient import TestClient

from sketchjax.serving import limits, server
from sketchjax.serving.limits import MOST_ADDRESSES, MOST_WAITING, Rates, Workers
from sketchjax.serving.problems import Refused
from sketchjax.serving.settings import host_name


@pytest.fixture(scope="module")
def client():
    with TestClient(doodle_app(), base_url="http://localhost") as client:
        yield client


def refused(response, status: int) -> str:
    """The sentence of a refusal, after checking its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["detail"].endswith(".")
    return problem["detail"]


def search(client, **body):
    return client.post("/v1/search", json={"drawing": HOUSE} | body)


def test_a_body_of_more_than_256_kib(client):
    assert "256 KiB" in refused(client.post("/v1/search", content=b" " * (256 * 1024 + 1)), 413)
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/search", content=b" " * (256 * 1024), headers=headers)
    assert "not JSON" in refused(answer, 422)


def test_a_body_without_a_length_is_counted_as_it_arrives(client):
    parts = (b" " * 1024 for _ in range(257))
    refused(client.post("/v1/search", content=parts), 413)


@pytest.mark.parametrize(
    "drawing, words",
    [
        ([[[0, 1], [0, 1]]] * 257, "256"),
        ([[[0, 1] * 5001, [0, 1] * 5001]], "10000"),
        ([[[0, 1] * 2600, [0, 1] * 2600]] * 2, "10,400 points"),
        ([[[0, 1], [0]]], "stroke 0 differ in length"),
        ([[[0], [1e6]]], "less than 1000000"),
        ([[[0], [-1e6]]], "greater than -1000000"),
        ([[[0], ["1"]]], "valid number"),
        ([[[0], [True]]], "valid number"),
        ([[[0]]], "at least 2 items"),
        ([[[], []]], "at least 1 item"),
        ([], "at least 1 item"),
        ("house", "valid list"),
        ([[[0, 255] * 200, [0, 255] * 200]], "scribble"),
    ],
)
def test_drawings_out_of_bounds(client, drawing, words):
    assert words in refused(search(client, drawing=drawing), 422)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400])
def test_coordinates_that_are_not_finite(client, number):
    body = json.dumps({"drawing": [[[0, 1], [0, "?"]]]}).replace('"?"', number)
    headers = {"content-type": "application/json"}
    refused(client.post("/v1/search", content=body, headers=headers), 422)


@pytest.mark.parametrize(
    "body, words",
    [
        ({"k": 201}, "200"),
        ({"k": 0}, "1"),
        ({"k": "5"}, "integer"),
        ({"like": "1"}, "give one of drawing, code and like"),
        ({"drawing": None}, "give one of drawing, code and like"),
        ({"drawing": None, "like": "-1"}, "pattern"),
        ({"drawing": None, "like": "12\n"}, "pattern"),
        ({"drawing": None, "like": "999999"}, "no drawing 999999"),
        ({"drawing": None, "code": "zz"}, "pattern"),
        ({"drawing": None, "code": "00"}, "8 bits"),
        ({"categories": ["dog"]}, "no category 'dog'"),
        ({"categories": []}, "at least 1 item"),
        ({"form": "oil"}, "'raw' or 'simplified'"),
        ({"form": "simplified", "drawing": [[[0.5], [1]]]}, "whole numbers"),
        ({"form": "simplified", "drawing": [[[0], [256]]]}, "whole numbers"),
        ({"colour": "red"}, "not permitted"),
    ],
)
def test_searches_out_of_bounds(client, body, words):
    assert words in refused(search(client, **body), 422)


@pytest.mark.parametrize(
    "body, reason",
    [
        (b'{"k": 3,}', "Expecting property name enclosed in double quotes at character 8"),
        (b'{"k": "\xe9"}', "byte 7 is 0xe9, which is not utf-8"),
        (b"\xff\xfe{", "byte 2 is 0x7b, which is not utf-16"),
        (b"\x1f\x8b\x08", "byte 1 is 0x8b, which is not utf-8"),
        (b"[" * 100_000, "its lists or objects are nested too deeply"),
        (b'{"k": 1' + b"0" * 5000 + b"}", "Exceeds the limit"),
    ],
)
def test_bodies_that_are_not_json(client, body, reason):
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/search", content=body, headers=headers)
    assert refused(answer, 422).startswith(f"The body is not JSON: {reason}")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"3"])
def test_json_that_is_no_request(client, body):
    headers = {"content-type": "application/json"}
    refused(client.post("/v1/search", content=body, headers=headers), 422)


def test_a_compressed_body(client):
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = client.post("/v1/search", content=gzip.compress(b"{}"), headers=headers)
    assert "compressed ('gzip')" in refused(answer, 415)
    headers["content-encoding"] = "Identity"
    body = json.dumps({"drawing": HOUSE})
    assert client.post("/v1/search", content=body, headers=headers).status_code == 200


def test_a_host_of_another_name(client):
    assert "'evil.example'" in refused(
        client.get("/v1/index", headers={"host": "evil.example"}), 421
    )
    for host in ("127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "10.1.2.3"):
        assert client.get("/v1/index", headers={"host": host}).status_code == 200
    for host in ("", "localhost.evil.example", "127.0.0.1.evil.example", "[evil]"):
        refused(client.get("/v1/index", headers={"host": host}), 421)


def test_a_host_that_was_allowed():
    app = doodle_app(hosts=(host_name("Draw.Example."),))
    with TestClient(app, base_url="http://draw.example") as client:
        for host in ("draw.example", "DRAW.example:8000", "draw.example.:8000", "localhost."):
            assert client.get("/healthz", headers={"host": host}).status_code == 200
        assert client.get("/healthz", headers={"host": "a.draw.example"}).status_code == 421


def test_pages_of_other_origins_are_refused_unless_allowed(client):
    asked = {
        "origin": "https://other.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    answer = client.options("/v1/search", headers=asked)
    assert "access-control-allow-origin" not in answer.headers
    with TestClient(
        doodle_app(origins=("https://other.example",)), base_url="http://localhost"
    ) as open_client:
        answer = open_client.options("/v1/search", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://other.example"


def test_a_page_of_another_origin_reads_every_refusal(monkeypatch):
    """Without the header, a browser gives the page a network error and no reason."""
    origin = "https://other.example"
    asking = {"origin": origin}
    app = doodle_app(origins=(origin,), public=True)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as own:

        def readable(status: int, path: str = "/v1/index", method: str = "GET", **options) -> None:
            answer = own.request(
                method, path, headers=options.pop("headers", {}) | asking, **options
            )
            refused(answer, status)
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["content-security-policy"]

        readable(413, "/v1/search", "POST", content=b" " * 300_000)
        readable(421, headers={"host": "evil.example"})
        readable(422, "/v1/search", "POST", json={})
        readable(404, "/nothing")
        monkeypatch.setattr(app.state.service, "describe", lambda: 1 / 0)
        readable(500)
        monkeypatch.setattr(Rates, "take", lambda *_: False)
        readable(429)
        exposed = own.get("/v1/index", headers=asking).headers["access-control-expose-headers"]
        assert exposed.lower() == "retry-after"
        foreign = own.get("/v1/index", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers
        preflight = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        answer = own.options("/v1/search", headers=preflight)
        assert "origin" in refused(answer, 400)
        assert answer.headers["cache-control"] == "no-store"


def test_every_answer_keeps_browsers_to_this_server(client):
    for path in ("/", "/draw.js", "/v1/index", "/nothing", "/metrics"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


@pytest.mark.parametrize(
    "path",
    ["/../app.py", "/%2e%2e/app.py", "/page/index.html", "/index.html%00", "//etc/passwd",
     "/..%2fapp.py", "/static/../../pyproject.toml"],
)  # fmt: skip
def test_no_path_leads_to_another_file(client, path):
    assert client.get(path).status_code in (404, 405)


def test_a_body_that_does_not_arrive(monkeypatch):
    monkeypatch.setattr(limits, "PATIENCE", 0.3)
    with running(doodle_app()) as address:
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
            connection.sendall(
                b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"
            )
            start = time.monotonic()
            answer = connection.recv(4096)
            assert time.monotonic() - start < 5
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive within 0.3 seconds" in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",  # of a client that expects https
    ],
)
@pytest.mark.parametrize("protocol", ["h11_impl.H11Protocol", "httptools_impl.HttpToolsProtocol"])
def test_what_is_no_http_is_a_problem_too(monkeypatch, request_, protocol):
    module, name = protocol.split(".")
    usual = getattr(pytest.importorskip(f"uvicorn.protocols.http.{module}"), name)
    methods = {"send_400_response": server._Protocol.send_400_response}
    monkeypatch.setattr(server, "_Protocol", type("_Protocol", (usual,), methods))
    with running(doodle_app()) as address:
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
            connection.sendall(request_)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            problem = json.loads(answer.read())
            assert (answer.status, problem["status"]) == (400, 400)
            assert problem["detail"] == "Invalid HTTP request received."
            assert answer.getheader("content-type") == "application/problem+json"
            assert answer.getheader("content-security-policy")
            assert connection.recv(1) == b""  # it is closed


def test_more_than_32_that_wait_are_turned_away():
    async def many() -> tuple[int, list[Refused]]:
        workers, gate = Workers(2), threading.Event()
        tasks = [asyncio.create_task(workers.run(gate.wait)) for _ in range(2 + MOST_WAITING + 3)]
        await asyncio.sleep(0.1)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        # All places are free again.
        await asyncio.sleep(0.1)
        assert workers.admitted == 0
        assert await workers.run(lambda: 7) == 7
        workers.close()
        return results.count(True), [each for each in results if isinstance(each, Refused)]

    done, turned_away = asyncio.run(many())
    assert done == 2 + 32
    assert [each.status for each in turned_away] == [503] * 3
    assert turned_away[0].headers["retry-after"] == "1"


def test_a_busy_server_says_when_to_try_again(client, monkeypatch):
    monkeypatch.setattr(client.app.state.workers, "admitted", 1000)
    answer = search(client)
    refused(answer, 503)
    assert answer.headers["retry-after"] == "1"


def test_a_public_server_takes_20_requests_a_second_of_an_address():
    with TestClient(doodle_app(public=True), base_url="http://localhost") as client:
        answers = [client.get("/v1/index") for _ in range(80)]
        last = next(each for each in reversed(answers) if each.status_code == 429)
        assert sum(each.status_code == 200 for each in answers) >= 40
        refused(last, 429)
        assert last.headers["retry-after"] == "1"
        assert client.get("/healthz").status_code == 200


def test_rates_are_those_of_a_bucket():
    rates = Rates(rate=20, burst=40)
    taken = [rates.take("10.0.0.1", 100.0) for _ in range(45)]
    assert taken == [True] * 40 + [False] * 5
    assert [rates.take("10.0.0.1", 100.5) for _ in range(12)] == [True] * 10 + [False] * 2
    assert rates.take("10.0.0.2", 100.0)
    # One person has a /64 of IPv6.
    assert [rates.take(f"2001:db8::{i:x}", 100.0) for i in range(41)] == [True] * 40 + [False]
    assert rates.take("2001:db8:0:1::1", 100.0)


def test_the_memory_of_rates_is_bounded():
    rates = Rates()
    for number in range(MOST_ADDRESSES + 500):
        rates.take(f"address {number}", 1.0)
    assert len(rates._buckets) == MOST_ADDRESSES


@pytest.mark.parametrize("token", [None, TOKEN])
def test_changes_need_the_token(token):
    body = {"sketches": [{"drawing": HOUSE, "category": "house"}]}
    with TestClient(doodle_app(token=token), base_url="http://localhost") as client:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}):
            for answer in (
                client.post("/v1/sketches", json=body, headers=headers),
                client.delete("/v1/sketches/3", headers=headers),
            ):
                refused(answer, 401 if token else 403)
        assert client.get("/v1/index").json()["count"] == 180


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_the_scheme_of_the_token_has_any_case(scheme):
    with TestClient(doodle_app(token=TOKEN), base_url="http://localhost") as client:
        headers = {"authorization": f"{scheme} {TOKEN}"}
        assert client.delete("/v1/sketches/3", headers=headers).status_code == 204


def test_more_drawings_than_a_request_may_have(client):
    assert "64" in refused(client.post("/v1/encode", json={"drawings": [HOUSE] * 65}), 422)
    with TestClient(doodle_app(token=TOKEN), base_url="http://localhost") as own:
        dot = {"drawing": [[[0], [0]]], "category": "dot"}
        headers = {"authorization": f"Bearer {TOKEN}"}
        body = json.dumps({"sketches": [dot] * 1001})
        assert "1000" in refused(own.post("/v1/sketches", content=body, headers=headers | {
            "content-type": "application/json"}), 422)  # fmt: skip
