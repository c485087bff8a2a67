"""Where one node listens, where its data lives and who it is: one frozen object."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bcca_protocol.errors import UnusableError
from bcca_protocol.limits import MAX_ORIGIN_BYTES
from bcca_protocol.wire import ORIGIN, URN, showable

FILE = "settings.toml"
PREFIX = "BCCA_"
MAX_NAME_CHARS = 200  # it stands in tables and on pages
MAX_PORT = 65_535  # 16 bits of TCP
RATE = 500  # requests a second: nobody who collects 100,000 statements one by one asks faster
BURST_SECONDS = 40  # of that rate at once: 20,000 requests, the tiles of a log of 5,000,000 entries

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_ORIGIN = re.compile(ORIGIN)
_URN = re.compile(URN)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a node is told from outside; `database` is a URL of SQLAlchemy, or empty.

    `ids` are other names of the organisation, such as urn:lei:506700GE1G29325QX363. `rate` is how
    many requests a second one caller has, 0 for no limit; `proxies` are the addresses, parted by
    commas, that are believed whose request they pass on (X-Forwarded-For).
    """

    data: Path
    origin: str
    name: str
    url: str = "http://127.0.0.1:8000"
    host: str = "127.0.0.1"
    port: int = 8000
    database: str = ""
    ids: tuple[str, ...] = ()
    rate: int = RATE
    proxies: str = ""

    def __post_init__(self) -> None:
        """Refuse what no node can run with."""
        if not _ORIGIN.match(self.origin) or len(self.origin) > MAX_ORIGIN_BYTES:
            raise UnusableError(
                f"origin {showable(self.origin[:80])!r}: write a host in small letters, and a path "
                f"if you like, such as cathode.example/bcca, at most {MAX_ORIGIN_BYTES} characters"
            )
        if not 0 < len(self.name) <= MAX_NAME_CHARS or showable(self.name) != self.name:
            raise UnusableError(
                f"name {showable(self.name[:80])!r}: write one line of plain text, "
                f"at most {MAX_NAME_CHARS} characters"
            )
        _require_base_url(self.url)
        if not 0 <= self.port <= MAX_PORT:
            raise UnusableError(f"port {self.port}: not between 0 and {MAX_PORT}")
        if self.rate < 0:
            raise UnusableError(f"rate {self.rate}: write how many requests a second, or 0")
        _require_networks(self.proxies)
        for name in self.ids:
            if not _URN.match(name):
                raise UnusableError(
                    f"ids: {showable(name[:80])!r} is no URN such as urn:lei:506700GE1G29325QX363"
                )

    @property
    def database_url(self) -> str:
        """Where the database is: unless told otherwise, a file in the data folder."""
        return self.database or f"sqlite:///{self.data / 'node.db'}"

    @classmethod
    def load(
        cls,
        data: Path,
        environment: Mapping[str, str] = os.environ,
        **overrides: str | int | tuple[str, ...],
    ) -> "Settings":
        """Return what `data`/settings.toml says, over it BCCA_*, over both `overrides`.

        Raises UnusableError for a missing file, an unknown setting or a value that does not fit.
        """
        path = data / FILE
        return cls._of({**_read(path), **_from(environment), **overrides, "data": data}, path)

    @classmethod
    def new(
        cls,
        data: Path,
        environment: Mapping[str, str] = os.environ,
        **given: str | int | tuple[str, ...],
    ) -> "Settings":
        """Return the settings of a node that is not there yet: `given`, over BCCA_*.

        Raises UnusableError for a value that does not fit.
        """
        return cls._of({**_from(environment), **given, "data": data}, data)

    @classmethod
    def _of(cls, given: Mapping[str, object], where: Path) -> "Settings":
        try:
            return msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            raise UnusableError(f"{where}: {showable(str(error))}") from error

    def require_none(self) -> None:
        """Return if `data` has no settings yet, else raise UnusableError."""
        if (self.data / FILE).exists():
            raise UnusableError(f"{self.data / FILE} is there already: here lives another node")

    def save(self) -> None:
        """Write `data`/settings.toml, for its owner alone.

        Raises UnusableError where there is one.
        """
        path = self.data / FILE
        told = {name: getattr(self, name) for name in self.__struct_fields__ if name != "data"}
        # What JSON writes for lines of text or a number is TOML too.
        lines = [
            f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in told.items()
        ]
        try:
            content = "".join(lines).encode()
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The URL of the database may have a password in it.
            with os.fdopen(os.open(path, _NEW, 0o600), "wb") as file:
                file.write(content)
        except (OSError, ValueError) as error:
            raise UnusableError(f"{path}: cannot be written: {error}") from error


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnusableError(f"{path} is not there: run `bcca init` first") from error
    except (OSError, ValueError) as error:
        raise UnusableError(f"{path}: cannot be read: {showable(str(error))}") from error


def _from(environment: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Return the settings among the variables; other programs of ours have variables too.

    In BCCA_IDS, spaces part one from the next.
    """
    names = (name for name in Settings.__struct_fields__ if name != "data")
    pairs = ((name, environment.get(PREFIX + name.upper())) for name in names)
    return {
        name: value.split() if name == "ids" else value
        for name, value in pairs
        if value is not None
    }


def _require_networks(proxies: str) -> None:
    for each in proxies.split(",") if proxies else ():
        try:
            ip_network(each.strip())
        except ValueError as error:
            raise UnusableError(
                f"proxies: {showable(each[:80])!r} is no address such as 127.0.0.1 or 10.0.0.0/8"
            ) from error


def _require_base_url(url: str) -> None:
    parts = urlsplit(url)
    plain = parts.scheme in ("http", "https") and parts.hostname and showable(url) == url
    if not plain or parts.query or parts.fragment or url.endswith("/"):
        raise UnusableError(
            f"url {showable(url[:200])!r}: write http:// or https://, a host, no slash at the end"
        )
