"""ClickHouse as engine: the answers of the file, byte for byte, and changes by several writers.

The server is chdb behind a small HTTP interface, and the client is the real one. Where
SKETCHJAX_CLICKHOUSE is the URL of a server's empty database, such as
clickhouse://localhost:8123/test, the same is asked of that one.
"""

import dataclasses
import os
import re
import sys
import threading
from contextlib import closing, nullcontext
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("clickhouse_connect", reason="the extra clickhouse is not installed")
pytest.importorskip("chdb", reason="chdb is not installed")

import clickhouse_shim
from drawings_and_codes import MODEL, SCALE, items_of, same
from projecting import Projecting
from test_search_docs import finished_run
from test_store import index_of

from sketchjax import cli
from sketchjax.data.sources.doodles import write
from sketchjax.errors import ConfigError, DataError, DiskError, UnavailableError
from sketchjax.index import search
from sketchjax.index.clickhouse import ClickHouse, open_database
from sketchjax.index.clickhouse_tables import Content, statements, tables
from sketchjax.index.opening import open_index
from sketchjax.index.places import Database, Folder
from sketchjax.index.records import FORMAT, Meta
from sketchjax.index.search import Query, answer
from sketchjax.index.server import Address, Server
from sketchjax.index.sources import find_sources

LAUNCH = Path(__file__).parents[2] / "launch" / "clickhouse"


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    with clickhouse_shim.running(tmp_path_factory.mktemp("clickhouse")) as shim:
        yield shim


@pytest.fixture
def address(shim):
    shim.before = lambda statement: None
    return shim.address()


@pytest.fixture
def real_address():
    """An empty database of a real server."""
    url = os.environ.get("SKETCHJAX_CLICKHOUSE")
    if not url:
        pytest.skip("SKETCHJAX_CLICKHOUSE names no database of a ClickHouse server")
    return Address.of(url)


def database_of(address, items, *, complete=True) -> Address:
    """A database with an index of these items, written as `index_of` writes a folder."""
    meta = Meta(FORMAT, MODEL, items.codes.shape[1] * 8, items.features.shape[1], SCALE)
    content = Content("index", meta, [])
    with closing(ClickHouse(address, "index", read_only=False, content=content)) as engine:
        half = len(items) // 2
        for low, high in ((0, half), (half, len(items))):
            engine.add(items[range(low, high)])
        if complete:
            engine.finish()
    return address


def json_of(engine, query) -> bytes:
    """An answer as JSON, without the times."""
    found = answer(engine, query)
    return msgspec.json.encode(msgspec.structs.replace(found, milliseconds=search.Milliseconds()))


def compare(one, other, items) -> None:
    """Raise AssertionError where two engines with the same content answer differently."""
    random = np.random.default_rng(1)
    for number in range(2):
        features = (SCALE.low + SCALE.step * random.integers(0, 256, items.features.shape[1])) + 0.0
        flips = random.integers(0, 256, items.codes.shape[1]).astype(np.uint8)
        code = items.codes[number] ^ (flips if number % 2 else 0)
        for options in (
            {"k": 1},
            {"k": 36},
            {"k": 250, "points": False},
            {"k": 36, "rerank": False},
            {"categories": ["größer", "cat"]},
            {"categories": []},
        ):
            query = Query(code, features.astype(np.float32), **options)
            assert json_of(one, query) == json_of(other, query)
    assert json_of(one, Query(like=17)) == json_of(other, Query(like=17))
    states = [msgspec.json.encode(engine.snapshot().describe()) for engine in (one, other)]
    assert states[0] == states[1]
    same(one.snapshot().get([40, 8, 8]), other.snapshot().get([40, 8, 8]))


@pytest.mark.parametrize("bits, features", [(64, 64), (72, 300)])
def test_the_json_is_that_of_the_file(tmp_path, address, bits, features):
    check_same_json(tmp_path, address, bits, features)


def test_the_json_of_a_real_server_is_that_of_the_file(tmp_path, real_address):
    check_same_json(tmp_path, real_address, 64, 64)


