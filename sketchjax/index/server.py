"""A ClickHouse server: its address, queries and inserts, and one sentence for each way to fail."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sketchjax.errors import BrokenIndexError, ConfigError, DataError, UnavailableError

_EXISTS = 57  # ClickHouse's number of TABLE_ALREADY_EXISTS
_REFUSED = {
    60: "has no index",  # UNKNOWN_TABLE
    81: "does not exist",  # UNKNOWN_DATABASE
    192: "refuses this user",  # UNKNOWN_USER
    193: "refuses this password",  # WRONG_PASSWORD
    497: "refuses this user",  # ACCESS_DENIED
    516: "refuses this user or password",  # AUTHENTICATION_FAILED
}
_MINUTES = 300  # seconds that a query may take
# Inserts into a distributed table wait until the shards have the rows.
_SETTINGS = {"distributed_foreground_insert": "1", "async_insert": "0"}


@dataclass(frozen=True)
class Address:
    """Where a database is; as text without the password.

    host, port: of the server's HTTP interface.
    database: that holds one index.
    user, password: empty: those of $CLICKHOUSE_USER and $CLICKHOUSE_PASSWORD, else the default's.
    secure: whether to use HTTPS.
    settings: of ClickHouse, for all queries.
    """

    host: str
    port: int
    database: str
    user: str = ""
    password: str = field(default="", repr=False)
    secure: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        scheme = "clickhouses" if self.secure else "clickhouse"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{self.database}"

    @classmethod
    def of(cls, url: str) -> Address:
        """The address in a text such as clickhouse://host:8123/drawings.

        clickhouses:// is over HTTPS; what follows a question mark is settings of ClickHouse.
        Raises ConfigError where it is none.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"--engine {url}: {error}; {_FORM}") from None
        database = parts.path.strip("/")
        if parts.scheme not in ("clickhouse", "clickhouses") or not parts.hostname:
            raise ConfigError(f"--engine {url}: {_FORM}")
        if not database.isidentifier():
            raise ConfigError(f"--engine {url}: it names no database; {_FORM}")
        secure = parts.scheme == "clickhouses"
        return cls(
            parts.hostname,
            port or (8443 if secure else 8123),
            database,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            secure,
            dict(parse_qsl(parts.query)),
        )


_FORM = "give clickhouse://HOST:8123/DATABASE"


class Server:
    """Queries and inserts, from any number of threads.

    address: of the server and the database.
    Raises UnavailableError where it does not answer, and BrokenIndexError where it refuses.
    """

    def __init__(self, address: Address):
        self.address = address
        connect = _clickhouse_connect()
        with self._errors():
            self._client = connect.get_client(
                host=address.host,
                port=address.port,
                username=address.user or os.environ.get("CLICKHOUSE_USER", "default"),
                password=address.password or os.environ.get("CLICKHOUSE_PASSWORD", ""),
                database=address.database,
                secure=address.secure,
                compress=False,
                connect_timeout=5,
                send_receive_timeout=_MINUTES,
                # A session answers one query at a time.
                autogenerate_session_id=False,
                settings=_SETTINGS | dict(address.settings),
            )

    def command(self, statement: str) -> None:
        """Run a statement that gives nothing back."""
        with self._errors():
            self._client.command(statement)

    def created(self, statement: str) -> bool:
        """Run a statement that makes a table; returns False where there is one already."""
        try:
            self.command(statement)
        except BrokenIndexError as error:
            if getattr(error.__cause__, "code", None) == _EXISTS:
                return False
            raise
        return True

    def insert(self, table: str, columns: Mapping[str, tuple[str, list[Any]]]) -> None:
        """Insert rows. columns: type and values of each column, by its name."""
        with self._errors():
            self._client.insert(
                table,
                [values for _, values in columns.values()],
                column_names=[*columns],
                column_type_names=[kind for kind, _ in columns.values()],
                column_oriented=True,
            )

    def columns(self, query: str, *, text: bool = True) -> list[Any]:
        """The columns of an answer, none where there is no row. text: else strings are bytes."""
        formats = None if text else {"String": "bytes"}
        with self._errors():
            return [*self._client.query(query, query_formats=formats).result_columns]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        return [*zip(*self.columns(query), strict=True)]

    def row(self, query: str) -> tuple[Any, ...]:
        """The only row of an answer."""
        (row,) = self.rows(query)
        return row

    def value(self, query: str, *, text: bool = True) -> Any:
        """The only value of an answer."""
        ((value,),) = self.columns(query, text=text)
        return value

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the client raises into one sentence."""
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            yield
        except (ClickHouseError, OSError) as error:
            code = getattr(error, "code", None)
            if code in _REFUSED:
                raise BrokenIndexError(
                    f"{self.address} {_REFUSED[code]}; check --engine, $CLICKHOUSE_USER and "
                    "$CLICKHOUSE_PASSWORD"
                ) from error
            reason = " ".join(str(error).split())[:200]
            if code is not None:
                raise BrokenIndexError(f"{self.address} refused a query ({reason})") from error
            raise UnavailableError(
                f"ClickHouse does not answer at {self.address} ({reason}); start it, or check "
                "the address"
            ) from error


def _clickhouse_connect() -> Any:
    """The module.  Raises DataError, which says what to install, where it is not there."""
    try:
        import clickhouse_connect
    except ImportError:
        raise DataError(
            "ClickHouse needs its client, which is not installed: "
            "pip install 'sketchjax[clickhouse]'"
        ) from None
    return clickhouse_connect
