"""How a server is reached, as the options of `sketchjax serve` say."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sketchjax.errors import ConfigError

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_PORTS = {"http": 80, "https": 443}  # which browsers leave out


@dataclass(frozen=True)
class Settings:
    """How a server is reached.

    threads: that search; as many as cores.
    hosts: names that the Host header may have, next to localhost and addresses in digits; see
      `host_name`.
    origins: of other pages that may call this server (CORS); see `origin_of`.
    public: whether the rate of each address is limited.
    token: what adding and deleting need; None: neither is possible.
    """

    threads: int = 2
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    public: bool = False
    token: str | None = None


def read_token(path: Path) -> str:
    """The first line of a file, which lets people change the index.

    Raises ConfigError where there is none of 16 to 200 characters of ASCII.
    """
    try:
        token = path.read_text("ascii").split("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file {path} cannot be read ({error})") from None
    if not 16 <= len(token) <= 200 or not token.isprintable():
        raise ConfigError(
            f"--token-file {path}: its first line must have 16 to 200 characters, such as the "
            "output of `openssl rand -hex 24`"
        )
    return token


def host_name(given: str) -> str:
    """A name for `Settings.hosts`, in lower case and without the dot of a full name.

    Raises ConfigError for what is not only a name.
    """
    name = given.lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"--allow-host {given}: give only a name, such as draw.example, in ASCII as browsers "
            "send it; every port of it is allowed, and every address in digits without this option"
        )
    return name


def origin_of(given: str) -> str:
    """An origin for `Settings.origins`, written as browsers write it in the header Origin.

    given: scheme, name and port of pages; or * for all pages.
    Raises ConfigError for anything else.
    """
    if given == "*":
        return given
    wrong = ConfigError(
        f"--allow-origin {given}: give scheme, name and port in ASCII, such as "
        "https://draw.example or http://127.0.0.1:8000"
    )
    try:
        parts = urlsplit(given)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
        if not _NAME.fullmatch(host):
            host = f"[{ipaddress.IPv6Address(host)}]"
    except ValueError:
        raise wrong from None
    if not scheme:
        raise wrong
    origin = f"{scheme}://{host}" + (f":{port}" if port not in (None, _PORTS.get(scheme)) else "")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(
            f"--allow-origin {given}: browsers name no single page here; give {origin}, which "
            "allows all pages there"
        )
    return origin
