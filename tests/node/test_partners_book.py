"""Two organisations become partners; nobody becomes one by claiming to be another."""

import asyncio
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from bcca_node.ledger import keys, log
from bcca_node.ledger.node import Node
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.partners import acquaint, auditors, book, event, inlet, invitation
from bcca_node.partners.book import Met
from bcca_node.partners.event import Accepted, Wanted, new_id
from bcca_node.partners.invitation import Asked, Invitation
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage import grants, outbox, partners, requests
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.partners import Invited, Partner, PartnerRole
from bcca_protocol import period
from bcca_protocol.errors import MalformedError, RefusedError
from bcca_protocol.inventory import Interval
from bcca_protocol.keys import Algorithm, Role, SeedSigner, VerifierKey

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - what `new_node` gives its keys
YEAR = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")
DAY = 86_400
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Pair:
    """A buyer that invites, and a supplier; each believes the same witnesses."""

    buyer: Node
    supplier: Node

    def invited(self, *, parts: tuple[str, ...] = (), **other: Any) -> str:
        """Return an invitation of the buyer, as it is handed over."""
        return self.kept(self.made(parts=parts, **other))

    def made(self, *, parts: tuple[str, ...] = (), **other: Any) -> Invitation:
        own, now = acquaint.own_keys(self.buyer), self.buyer.clock()
        wanted = tuple(
            Asked(request=new_id(), wanted=Wanted(period=YEAR, purpose="footprint", part=each))
            for each in parts
        )
        told: dict[str, Any] = {
            "format": invitation.FORMAT,
            "id": new_id(),
            "origin": self.buyer.origin,
            "name": "Buyer",
            "url": self.buyer.settings.url,
            "log_key": own.log.encode(),
            "request_key": own.request.encode(),
            "seal_key": own.seal.encode(),
            "inviter": "customer",
            "invited": "supplier",
            "created": period.text_at(now),
            "expires": period.text_at(now + 14 * DAY),
            "wanted": wanted,
        }
        return Invitation(**{**told, **other})

    def kept(self, made: Invitation, signer: Any = None) -> str:
        note = invitation.sign(made, signer or self.buyer.keys.signer(Role.REQUEST))
        times = (invitation.seconds(made.created), invitation.seconds(made.expires))
        with self.buyer.database.write() as session:
            partners.put_invitation(
                session, Invited(id=made.id, note=note, created=times[0], expires=times[1])
            )
        return note

    def told(self) -> Accepted:
        """Return what the supplier has to tell the buyer."""
        with self.supplier.database.read() as session:
            only, *_ = outbox.waiting_for(session, self.buyer.origin, 10)
        found = event.decode(only.body)
        assert isinstance(found, Accepted)
        return found


@pytest.fixture
def pair(new_node: Callable[..., Node]) -> Pair:
    """Two nodes at which nobody listens, and witnesses of which nobody answers."""
    nodes = [new_node(f"n{index}.example", url=NOWHERE) for index in range(2)]
    lines = [f"log {each.log_key.encode()} {NOWHERE}/log" for each in nodes]
    for index in range(4):
        witness = SeedSigner(
            name=f"w{index}.example",
            algorithm=Algorithm.ED25519_COSIGNATURE,
            seed=bytes([index]) * 32,
        )
        lines.append(f"witness w{index} {witness.key.encode()} {NOWHERE}/witness")
    lines += ["group g 3 w0 w1 w2 w3", "quorum g", ""]
    for each in nodes:
        (each.settings.data / "policy.txt").write_text("\n".join(lines), encoding="utf-8")
    return Pair(buyer=nodes[0], supplier=nodes[1])


@pytest.fixture
def proven(network: list[Node]) -> Pair:
    """A pair of which both logs are published, so that each can be read."""
    for each in network[:2]:
        publish(each)
    return Pair(buyer=network[0], supplier=network[1])


def publish(node: Node) -> None:
    async def ask() -> bool:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            return (await witness(node, fetcher)).published

    assert asyncio.run(ask())