def check_same_json(tmp_path, address, bits, features):
    """Compare both engines after building, adding, deleting and opening again."""
    items, more = items_of(600, bits, features, distinct=15), items_of(40, bits, features, seed=1)
    folder = index_of(tmp_path / "index", items)
    database_of(address, items)
    for change in (
        lambda engine: None,
        lambda engine: engine.add(more).tolist(),
        lambda engine: engine.delete([3, 3, 610, 10**9]),
        lambda engine: engine.delete([3]),
    ):
        with (
            closing(open_index(folder, read_only=False)) as one,
            closing(open_database(address, "index", read_only=False)) as other,
        ):
            assert change(one) == change(other)
            compare(one, other, items)


def test_compaction_removes_rows_and_changes_no_answer(tmp_path, address):
    items, more = items_of(600, distinct=15), items_of(40, seed=1)
    folder, server = index_of(tmp_path / "index", items), Server(database_of(address, items))
    with (
        closing(open_index(folder, read_only=False)) as one,
        closing(open_database(address, "index", read_only=False)) as other,
    ):
        for gone in ([*range(100, 300), 3], [*range(301, 330), 601], []):
            for engine in (one, other):
                engine.add(more)
                engine.delete(gone)
                assert engine.compact() == len(gone)
            compare(one, other, items)
            assert other.verify().count == server.value("select count() from sketches")
        parts = "select count() from system.parts where active and table = 'sketches'"
        assert server.value(f"{parts} and database = currentDatabase()") == 1
        for engine in (one, other):
            engine.delete([5])
        assert one.add(items).tolist() == other.add(items).tolist()
        compare(one, other, items)
    server.command("alter table sketches update place = 1 where id = 7 settings mutations_sync = 2")
    with closing(open_database(address, "index", read_only=False)) as engine:
        for check in (engine.verify, engine.compact):
            with pytest.raises(DataError, match="drawings 0 to 299 are not what was written"):
                check()


def test_a_compaction_that_is_stopped_removes_the_rest_later(shim, address):
    items = items_of(60)
    database_of(address, items)

    with closing(open_database(address, "index", read_only=False)) as engine:
        engine.delete(range(20))
        for stop in ("insert into changes", "delete from sketches", "optimize table sketches"):

            def broken(statement, stop=stop):
                if stop in statement.replace("`", "").lower():
                    raise ConnectionAbortedError

            shim.before = broken
            with pytest.raises(UnavailableError):
                engine.compact()
            shim.before = lambda statement: None
            assert engine.verify().count == 40
            same(engine.snapshot().get([20, 59]), items.with_ids(np.arange(60))[[20, 59]])
        engine.delete([30])
        assert engine.compact() == 1
        assert engine.verify().count == 39
        assert Server(address).value("select count() from sketches") == 39


def test_a_cluster_is_not_compacted(address):
    database_of(address, items_of())
    server = Server(address)
    server.command("rename table sketches to sketches_local")
    server.command(
        "create table sketches as sketches_local engine = "  # as Distributed, which needs a cluster
        f"Merge('{address.database}', '^sketches_local$')"
    )
    with (
        closing(open_database(address, "index", read_only=False)) as engine,
        pytest.raises(DataError, match="over a cluster, which cannot be compacted"),
    ):
        engine.compact()


def test_a_pool_beyond_the_limit_is_cut_in_the_same_place(tmp_path, address, monkeypatch):
    monkeypatch.setattr(search, "MOST", 100)
    items = items_of(500, distinct=3)
    with (
        closing(open_index(index_of(tmp_path / "index", items))) as one,
        closing(open_database(database_of(address, items), "index")) as other,
    ):
        query = Query(items.codes[0], np.zeros(64, np.float32))
        assert json_of(one, query) == json_of(other, query)
        assert answer(other, query).pool.compared == 100


def test_the_errors_are_those_of_the_file(tmp_path, address):
    items = items_of()
    with (
        closing(open_index(index_of(tmp_path / "index", items))) as one,
        closing(open_database(database_of(address, items), "index")) as other,
    ):
        for query in (
            Query(like=50),
            Query(like=10**20),
            Query(items.codes[0], categories=["clok"]),
            Query(items.codes[0], categories=["cat", "GRÖSSE"]),
            Query(items.codes[0], model="cd" * 32),
            Query(items.codes[0][:3]),
            Query(items.codes[0], np.zeros(3, np.float32)),
        ):
            said = []
            for engine in (one, other):
                with pytest.raises(DataError) as refused:
                    answer(engine, query)
                said.append(str(refused.value))
            assert said[0] == said[1]
        query = Query(items.codes[0], items.features[0], categories=["C_l_ock", "CAT"], k=50)
        assert len(answer(one, query).results) > 20
        assert json_of(one, query) == json_of(other, query)
        for engine in (one, other):
            for change in (lambda e=engine: e.add(items), lambda e=engine: e.delete([1])):
                with pytest.raises(DataError, match="open for reading only"):
                    change()


