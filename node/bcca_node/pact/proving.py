"""Footprints of others that carry a signed statement of ours, verified (SPEC 16.5).

The statement is looked up in its issuer's log, as a pack maker does, and has to say the very
numbers of the footprint. Then the footprint counts as signed, and the statement is kept like any
other that was fetched: a run finds it as a copy.
"""

import asyncio
from dataclasses import dataclass, replace
from operator import attrgetter

import msgspec

from bcca_node.ledger.copied import LOG, Address
from bcca_node.ledger.copying import Reader
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import host_of, hosts_of
from bcca_node.network.limits import Patience
from bcca_node.pact import derive, extension, intake, model, reading
from bcca_node.pact.extension import Signed
from bcca_node.pact.judge import Judged, judge
from bcca_node.storage import foreign, partners, seen
from bcca_node.storage.foreign import Foreign, Problem, Trust, Weight
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol import period, statement, verify
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import BccaError, MalformedError, StatementError
from bcca_protocol.keys import Algorithm, VerifierKey
from bcca_protocol.partial import Part
from bcca_protocol.rollup import RollUp
from bcca_protocol.statement import Statement
from bcca_protocol.verify import VerifiedLog
from bcca_protocol.wire import showable

AGAIN_SECONDS = 6 * 3_600  # a log that was away, or not witnessed yet, may be there by then
MAX_AT_ONCE = 100  # footprints held in memory at a time: 2 MB each at most
MAX_TOLD_CHARS = 500  # of why one is not believed
PATIENCE = Patience()

_SAME = (
    "product_ids",
    "unit",
    "amount",
    "mass_kg",
    "numbers",
    "gwp",
    "start",
    "end",
    "valid_from",
    "valid_until",
)


class _Carrier(msgspec.Struct):
    data_schema: str = msgspec.field(name="dataSchema", default="")
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Carrying(msgspec.Struct):
    extensions: tuple[_Carrier, ...] = ()


_CARRYING = msgspec.json.Decoder(_Carrying)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A statement that holds, and what its log says of it."""

    kept: FetchedStatement
    said: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What came of looking at POSIX second `at`: `told` why not, or what is `wrong` with it."""

    at: int
    told: str = ""
    wrong: tuple[str, ...] = ()
    statement: FetchedStatement | None = None


def caller(node: Node, partner: PactPartner) -> Fetcher:
    """Return what reads logs for the footprints of `partner`: on private addresses its own host's.

    And those of the policy.
    """
    policy = node.trust.policy()
    named = {host_of(partner.url), host_of(partner.auth_url)}
    return Fetcher(named | (frozenset() if policy is None else hosts_of(policy)), patience=PATIENCE)


async def prove(node: Node, partner: PactPartner, *, again: bool = False) -> list[Foreign]:
    """Verify what a partner's footprints claim to carry, and return those as they are kept now.

    What was looked into in the last AGAIN_SECONDS is left alone, unless `again`.
    """
    at = node.clock()
    before = at if again else at - AGAIN_SECONDS
    found: list[Foreign] = []
    due = await asyncio.to_thread(_due, node, partner, before)
    if not due:
        return found
    async with caller(node, partner) as fetcher:
        logs = _Logs(node, fetcher, partner)
        while due:
            found += [await _examined(node, logs, each) for each in due]
            due = await asyncio.to_thread(_due, node, partner, before)
    return found


def _due(node: Node, partner: PactPartner, before: int) -> list[Foreign]:
    with node.database.read() as session:
        return foreign.unexamined(session, partner.origin, before, MAX_AT_ONCE)


async def _examined(node: Node, logs: "_Logs", footprint: Foreign) -> Foreign:
    """Verify what one footprint carries, and keep what comes of it."""
    outcome = _Outcome(at=node.clock())
    try:
        signed = _carried(footprint)
        found = await _verified(logs, signed)
        wrong = _differences(footprint, found.said, signed)
        outcome = replace(outcome, statement=found.kept, wrong=tuple(wrong))
    except BccaError as error:
        outcome = replace(outcome, told=showable(str(error))[:MAX_TOLD_CHARS])
    return await asyncio.to_thread(_keep, node, footprint, outcome)


def _keep(node: Node, before: Foreign, outcome: _Outcome) -> Foreign:
    """Keep what came of it, beside what somebody else has noted meanwhile."""
    with node.database.write() as session:
        now = foreign.get(session, before.partner, before.id, before.digest)
        if now is None:  # its partner was ended meanwhile
            return before
        kept = _with(now, outcome)
        foreign.update(session, kept)
        if outcome.statement is not None:
            seen.put_statements(session, [outcome.statement])
    return kept


def _with(now: Foreign, outcome: _Outcome) -> Foreign:
    if not outcome.wrong:
        trust = Trust.UNSIGNED if outcome.told else Trust.SIGNED
        return replace(now, examined=outcome.at, told=outcome.told, trust=trust)
    told = f"the statement that it carries has another {', '.join(outcome.wrong)}"
    problem = Problem(field="extensions", told=told, weight=Weight.FATAL)
    rest = (each for each in now.problems if each != problem)
    return replace(now, examined=outcome.at, told=told, problems=(problem, *rest))