def accept(node: Node, text: str, **told: Any) -> Met:
    async def run() -> Met:
        policy = node.trust.policy()
        async with Fetcher(() if policy is None else hosts_of(policy)) as fetcher:
            return await book.accept(node, fetcher, text, **told)

    return asyncio.run(run())


def prove(node: Node, known: Partner) -> Partner:
    async def run() -> Partner:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            return await book.prove(node, fetcher, known)

    return asyncio.run(run())


def take(node: Node, told: Accepted, key: VerifierKey | None = None) -> Partner | None:
    with node.database.write() as session:
        return book.take_acceptance(node, session, told, key or VerifierKey.parse(told.request_key))


def ended(node: Node, origin: str) -> None:
    with node.database.write() as session:
        assert book.end(node, session, origin) is not None


def known(node: Node, origin: str) -> Partner | None:
    with node.database.read() as session:
        return partners.get(session, origin)


def is_believed(node: Node, vkey: str) -> bool:
    with node.database.read() as session:
        return partners.by_request_key(session, vkey) is not None


def invited_as(node: Node, name: str) -> Invited:
    with node.database.read() as session:
        found = partners.invitation(session, name)
    assert found is not None
    return found


def rows(node: Node) -> list[object]:
    """Return all that a node knows of partners, requests and events."""
    with node.database.read() as session:
        return [
            partners.every(session),
            partners.invitations(session),
            requests.chosen(session),
            outbox.newest(session),
        ]


def claim(origin: str, invited: str, *, seed: bytes = b"t", **other: Any) -> Accepted:
    """Accept an invitation in the name of `origin`, with keys that somebody made himself."""
    signer = SeedSigner(name=origin, algorithm=Algorithm.ED25519, seed=seed * 32)
    request = SeedSigner(name=origin, algorithm=Algorithm.ED25519, seed=seed * 31 + b"r")
    seal = VerifierKey(name=origin, algorithm=Algorithm.X25519, public=seed * 32)
    told: dict[str, Any] = {
        "id": new_id(),
        "at": "2026-01-01T00:00:00Z",
        "invitation": invited,
        "origin": origin,
        "name": "Somebody",
        "url": "https://somebody.example",
        "log_key": signer.key.encode(),
        "request_key": request.key.encode(),
        "seal_key": seal.encode(),
    }
    return Accepted(**{**told, **other})


def impostor(proven: Pair) -> tuple[Accepted, Partner]:
    """Accept in the supplier's name with keys that its log does not have; return both sides of it.

    The buyer has not read that log yet.
    """
    made = proven.made()
    proven.kept(made)
    real, url = acquaint.own_keys(proven.supplier), proven.supplier.settings.url
    attack = claim(proven.supplier.origin, made.id, log_key=real.log.encode(), url=url)
    taken = take(proven.buyer, attack)
    assert taken is not None
    return attack, taken


def later(node: Node, days: int) -> Node:
    return dataclasses.replace(node, clock=lambda: int(time.time()) + days * DAY)


def test_an_invitation_makes_partners_of_both_with_proven_keys_and_the_requests_in_it(
    proven: Pair,
) -> None:
    text = proven.invited(parts=("4711", "4712"))
    met = accept(proven.supplier, text)
    taken = take(proven.buyer, proven.told())

    assert met.why == ""
    assert met.wanted == 2
    assert met.partner.roles == {PartnerRole.CUSTOMER}
    assert met.partner.proven_at is not None
    assert taken is not None
    assert taken.roles == {PartnerRole.SUPPLIER}
    assert taken.request_key == acquaint.own_keys(proven.supplier).request.encode()
    with proven.supplier.database.read() as theirs, proven.buyer.database.read() as ours:
        incoming = requests.chosen(theirs, incoming=True)
        outgoing = requests.chosen(ours, incoming=False)
    assert {each.part for each in incoming} == {"4711", "4712"}
    assert {each.id for each in incoming} == {each.id for each in outgoing}


def test_whoever_accepted_is_proven_once_the_log_is_read(proven: Pair) -> None:
    accept(proven.supplier, proven.invited())
    taken = take(proven.buyer, proven.told())

    assert taken is not None
    assert taken.proven_at is None
    assert prove(proven.buyer, taken).proven_at is not None


