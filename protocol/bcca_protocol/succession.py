"""Whom a verifier believes once logs have ended: a policy and the end notes beside it (SPEC 5.9).

Whoever hands over an end note says by it, as by a line of the policy, that this log has ended and
who goes on. Where the log is read, the note has to be by the recovery key of its genesis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bcca_protocol.ending import EndNote
from bcca_protocol.errors import PolicyError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.policy import LogLine, Policy


def believed(trusted: Policy, notes: Sequence[EndNote]) -> Policy:
    """Return the policy with end notes: the successor of a log of it counts as a log of it.

    So does the successor of a successor. Raises PolicyError for two notes of one log, and for a
    successor whose key the policy has in another place.
    """
    ends = by_origin(notes)
    named, verifiers = dict(trusted.logs), set(trusted.verifiers)
    waiting = [origin for origin in named if origin in ends]
    while waiting:
        ended = waiting.pop()
        successor = ends[ended].successor
        verifiers |= {successor.name} if ended in verifiers else set()
        known = named.get(successor.name)
        if known is None:
            _require_new(successor, trusted, named)
            named[successor.name] = LogLine(key=successor, url=None)
            waiting += [successor.name] if successor.name in ends else []
        elif known.key != successor:
            raise PolicyError(
                f"policy: it names {successor.name} with key {known.key.encode()}, an end note "
                f"with {successor.encode()}"
            )
    return replace(trusted, logs=named, verifiers=frozenset(verifiers), ends=ends)


def by_origin(notes: Sequence[EndNote]) -> dict[str, EndNote]:
    """Return end notes by the log that they end; raises PolicyError for two of one log."""
    found: dict[str, EndNote] = {}
    for end in notes:
        other = found.setdefault(end.origin, end)
        if other != end:
            raise PolicyError(
                f"log {end.origin} has two end notes, at {other.size} entries with "
                f"{other.successor.label} and at {end.size} with {end.successor.label}: keep one"
            )
    return found


def _require_new(key: VerifierKey, trusted: Policy, named: Mapping[str, LogLine]) -> None:
    """Raise PolicyError if a line of the policy has this public key or label already."""
    keys = [line.key for line in named.values()]
    for other in (*keys, *(line.key for line in trusted.witnesses.values())):
        if other.public == key.public or other.label == key.label:
            raise PolicyError(
                f"policy: {other.label} has the public key of {key.label}, the successor in an "
                "end note"
            )