def test_a_snapshot_does_not_change(address):
    items = items_of(200)
    with closing(open_database(database_of(address, items), "index", read_only=False)) as engine:
        before = engine.snapshot()
        engine.delete(range(0, 200, 3))
        middle = engine.snapshot()
        engine.add(items)
        assert (before.describe().count, middle.describe().count) == (200, 133)
        same(before.get(range(200)), items.with_ids(np.arange(200)))
        with pytest.raises(DataError, match="no drawing 3 in the index"):
            middle.get([3])
        for snapshot, count in ((before, 200), (middle, 133), (engine.snapshot(), 333)):
            found = snapshot.nearest(items.codes[0], None, 999, least=1, most=1, categories=None)
            assert len(found.ids) == found.histogram.sum() == count


def test_half_of_a_change_is_never_seen(shim, address):
    """The connection breaks after the rows and before the change: nobody sees them, ever."""
    items = items_of(60)
    database_of(address, items)

    def broken(statement):
        if re.match("insert into .?changes", statement, re.IGNORECASE):
            raise ConnectionAbortedError

    with closing(open_database(address, "index", read_only=False)) as engine:
        shim.before = broken
        for change in (lambda: engine.add(items), lambda: engine.delete([5])):
            with pytest.raises(UnavailableError, match="ClickHouse does not answer at "):
                change()
        shim.before = lambda statement: None
        rows = Server(address).value("select count() from sketches")
        assert (rows, engine.snapshot().describe().count) == (120, 60)
        assert engine.add(items_of(1)).tolist() == [120]
        snapshot = engine.snapshot()
        assert len(snapshot.gaps) == 2
        assert (
            snapshot.describe().count
            == snapshot.nearest(
                items.codes[0], None, 5, least=1, most=1, categories=None
            ).histogram.sum()
            == 61
        )
        snapshot.get([5, 120])
        with pytest.raises(DataError, match="no drawing 60"):
            snapshot.get([60])
        assert engine.verify().count == 61


def test_rows_that_were_not_kept_are_refused(shim, address, monkeypatch):
    items = items_of(60)
    with closing(open_database(database_of(address, items), "index", read_only=False)) as engine:
        insert = Server.insert

        def lossy(self, table, columns):
            cut = {name: (kind, values[:-1]) for name, (kind, values) in columns.items()}
            insert(self, table, cut if table == "sketches" else columns)

        monkeypatch.setattr(Server, "insert", lossy)
        with pytest.raises(DiskError, match="has kept 59 of 60 drawings"):
            engine.add(items)
        monkeypatch.undo()
        assert engine.snapshot().describe().count == 60