def test_keys_of_a_log_that_nobody_cosigned_are_not_proven_yet(pair: Pair) -> None:
    met = accept(pair.supplier, pair.invited())

    assert met.why
    assert met.partner.proven_at is None
    assert is_believed(pair.supplier, met.partner.request_key)


def test_the_same_invitation_accepted_twice_changes_nothing(pair: Pair) -> None:
    text = pair.invited(parts=("4711",))
    accept(pair.supplier, text)
    before = rows(pair.supplier)
    again = accept(pair.supplier, text)

    assert again.is_known
    assert rows(pair.supplier) == before


def test_the_same_acceptance_taken_twice_changes_nothing(pair: Pair) -> None:
    accept(pair.supplier, pair.invited(parts=("4711",)))
    told = pair.told()
    take(pair.buyer, told)
    before = rows(pair.buyer)

    assert take(pair.buyer, told) == known(pair.buyer, pair.supplier.origin)
    assert rows(pair.buyer) == before


def test_an_invitation_reused_by_somebody_else_is_answered_like_one_that_never_was(
    pair: Pair,
) -> None:
    accept(pair.supplier, pair.invited())
    told = pair.told()
    take(pair.buyer, told)
    before = rows(pair.buyer)

    with pytest.raises(RefusedError) as reused:
        take(pair.buyer, claim("thief.example", told.invitation))
    with pytest.raises(RefusedError) as never:
        take(pair.buyer, claim("thief.example", "0" * 32))
    assert str(reused.value) == str(never.value)
    assert rows(pair.buyer) == before


def test_expired_withdrawn_and_somebody_elses_invitations_are_answered_alike(pair: Pair) -> None:
    expired, withdrawn, meant = pair.made(), pair.made(), pair.made(recipient="anode.example")
    for each in (expired, withdrawn, meant):
        pair.kept(each)
    with pair.buyer.database.write() as session:
        book.withdraw(session, invited_as(pair.buyer, withdrawn.id))
    said = set()
    for node, each in (
        (later(pair.buyer, 15), expired),
        (pair.buyer, withdrawn),
        (pair.buyer, meant),
        (pair.buyer, pair.made()),  # one that was never kept
    ):
        with pytest.raises(RefusedError) as error:
            take(node, claim("cathode.example", each.id))
        said.add(str(error.value))

    assert len(said) == 1
    assert known(pair.buyer, "cathode.example") is None


def test_an_expired_invitation_is_not_accepted(pair: Pair) -> None:
    with pytest.raises(RefusedError, match="expired"):
        accept(later(pair.supplier, 15), pair.invited())


def test_an_invitation_for_somebody_else_is_not_accepted(pair: Pair) -> None:
    with pytest.raises(RefusedError, match=r"for anode\.example, and this node is n1\.example"):
        accept(pair.supplier, pair.invited(recipient="anode.example"))


def test_an_own_invitation_is_not_accepted(pair: Pair) -> None:
    with pytest.raises(RefusedError, match="this node itself"):
        accept(pair.buyer, pair.invited())


def test_an_acceptance_signed_by_another_key_than_it_names_is_refused(pair: Pair) -> None:
    made = pair.made()
    pair.kept(made)
    thief = claim("thief.example", made.id, seed=b"x")

    with pytest.raises(MalformedError, match="signed by"):
        take(
            pair.buyer,
            claim("cathode.example", made.id),
            VerifierKey.parse(thief.request_key),
        )


@pytest.mark.parametrize("name", ["log_key", "request_key", "seal_key"])
def test_an_acceptance_with_a_key_of_another_name_is_refused(pair: Pair, name: str) -> None:
    made = pair.made()
    pair.kept(made)
    other = getattr(claim("other.example", made.id), name)

    with pytest.raises(MalformedError, match=r"is not named cathode\.example"):
        take(pair.buyer, claim("cathode.example", made.id, **{name: other}))


