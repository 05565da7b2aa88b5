"""How a server is reached, as the options of `sketchjax serve` say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sketchjax.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """How a server is reached.

    threads: that search; as many as cores.
    hosts: names that the Host header may have, next to localhost and addresses in digits.
    origins: of other pages that may call this server (CORS).
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
