"""The HTTP interface: answers equal those of the index, and every form of a drawing is right."""

import contextlib
import json
from dataclasses import replace

import httpx2 as httpx
import msgspec
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from doodle_server import (
    HOUSE,
    TOKEN,
    DoodleSource,
    GridEncoder,
    doodle_app,
    doodle_index,
    no_progress,
    running,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from sketchjax.data.simplify import simplify
from sketchjax.data.sketch import drawing_of
from sketchjax.data.sources.doodles import sketches, write
from sketchjax.data.sources.svg import points_of_svg
from sketchjax.errors import ConfigError, DataError
from sketchjax.index.build import build
from sketchjax.index.opening import open_index
from sketchjax.index.search import Query, answer
from sketchjax.index.sources import FileSource
from sketchjax.retrieval.outputs import Outputs
from sketchjax.serving.app import create_app
from sketchjax.serving.client import Client
from sketchjax.serving.forms import FORMS, as_json
from sketchjax.serving.gallery import index_in_memory
from sketchjax.serving.settings import Settings, read_token

AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def client():
    with TestClient(doodle_app(), base_url="http://localhost") as client:
        yield client


def expected(query: Query) -> dict:
    """What the index answers, without times."""
    found = json.loads(msgspec.json.encode(answer(doodle_index(), query)))
    return without_times(found)


def without_times(found: dict) -> dict:
    return {key: value for key, value in found.items() if key not in ("milliseconds", "index")}


@pytest.mark.parametrize("options", [{}, {"k": 5, "rerank": False}, {"categories": ["sun", "cat"]}])
def test_a_search_gives_what_the_index_finds(client, options):
    found = client.post("/v1/search", json={"drawing": HOUSE, **options}).json()
    points = simplify([np.array(stroke, float).T for stroke in HOUSE])
    query = Query.of(GridEncoder().outputs(points), **options)
    assert without_times(found) == expected(query)
    assert all(found["milliseconds"][part] > 0 for part in ("simplify", "encode", "search"))
    assert found["index"] == {
        "name": "doodles",
        "count": 180,
        "snapshot": found["index"]["snapshot"],
        "photos": 0,
    }


def test_a_simplified_drawing_is_taken_as_it_is(client):
    drawn = sketches("cat", 3, seed=9)
    body = {"drawing": drawing_of(drawn.points_of(2)), "form": "simplified"}
    found = client.post("/v1/search", json=body).json()
    assert without_times(found) == expected(Query.of(GridEncoder().outputs(drawn.points_of(2))))


def test_times_of_a_raw_drawing_are_ignored(client):
    timed = [[*stroke, list(range(len(stroke[0])))] for stroke in HOUSE]
    answers = [client.post("/v1/search", json={"drawing": d}).json() for d in (HOUSE, timed)]
    assert without_times(answers[0]) == without_times(answers[1])


SVG = {"content-type": "image/svg+xml"}
NDJSON = {"content-type": "application/x-ndjson; charset=utf-8"}


def test_a_search_by_an_svg_file(client):
    image = client.get("/v1/sketches/31", headers={"accept": "image/svg+xml"}).content
    path = "/v1/search?k=5&rerank=false&categories=clock&categories=sun"
    found = client.post(path, content=image, headers=SVG).json()
    points, _ = points_of_svg(image)
    options = {"k": 5, "rerank": False, "categories": ["clock", "sun"]}
    assert without_times(found) == expected(Query.of(GridEncoder().outputs(points), **options))
    assert found["results"][0]["category"] in ("clock", "sun")


def test_a_search_by_a_line_of_ndjson(client):
    line = client.get("/v1/sketches/31", headers={"accept": "application/x-ndjson"}).content
    found = client.post("/v1/search?k=1", content=line, headers=NDJSON).json()
    assert (found["results"][0]["id"], found["results"][0]["feature_distance"]) == ("31", 0)
    marked = client.post("/v1/search?k=1", content=b"\xef\xbb\xbf" + line, headers=NDJSON).json()
    assert without_times(marked) == without_times(found)
    floats, raw = ([[[x * by for x in xs], ys] for xs, ys in HOUSE] for by in (1.0, 3.5))
    for drawing, form in ((HOUSE, "simplified"), (floats, "simplified"), (raw, "raw")):
        own = json.dumps({"drawing": drawing, "word": "house"})
        body = {"drawing": drawing, "form": form}
        answers = [
            client.post("/v1/search", content=own, headers=NDJSON).json(),
            client.post("/v1/search", json=body).json(),
        ]
        assert without_times(answers[0]) == without_times(answers[1])


@pytest.mark.parametrize(
    "headers, content, path, words",
    [
        (SVG, "<svg/>", "", "no path, line or polyline"),
        (SVG, "<html/>", "", "not svg"),
        (SVG, "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg/>", "", "declares entities"),
        (SVG, "<svg>" + "<path d='M0 0L9 9'/>" * 300 + "</svg>", "", "at most 256"),
        (NDJSON, '{"drawing": [[[0], [0]]]}\n{"drawing": [[[0], [0]]]}', "", "there are more"),
        (NDJSON, "[[[0], [0]]]", "", "no drawing"),
        (NDJSON, "{", "", "not JSON"),
        (NDJSON, '{"drawing": 5}', "", "drawing: "),
        (NDJSON, '{"drawing": ' + "[" * 500 + "]" * 500 + "}", "", "nested too deeply"),
        (NDJSON, '{"drawing": ' + "[" * 5000 + "]" * 5000 + "}", "", "not JSON"),
        (NDJSON, '{"drawing": [[[0, 1], [0]]]}', "", "stroke 0 differ in length"),
        (NDJSON, '{"drawing": [[[0], [0]]]}', "?k=500", "200"),
        (NDJSON, '{"drawing": [[[0], [0]]]}', "?k=many", "it takes k, a number"),
        (NDJSON, '{"drawing": [[[0], [0]]]}', "?points=1", "true or false"),
        (NDJSON, '{"drawing": [[[0], [0]]]}', "?k=5&k=6", "has k more than once"),
    ],
)
def test_other_forms_have_the_same_limits(client, headers, content, path, words):
    refused = client.post(f"/v1/search{path}", content=content.encode(), headers=headers)
    assert refused.status_code == 422, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert words in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/search", "/v1/encode", "/v1/sketches"])
def test_a_json_request_has_no_query_string(path):
    """It would be ignored, and the answer be that of another search."""
    body = {
        "/v1/search": {"drawing": HOUSE},
        "/v1/encode": {"drawings": [HOUSE]},
        "/v1/sketches": {"sketches": [{"drawing": HOUSE, "category": "house"}]},
    }[path]
    with TestClient(doodle_app(token=TOKEN), base_url="http://localhost") as own:
        refused = own.post(f"{path}?k=1&categories=cat", json=body, headers=AUTHORIZED)
        assert refused.status_code == 422
        assert refused.json()["detail"] == (
            "A JSON request has its options in its body; leave out the query string "
            "'k=1&categories=cat'."
        )
        assert own.post(path, json=body, headers=AUTHORIZED).status_code in (200, 201)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", None])
def test_a_body_of_another_type_names_those_that_are_taken(client, kind):
    headers = {} if kind is None else {"content-type": kind}
    content = json.dumps({"drawing": HOUSE})
    refused = client.post("/v1/search", content=content, headers=headers)
    assert refused.status_code == 415
    assert refused.json()["detail"] == (
        f"The header Content-Type is {kind!r}; this address takes " if kind
        else "The header Content-Type is missing; this address takes "
    ) + "application/json, image/svg+xml, application/x-ndjson."  # fmt: skip
    headers = {"content-type": "application/vnd.sketch+json; charset=utf-8"}
    assert client.post("/v1/search", content=content, headers=headers).status_code == 200


def test_a_large_svg_is_refused(client):
    assert client.post("/v1/search", content=b" " * (1 << 19), headers=SVG).status_code == 413


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*FORMS]), st.binary(max_size=60), st.integers(0, 200), st.integers(0, 60))
def test_bytes_of_any_kind_are_a_request_or_refused(kind, noise, place, cut):
    """Noise inside a good file: what comes out is JSON with a drawing, or one sentence."""
    good = {
        "image/svg+xml": b"<svg viewBox='0 0 9 9'><g transform='scale(2)'><path d='M1 1C2 3 4 5 "
        b"6 7zm1 2 3 4a1 1 0 0 1 3 3'/><polyline points='1,2 3,4'/></g></svg>",
        "application/x-ndjson": b'{"word": "cat", "drawing": [[[0, 5.5], [1, 2]], [[1], [2]]]}',
    }[kind]
    content = good[:place] + noise + good[place + cut :]
    with contextlib.suppress(DataError):
        assert json.loads(as_json(kind, content, []))["form"] in ("raw", "simplified")