def test_the_origin_of_a_partner_is_not_taken_over_by_accepting_an_invitation(
    pair: Pair,
) -> None:
    accept(pair.supplier, pair.invited())
    take(pair.buyer, pair.told())
    before = known(pair.buyer, pair.supplier.origin)
    second = pair.made(parts=("4711",))
    pair.kept(second)
    attack = claim(pair.supplier.origin, second.id)

    assert take(pair.buyer, attack) is None  # as quietly as if it had been taken
    assert known(pair.buyer, pair.supplier.origin) == before
    assert not is_believed(pair.buyer, attack.request_key)
    used = invited_as(pair.buyer, second.id)
    assert used.used_by == attack.request_key
    assert attack.request_key in used.told
    with pair.buyer.database.read() as session:
        assert requests.chosen(session) == []


def test_whoever_holds_an_invitation_does_not_learn_who_else_is_a_partner(pair: Pair) -> None:
    accept(pair.supplier, pair.invited())
    take(pair.buyer, pair.told())
    results = []
    for origin in (pair.supplier.origin, "nobody.example"):
        made = pair.made()
        pair.kept(made)
        told = claim(origin, made.id)
        caller = Caller(kind=Kind.STRANGER, key=VerifierKey.parse(told.request_key))
        body = event.encode(told)
        # The second time, it came before.
        results += [inlet.take(pair.buyer, caller, body).result for _ in range(2)]

    assert results[:2] == results[2:]


def test_whoever_claims_an_origin_of_the_policy_with_another_log_key_is_not_believed(
    pair: Pair,
) -> None:
    made = pair.made()
    pair.kept(made)
    attack = claim(pair.supplier.origin, made.id)
    taken = take(pair.buyer, attack)

    assert taken is not None
    assert "policy" in taken.refused
    assert not is_believed(pair.buyer, attack.request_key)


def test_whoever_was_refused_takes_no_place_from_the_true_owner_once_it_is_ended(
    proven: Pair,
) -> None:
    made = proven.made()
    proven.kept(made)
    take(proven.buyer, claim(proven.supplier.origin, made.id))
    ended(proven.buyer, proven.supplier.origin)
    accept(proven.supplier, proven.invited())
    taken = take(proven.buyer, proven.told())

    assert taken is not None
    assert not taken.refused
    assert prove(proven.buyer, taken).proven_at is not None


def test_a_claimed_origin_whose_log_has_other_keys_is_refused_once_it_is_read(
    proven: Pair,
) -> None:
    attack, taken = impostor(proven)
    assert is_believed(proven.buyer, attack.request_key)
    refused = prove(proven.buyer, taken)

    assert acquaint.own_keys(proven.supplier).request.label in refused.refused
    assert VerifierKey.parse(attack.request_key).label in refused.refused
    assert not is_believed(proven.buyer, attack.request_key)


def test_an_invitation_whose_keys_the_log_contradicts_is_refused_naming_both(
    proven: Pair,
) -> None:
    thief = SeedSigner(name=proven.buyer.origin, algorithm=Algorithm.ED25519, seed=b"t" * 32)
    forged = invitation.sign(proven.made(request_key=thief.key.encode()), thief)

    with pytest.raises(RefusedError) as error:
        accept(proven.supplier, forged)
    assert thief.key.label in str(error.value)
    assert acquaint.own_keys(proven.buyer).request.label in str(error.value)
    assert known(proven.supplier, proven.buyer.origin) is None


def test_an_invitation_with_another_log_key_than_the_policy_is_refused(pair: Pair) -> None:
    thief = SeedSigner(name=pair.buyer.origin, algorithm=Algorithm.ED25519, seed=b"t" * 32)
    forged = pair.made(log_key=thief.key.encode(), request_key=thief.key.encode())

    with pytest.raises(RefusedError, match="the policy says"):
        accept(pair.supplier, invitation.sign(forged, thief))


def test_a_partner_that_invites_with_new_keys_keeps_the_old_ones_unless_the_operator_says_so(
    pair: Pair,
) -> None:
    accept(pair.supplier, pair.invited())
    new = SeedSigner(name=pair.buyer.origin, algorithm=Algorithm.ED25519, seed=b"n" * 32)
    text = invitation.sign(pair.made(request_key=new.key.encode()), new)
    before = known(pair.supplier, pair.buyer.origin)

    with pytest.raises(RefusedError, match="--new-keys"):
        accept(pair.supplier, text)
    assert known(pair.supplier, pair.buyer.origin) == before
    assert accept(pair.supplier, text, new_keys=True).partner.request_key == new.key.encode()