def test_several_writers_lose_nothing(address):
    database_of(address, items_of(20))
    given, wrong = [], []

    def write_some(seed):
        with closing(open_database(address, "index", read_only=False)) as engine:
            for turn in range(3):
                items = items_of(5, seed=10 * seed + turn)
                ids = engine.add(items).tolist()
                first = turn % 2
                engine.delete(ids[:first])
                given.append((ids[first:], items[range(first, 5)]))

    def look():
        with closing(open_database(address, "index")) as engine:
            while any(thread.is_alive() for thread in threads):
                snapshot = engine.snapshot()
                found = snapshot.nearest(
                    items_of(1).codes[0], None, 1, least=1, most=1, categories=None
                )
                if found.histogram.sum() != snapshot.describe().count:
                    wrong.append(snapshot)

    threads = [threading.Thread(target=write_some, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    look()
    for thread in threads:
        thread.join()
    assert not wrong
    ids = [number for own, _ in given for number in own]
    assert len(given) == 9
    assert len({*ids}) == len(ids) == 3 * (3 * 5 - 1)
    with closing(open_database(address, "index")) as engine:
        assert engine.snapshot().describe().count == 20 + len(ids)
        assert not engine.snapshot().gaps
        for own, items in given:
            same(engine.snapshot().get(own), items.with_ids(np.array(own)))
        assert engine.verify().count == 20 + len(ids)
    left = Server(address).value("select count() from system.tables where name like 'taken_%'"
                                 " and database = currentDatabase()")  # fmt: skip
    assert left == 0


def test_what_differs_from_what_was_written_is_found(address):
    database_of(address, items_of(60))
    server = Server(address)
    server.command(
        "alter table sketches update place = place + 1 where id = 40 settings mutations_sync = 1"
    )
    with (
        closing(open_database(address, "index")) as engine,
        pytest.raises(DataError, match="the drawings 30 to 59 are not what was written"),
    ):
        engine.verify()


def test_photos_keep_their_thumbnails(address):
    items = items_of(30)
    items = dataclasses.replace(items, thumbnails=[b"", b"\xff\xd8 \x00\xfe", *[b""] * 28])
    with closing(open_database(database_of(address, items), "index", read_only=False)) as engine:
        assert engine.snapshot().thumbnail(1) == b"\xff\xd8 \x00\xfe"
        assert engine.verify().count == 30
        assert engine.snapshot().describe().photos == 1
        engine.delete([1])
        assert engine.snapshot().describe().photos == 0
        for gone in (0, 1):
            with pytest.raises(DataError, match=f"no photo {gone} in the index"):
                engine.snapshot().thumbnail(gone)


# Building, by the same code as for a folder.


def build_at(place, paths, encoder, notes):
    def task(name, total):
        return nullcontext(lambda count: None)

    sources = find_sources(paths, encoder, split="gallery", skip_bad=False, note=notes.append)
    place.build(sources, encoder, save_model=encoder.save, task=task, note=notes.append)


def test_an_index_is_built_resumed_and_left_alone(tmp_path, address):
    write(tmp_path / "doodles", per_category=30, seed=0, categories=["cat", "clock", "sun"])
    place, notes = Database(address, "index"), []

    def stop(encoded):
        if encoded >= 60:
            raise KeyboardInterrupt

    with pytest.raises(DataError, match="has no index"):
        place.open()
    with pytest.raises(KeyboardInterrupt):
        build_at(place, [tmp_path / "doodles"], Projecting(at=stop), notes)
    with pytest.raises(DataError, match="has not finished; rerun the command"):
        place.open()
    encoder = Projecting()
    build_at(place, [tmp_path / "doodles"], encoder, notes)
    assert notes == ["resuming after 30 drawings"]
    assert encoder.encoded == 60
    folder = Folder(tmp_path / "index")
    build_at(folder, [tmp_path / "doodles"], Projecting(), notes)
    with closing(folder.open()) as one, closing(place.open()) as other:
        assert json_of(one, Query(like=17)) == json_of(other, Query(like=17))
    build_at(place, [tmp_path / "doodles"], Projecting(at=stop), notes)
    assert notes[-1] == f"{address} already holds these drawings: nothing to do"
    with pytest.raises(DataError, match="index of other drawings or of another model"):
        build_at(place, [tmp_path / "doodles"], Projecting(seed=1), notes)
    with place.model() as path:
        assert path.read_text() == Projecting().fingerprint
    assert place.verify().categories == {"cat": 30, "clock": 30, "sun": 30}


def test_the_commands_take_an_engine(tmp_path, address, monkeypatch, capsys):
    def call(*words) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["sketchjax", *map(str, words)])
        try:
            cli.main()
        except SystemExit as end:
            printed = capsys.readouterr()
            return int(end.code or 0), printed.out + printed.err
        raise AssertionError

    write(tmp_path / "doodles", per_category=20, seed=0, categories=["cat", "sun"])
    write(tmp_path / "more", per_category=5, seed=1, categories=["clock"])
    finished_run(tmp_path / "run", tmp_path / "doodles")
    url = ["--engine", str(address)]
    code, text = call("index", "mine", tmp_path / "doodles", "--model", tmp_path / "run", *url)
    assert code == 0, text
    assert "mine: 40 drawings of 2 categories" in text
    assert "mine: 5 drawings added" in call("index", "add", "mine", tmp_path / "more", *url)[1]
    assert "mine: 1 drawing deleted, 1 not there" in call("index", "delete", "mine", 3, 99, *url)[1]
    assert "44 drawings of 3 categories" in call("index", "describe", "mine", *url)[1]
    assert "mine is sound: 44 drawings" in call("index", "verify", "mine", *url)[1]
    code, text = call("search", "mine", tmp_path / "more" / "clock.ndjson", "--json", *url)
    assert [msgspec.json.decode(line)["results"][0]["distance"] for line in text.splitlines()] == [
        0
    ] * 5
    for words, status, message in (
        (["mine", "--engine", "http://localhost/x"], 64, "give clickhouse://HOST"),
        (["mine", "--engine", "clickhouse://127.0.0.1:8123"], 64, "names no database"),
        (["mine", "--engine", "clickhouse://127.0.0.1:1/x"], 69, "ClickHouse does not answer at"),
        (["yours", *url], 65, "holds the index mine, not yours"),
        (["mine", "--engine", str(address) + "0"], 65, "does not exist; check --engine"),
    ):
        code, text = call("search", *words, "--like", "1")
        assert (code, message in text, text.count("\n")) == (status, True, 1), text


def test_a_missing_client_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "clickhouse_connect", None)
    with pytest.raises(DataError, match=r"pip install 'sketchjax\[clickhouse\]'"):
        Server(Address.of("clickhouse://localhost/x"))


