"""Invitations: signed once, altered never, and what links and fingerprints are worth."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bcca_node.ledger.node import Node
from bcca_node.partners import acquaint, invitation
from bcca_node.partners.event import Wanted
from bcca_node.partners.invitation import Asked, Invitation, Link
from bcca_protocol import note
from bcca_protocol.errors import (
    MalformedError,
    RefusedError,
    SignatureError,
    UnusableError,
)
from bcca_protocol.inventory import Interval
from bcca_protocol.keys import Algorithm, Role, SeedSigner, VerifierKey

ID = "0123456789abcdef" * 2
YEAR = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")
ALTERED: dict[str, Any] = {
    "id": "f" * 32,
    "origin": "thief.example",
    "name": "Thief",
    "url": "https://thief.example",
    "inviter": "supplier",
    "invited": "customer",
    "created": "2026-01-02T00:00:00Z",
    "expires": "2027-01-01T00:00:00Z",
    "ids": ["urn:lei:506700GE1G29325QX363"],
    "wanted": [],
    "for": "thief.example",
    "format": "bcca/v2 invitation",
}


@pytest.fixture
def made(node: Node) -> Invitation:
    keys = acquaint.own_keys(node)
    wanted = Wanted(period=YEAR, purpose="footprint", part="4711")
    return Invitation(
        format=invitation.FORMAT,
        id=ID,
        origin=node.origin,
        name="Cathode GmbH",
        url="https://cathode.example",
        log_key=keys.log.encode(),
        request_key=keys.request.encode(),
        seal_key=keys.seal.encode(),
        inviter="customer",
        invited="supplier",
        created="2026-01-01T00:00:00Z",
        expires="2026-01-15T00:00:00Z",
        wanted=(Asked(request="a" * 32, wanted=wanted),),
        recipient="anode.example",
    )


@pytest.fixture
def signed(node: Node, made: Invitation) -> str:
    return invitation.sign(made, node.keys.signer(Role.REQUEST))


def altered(signed: str, **fields: Any) -> str:
    """Change fields of a signed invitation, and leave everything else as it is."""
    text, rest = signed.split("\n", 1)
    told = {**msgspec.json.decode(text), **fields}
    return msgspec.json.encode(told, order="sorted").decode() + "\n" + rest


def content(made: Invitation) -> str:
    return msgspec.json.encode(made, order="sorted").decode() + "\n"


def test_what_is_signed_is_read_back(made: Invitation, signed: str) -> None:
    assert invitation.verify(signed) == made
    assert invitation.verify(signed, expected=invitation.link(made).fingerprint) == made


def test_an_invitation_altered_in_any_field_is_refused(signed: str) -> None:
    for name, value in ALTERED.items():
        with pytest.raises(RefusedError):
            invitation.verify(altered(signed, **{name: value}))


@pytest.mark.parametrize("name", ["logKey", "requestKey", "sealKey"])
def test_an_invitation_with_a_key_exchanged_is_refused(
    made: Invitation, signed: str, name: str
) -> None:
    own = VerifierKey.parse(msgspec.json.decode(signed.split("\n", 1)[0])[name])
    other = SeedSigner(name=made.origin, algorithm=Algorithm.ED25519, seed=b"t" * 32).key.public
    exchanged = VerifierKey(name=made.origin, algorithm=own.algorithm, public=other)

    with pytest.raises(SignatureError):
        invitation.verify(altered(signed, **{name: exchanged.encode()}))


def test_an_invitation_signed_anew_by_somebody_else_is_refused(made: Invitation) -> None:
    thief = SeedSigner(name=made.origin, algorithm=made.keys.request.algorithm, seed=b"t" * 32)

    with pytest.raises(UnusableError, match="signed by none"):
        invitation.sign(made, thief)
    with pytest.raises(SignatureError):
        invitation.verify(note.sign(content(made), [thief]).encode())


def test_a_link_with_another_fingerprint_is_refused(made: Invitation, signed: str) -> None:
    with pytest.raises(MalformedError, match="over another way"):
        invitation.verify(signed, expected="0" * 32)


def test_whoever_exchanges_all_keys_is_found_by_the_fingerprint_of_the_link(
    made: Invitation, new_node: Callable[..., Node], signed: str
) -> None:
    thief = new_node("thief.example")
    keys = acquaint.own_keys(thief)
    theirs = msgspec.structs.replace(
        made,
        origin="thief.example",
        log_key=keys.log.encode(),
        request_key=keys.request.encode(),
        seal_key=keys.seal.encode(),
    )
    forged = invitation.sign(theirs, thief.keys.signer(Role.REQUEST))

    assert invitation.verify(forged) == theirs  # on its own it holds: it is the thief's
    with pytest.raises(MalformedError, match="fingerprint"):
        invitation.verify(forged, expected=invitation.link(made).fingerprint)


def test_a_second_signature_is_refused(made: Invitation, node: Node) -> None:
    signer = node.keys.signer(Role.REQUEST)

    with pytest.raises(MalformedError, match="more than one signature"):
        invitation.verify(note.sign(content(made), [signer, signer]).encode())


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ftp://cathode.example"},
        {"url": "https://cathode.example/"},
        {"url": "https://cathode.example?x="},
        {"url": "https://cathode.example#x"},
        {"url": "https://user:word@cathode.example"},
        {"name": "Cathode\u001b[2J"},
        {"name": "Cathode\u202eHbmG"},
        {"expires": "2025-12-31T00:00:00Z"},
        {"created": "2026-02-30T00:00:00Z"},
        {"recipient": "UPPER.example"},
        {"id": "short"},
    ],
)
def test_what_nobody_could_accept_is_not_signed(
    made: Invitation, node: Node, fields: dict[str, Any]
) -> None:
    with pytest.raises(UnusableError):
        invitation.sign(msgspec.structs.replace(made, **fields), node.keys.signer(Role.REQUEST))


def test_two_parts_under_one_request_are_refused(made: Invitation, node: Node) -> None:
    doubled = msgspec.structs.replace(made, wanted=made.wanted * 2)

    with pytest.raises(UnusableError, match="one id"):
        invitation.sign(doubled, node.keys.signer(Role.REQUEST))


def test_every_cut_of_an_invitation_is_refused(signed: str) -> None:
    for end in range(len(signed)):
        with pytest.raises(RefusedError):
            invitation.verify(signed[:end])


def test_a_link_is_read_as_it_is_written(made: Invitation) -> None:
    link = invitation.link(made)

    assert Link.parse(str(link)) == link
    assert re.fullmatch(r"https://cathode\.example/invitations/[0-9a-f]{32}", link.page)


@pytest.mark.parametrize(
    "text",
    [
        "https://cathode.example/invitations/" + ID,
        "https://cathode.example/invitations/" + ID + "#",
        "https://cathode.example/invitations/" + ID + "#" + "0" * 31,
        "https://cathode.example/invitations/" + ID[1:] + "#" + "0" * 32,
        "https://cathode.example/?x=/invitations/" + ID + "#" + "0" * 32,
    ],
)
def test_a_link_that_was_cut_is_named(text: str) -> None:
    with pytest.raises(UnusableError, match="copy all of it"):
        Link.parse(text)
