"""Faults of a server's own index: what clients learn, and that nothing acknowledged is lost."""

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import closing

import duckdb
import pytest
from disk_limits import files_up_to

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from doodle_server import HOUSE, TOKEN, GridEncoder, no_progress
from starlette.testclient import TestClient
from test_page_photos import photos

from sketchjax.data.sources.doodles import write
from sketchjax.index import opening
from sketchjax.index import store as stores
from sketchjax.index.build import build
from sketchjax.index.database import DATABASE, Database
from sketchjax.index.opening import open_index, verify
from sketchjax.index.sources import FileSource
from sketchjax.serving.app import create_app
from sketchjax.serving.settings import Settings

BODY = {"sketches": [{"drawing": HOUSE, "category": "house"}]}


@pytest.fixture
def folder(tmp_path):
    """An index of 20 suns."""
    (path,) = write(tmp_path / "doodles", per_category=20, seed=3, categories=["sun"])
    build(
        tmp_path / "index", [FileSource(path, path.name, None, print)], GridEncoder(),
        save_model=lambda path: path.write_bytes(b"model"), task=no_progress, note=print,
    )  # fmt: skip
    return tmp_path / "index"


@contextlib.contextmanager
def serving(folder) -> Iterator[TestClient]:
    """A client of a server that may change the index."""
    app = create_app(open_index(folder, read_only=False), GridEncoder(), Settings(token=TOKEN))
    app.state.service.warm()
    headers = {"authorization": f"Bearer {TOKEN}"}
    with TestClient(app, base_url="http://localhost", headers=headers) as client:
        yield client


def refused(answer, status: int) -> str:
    """The sentence of a refusal, which names no path of the server."""
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    detail = answer.json()["detail"]
    assert "/" not in detail
    assert "duckdb" not in detail
    return detail


def test_a_moved_index_is_changed_by_nobody(folder, caplog):
    moved = folder.with_name("moved")
    with serving(folder) as client:
        folder.rename(moved)
        shutil.copytree(moved, folder)
        for answer in (client.post("/v1/sketches", json=BODY), client.delete("/v1/sketches/3")):
            assert "moved, deleted or replaced" in refused(answer, 503)
        assert str(folder) in caplog.text
        assert client.post("/v1/search", json={"drawing": HOUSE}).status_code == 200
    assert verify(folder).count == verify(moved).count == 20


def test_a_full_disk_is_a_problem_while_it_is_full(folder, caplog):
    with serving(folder) as client:
        with files_up_to(0):
            for answer in (client.post("/v1/sketches", json=BODY), client.delete("/v1/sketches/3")):
                assert "may have been made all the same" in refused(answer, 507)
        assert "File too large" in caplog.text
        assert client.get("/v1/index").json()["count"] == 20
        assert client.post("/v1/sketches", json=BODY).json() == {"ids": ["20"]}
        assert client.delete("/v1/sketches/3").status_code == 204
        assert client.get("/v1/index").json()["count"] == 20
    assert verify(folder).count == 20


def test_an_addition_in_doubt_is_not_lost(folder, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    with serving(folder) as client:
        monkeypatch.setattr(stores, "write_whole", full)
        answer = client.post("/v1/sketches", json=BODY)
        assert "look for it before you send it again" in refused(answer, 507)
        assert "has changed nothing" in refused(client.delete("/v1/sketches/3"), 507)
        monkeypatch.undo()
        assert client.delete("/v1/sketches/3").status_code == 204
        assert client.get("/v1/sketches/20").json()["category"] == "house"
        assert client.get("/v1/index").json()["count"] == 20
    assert verify(folder).count == 20


def test_an_index_that_another_process_holds(folder, monkeypatch):
    def held(*arguments, **options):
        raise duckdb.IOException("IO Error: Could not set lock on file")

    with serving(folder) as client:
        with files_up_to(0):
            client.post("/v1/sketches", json=BODY)
        monkeypatch.setattr(duckdb, "connect", held)
        with files_up_to(0):
            client.post("/v1/sketches", json=BODY)
        answer = client.post("/v1/sketches", json=BODY)
        assert answer.headers["retry-after"] == "5"
        assert "Another process" in refused(answer, 503)
        monkeypatch.undo()
        assert client.post("/v1/sketches", json=BODY).status_code == 201


def test_a_damaged_file_is_not_the_clients_mistake(folder, monkeypatch, caplog):
    monkeypatch.setattr(opening, "_SHARE_OF_MEMORY", 0)
    with closing(open_index(folder, read_only=False)) as engine:
        engine.add(photos())

    def damaged(self):
        # DuckDB has some of the file in memory, so one that is really damaged may go unnoticed.
        raise duckdb.IOException("Corrupt database file: computed checksum 3814521166513952783")

    with serving(folder) as client:
        monkeypatch.setattr(Database, "cursor", damaged)
        for answer in (
            client.get("/v1/sketches/3"),
            client.get("/v1/sketches/20/thumbnail"),
            client.post("/v1/search", json={"drawing": HOUSE}),
            client.post("/v1/search", json={"like": "3"}),
        ):
            assert "is damaged" in refused(answer, 500)
        assert f"{folder / DATABASE} is damaged" in caplog.text
        assert refused(client.get("/v1/sketches/77"), 404)
        monkeypatch.undo()
        assert refused(client.get("/v1/sketches/3/thumbnail"), 404)
        assert refused(client.post("/v1/search", json={"like": "77"}), 422)