def test_a_request_key_that_the_log_has_added_takes_the_place_of_the_one_before(
    proven: Pair,
) -> None:
    accept(proven.supplier, proven.invited())
    before = known(proven.supplier, proven.buyer.origin)
    assert before is not None
    proven.buyer.clearance.grant(0)
    keys.rotate(proven.buyer, Role.REQUEST, PASSPHRASE)
    rotated = Node.open(proven.buyer.settings, PASSPHRASE)
    try:
        publish(rotated)
        after = prove(proven.supplier, before)
    finally:
        rotated.close()

    assert after.request_key == rotated.keystore.record(Role.REQUEST).key.encode()
    assert after.request_key != before.request_key
    assert not is_believed(proven.supplier, before.request_key)


def test_attack_a_request_key_that_the_log_of_a_partner_has_retired_is_used_on(
    proven: Pair,
) -> None:
    accept(proven.supplier, proven.invited())
    before = known(proven.supplier, proven.buyer.origin)
    assert before is not None
    with proven.supplier.database.write() as session:
        grants.put(session, Grant(partner=before.origin, scope=Scope.ALL, about="", given=0))
    index = proven.buyer.keystore.record(Role.REQUEST).index
    with proven.buyer.database.write() as session:
        log.append(session, [f"bcca/v1 key retire {index}"])
        log.sign(session, proven.buyer.keys.log_signers)
    publish(proven.buyer)
    without = prove(proven.supplier, before)

    assert "none of its request keys is good" in without.refused
    assert not is_believed(proven.supplier, before.request_key)
    assert acquaint.is_to_be_proven(without, 0)  # it may have a new one tomorrow
    with proven.supplier.database.read() as session:
        assert len(grants.of(session, before.origin)) == 1  # it is the same log, and the same owner


def test_attack_whoever_was_never_proven_and_is_contradicted_keeps_what_was_granted(
    proven: Pair,
) -> None:
    _, taken = impostor(proven)
    with proven.buyer.database.write() as session:
        grants.put(session, Grant(partner=taken.origin, scope=Scope.ALL, about="", given=0))
    refused = prove(proven.buyer, taken)

    assert "taken back: grants 1" in refused.refused
    with proven.buyer.database.read() as session:
        assert grants.of(session, taken.origin) == []


def test_an_auditor_with_a_new_request_key_stays_appointed_and_suppliers_are_told(
    pair: Pair,
) -> None:
    accept(pair.supplier, pair.invited(inviter="auditor", invited="customer"))
    auditor = known(pair.supplier, pair.buyer.origin)
    assert auditor is not None
    other = dataclasses.replace(
        auditor, origin="tier2.example", roles=frozenset({PartnerRole.SUPPLIER})
    )
    rekeyed = dataclasses.replace(auditor, request_key="another")
    with pair.supplier.database.write() as session:
        partners.put(session, other)
    auditors.appoint(pair.supplier, auditor, product="urn:bcca:case:t:P1")
    with pair.supplier.database.write() as session:
        auditors.follow(pair.supplier, session, rekeyed)
        (appointed,) = grants.appointments(session, pair.supplier.origin)
        told = [event.decode(e.body) for e in outbox.waiting_for(session, other.origin, 10)]

    assert appointed.request_key == "another"
    assert [getattr(each, "request_key", None) for each in told] == [auditor.request_key, "another"]