def test_addresses():
    address = Address.of("clickhouses://me:s%40crét@db.example/drawings?insert_quorum=auto")
    assert (address.port, address.user, address.password) == (8443, "me", "s@crét")
    assert address.settings == {"insert_quorum": "auto"}
    assert str(address) == "clickhouses://db.example:8443/drawings"
    assert "crét" not in repr(address)
    with pytest.raises(ConfigError):
        Address.of("clickhouse://localhost:99999/x")


def test_a_server_says_that_its_engine_is_away(shim, address):
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from starlette.testclient import TestClient

    from sketchjax.serving.app import create_app
    from sketchjax.serving.settings import Settings

    items = items_of(60, 16, 16)
    database_of(address, items)
    encoder = Projecting()
    encoder.fingerprint = MODEL
    engine = open_database(address, "index")
    app = create_app(engine, encoder, Settings())
    app.state.service.warm()
    body = {"code": items.codes[0].tobytes().hex()}
    with TestClient(app, base_url="http://localhost") as client:
        assert client.post("/v1/search", json=body).json()["index"]["count"] == 60
        assert client.get("/readyz").status_code == 200

        def away(statement):
            raise ConnectionAbortedError

        shim.before = away
        for reply in (
            client.post("/v1/search", json=body), client.get("/v1/index"), client.get("/readyz")
        ):  # fmt: skip
            assert reply.status_code == 503
            assert reply.headers["retry-after"] == "5"
            assert reply.json()["detail"].startswith("ClickHouse does not answer at ")
        assert "sketchjax_drawings NaN" in client.get("/metrics").text
        assert client.get("/healthz").status_code == 200
        shim.before = lambda statement: None
        assert client.post("/v1/search", json=body).status_code == 200


# The files of launch/clickhouse.


def statements_of(name: str) -> list[str]:
    text = re.sub(r"--.*", "", (LAUNCH / name).read_text())
    return [part.strip() for part in text.split(";") if part.strip()]


def test_the_file_for_one_node_has_the_statements_that_are_run():
    assert statements_of("node.sql") == statements(64)


def test_the_cluster_has_the_same_columns(shim, address):
    """Replication needs Keeper, so that the tables are made here without it."""
    server, made = Server(address), []
    for statement in statements_of("cluster.sql")[2:]:
        assert " drawings." in statement
        statement = re.sub(r"ReplicatedMergeTree(\('.*?'\))?", "MergeTree", statement)
        if "engine = Distributed" not in statement:
            statement = statement.replace("drawings.", f"{address.database}.")
            server.command(statement)
            made.append(re.findall(r"exists \w+\.(\w+)", statement)[0])
    assert made == [f"{name}_local" if name == "sketches" else name for name in tables(64)]
    for statement in statements(64):
        server.command(statement.replace("exists ", "exists node_"))
    for name in made:
        columns = [server.rows(f"describe table {own}")
                   for own in (name, f"node_{name.removesuffix('_local')}")]  # fmt: skip
        assert columns[0] == columns[1]
