"""One file over HTTP: resumed where it was cut off, checked, and renamed only when it is whole."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from sketchjax.data.sources.forms import has_form
from sketchjax.errors import DataError, on_disk

_BLOCK = 1 << 18  # bytes read between two looks at the stop event
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}  # statuses that another attempt may mend
_PAGES = {"text/html", "application/xhtml+xml"}
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Patience:
    """When to give up.

    attempts: for one file, in a row without a new byte.
    pause: seconds before the second attempt, doubled each time.
    timeout: seconds without a byte after which a connection is dropped.
    """

    attempts: int = 6
    pause: float = 1.0
    timeout: float = 30.0


@dataclass(slots=True)
class Session:
    """What the files of one download share.

    show: called from several threads with a file, its bytes so far, and its size (None: unknown).
    form: of the files, as `has_form` knows them.
    """

    show: Callable[[Path, int, int | None], None]
    form: str
    patience: Patience = field(default_factory=Patience)
    stop: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)


class UnreachableError(DataError):
    """The server cannot be reached or does not answer: no other file will come either."""


class _BrokenError(Exception):
    """An attempt failed in a way that another may mend."""


def part_of(path: Path) -> Path:
    """Where the bytes of a file are until it is whole."""
    return path.with_name(path.name + ".part")


def fetch(url: str, path: Path, session: Session) -> None:
    """Fetch one file to `path`; until it is whole and right, its bytes are in `path.part`.

    Raises DataError where the server does not have the file, what it has is of another form, or it
    never arrives whole, and UnreachableError where the server cannot be reached; DiskError. Returns
    early once session.stop is set.
    """
    part = part_of(path)
    with on_disk(f"{path} cannot be written"):
        failures, damaged, most = 0, False, _size(part)
        while not session.stop.is_set():
            try:
                md5 = _attempt(url, part, session)
            except _BrokenError as error:
                failures = 1 if _size(part) > most else failures + 1
                most = max(most, _size(part))
                _check_patience(url, failures, error, session)
                session.stop.wait(session.patience.pause * 2 ** (failures - 1))
                continue
            if session.stop.is_set():
                return
            with part.open("rb") as file:
                right = md5 in (None, hashlib.file_digest(file, "md5").hexdigest())
            if right and has_form(part, session.form):
                os.replace(part, path)
                return
            _drop(part)
            if right:
                raise _no_file(url, f"a file that is not of the form {session.form}")
            if damaged:  # Twice the same: not the line, but what the server has.
                raise DataError(
                    f"{url} does not have its md5, {md5}; try again later or use a mirror"
                )
            damaged = True


def expected_md5(headers: Message) -> str | None:
    """The md5 that a server states, in hex: Google's x-goog-hash, else an ETag that is one."""
    hashes = ",".join(headers.get_all("x-goog-hash", []))
    if named := re.search(r"\bmd5=([A-Za-z0-9+/]{22}==)", hashes):
        return base64.b64decode(named[1]).hex()
    tag = re.fullmatch(r'"([0-9a-f]{32})"', headers.get("etag", ""))
    return tag[1] if tag else None


def _check_patience(url: str, failures: int, error: _BrokenError, session: Session) -> None:
    """Raise where it is time to give up: soon where no answer ever came."""
    hint = "check the connection, or point --from at a mirror"
    if not session.reached.is_set() and failures >= min(2, session.patience.attempts):
        raise UnreachableError(f"could not reach {urlsplit(url).netloc}: {error}; {hint}")
    if failures >= session.patience.attempts:
        raise DataError(
            f"{url} did not arrive in {failures} attempts: {error}; what came is kept: rerun the "
            f"same command to resume; {hint}"
        )


def _attempt(url: str, part: Path, session: Session) -> str | None:
    """Ask once for the bytes that the part lacks and append them; the md5 the server states."""
    have, total = _size(part), None
    # Without "identity" a server may compress on the way: sizes and ranges then mean other bytes.
    headers = {"User-Agent": "sketchjax", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={have}-"} if have else {}
    try:
        request = Request(url, headers=headers)
        with urlopen(request, timeout=session.patience.timeout) as response:
            session.reached.set()
            have, total = _extent(url, response, part, have)
            _write(part, b"", "ab" if have else "wb")
            # `read` would lose the bytes before a timeout.
            while not session.stop.is_set() and (block := response.read1(_BLOCK)):
                _write(part, block, "ab")
                session.show(part, have := have + len(block), total)
    except HTTPError as error:
        session.reached.set()
        error.close()
        if error.code == 416:  # The part is not the beginning of this file.
            _drop(part)
        if error.code == 416 or error.code in _TEMPORARY:
            raise _BrokenError(f"the server answered {error.code} {error.reason}") from None
        raise _no_file(url, f"{error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors
        reason = getattr(error, "reason", None) or error
        raise _BrokenError(f"{getattr(reason, 'strerror', None) or reason}") from None
    if total not in (None, have) and not session.stop.is_set():
        if have > total:
            _drop(part)
        raise _BrokenError(f"the connection ended after {have:,} of {total:,} bytes")
    return expected_md5(response.headers)


def _extent(url: str, response: HTTPResponse, part: Path, have: int) -> tuple[int, int | None]:
    """Where the answer's first byte belongs, and the size of the whole file where it is known.

    Raises DataError, before a byte is written, where the answer is no file or has neither a size
    nor an md5 to check it by.
    """
    if response.status not in (200, 206):
        raise _no_file(url, f"{response.status} {response.reason}")
    if response.headers.get_content_type() in _PAGES:  # A proxy that wants a login, for example.
        raise _no_file(url, f"a web page, {response.headers['content-type']}")
    if response.status == 206:
        stated = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if stated is None or int(stated[1]) != have:
            _drop(part)
            raise _BrokenError("the server sent another range than the one asked for")
        return have, int(stated[2])
    if response.length == 0:
        raise _no_file(url, "no bytes")
    # http.client also takes a negative length, or one that is no number, for none.
    if response.length is None and not response.chunked and not expected_md5(response.headers):
        length = response.headers.get("content-length", "none")
        raise _no_file(url, f"it cannot be checked: no md5, and its Content-Length is {length}")
    return 0, response.length


def _no_file(url: str, answer: str) -> DataError:
    """The error for an answer that is not the file and will not be in another attempt."""
    return DataError(
        f"{urlsplit(url).netloc} does not give {url} ({answer}); open it in a browser to see what "
        "it answers, and check the address given to --from"
    )


def _write(part: Path, block: bytes, mode: str) -> None:
    with on_disk(f"{part} cannot be written"), part.open(mode) as file:
        file.write(block)


def _drop(part: Path) -> None:
    with on_disk(f"{part} cannot be removed"):
        part.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
