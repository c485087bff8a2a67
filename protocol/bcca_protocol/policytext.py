"""The lines of a policy as they are read, each checked (SPEC 6.1.1)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from bcca_protocol.errors import PolicyError
from bcca_protocol.keys import Algorithm, VerifierKey
from bcca_protocol.limits import MAX_POLICY_LINES
from bcca_protocol.wire import decimal_int

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # all but the tab and the line feed
_BLANK = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A log that is believed to speak for its owner."""

    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessLine:
    """A witness, under the name that only this policy gives it."""

    name: str
    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group that has seen what at least `threshold` of its members have seen."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Draft:
    """A policy while it is read."""

    logs: dict[str, LogLine] = field(default_factory=dict)
    witnesses: dict[str, WitnessLine] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str | None = None
    keys: set[bytes | str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    verifiers: set[str] = field(default_factory=set)

    def add(self, items: list[str]) -> None:
        """Add what one line says."""
        match items:
            case ["log", vkey, *url] if len(url) <= 1:
                key = self._key(vkey, Algorithm.ED25519)
                if key.name in self.logs:
                    raise PolicyError(f"log {key.name} is named twice")
                self.logs[key.name] = LogLine(key=key, url=_url(url))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._require_new(name)
                key = self._key(vkey, Algorithm.ED25519_COSIGNATURE)
                self.witnesses[name] = WitnessLine(name=name, key=key, url=_url(url))
            case ["group", name, threshold, *members] if members:
                self._add_group(name, threshold, tuple(members))
            case ["quorum", name]:
                self._set_quorum(name)
            case ["verifier", origin]:
                self._add_verifier(origin)
            case _:
                raise PolicyError(f"{items[0]!r} and {len(items) - 1} items: no known line")

    def _add_group(self, name: str, threshold: str, members: tuple[str, ...]) -> None:
        self._require_new(name)
        for member in members:
            self._require_known(member)
            if member in self.members:
                raise PolicyError(f"{member!r} is a member twice")
            self.members.add(member)
        words = {"any": 1, "all": len(members)}
        k = words[threshold] if threshold in words else decimal_int(threshold, "threshold")
        if not 1 <= k <= len(members):
            raise PolicyError(f"group {name!r}: {k} of {len(members)} members")
        self.groups[name] = Group(name=name, threshold=k, members=members)

    def _add_verifier(self, origin: str) -> None:
        if origin not in self.logs:
            raise PolicyError(f"verifier {origin}: no log line above names it")
        if origin in self.verifiers:
            raise PolicyError(f"verifier {origin} is named twice")
        self.verifiers.add(origin)

    def _set_quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise PolicyError(f"a second quorum, {name!r} after {self.quorum!r}")
        if name == "none":
            raise PolicyError("quorum none: k = 0 of n = 0, so f = 0 liars are survived")
        self._require_known(name)
        self.quorum = name

    def _key(self, vkey: str, algorithm: Algorithm) -> VerifierKey:
        """Return the key; no other line may have it, nor one that notes call the same."""
        key = VerifierKey.parse(vkey)
        if key.algorithm is not algorithm:
            raise PolicyError(f"{key.label} is {key.algorithm.name}, not {algorithm.name}")
        if not self.keys.isdisjoint((key.public, key.label)):
            raise PolicyError(f"the public key of {key.label} stands on an earlier line")
        self.keys |= {key.public, key.label}
        return key

    def _require_new(self, name: str) -> None:
        if name == "none" or name in self.witnesses or name in self.groups:
            raise PolicyError(f"the name {name!r} is taken")

    def _require_known(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise PolicyError(f"{name!r} is no witness or group of an earlier line")


def lines_of(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the items of each line that says something."""
    for number, line in enumerate(text.split("\n"), 1):
        if number > MAX_POLICY_LINES:
            raise PolicyError(f"policy, line {number}: at most {MAX_POLICY_LINES} are read")
        if _CONTROL.search(line):
            raise PolicyError(f"policy, line {number}: a control character in {line[:80]!r}")
        items = [item for item in _BLANK.split(line) if item]
        if items and not items[0].startswith("#"):
            yield number, items


def _url(given: list[str]) -> str | None:
    if given and not given[0].startswith(("https://", "http://")):
        raise PolicyError(f"{given[0]!r} is not a URL of http or https")
    return given[0] if given else None
