"""Statements issued: the same inputs give the same bytes, and nobody else can guess them."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bcca_protocol import issue, statement, verify, wire
from bcca_protocol.entry import status_handle
from bcca_protocol.envelope import Envelope, pae
from bcca_protocol.inventory import Interval
from bcca_protocol.results import Rules
from bcca_protocol.statement import FootprintRollUp, Independence, Opinion, PartialFootprint
from bcca_protocol.wire import unb64

SECRET = b"s" * 32
Predicate = PartialFootprint | FootprintRollUp | Opinion


@pytest.fixture
def predicate(chain: Any) -> PartialFootprint:
    """A cell of 2 kg CO2e as its maker states it."""
    return made(chain, "2")


def made(chain: Any, kg: str) -> PartialFootprint:
    """Return the predicate of a cell of so many kg CO2e, not issued yet."""
    chain.sells("cell", kg)
    (payload,) = (Envelope.parse(each).payload for each in chain.company("cell.example").envelopes)
    chain.companies.clear()
    found = statement.decode(payload).predicate
    assert isinstance(found, PartialFootprint)
    return msgspec.structs.replace(found, nonce=issue.UNSET_NONCE)


def author(signs: Callable[..., Any]) -> Any:
    return signs("cell.example", "statement")


def commitment_of(envelope: Envelope) -> str:
    return hashlib.sha256(pae(envelope.payload_type, envelope.payload)).hexdigest()


def test_the_same_inputs_give_the_same_bytes(predicate: PartialFootprint, signs: Any) -> None:
    again = issue.issue(predicate, author(signs), SECRET)

    assert issue.issue(predicate, author(signs), SECRET) == again
    assert issue.issue(predicate, author(signs), SECRET).encode() == again.encode()


def test_the_nonce_is_the_beginning_of_a_mac_over_the_statement_without_it(
    predicate: PartialFootprint,
) -> None:
    bare = wire.encode(statement.of(msgspec.structs.replace(predicate, nonce="")))
    mac = hmac.new(SECRET, bare, hashlib.sha256).digest()

    assert b'"nonce":""' in bare
    assert unb64(issue.with_nonce(predicate, SECRET).nonce, "nonce", 16) == mac[:16]


def test_what_stands_in_place_of_the_nonce_does_not_count(predicate: PartialFootprint) -> None:
    once = issue.with_nonce(predicate, SECRET)
    drafts = [once, msgspec.structs.replace(predicate, nonce=wire.b64(b"x" * 16))]

    assert [issue.with_nonce(each, SECRET) for each in drafts] == [once, once]


def test_nothing_but_the_nonce_is_changed(predicate: PartialFootprint) -> None:
    issued = issue.with_nonce(predicate, SECRET)

    assert issued.nonce != predicate.nonce == issue.UNSET_NONCE
    assert msgspec.structs.replace(issued, nonce=predicate.nonce) == predicate


def test_another_secret_gives_another_nonce_and_another_commitment(
    predicate: PartialFootprint, signs: Any
) -> None:
    secrets = [bytes([n]) * 32 for n in range(100)]
    issued = [issue.issue(predicate, author(signs), secret) for secret in secrets]
    nonces = {statement.decode(each.payload).predicate.nonce for each in issued}

    assert len(nonces) == len(set(map(commitment_of, issued))) == 100


def test_another_number_gives_another_nonce(chain: Any) -> None:
    nonces = {issue.with_nonce(made(chain, str(kg)), SECRET).nonce for kg in range(100)}

    assert len(nonces) == 100


CHANGES: dict[str, dict[str, Any]] = {
    "the issuer": {"issuer": "other.example"},
    "the product": {"product": statement.Product(id="urn:test:other", name="cell")},
    "the product's name": {"product": statement.Product(id="urn:test:cell", name="Cell")},
    "the batch": {"batch": "1"},
    "the site": {"site": statement.Site(id="1")},
    "the sharing": {"sharing": "direct"},
    "the period": {
        "period": Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:01Z")
    },
    "what it corrects": {"corrects": "ab" * 32},
    "what it follows": {"follows": "ab" * 32},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_changed_changes_the_nonce(
    predicate: PartialFootprint, change: dict[str, Any]
) -> None:
    other = msgspec.structs.replace(predicate, **change)

    assert issue.with_nonce(other, SECRET).nonce != issue.with_nonce(predicate, SECRET).nonce


def test_who_guesses_the_number_does_not_find_the_public_commitment(chain: Any, signs: Any) -> None:
    public = commitment_of(issue.issue(made(chain, "2"), author(signs), SECRET))
    guesses = [made(chain, str(kg)) for kg in range(5)]
    without_nonce = {
        hashlib.sha256(pae(verify.PAYLOAD_TYPE, wire.encode(statement.of(each)))).hexdigest()
        for each in guesses
    }
    with_own_secret = {
        commitment_of(issue.issue(each, author(signs), secret))
        for each in guesses
        for secret in (b"", bytes(32), b"cell.example", author(signs).key.public)
    }

    assert public not in without_nonce | with_own_secret
    assert public in {commitment_of(issue.issue(each, author(signs), SECRET)) for each in guesses}


def test_who_does_not_hold_the_statement_does_not_find_its_status(
    predicate: PartialFootprint, signs: Any
) -> None:
    issued = issue.issue(predicate, author(signs), SECRET)
    commitment = bytes.fromhex(commitment_of(issued))
    nonce = unb64(statement.decode(issued.payload).predicate.nonce, "nonce")
    handles = {status_handle(guess * 16, commitment) for guess in (bytes([n]) for n in range(256))}

    assert status_handle(nonce, commitment) not in handles


def test_what_was_issued_is_believed(predicate: PartialFootprint, chain: Any) -> None:
    company = chain.company("cell.example")
    data = company.enter_envelope(issue.issue(predicate, company.statement_key, SECRET))
    found = verify.verify_signed(data, chain.log(company))

    assert found.fact.issuer == "cell.example"
    assert found.is_current


def test_every_kind_of_predicate_is_issued(
    predicate: PartialFootprint, chain: Any, signs: Any
) -> None:
    chain.sells("cell", "2")
    common = {
        name: getattr(predicate, name)
        for name in ("issuer", "nonce", "product", "producer", "period", "sharing")
    }
    opinion = Opinion(
        **common,
        about=("ab" * 32,), criteria=("ISO 14064-3",), scope="cells", covers="own",
        level="limited", conclusion="unmodified", materiality_percent="5", findings=(),
        expires="2027-01-01T00:00:00Z",
        independence=Independence(statement="no stake", affiliations=()),
    )  # fmt: skip
    rolled_up = msgspec.structs.replace(
        chain.rolled_up("cell"), rules=Rules(name="neutral", digest="ab" * 32)
    )
    issued: list[Predicate] = [
        statement.decode(issue.issue(each, author(signs), SECRET).payload).predicate
        for each in (predicate, opinion, rolled_up)
    ]

    assert [type(each) for each in issued] == [PartialFootprint, Opinion, FootprintRollUp]
    assert len({each.nonce for each in issued} | {issue.UNSET_NONCE}) == 4