def test_who_was_proven_keeps_its_keys_while_its_log_is_away(proven: Pair) -> None:
    accept(proven.supplier, proven.invited())
    before = known(proven.supplier, proven.buyer.origin)
    assert before is not None
    (proven.supplier.settings.data / "policy.txt").unlink()

    async def look() -> Partner:
        async with Fetcher() as fetcher:
            return await book.prove(proven.supplier, fetcher, before)

    assert asyncio.run(look()) == before


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1:8000",
        "http://169.254.169.254",
        "http://[::1]:8000",
        "http://192.168.1.1",
        "http://[::ffff:10.0.0.1]",
    ],
)
def test_an_invitation_to_a_private_address_is_refused_and_nothing_is_asked(
    pair: Pair, url: str
) -> None:
    with pytest.raises(RefusedError, match="private address"):
        accept(pair.supplier, pair.invited(url=url))
    assert known(pair.supplier, pair.buyer.origin) is None


@pytest.mark.parametrize("url", ["ftp://x.example", "https://x.example/?to=", "https://x.example/"])
def test_an_acceptance_from_a_url_that_is_no_nodes_is_refused(pair: Pair, url: str) -> None:
    made = pair.made()
    pair.kept(made)

    with pytest.raises(MalformedError):
        take(pair.buyer, claim("cathode.example", made.id, url=url))


@pytest.mark.parametrize("name", ["Cathode\x1b[2J", "Cathode\u202e", "Cathode\x7f", "a\x9bm"])
def test_a_name_that_a_terminal_would_obey_is_no_event(name: str) -> None:
    attack = claim("cathode.example", "0" * 32, name=name)

    with pytest.raises(MalformedError):
        event.decode(msgspec.json.encode(attack, order="sorted"))


def test_a_mistyped_identifier_is_refused_with_the_one_that_fits(pair: Pair) -> None:
    with pytest.raises(MalformedError, match="should be 63"):
        accept(pair.supplier, pair.invited(ids=("urn:lei:506700GE1G29325QX364",)))


def test_how_an_identifier_was_checked_stays_known_when_the_partner_invites_again(
    pair: Pair,
) -> None:
    name = "urn:lei:506700GE1G29325QX363"
    met = accept(pair.supplier, pair.invited(ids=(name,)))
    book.assure(pair.supplier, met.partner, name, "register, 2026")
    again = accept(pair.supplier, pair.invited(ids=(name,)))

    assert again.partner.ids == ((name, "register, 2026"),)


def test_who_is_partner_no_more_is_granted_nothing(pair: Pair) -> None:
    met = accept(pair.supplier, pair.invited())
    with pair.supplier.database.write() as session:
        grants.put(session, Grant(partner=met.partner.origin, scope=Scope.ALL, about="", given=0))
    ended(pair.supplier, met.partner.origin)

    assert known(pair.supplier, met.partner.origin) is None
    with pair.supplier.database.read() as session:
        assert grants.of(session, met.partner.origin) == []


def test_a_customer_that_is_a_supplier_too_has_both_roles(pair: Pair) -> None:
    accept(pair.supplier, pair.invited())
    again = accept(pair.supplier, pair.invited(inviter="supplier", invited="customer"))

    assert again.partner.roles == {PartnerRole.CUSTOMER, PartnerRole.SUPPLIER}


@pytest.fixture
def ask_page(ask: Callable[..., Any]) -> Callable[[Node, str], Any]:
    return lambda node, name: ask(node, f"/invitations/{name}")


def test_only_an_open_invitation_is_shown_and_all_others_answer_alike(
    pair: Pair, ask_page: Callable[[Node, str], Any]
) -> None:
    made, used, expired, withdrawn = (pair.made() for _ in range(4))
    note = pair.kept(made)
    for each in (used, expired, withdrawn):
        pair.kept(each)
    take(pair.buyer, claim("cathode.example", used.id))
    with pair.buyer.database.write() as session:
        book.withdraw(session, invited_as(pair.buyer, withdrawn.id))
        old = dataclasses.replace(invited_as(pair.buyer, expired.id), expires=1)
        partners.put_invitation(session, old)
    shown = ask_page(pair.buyer, made.id)
    hidden = [
        ask_page(pair.buyer, name)
        for name in (used.id, expired.id, withdrawn.id, "0" * 32, "x", "%00", made.id.upper())
    ]

    assert shown.text == note
    assert shown.headers["cache-control"] == "no-store"
    assert len({(each.status_code, each.content, str(each.headers)) for each in hidden}) == 1
    assert hidden[0].status_code == 404
