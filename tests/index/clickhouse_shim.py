"""ClickHouse's HTTP interface over chdb, which is its engine in this process, for the real client.

chdb keeps one database folder for a process, so a module starts one server and gives each test a
database of its own.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from chdb.session import Session

from sketchjax.index.server import Address


class Shim:
    """A running server.

    session: chdb's.
    before: called with each statement, before it is run; may raise ConnectionAbortedError.
    """

    def __init__(self, folder: Path):
        self.session = Session(str(folder / "clickhouse"))
        self.before: Callable[[str], None] = lambda statement: None
        self._folder, self._lock, self._count = folder, threading.Lock(), 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._http.server_port

    def address(self) -> Address:
        """Of a new, empty database."""
        self._count += 1
        name = f"test{self._count}"
        self.session.query(f"create database {name}")
        return Address.of(f"clickhouse://127.0.0.1:{self.port}/{name}")

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()
        self.session.close()

    def run(self, statement: bytes, database: str) -> bytes:
        """The answer to a statement; an insert has its rows after its first line."""
        line, _, rows = statement.partition(b"\n")
        insert = re.match(rb"\s*insert into (.*) format native\s*$", line, re.IGNORECASE)
        text = (line if insert else statement).decode()
        self.before(text)
        with self._lock:
            self.session.query(f"use {database}")
            if not insert:
                return self.session.query(text, "TabSeparated").bytes()
            with tempfile.NamedTemporaryFile(dir=self._folder) as file:
                file.write(rows)
                file.flush()
                into = insert[1].decode()
                self.session.query(f"insert into {into} select * from file('{file.name}', Native)")
            return b""


@contextmanager
def running(folder: Path) -> Iterator[Shim]:
    """A server until the context ends."""
    shim = Shim(folder)
    try:
        yield shim
    finally:
        shim.close()


def _handler_of(shim: Shim) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # else headers and body are two packets, and the second one waits

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            given = {
                name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()
            }
            statement = given.get("query", "").encode()
            body = self._body()
            statement = statement + b"\n" + body if statement and body else statement or body
            try:
                status, answer, code = (
                    200,
                    shim.run(statement, given.get("database", "default")),
                    "",
                )
            except ConnectionAbortedError:
                self.close_connection = True
                return
            except Exception as error:
                status, answer = 500, str(error).encode()
                code = re.findall(r"Code: (\d+)", str(error))[:1]
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            if code:
                self.send_header("x-clickhouse-exception-code", code[0])
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("transfer-encoding", ""):
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

    return Handler