class _Logs:
    """The logs that a partner's footprints name, each read once."""

    def __init__(self, node: Node, fetcher: Fetcher, partner: PactPartner) -> None:
        self._node = node
        self._partner = partner
        self._fetcher = fetcher
        self._read: dict[str, VerifiedLog | BccaError] = {}

    async def log(self, signed: Signed) -> tuple[str, VerifiedLog]:
        """Return the key by which a statement's log is known here, and that log.

        Raises UnusableError without a policy, and what `Reader.read` raises.
        """
        address = self._address(signed)
        vkey = address.key.encode()
        if vkey not in self._read:
            reader = Reader(
                node=self._node,
                fetcher=self._fetcher,
                trusted=self._node.trust.required(),
                at=self._node.clock(),
            )
            try:
                self._read[vkey] = await reader.read(address)
            except BccaError as error:
                self._read[vkey] = error
        found = self._read[vkey]
        if isinstance(found, BccaError):
            raise found
        return vkey, found

    def _address(self, signed: Signed) -> Address:
        """Return where a log is: the policy's word, then a proven partner's, then the footprint's.

        Whoever only the footprint names is introduced by its sender (SPEC 6.1.4).
        """
        line = self._node.trust.required().logs.get(signed.origin)
        if line is not None:
            url = signed.log if line.url is None else line.url
            return Address(origin=signed.origin, key=line.key, url=url, introduced_by=None)
        with self._node.database.read() as session:
            known = partners.get(session, signed.origin)
        if known is not None and not known.refused:
            key, url = VerifierKey.parse(known.log_key), known.url.rstrip("/") + LOG
            return Address(origin=signed.origin, key=key, url=url, introduced_by=self._node.origin)
        key = VerifierKey.parse(signed.key)
        if (key.name, key.algorithm) != (signed.origin, Algorithm.ED25519):
            raise MalformedError(f"{key.label} is no log key of {signed.origin}")
        return Address(
            origin=signed.origin, key=key, url=signed.log, introduced_by=self._partner.origin
        )


async def _verified(logs: _Logs, signed: Signed) -> _Found:
    """Return the statement in an extension once its log holds it, and it is current."""
    vkey, log = await logs.log(signed)
    envelope = Envelope.parse(bytes(signed.envelope)).encode()
    found = await asyncio.to_thread(verify.verify_signed, envelope, log)
    fact = found.fact
    if fact.commitment != signed.commitment:
        raise StatementError(f"statement {fact.commitment}: carried as {signed.commitment}")
    if not isinstance(fact, Part | RollUp):
        raise StatementError(f"statement {fact.commitment}: an opinion, where a footprint belongs")
    if not found.is_current:
        said = "its log is broken" if found.status is None else f"it is {found.status.value}"
        raise StatementError(f"statement {fact.commitment}: {said}")
    kept = FetchedStatement(
        commitment=fact.commitment,
        vkey=vkey,
        origin=fact.issuer,
        index=found.index,
        product=fact.product,
        sharing=fact.sharing if isinstance(fact, Part) else fact.statement.sharing,
        envelope=envelope,
    )
    return _Found(kept=kept, said=statement.decode(Envelope.parse(envelope).payload))


def _carried(footprint: Foreign) -> Signed:
    """Return what the first extension of our kind carries; raises MalformedError."""
    try:
        found = _CARRYING.decode(footprint.content).extensions
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"extensions: {showable(str(error))}") from error
    for each in found:
        if intake.is_ours(each.data_schema):
            carrier = model.Extension(
                spec_version=model.EXTENSION_VERSION, data_schema=each.data_schema, data=each.data
            )
            return extension.read(carrier)
    raise MalformedError("extensions: none of ours")


def _differences(footprint: Foreign, said: Statement, signed: Signed) -> list[str]:
    """Return what a footprint says otherwise than the statement that it carries, by name.

    Raises StatementError where no footprint can be derived from it.
    """
    mine = intake.read(footprint)
    theirs = _derived(said, signed)
    names = [name for name in _SAME if not _is_same(name, mine, theirs)]
    return ["id", *names] if footprint.id != model.id_of(signed.commitment) else names


def _is_same(name: str, mine: Judged, theirs: Judged) -> bool:
    here, there = attrgetter(name)(mine), attrgetter(name)(theirs)
    if name == "product_ids":  # a host may know it by more names
        return set(there) <= set(here)
    return bool(here == there)


def _derived(said: Statement, signed: Signed) -> Judged:
    """Return what a footprint says that is derived from a statement."""
    made = derive.derive(
        derive.Signed(
            commitment=signed.commitment,
            predicate=derive.whole(said.predicate),
            ids=(),
            created=period.text_at(0),
            preceding=(),
            extension=model.Extension(
                spec_version=model.EXTENSION_VERSION,
                data_schema="https://none.example",
                data=msgspec.Raw(b"{}"),
            ),
        )
    )
    return judge(reading.tree(model.encode(made), "derived footprint"), at=0)
