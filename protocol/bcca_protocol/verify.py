"""From bytes to facts, in the numbered steps of SPEC 6. The only maker of `Verified`.

*In bulk*: a whole log is read once (`verify_log`); then each statement is hashed to its entry.
It proves what the log's owner entered. *Alone*: the same, and the signature of the statement
itself and its inclusion proof are checked; only then may it stand in a manifest or a bundle.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Generic, TypeGuard, TypeVar, final

from bcca_protocol import merkle, statement
from bcca_protocol.entry import StatementEntry, Status, status_handle
from bcca_protocol.envelope import Envelope, pae
from bcca_protocol.errors import (
    AuthorshipError,
    BccaError,
    ConflictError,
    ProofError,
    RefusedError,
    SignatureError,
    StatementError,
)
from bcca_protocol.facts import Fact, fact_in
from bcca_protocol.keys import Role
from bcca_protocol.partial import Part
from bcca_protocol.policy import VerifiedCheckpoint
from bcca_protocol.proof import TlogProof
from bcca_protocol.readlog import VerifiedLog, verify_log
from bcca_protocol.wire import showable, unb64

__all__ = [
    "PAYLOAD_TYPE",
    "Signed",
    "Verified",
    "VerifiedLog",
    "entry_of",
    "is_part",
    "is_signed_part",
    "require_signed",
    "stand",
    "verify_all_alone",
    "verify_all_in_bulk",
    "verify_alone",
    "verify_in_bulk",
    "verify_log",
    "verify_signed",
]

PAYLOAD_TYPE = "application/vnd.in-toto+json"

F = TypeVar("F", bound=Fact)
F_co = TypeVar("F_co", bound=Fact, covariant=True)

_MAKER: Final = object()


class Verified(Generic[F_co]):
    """A fact that its issuer entered in its log; `status` is what became of it since."""

    __slots__ = ("fact", "index", "introduced", "is_current", "log_keys", "nonce", "status")

    def __init__(
        self, maker: object, fact: F_co, *, index: int, nonce: str, log: VerifiedLog
    ) -> None:
        """Only this module has the right `maker`."""
        if maker is not _MAKER:
            raise TypeError("facts are made by bcca_protocol.verify alone")
        self.fact: Final = fact
        self.index, self.nonce = index, nonce
        self.introduced: Final = log.introduced
        self.log_keys: Final = log.log_keys
        status = None
        if log.history.statuses:
            handle = status_handle(unb64(nonce, "nonce"), bytes.fromhex(fact.commitment))
            status = log.history.status_of(handle)
        self.status: Final = status
        # Superseded is right for its own period. Of a broken log nothing is current (SPEC 5.6).
        voided = status in (Status.REVOKED, Status.CORRECTED)
        self.is_current: Final = not voided and log.history.broken is None


@final
class Signed(Verified[F_co]):
    """A fact whose own signature was checked too: it may stand in a manifest or a bundle."""

    __slots__ = ()


def is_part(found: Verified[Fact]) -> TypeGuard[Verified[Part]]:
    """Say whether a fact is a partial footprint."""
    return isinstance(found.fact, Part)


def is_signed_part(found: Signed[Fact]) -> TypeGuard[Signed[Part]]:
    """Say whether a signed fact is a partial footprint."""
    return isinstance(found.fact, Part)


def verify_in_bulk(envelope: bytes | Envelope, log: VerifiedLog) -> Verified[Fact]:
    """Return the fact that the owner of `log` entered with this envelope (SPEC 6.3).

    Raises what the step that fails raises, with the statement and the step in front.
    """
    return next(verify_all_in_bulk([envelope], log))


def verify_all_in_bulk(
    envelopes: Iterable[bytes | Envelope], log: VerifiedLog
) -> Iterator[Verified[Fact]]:
    """Yield what `verify_in_bulk` returns of each envelope; a whole block before its first."""
    return _facts(Verified, (_Check(envelope, log) for envelope in envelopes), _IN_BULK)


def stand(fact: F, nonce: str, log: VerifiedLog) -> Verified[F]:
    """Return a fact that was verified in bulk before, as it stands in `log` now (SPEC 6.3).

    What can change is looked at: its entry, its key, its status. Raises AuthorshipError.
    """
    history, name = log.history, fact.commitment
    found = history.statements.get(bytes.fromhex(name))
    if found is None or fact.issuer != log.origin:
        raise AuthorshipError(f"statement {name}: kept from an entry that {log.origin} has not")
    history.key_at(found.key, found.index, Role.STATEMENT)
    return Verified(_MAKER, fact, index=found.index, nonce=nonce, log=log)


def require_signed(envelope: bytes | Envelope, log: VerifiedLog) -> str:
    """Return the commitment of a statement that its own key signed (steps 1 to 4, and 8)."""
    check = _Check(envelope, log)
    for step in (_Check.opened, _Check.entered, _Check.signed):
        _take(step, check)
    return check.name


def verify_signed(envelope: bytes, log: VerifiedLog) -> Signed[Fact]:
    """Return the fact in this envelope, its own signature checked, in a log read as a whole.

    What `verify_in_bulk` does and step 8; the log's entries stand in for an inclusion proof.
    """
    return next(_facts(Signed, [_Check(envelope, log)], (*_IN_BULK, _Check.signed)))


def verify_alone(
    envelope: bytes, proof: TlogProof, head: VerifiedCheckpoint, log: VerifiedLog
) -> Signed[Fact]:
    """Return the fact in this envelope, its own signature and inclusion proof checked (SPEC 6.4).

    `proof` is against `head`; `log` tells which key was valid when, so it reaches at least to the
    statement's index. Raises what the step that fails raises, statement and step in front.
    """
    return next(verify_all_alone([(envelope, proof)], head, log))


def verify_all_alone(
    proven: Iterable[tuple[bytes, TlogProof]], head: VerifiedCheckpoint, log: VerifiedLog
) -> Iterator[Signed[Fact]]:
    """Yield what `verify_alone` returns of each; a whole block before its first."""
    checks = (_Alone(envelope, log, proof, head) for envelope, proof in proven)
    return _facts(Signed, checks, (*_IN_BULK, _Check.signed, _Alone.included))


class _Check:
    """The steps of SPEC 6.3 and 6.4 on one envelope, and where they stand."""

    def __init__(self, data: bytes | Envelope, log: VerifiedLog) -> None:
        self._data = data
        self.log = log
        self.step = "1 (envelope)"
        self.name = "?"

    def opened(self) -> None:
        """Take steps 1 and 2."""
        # 1. A DSSE envelope of in-toto type with exactly one signature and its keyid.
        data = self._data
        envelope = Envelope.parse(data) if isinstance(data, bytes) else data
        self._signature = envelope.only_signature(PAYLOAD_TYPE)
        # 2. The commitment is the SHA-256 of the pre-authentication encoding.
        self._payload = envelope.payload
        self._message = pae(envelope.payload_type, envelope.payload)
        self._commitment = hashlib.sha256(self._message).digest()
        self.name = self._commitment.hex()

    def entered(self) -> None:
        """Take steps 3 and 4."""
        # 3. The log entered this commitment; its first entry counts.
        self.step = "3 (entry)"
        history = self.log.history
        found = history.statements.get(self._commitment)
        if found is None:
            end = history.broken
            raise AuthorshipError(
                f"the log holds no entry for {self.name} among its {history.size} entries"
                + ("" if end is None else f"; nothing counts from the malformed entry {end}")
            )
        self.record = found
        # 4. The entry names this signature, and a statement key that was valid at its index.
        self.step = "4 (key)"
        self._key = history.key_at(found.key, found.index, Role.STATEMENT)
        self._match_signature(found.signature_hash)

    def read(self) -> None:
        """Take steps 5 and 6."""
        # 5. The payload is a canonical statement.
        self.step = "5 (payload)"
        self._statement = statement.decode(self._payload)
        self.nonce = self._statement.predicate.nonce
        # 6. Its subject is its product; its issuer is the log's origin.
        self.step = "6 (subject and issuer)"
        statement.check_place(self._statement, self.log.origin)

    def reduced(self) -> None:
        """Take step 7."""
        # 7. Its content keeps the rules and its sums recompute.
        self.step = "7 (content)"
        self.fact = fact_in(self._statement, self.name)

    def signed(self) -> None:
        """Take step 8: the statement key of its entry signed the envelope."""
        self.step = "8 (signature)"
        self._key.verify(self._signature.signature, self._message)

    def _match_signature(self, entered: bytes) -> None:
        if self._signature.keyid != self._key.label:
            raise SignatureError(
                f"signed as {showable(str(self._signature.keyid))}, its entry names "
                f"{self._key.label}"
            )
        found = hashlib.sha256(self._signature.signature).digest()
        if found != entered:
            raise SignatureError(
                f"the signature hashes to {found.hex()}, its entry has {entered.hex()}"
            )


class _Alone(_Check):
    """The same, and step 9."""

    def __init__(
        self, data: bytes, log: VerifiedLog, proof: TlogProof, head: VerifiedCheckpoint
    ) -> None:
        super().__init__(data, log)
        self._proof = proof
        self._head = head

    def included(self) -> None:
        """Take step 9: the entry is in the tree that the checkpoint signs."""
        self.step = "9 (inclusion)"
        tree, read = self._head.checkpoint, self.log.head.checkpoint
        if tree.origin != read.origin:
            raise ProofError(f"checkpoint of {tree.origin}, statement of {read.origin}")
        if tree.size == read.size and tree.root != read.root:
            raise ConflictError(
                f"two trees of size {tree.size}, with root {tree.root.hex()} and {read.root.hex()}"
            )
        index, at = self._proof.index, self.record.index
        if index != at:
            raise ProofError(f"a proof for leaf {index}, the entry is leaf {at}")
        leaf = merkle.leaf_hash(self.record.entry(self._commitment).encode().encode())
        merkle.verify_inclusion(leaf, index, tree.size, self._proof.path, tree.root)


V = TypeVar("V", bound=Verified[Fact])
C = TypeVar("C", bound=_Check)

_IN_BULK = (_Check.opened, _Check.entered, _Check.read, _Check.reduced)
_BLOCK = 32  # statements that take a step together: so its code stays in the processor's cache


def _facts(kind: type[V], checks: Iterable[C], steps: Sequence[Callable[[C], None]]) -> Iterator[V]:
    """Yield the fact of each check once all steps are taken; a refusal names statement and step."""
    rest = iter(checks)
    while block := list(islice(rest, _BLOCK)):
        for step in steps:
            for each in block:
                _take(step, each)
        for each in block:
            yield kind(_MAKER, each.fact, index=each.record.index, nonce=each.nonce, log=each.log)


def _take(step: Callable[[C], None], each: C) -> None:
    try:
        step(each)
    except BccaError as error:
        refused = type(error) if isinstance(error, RefusedError) else StatementError
        at = f"statement {each.name} of {each.log.origin} refused at step {each.step}"
        raise refused(f"{at}: {error}") from error


def entry_of(envelope: Envelope, key_index: int) -> StatementEntry:
    """Return the log entry that commits to `envelope`, signed by the key added at `key_index`."""
    signature = envelope.only_signature(PAYLOAD_TYPE)
    return StatementEntry(
        commitment=hashlib.sha256(pae(envelope.payload_type, envelope.payload)).digest(),
        key=key_index,
        signature_hash=hashlib.sha256(signature.signature).digest(),
    )
