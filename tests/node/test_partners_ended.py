"""A partner that is ended or refused leaves nothing to whoever has its name next."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bcca_node.ledger import keys
from bcca_node.ledger.backup import backup
from bcca_node.ledger.node import Node
from bcca_node.ledger.restore import restore
from bcca_node.network.client import Fetcher
from bcca_node.partners import acquaint as acquainting
from bcca_node.partners import auditors, book, inlet, invitation, outbox, requests
from bcca_node.partners import event as events
from bcca_node.partners.correspondence import Remark
from bcca_node.partners.event import Accepted, AuditorEvent, Event, RequestEvent, Wanted
from bcca_node.partners.inlet import Taken
from bcca_node.partners.invitation import Invitation
from bcca_node.sharing import access
from bcca_node.sharing.caller import Kind
from bcca_node.sharing.identify import identify
from bcca_node.storage import grants, inbox, leaving, logs, partners
from bcca_node.storage import outbox as deliveries
from bcca_node.storage import requests as stored
from bcca_node.storage.calls import Fetch
from bcca_node.storage.dealings import DeliveryRow, PartnerRow
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.partners import Invited, Partner, PartnerRole
from bcca_protocol import period
from bcca_protocol.errors import RefusedError
from bcca_protocol.inventory import Interval
from bcca_protocol.keys import Algorithm, Role, SeedSigner, VerifierKey

VICTIM, AUDITOR = "victim.example", "auditor.example"
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - what `new_node` gives its keys
SECRET = dataclasses.make_dataclass("Secret", ["commitment", "product", "sharing"])(
    "ab" * 32, "urn:bcca:case:t:SECRET", "direct"
)


def key(origin: str, tag: str = "") -> VerifierKey:
    """Return the key that an origin always gets here; another one for another tag."""
    seed = (origin + tag).encode().ljust(32, b".")[:32]
    return SeedSigner(name=origin, algorithm=Algorithm.ED25519, seed=seed).key


def seal(origin: str) -> str:
    return VerifierKey(name=origin, algorithm=Algorithm.X25519, public=b"s" * 32).encode()


def meet(node: Node, origin: str, *roles: PartnerRole, **other: Any) -> Partner:
    vkey = key(origin).encode()
    told: dict[str, Any] = {"name": origin, "url": "https://nobody.example", "since": 1, **other}
    made = Partner(
        origin=origin,
        log_key=vkey,
        request_key=vkey,
        seal_key=seal(origin),
        roles=frozenset(roles or {PartnerRole.CUSTOMER}),
        **told,
    )
    with node.database.write() as session:
        partners.put(session, made)
    return made


def grant(node: Node, origin: str) -> None:
    with node.database.write() as session:
        grants.put(session, Grant(partner=origin, scope=Scope.ALL, about="", given=1))


def refuse(node: Node, origin: str) -> None:
    with node.database.write() as session:
        found = partners.get(session, origin)
        assert found is not None
        partners.put(session, dataclasses.replace(found, refused="its log holds other keys"))


def invited(node: Node, recipient: str | None = None) -> str:
    """Invite whoever comes first, and return the id of the invitation."""
    own, now = acquainting.own_keys(node), node.clock()
    made = Invitation(
        format=invitation.FORMAT,
        id=events.new_id(),
        origin=node.origin,
        name="Supplier",
        url=node.settings.url,
        log_key=own.log.encode(),
        request_key=own.request.encode(),
        seal_key=own.seal.encode(),
        inviter="supplier",
        invited="customer",
        created=period.text_at(now),
        expires=period.text_at(now + 86_400),
        recipient=recipient,
    )
    note = invitation.sign(made, node.keys.signer(Role.REQUEST))
    with node.database.write() as session:
        kept = Invited(id=made.id, note=note, created=now, expires=now + 86_400)
        partners.put_invitation(session, kept)
    return made.id


def accepted(node: Node, name: str, vkey: VerifierKey) -> Accepted:
    return Accepted(
        id=events.new_id(),
        at=period.text_at(node.clock()),
        invitation=name,
        origin=vkey.name,
        name="Somebody",
        url="https://somebody.example",
        log_key=vkey.encode(),
        request_key=vkey.encode(),
        seal_key=seal(vkey.name),
    )


def tell(node: Node, vkey: VerifierKey, told: Event) -> Taken:
    return inlet.take(node, identify(node, vkey), events.encode(told))


def created(node: Node, **wanted: Any) -> RequestEvent:
    span = Interval("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
    return RequestEvent(
        id=events.new_id(),
        at=period.text_at(node.clock()),
        request=events.new_id(),
        kind="created",
        wanted=Wanted(period=span, purpose="x", **wanted),
    )


def sees(node: Node, vkey: VerifierKey) -> bool:
    """Say whether a hidden statement of the node is shown to who signs with that key."""
    with node.database.read() as session:
        return access.rights(session, node, identify(node, vkey)).sees(SECRET)


def is_partner(node: Node, vkey: VerifierKey) -> bool:
    return identify(node, vkey).kind is Kind.PARTNER


def told_in(node: Node, name: str) -> str:
    with node.database.read() as session:
        found = partners.invitation(session, name)
    assert found is not None
    return found.told


def end(node: Node, origin: str) -> leaving.Forgotten:
    with node.database.write() as session:
        found = book.end(node, session, origin)
    assert found is not None
    return found


@pytest.fixture
def dealt(node: Node) -> Node:
    """A supplier that has granted, answered, written to and heard from a partner."""
    meet(node, VICTIM, PartnerRole.CUSTOMER, PartnerRole.AUDITOR)
    grant(node, VICTIM)
    asked = created(node, part="V-4711")
    tell(node, key(VICTIM), asked)
    with node.database.read() as session:
        request = stored.get(session, VICTIM, asked.request)
        victim = partners.get(session, VICTIM)
    assert request is not None
    assert victim is not None
    said = Remark(kind="accepted", product="urn:bcca:case:t:NEXT", comment="for you alone")
    requests.act(node, request, said)
    auditors.appoint(node, victim)
    appointed = AuditorEvent(
        id=events.new_id(),
        at=period.text_at(node.clock()),
        kind="appointed",
        auditor=AUDITOR,
        request_key=key(AUDITOR).encode(),
    )
    tell(node, key(VICTIM), appointed)
    with node.database.write() as session:
        inbox.set_pulled(session, VICTIM, 9)
    fetch = Fetch(origin=VICTIM, caller="k", commitment="ab" * 32, how="one", product="p", at=1)
    node.calls.note([fetch], now=node.clock())
    return node


@pytest.mark.parametrize("tag", ["", "evil"], ids=["the same keys", "other keys"])
def test_attack_whoever_claims_the_name_of_an_ended_partner_inherits_nothing(
    dealt: Node, tag: str
) -> None:
    dropped = end(dealt, VICTIM)
    tell(dealt, key(VICTIM, tag), accepted(dealt, invited(dealt), key(VICTIM, tag)))

    assert is_partner(dealt, key(VICTIM, tag))
    assert not sees(dealt, key(VICTIM, tag))
    assert not sees(dealt, key(AUDITOR))
    assert requests.fulfil(dealt) == []
    assert dealt.calls.holders("ab" * 32, now=dealt.clock()) == []
    assert (dropped.grants, dropped.appointments, dropped.requests) == (1, 2, 1)
    with dealt.database.read() as session:
        assert deliveries.addressed(session, VICTIM, 0, 100) == []
        assert stored.chosen(session, partner=VICTIM) == []
        assert partners.parts(session, VICTIM) == []
        assert grants.of(session, VICTIM) == []
        assert grants.appointments(session) == []
        assert inbox.pulled(session, VICTIM) == 0


def test_an_event_under_way_when_its_partner_is_ended_settles_nobody_elses(dealt: Node) -> None:
    with dealt.database.write() as session:
        number = deliveries.newest(session)
        book.end(dealt, session, VICTIM)
        outbox.put(session, "other.example", created(dealt, part="1"), dealt.clock())
        deliveries.settle(session, number, deliveries.State.DELIVERED)
        (waiting,) = outbox.waiting(session)
        kept = session.get_one(DeliveryRow, number).body

    assert waiting.partner == "other.example"
    assert waiting.number == number + 1
    assert kept == b""


def test_suppliers_are_told_when_an_auditor_is_ended(node: Node) -> None:
    meet(node, "tier2.example", PartnerRole.SUPPLIER)
    auditors.appoint(node, meet(node, AUDITOR, PartnerRole.AUDITOR))
    end(node, AUDITOR)

    with node.database.read() as session:
        told = [events.decode(each.body) for each in outbox.waiting(session)]
    assert [getattr(each, "kind", "") for each in told] == ["appointed", "dismissed"]


@pytest.mark.parametrize("fall", [refuse, end], ids=["refused", "ended"])
def test_attack_an_own_auditor_that_is_refused_or_ended_looks_on(
    node: Node, fall: Callable[[Node, str], object]
) -> None:
    auditors.appoint(node, meet(node, AUDITOR, PartnerRole.AUDITOR))
    before = sees(node, key(AUDITOR))
    fall(node, AUDITOR)

    assert before
    assert not sees(node, key(AUDITOR))
    assert identify(node, key(AUDITOR)).kind is Kind.STRANGER


@pytest.mark.parametrize("fall", [refuse, end], ids=["refused", "ended"])
def test_attack_the_auditor_of_a_partner_that_is_refused_or_ended_looks_on(
    dealt: Node, fall: Callable[[Node, str], object]
) -> None:
    before = sees(dealt, key(AUDITOR))
    fall(dealt, VICTIM)

    assert before
    assert not sees(dealt, key(AUDITOR))
    assert identify(dealt, key(AUDITOR)).kind is Kind.STRANGER


def test_attack_an_appointment_outlives_a_partner_that_was_forgotten_in_another_way(
    node: Node,
) -> None:
    auditors.appoint(node, meet(node, AUDITOR, PartnerRole.AUDITOR))
    with node.database.write() as session:
        session.delete(session.get_one(PartnerRow, AUDITOR))

    assert not sees(node, key(AUDITOR))


@pytest.mark.parametrize("tag", ["", "evil"], ids=["the liar again", "somebody else"])
def test_attack_the_name_of_a_refused_partner_is_taken_with_its_grants(
    dealt: Node, tag: str
) -> None:
    refuse(dealt, VICTIM)
    name = invited(dealt)
    taken = tell(dealt, key(VICTIM, tag), accepted(dealt, name, key(VICTIM, tag)))

    assert taken.result is inlet.Result.TAKEN  # nobody learns who is refused
    assert not is_partner(dealt, key(VICTIM, tag))
    assert not sees(dealt, key(VICTIM, tag))
    assert "bcca partners end" in told_in(dealt, name)


@pytest.mark.parametrize("tag", ["", "evil"])
def test_an_operator_ends_a_refused_partner_and_invites_it_again(dealt: Node, tag: str) -> None:
    refuse(dealt, VICTIM)
    end(dealt, VICTIM)
    tell(dealt, key(VICTIM, tag), accepted(dealt, invited(dealt), key(VICTIM, tag)))

    assert is_partner(dealt, key(VICTIM, tag))
    assert not sees(dealt, key(VICTIM, tag))


def test_attack_a_used_invitation_is_posted_until_the_true_partner_is_silenced(node: Node) -> None:
    meet(node, VICTIM)
    name = invited(node)
    evil = key(VICTIM, "evil")
    results = [tell(node, evil, accepted(node, name, evil)).result for _ in range(20)]

    assert results == [inlet.Result.TAKEN] + 19 * [inlet.Result.KNOWN]
    with node.database.read() as session:
        assert inbox.count_since(session, VICTIM, 0) == 0


def test_attack_a_stranger_wakes_what_waits_for_a_partner(node: Node) -> None:
    meet(node, VICTIM)
    with node.database.write() as session:
        outbox.put(session, VICTIM, created(node, part="1"), node.clock())
        deliveries.pause(session, VICTIM, node.clock() + 3_600)
    evil = key(VICTIM, "evil")
    for name in (invited(node), invited(node, "else.example")):
        try:
            tell(node, evil, accepted(node, name, evil))
        except RefusedError:
            continue

    with node.database.read() as session:
        assert deliveries.due(session, node.clock() + 60) == []


def test_attack_a_stranger_without_an_invitation_waits_for_no_turn_to_write(node: Node) -> None:
    stranger = key("stranger.example")
    with node.database.write(), pytest.raises(RefusedError, match="not open"):
        tell(node, stranger, accepted(node, "0" * 32, stranger))


def test_attack_a_used_invitation_waits_for_no_turn_to_write(node: Node) -> None:
    name, first = invited(node), key("first.example")
    again = accepted(node, name, first)
    tell(node, first, again)
    with node.database.write():
        assert tell(node, first, again).result is inlet.Result.KNOWN


def test_an_invitation_of_a_refused_partner_is_accepted_once_the_operator_has_ended_it(
    node: Node, new_node: Callable[..., Node]
) -> None:
    other = new_node("other.example", url="http://127.0.0.1:9")
    meet(node, other.origin)
    refuse(node, other.origin)
    name = invited(other)
    with other.database.read() as session:
        note = partners.invitation(session, name)
    assert note is not None

    async def accept() -> None:
        async with Fetcher(()) as fetcher:
            await book.accept(node, fetcher, note.note)

    with pytest.raises(RefusedError, match="bcca partners end"):
        asyncio.run(accept())


def test_attack_a_request_key_that_another_process_has_retired_is_still_the_operators(
    node: Node,
) -> None:
    old = node.keys.signer(Role.REQUEST).key
    before = identify(node, old).kind
    other = Node.open(node.settings, PASSPHRASE)
    try:
        with other.database.read() as session:
            other.clearance.grant(logs.size(session))
        keys.rotate(other, Role.REQUEST, PASSPHRASE)
        new = Node.open(node.settings, PASSPHRASE)
    finally:
        other.close()
    kinds = [identify(each, old).kind for each in (node, new)]
    fresh = identify(new, new.keys.signer(Role.REQUEST).key).kind
    new.close()

    assert before is Kind.OPERATOR
    assert kinds == [Kind.STRANGER, Kind.STRANGER]
    assert fresh is Kind.OPERATOR


def test_attack_an_invitation_used_since_the_backup_is_open_again_after_a_restore(
    node: Node, tmp_path: Path
) -> None:
    name, first = invited(node), key("first.example")
    backup(node, tmp_path / "backup.tar")
    tell(node, first, accepted(node, name, first))
    restore(tmp_path / "backup.tar", tmp_path / "back", environment={})
    back = Node.open(structs.replace(node.settings, data=tmp_path / "back"), PASSPHRASE)
    try:
        with pytest.raises(RefusedError, match="not open"):
            tell(back, first, accepted(back, name, first))
    finally:
        back.close()
