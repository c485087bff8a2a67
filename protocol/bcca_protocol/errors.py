"""Every error this project raises, split by who is to blame.

    BccaError
    ├── RefusedError            somebody else's bytes do not hold: do not believe them
    │   ├── MalformedError      not in the one form that would be written back identically
    │   ├── LimitError          more than a named limit allows
    │   ├── SignatureError      a signature does not verify, or names another key
    │   ├── ProofError          a hash path, a root or a tile does not fit
    │   ├── QuorumError         too few witnesses stand behind a checkpoint
    │   ├── ConflictError       two signed things cannot both be true
    │   ├── AuthorshipError     not entered in the log, or not by a key valid at its index
    │   ├── StatementError      a statement contradicts itself or its place
    │   └── UnproductiveError   a loop of products consumes more than it makes
    ├── UnusableError           what the caller handed over cannot be used: fix it and try again
    │   ├── PolicyError         a policy that cannot be read, or that survives no liar
    │   └── UnitError           two units that do not fit
    └── UnavailableError        nobody lied, but somebody did not answer

A message says what was refused and shows the two things that differ.
"""

import contextlib
from collections import abc


class BccaError(Exception):
    """Anything this project refuses, with one sentence for people."""


class RefusedError(BccaError):
    """Somebody else's bytes do not hold."""


class MalformedError(RefusedError):
    """Bytes that are not in the one form their reader would write."""


class LimitError(RefusedError):
    """More than a named limit of `limits` allows."""


class SignatureError(RefusedError):
    """A signature that does not verify, or that names another key."""


class ProofError(RefusedError):
    """A hash path, root or tile that does not fit."""


class QuorumError(RefusedError):
    """A checkpoint that too few witnesses of the policy cosigned."""


class ConflictError(RefusedError):
    """Two signed things that cannot both be true."""


class AuthorshipError(RefusedError):
    """A statement that its issuer's log does not hold, or not under a valid key."""


class StatementError(RefusedError):
    """A statement that contradicts itself, or that stands in the wrong place."""


class UnproductiveError(RefusedError):
    """A loop of products that consumes at least as much as it makes."""


class UnusableError(BccaError):
    """Something the caller handed over that cannot be used."""


class PolicyError(UnusableError):
    """A policy that cannot be read, or that survives no lying witness."""


class UnitError(UnusableError):
    """Two units that do not fit."""


class UnavailableError(BccaError):
    """Somebody who did not answer, or not in time."""


@contextlib.contextmanager
def refused_at(what: str, step: str) -> abc.Iterator[None]:
    """Say what is checked and at which step in front of whatever is refused inside."""
    try:
        yield
    except RefusedError as error:
        raise type(error)(f"{what} refused at step {step}: {error}") from error