def test_a_search_by_code_and_by_item(client):
    item = client.get("/v1/sketches/77").json()
    found = client.post("/v1/search", json={"like": "77", "k": 4, "points": False}).json()
    assert found["code"] == item["code"]
    assert found["results"][0]["id"] == "77"
    assert found["results"][0]["points"] is None
    assert without_times(found) == expected(Query(like=77, k=4, points=False))
    by_code = client.post("/v1/search", json={"code": item["code"], "k": 4}).json()
    code = np.frombuffer(bytes.fromhex(item["code"]), np.uint8)
    assert without_times(by_code) == expected(Query(code=code, k=4))


class WideEncoder(GridEncoder):
    """The same code with zeros behind it: as long as the widest model's, 4,096 bits."""

    bits = 4096

    def outputs(self, drawings) -> Outputs:
        found = super().outputs(drawings)
        zeros = ((0, 0), (0, self.bits // 8 - found.codes.packed.shape[1]))
        codes = replace(found.codes, packed=np.pad(found.codes.packed, zeros))
        return Outputs(codes, found.features, found.probabilities)


def test_a_code_of_any_length_finds_its_item():
    encoder = WideEncoder()
    index = index_in_memory("doodles", DoodleSource(), encoder, no_progress)
    with TestClient(create_app(index, encoder, Settings()), base_url="http://localhost") as own:
        own.app.state.service.warm()
        code = own.get("/v1/sketches/77").json()["code"]
        assert len(code) == 1024
        found = own.post("/v1/search", json={"code": code, "k": 1}).json()
        assert (found["code"], found["results"][0]["distance"]) == (code, 0)


def test_codes_of_drawings(client):
    drawn = [drawing_of(sketches("sun", 3, seed=1).points_of(i)) for i in range(3)]
    body = {"drawings": drawn, "form": "simplified", "features": True}
    found = client.post("/v1/encode", json=body).json()
    outputs = GridEncoder().outputs(sketches("sun", 3, seed=1))
    assert found["codes"] == [code.tobytes().hex() for code in outputs.codes.packed]
    np.testing.assert_array_equal(found["features"], outputs.features)
    assert client.post("/v1/encode", json={"drawings": drawn}).json()["features"] is None


def test_an_item_in_its_three_forms(client):
    item = client.get("/v1/sketches/31").json()
    drawn = sketches("clock", 30, seed=5)
    assert item["category"] == "clock"
    assert item["key_id"] == str(drawn.key_ids[1])
    assert item["drawing"] == drawing_of(drawn.points_of(1))
    line = client.get("/v1/sketches/31", headers={"accept": "application/x-ndjson"})
    assert json.loads(line.text) == {
        "word": "clock", "key_id": item["key_id"], "drawing": item["drawing"]
    }  # fmt: skip
    image = client.get("/v1/sketches/31", headers={"accept": "image/svg+xml"})
    assert image.headers["content-type"] == "image/svg+xml"
    assert image.text.count("M") == len(item["drawing"])
    assert client.get("/v1/sketches/180").status_code == 404


def test_an_id_has_one_spelling(client):
    assert client.get("/v1/sketches/007").json() == client.get("/v1/sketches/7").json()
    assert client.get("/v1/sketches/007").json()["id"] == "7"
    assert client.get("/v1/sketches/0").json()["id"] == "0"
    likes = [client.post("/v1/search", json={"like": like}).json() for like in ("007", "7")]
    assert without_times(likes[0]) == without_times(likes[1])
    missing = client.get("/v1/sketches/00999").json()
    assert missing["detail"] == "There is no drawing 999 in the index."


def test_the_header_accept_chooses_the_form(client):
    def kind(*accept: str) -> tuple[int, str]:
        headers = [("accept", each) for each in accept]
        answer_ = client.get("/v1/sketches/31", headers=headers)
        return answer_.status_code, answer_.headers["content-type"]

    assert kind("image/svg+xml;q=0, application/json") == (200, "application/json")
    assert kind("application/json, image/svg+xml;q=0.1") == (200, "application/json")
    assert kind("IMAGE/SVG+XML") == (200, "image/svg+xml")
    assert kind("text/html", "application/x-ndjson") == (200, "application/x-ndjson")
    assert kind("text/html") == (406, "application/problem+json")


def test_the_index_describes_itself(client):
    about = client.get("/v1/index").json()
    assert (about["count"], about["bits"], about["model"]) == (180, 64, "cd" * 32)
    assert about["categories"] == dict.fromkeys(
        ["cat", "clock", "fish", "house", "sun", "umbrella"], 30
    )


def test_added_drawings_are_found_and_deleted_ones_are_not(tmp_path):
    (path,) = write(tmp_path / "doodles", per_category=20, seed=3, categories=["sun"])
    source = FileSource(path, path.name, None, print)
    build(
        tmp_path / "index", [source], GridEncoder(),
        save_model=lambda path: path.write_bytes(b"model"), task=no_progress, note=print,
    )  # fmt: skip
    engine = open_index(tmp_path / "index", read_only=False)
    app = create_app(engine, GridEncoder(), Settings(token=TOKEN))
    app.state.service.warm()
    key = str(2**64 - 1)
    body = {"sketches": [{"drawing": HOUSE, "category": "H_o_use", "key_id": key}]}
    with TestClient(app, base_url="http://localhost") as client:
        added = client.post("/v1/sketches", json=body, headers=AUTHORIZED)
        assert added.status_code == 201
        (new,) = added.json()["ids"]
        first = client.post("/v1/search", json={"drawing": HOUSE}).json()["results"][0]
        assert (first["id"], first["category"], first["distance"]) == (new, "house", 0)
        assert first["key_id"] == key
        only = {"drawing": HOUSE, "categories": ["H_o_use"]}
        assert [r["id"] for r in client.post("/v1/search", json=only).json()["results"]] == [new]
        refused = client.post("/v1/search", json=only | {"categories": ["hous"]})
        assert refused.json()["detail"].endswith("no category 'hous'; did you mean 'house'?")
        assert client.delete(f"/v1/sketches/{new}", headers=AUTHORIZED).status_code == 204
        assert client.delete(f"/v1/sketches/{new}", headers=AUTHORIZED).status_code == 404
        again = client.post("/v1/search", json={"drawing": HOUSE}).json()["results"]
        assert new not in [result["id"] for result in again]
        kept = client.post("/v1/sketches", json=body, headers=AUTHORIZED).json()["ids"]
        for other in (str(2**64), "1" * 21, "-1", "٣", ""):
            wrong = {"sketches": [body["sketches"][0] | {"key_id": other}]}
            answer_ = client.post("/v1/sketches", json=wrong, headers=AUTHORIZED)
            assert (answer_.status_code, "key_id" in answer_.json()["detail"]) == (422, True)
        wrong = {"sketches": [{"drawing": HOUSE, "category": "a\u0007b"}]}
        answer_ = client.post("/v1/sketches", json=wrong, headers=AUTHORIZED)
        assert "Sketch 0: its category has a control character" in answer_.json()["detail"]
    # The server has closed the index; another process finds what was acknowledged.
    reopened = open_index(tmp_path / "index")
    assert reopened.snapshot().describe().count == 21
    assert reopened.snapshot().get([int(kept[0])]).categories == ["house"]
    reopened.close()


@pytest.mark.parametrize(
    "path", ["/", "/draw.js", "/healthz", "/readyz", "/v1/index", "/v1/sketches/3", "/openapi.json"]
)
def test_head_is_get_without_its_body(client, path):
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == whole.headers
    assert int(head.headers["content-length"]) == len(whole.content) > 0


def test_head_of_what_is_not_there(client):
    assert client.head("/v1/sketches/180").status_code == 404
    assert client.head("/v1/search").status_code == 405


@pytest.mark.parametrize(
    "path, allowed",
    [("/", "GET, HEAD"), ("/v1/search", "POST"), ("/v1/sketches/3", "DELETE, GET, HEAD")],
)
def test_a_method_that_an_address_does_not_take(client, path, allowed):
    refused = client.put(path)
    assert refused.status_code == 405
    assert refused.headers.get_list("allow") == [allowed]


def test_head_over_a_connection():
    with running(doodle_app()) as address, httpx.Client(base_url=address) as client:
        for path in ("/", "/no/such/path"):
            assert client.head(path).content == b""
            assert client.get(path).content  # the connection is still in step


def test_nothing_is_searched_before_the_server_is_warm():
    app = create_app(doodle_index(), GridEncoder(), Settings())
    with TestClient(app, base_url="http://localhost") as client:
        for answer_ in (client.get("/readyz"), client.post("/v1/search", json={"drawing": HOUSE})):
            assert answer_.status_code == 503
            assert answer_.headers["retry-after"] == "1"
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/v1/index").status_code == 200
        app.state.service.warm()
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.post("/v1/search", json={"drawing": HOUSE}).status_code == 200


def test_an_index_of_another_model_is_refused():
    other = GridEncoder()
    other.fingerprint = "ef" * 32
    with pytest.raises(DataError, match="encode with the model of the index"):
        create_app(doodle_index(), other, Settings())


def test_figures_for_prometheus():
    with TestClient(doodle_app(), base_url="http://localhost") as client:
        for _ in range(3):
            client.post("/v1/search", json={"drawing": HOUSE})
        client.head("/v1/sketches/5")
        client.get("/no/such/path")
        client.get("/v1/index", headers={"host": "evil.example"})
        figures = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(client.get("/metrics").text)
            for sample in family.samples
        }
    assert figures["sketchjax_requests_total", "/v1/search", "200"] == 3
    assert figures["sketchjax_requests_total", "/v1/sketches/{id}", "200"] == 1
    assert figures["sketchjax_requests_total", "other", "404"] == 1
    assert figures["sketchjax_requests_total", "other", "421"] == 1
    assert figures["sketchjax_request_seconds_count", "/v1/search"] == 3
    assert figures[("sketchjax_drawings",)] == 180
    assert figures[("sketchjax_ready",)] == 1


def test_an_error_inside_is_a_problem_without_its_traceback(monkeypatch):
    app = doodle_app()
    monkeypatch.setattr(app.state.service.engine, "snapshot", lambda: 1 / 0)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer_ = client.post("/v1/search", json={"drawing": HOUSE})
    assert answer_.status_code == 500
    assert answer_.headers["content-type"] == "application/problem+json"
    assert "ZeroDivision" not in answer_.text


def test_the_python_client():
    with running(doodle_app()) as address:
        client = Client(address)
        assert client.index()["count"] == 180
        found = client.search(HOUSE, k=3)
        assert len(found["results"]) == 3
        assert client.search(like=found["results"][0]["id"], k=1)["results"] == [
            found["results"][0] | {"feature_distance": 0.0, "distance": 0}
        ]
        with pytest.raises(ValueError, match="no category 'dog'"):
            client.search(HOUSE, categories=["dog"])


@pytest.mark.parametrize("content", [None, "", "short\n", "\x00" * 30, "größer" * 5])
def test_token_files_that_hold_no_token(tmp_path, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match="--token-file"):
        read_token(path)


def test_the_token_is_the_first_line(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\nmore\n")
    assert read_token(tmp_path / "token") == TOKEN
