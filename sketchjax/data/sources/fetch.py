"""One file over HTTP: resumed where it was cut, checked, and renamed only when it is whole."""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from sketchjax.errors import DataError

BLOCK = 1 << 18  # bytes between two looks at the stop sign
_WAIT_OUT = {408, 425, 429, 500, 502, 503, 504}  # answers that another attempt may mend
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
_HINT = "check the connection, or point --from at a mirror"


class Watcher(Protocol):
    """Is told how far the files are; called from several threads."""

    def expect(self, size: int) -> None: ...

    def advance(self, size: int) -> None: ...

    def finish(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """When to give up.

    attempts: for one file, in a row without a new byte.  pause: seconds before the second attempt,
    doubled each time.  timeout: seconds without a byte after which a connection is given up.
    """

    attempts: int = 6
    pause: float = 1.0
    timeout: float = 30.0


@dataclass(slots=True)
class Session:
    """What the files of one download share."""

    watcher: Watcher
    patience: Patience = field(default_factory=Patience)
    stop: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)


class UnreachableError(DataError):
    """The server cannot be reached or does not answer: no other file will come either."""


class _BrokenError(Exception):
    """One attempt failed in a way that another may mend."""


class _DamagedError(_BrokenError):
    """A file arrived in full length, but not as it was sent."""


def fetch(url: str, path: Path, session: Session) -> None:
    """Fetch one file to `path`; its bytes are in `path.part` until they are all there and right.

    Raises DataError where the file does not exist there or never arrives whole, UnreachableError
    where the server cannot be reached at all. Returns early when the session's stop is set.
    """
    failures = damaged = 0
    part = path.with_name(path.name + ".part")
    most = _size(part)
    while not session.stop.is_set():
        try:
            _attempt(url, part, path, session)
            return
        except _DamagedError as error:
            damaged += 1
            if damaged == 2:  # Twice the same: not the line, but what the server has.
                raise DataError(f"{url}: {error}; try again later or use a mirror") from None
        except _BrokenError as error:
            failures = 1 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            _give_up_after(failures, url, error, session)
        session.stop.wait(session.patience.pause * 2 ** max(0, failures - 1))


def expected_md5(headers: Mapping[str, str]) -> str | None:
    """The md5 in hex that a server tells: Google's x-goog-hash, else an ETag that looks like one.

    headers: with lower-case names, repeated ones joined by commas.
    """
    named = re.search(r"\bmd5=([A-Za-z0-9+/]{22}==)", headers.get("x-goog-hash", ""))
    if named:
        try:
            return base64.b64decode(named[1]).hex()
        except binascii.Error:
            return None
    tag = re.fullmatch(r'"([0-9a-f]{32})"', headers.get("etag", ""))
    return tag[1] if tag else None


def _give_up_after(failures: int, url: str, error: _BrokenError, session: Session) -> None:
    """Raise when there were failures enough; soon where nothing was ever reached: no network."""
    host = urlsplit(url).netloc
    if not session.reached.is_set():
        if failures >= min(2, session.patience.attempts):
            raise UnreachableError(f"could not reach {host}: {error}; {_HINT}") from None
    elif failures >= session.patience.attempts:
        raise DataError(
            f"{url} did not arrive in {failures} attempts: {error}; "
            f"what came is kept, run again to go on; {_HINT}"
        ) from None


def _attempt(url: str, part: Path, path: Path, session: Session) -> None:
    """Ask once for what is missing, add it to the part, and finish the file when it is whole."""
    with _answer(url, part, session) as response:
        headers = _joined(response)
        start, total = _extent(response.status, headers, part)
        session.watcher.expect((total or start) - start)
        try:
            _append(response, part, start, session)
        finally:  # What did not come is asked for, and expected, by the next attempt.
            session.watcher.expect(min(0, _size(part) - (total or 0)))
    if session.stop.is_set():
        return
    size = _size(part)
    if total is not None and size != total:
        if size > total:
            part.unlink()
        raise _BrokenError(f"the connection ended after {size:,} of {total:,} bytes")
    wanted = expected_md5(headers)
    if wanted is not None and wanted != _md5(part):
        part.unlink()
        raise _DamagedError(f"the md5 of the file that arrived is not the {wanted} of the server's")
    os.replace(part, path)
    session.watcher.finish()


def _answer(url: str, part: Path, session: Session) -> http.client.HTTPResponse:
    """The server's answer to a request for the bytes after those of the part."""
    have = _size(part)
    # Without "identity" a server may compress on the way, and sizes and ranges mean other bytes.
    headers = {"User-Agent": "sketchjax", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=session.patience.timeout)
    except urllib.error.HTTPError as error:
        session.reached.set()
        error.close()
        if error.code == 416:  # The part is not a beginning of this file.
            part.unlink(missing_ok=True)
            raise _BrokenError("the part did not fit the file, starting anew") from None
        if error.code in _WAIT_OUT:
            raise _BrokenError(f"the server answered {error.code} {error.reason}") from None
        raise DataError(
            f"{urlsplit(url).netloc} does not give {url} ({error.code} {error.reason}); "
            "check the address that --from names"
        ) from None
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        reason = getattr(error, "reason", None) or error
        raise _BrokenError(f"{getattr(reason, 'strerror', None) or reason}") from None
    session.reached.set()
    return response


def _joined(response: http.client.HTTPResponse) -> dict[str, str]:
    """The answer's headers under lower-case names, repeated ones (x-goog-hash is) joined."""
    names = {name.lower() for name in response.headers}
    return {name: ",".join(response.headers.get_all(name, [])) for name in names}


def _extent(status: int, headers: Mapping[str, str], part: Path) -> tuple[int, int | None]:
    """Where the answer's first byte belongs, and the size of the whole file if it is told."""
    if status == 206:
        told = _RANGE.fullmatch(headers.get("content-range", ""))
        if told is None or int(told[1]) != _size(part):
            part.unlink(missing_ok=True)
            raise _BrokenError("the server sent another range than asked for, starting anew")
        return int(told[1]), int(told[2])
    length = headers.get("content-length", "")
    return 0, int(length) if re.fullmatch(r"\d{1,18}", length) else None


def _append(response: http.client.HTTPResponse, part: Path, start: int, session: Session) -> None:
    """Add the answer's bytes to the part, from `start` on; what came stays when the line breaks."""
    try:
        file = part.open("ab" if start else "wb")
    except OSError as error:
        raise DataError(f"cannot write {part}: {error.strerror}; check the folder") from None
    with file:
        while not session.stop.is_set():
            try:
                block = response.read1(BLOCK)  # what there is: `read` would lose it in a time-out
            except http.client.IncompleteRead as error:
                block = error.partial
            except (OSError, http.client.HTTPException) as error:
                raise _BrokenError(f"the connection broke: {error}") from None
            if not block:
                return
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                raise DataError(
                    f"cannot write {part}: {error.strerror}; free some space, then run again"
                ) from None
            session.watcher.advance(len(block))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
