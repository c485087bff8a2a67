"""From bytes to facts: what is believed, what becomes of it, and how a refusal is worded."""

import hashlib
import re
from dataclasses import replace
from itertools import permutations
from typing import Any

import msgspec
import pytest

from bcca_protocol import envelope, issue, statement, verify
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import KeyAdd, KeyRetire, Status, StatusEntry, status_handle
from bcca_protocol.envelope import Envelope, pae
from bcca_protocol.errors import (
    AuthorshipError,
    MalformedError,
    ProofError,
    QuorumError,
    RefusedError,
    SignatureError,
    StatementError,
    UnitError,
)
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.history import History
from bcca_protocol.inventory import Amount
from bcca_protocol.keys import Role
from bcca_protocol.partial import Part
from bcca_protocol.policy import VerifiedCheckpoint, verify_checkpoint
from bcca_protocol.rollup import Opinion, RollUp
from bcca_protocol.statement import Independence
from bcca_protocol.verify import (
    PAYLOAD_TYPE,
    Signed,
    Verified,
    VerifiedLog,
    verify_all_in_bulk,
    verify_alone,
    verify_in_bulk,
    verify_log,
    verify_signed,
)
from bcca_protocol.wire import unb64

CELL = "cell.example"


@pytest.fixture
def maker(chain: Any) -> Any:
    """A maker of cells with three statements of three kinds: entries 3, 4 and 5 of its log."""
    chain.sells("cell", "2")
    company = chain.company(CELL)
    chain.publish(chain.rolled_up("cell"))
    company.enter_envelope(issue.issue(opinion_of(company), company.statement_key, b"secret"))
    return company


def opinion_of(company: Any) -> statement.Opinion:
    """Return what a company might conclude about its first statement."""
    about = predicate_of(company.envelopes[0])
    return statement.Opinion(
        issuer=company.origin, nonce=issue.UNSET_NONCE, product=about.product,
        producer=about.producer, period=about.period, sharing="public",
        about=(commitment_of(company.envelopes[0]),), criteria=("ISO 14064-3",), scope="cells",
        covers="own", level="limited", conclusion="unmodified", materiality_percent="5",
        findings=(), expires="2027-01-01T00:00:00Z",
        independence=Independence(statement="none claimed", affiliations=()),
    )  # fmt: skip


def predicate_of(data: bytes) -> Any:
    return statement.decode(Envelope.parse(data).payload).predicate


def commitment_of(data: bytes) -> str:
    found = Envelope.parse(data)
    return hashlib.sha256(pae(found.payload_type, found.payload)).hexdigest()


def became(data: bytes, status: Status) -> str:
    """Return the entry that says what became of a statement."""
    nonce = unb64(predicate_of(data).nonce, "nonce")
    handle = status_handle(nonce, bytes.fromhex(commitment_of(data)))
    return StatusEntry(handle=handle, status=status, successor=None).encode()


def checked_alone(chain: Any, company: Any, index: int, data: bytes) -> Signed[Any]:
    return verify_alone(data, company.proof(index), chain.head(company), chain.log(company))


# What is believed


def test_each_kind_of_statement_becomes_its_kind_of_fact(chain: Any, maker: Any) -> None:
    log = chain.log(maker)
    for kind, data in zip((Part, RollUp, Opinion), maker.envelopes, strict=True):
        fact = verify_in_bulk(data, log).fact

        assert type(fact) is kind
        assert (fact.commitment, fact.issuer) == (commitment_of(data), CELL)
        assert fact.product == "urn:test:cell"


def test_all_three_ways_find_the_same_and_only_two_of_them_checked_the_signature(
    chain: Any, maker: Any
) -> None:
    log = chain.log(maker)
    for index, data in enumerate(maker.envelopes, 3):
        bulk = verify_in_bulk(data, log)
        signed, alone = verify_signed(data, log), checked_alone(chain, maker, index, data)
        for other in (signed, alone):
            for name in Verified.__slots__:
                assert getattr(other, name) == getattr(bulk, name)

        assert [type(each) for each in (bulk, signed, alone)] == [Verified, Signed, Signed]
        assert bulk.index == index


def test_many_are_found_in_their_order_and_a_lie_at_any_place_is_named(
    chain: Any, maker: Any
) -> None:
    for number in range(70):  # more than two blocks of 32
        chain.sells(f"part{number}", "1", by=CELL)
    log = chain.log(maker)
    found = list(verify_all_in_bulk(iter(maker.envelopes), log))

    assert [each.index for each in found] == list(range(3, 76))
    assert {type(each) for each in found} == {Verified}
    for place in range(73):
        lie = maker.envelopes[place].replace(b'"sig":"', b'"sig":"AAAA')
        shown = [*maker.envelopes[:place], lie, *maker.envelopes[place + 1 :]]
        seen: list[int] = []
        with pytest.raises(SignatureError, match=commitment_of(lie)):
            seen.extend(each.index for each in verify_all_in_bulk(shown, log))

        assert seen == list(range(3, 3 + place // 32 * 32))


def test_what_a_fact_is_about_is_told_by_its_kind(chain: Any, maker: Any) -> None:
    log = chain.log(maker)
    parts = [verify.is_part(verify_in_bulk(data, log)) for data in maker.envelopes]
    signed = [verify.is_signed_part(verify_signed(data, log)) for data in maker.envelopes]

    assert parts == signed == [True, False, False]


def test_a_proof_holds_against_every_tree_that_has_the_entry(chain: Any, maker: Any) -> None:
    for name in ("foil", "can", "lid", "vent"):
        chain.sells(name, "1", by=CELL)
    key = maker.log_key.key
    log = chain.log(maker)
    for index, data in enumerate(maker.envelopes, 3):
        for size in range(index + 1, len(maker.lines) + 1):
            head = verify_checkpoint(maker.note(size).encode(), key, chain.policy)

            found = verify_alone(data, maker.proof(index, size), head, log)

            assert (found.index, found.fact.commitment) == (index, commitment_of(data))


def test_a_log_read_up_to_the_entry_is_enough(chain: Any, maker: Any) -> None:
    key = maker.log_key.key
    newest = chain.head(maker)
    for index, data in enumerate(maker.envelopes, 3):
        for size in range(1, len(maker.lines) + 1):
            head = verify_checkpoint(maker.note(size).encode(), key, chain.policy)
            log = verify_log(head, maker.lines[:size])
            if index < size:
                assert verify_alone(data, maker.proof(index), newest, log).index == index
            else:
                with pytest.raises(AuthorshipError, match=f"among its {size} entries"):
                    verify_alone(data, maker.proof(index), newest, log)


def test_a_log_is_its_head_and_its_history(chain: Any, maker: Any) -> None:
    head = chain.head(maker)
    log = verify_log(head, maker.lines)

    assert (log.origin, log.head, log.introduced) == (CELL, head, False)
    assert log.history == History.read(CELL, maker.log_key.key, maker.lines)
    assert log.log_keys == {maker.log_key.key.encode()}


def test_a_log_whose_key_changed_is_known_by_both_keys(chain: Any, maker: Any, signs: Any) -> None:
    first = maker.log_key
    maker.log_key = signs(CELL, "second log")
    maker.enter(KeyAdd(role=Role.LOG, key=maker.log_key.key).encode())
    maker.enter(KeyRetire(add=1).encode())
    (part, *_) = maker.envelopes
    found = verify_in_bulk(part, chain.log(maker))

    assert found.log_keys == {first.key.encode(), maker.log_key.key.encode()}
    assert found.is_current


def test_a_statement_signed_before_its_key_was_retired_stays_good(
    chain: Any, maker: Any, signs: Any
) -> None:
    second = signs(CELL, "second statement")
    added = maker.enter(KeyAdd(role=Role.STATEMENT, key=second.key).encode())
    maker.enter(KeyRetire(add=2).encode())
    payload = Envelope.parse(maker.envelopes[0]).payload.replace(b'"fossil":"2"', b'"fossil":"1"')
    anew = maker.enter_envelope(envelope.sign(PAYLOAD_TYPE, payload, second), added)
    log = chain.log(maker)

    assert [verify_signed(data, log).index for data in (maker.envelopes[0], anew)] == [3, 8]


def test_introduction_is_passed_on_to_every_fact(chain: Any, maker: Any) -> None:
    head = chain.head(maker)
    known, introduced = (verify_log(head, maker.lines, introduced=each) for each in (False, True))
    for data in maker.envelopes:
        assert not verify_in_bulk(data, known).introduced
        assert verify_in_bulk(data, introduced).introduced
        assert verify_signed(data, introduced).introduced
        assert verify_in_bulk(data, introduced).is_current


# What becomes of it


CURRENT = {None: True, Status.SUPERSEDED: True, Status.CORRECTED: False, Status.REVOKED: False}


@pytest.mark.parametrize(("status", "is_current"), CURRENT.items())
def test_a_statement_is_current_unless_it_was_corrected_or_revoked(
    chain: Any, maker: Any, status: Status | None, is_current: bool
) -> None:
    data = maker.envelopes[0]
    if status is not None:
        maker.enter(became(data, status))
    log = chain.log(maker)
    for found in (
        verify_in_bulk(data, log), verify_signed(data, log), checked_alone(chain, maker, 3, data)
    ):  # fmt: skip
        assert (found.status, found.is_current) == (status, is_current)
    others = [verify_in_bulk(each, log) for each in maker.envelopes[1:]]
    assert [(each.status, each.is_current) for each in others] == [(None, True)] * 2


@pytest.mark.parametrize("order", list(permutations(Status)))
def test_the_strongest_status_stays_in_whatever_order_they_are_entered(
    chain: Any, maker: Any, order: tuple[Status, ...]
) -> None:
    seen: list[Status] = []
    for status in order:
        maker.enter(became(maker.envelopes[0], status))
        seen.append(status)
        strongest = min(seen, key=list(Status).index)

        assert verify_in_bulk(maker.envelopes[0], chain.log(maker)).status is strongest


def test_a_status_entered_before_its_statement_counts(chain: Any, maker: Any) -> None:
    company = chain.company("early.example")
    predicate = msgspec.structs.replace(opinion_of(maker), issuer=company.origin)
    data = issue.issue(predicate, company.statement_key, b"its secret")
    company.enter(became(data.encode(), Status.REVOKED))

    found = verify_in_bulk(company.enter_envelope(data), chain.log(company))

    assert (found.index, found.status) == (4, Status.REVOKED)


def test_a_status_in_somebody_elses_log_says_nothing(chain: Any, maker: Any) -> None:
    other = chain.company("other.example")
    other.enter(became(maker.envelopes[0], Status.REVOKED))

    assert verify_in_bulk(maker.envelopes[0], chain.log(maker)).is_current


BROKEN = [
    "",
    "bcca/v2 whatever",
    "bcca/v1 key retire 9",
    "bcca/v1 genesis " + "A" * 43 + "=",
    "\xff",
]


@pytest.mark.parametrize("line", BROKEN)
def test_of_a_broken_log_what_stands_before_the_break_is_known_and_nothing_is_current(
    chain: Any, maker: Any, line: str
) -> None:
    before = maker.envelopes[0]
    maker.enter(became(maker.envelopes[1], Status.SUPERSEDED))
    maker.enter(line)
    maker.enter(became(before, Status.REVOKED))
    log = chain.log(maker)
    found = [verify_in_bulk(data, log) for data in maker.envelopes]

    assert log.history.broken == 7
    assert [each.index for each in found] == [3, 4, 5]
    assert [each.status for each in found] == [None, Status.SUPERSEDED, None]
    assert not any(each.is_current for each in found)


# Who makes facts


def test_a_verified_statement_is_not_made_by_hand(chain: Any, maker: Any) -> None:
    log = chain.log(maker)
    fact = verify_in_bulk(maker.envelopes[0], log).fact
    for kind in (Verified, Signed):
        for impostor in (None, object(), VerifiedLog, verify, "maker"):
            with pytest.raises(TypeError, match=r"facts are made by bcca_protocol\.verify alone"):
                kind(impostor, fact, index=3, nonce="A" * 22 + "==", log=log)


def test_a_verified_log_is_not_made_by_hand(chain: Any, maker: Any) -> None:
    log = chain.log(maker)
    with pytest.raises(TypeError, match=r"made by bcca_protocol\.readlog alone"):
        VerifiedLog(object(), log.head, log.history, introduced=False)


def test_a_verified_checkpoint_is_not_made_by_hand(chain: Any, maker: Any) -> None:
    head = chain.head(maker)
    lie = Checkpoint(origin=CELL, size=1, root=bytes(32))
    with pytest.raises(TypeError, match="made by verify_checkpoint alone"):
        VerifiedCheckpoint(
            maker=object(), checkpoint=lie, note=head.note, key=head.key, time=head.time,
            witnesses=head.witnesses,
        )  # fmt: skip
    with pytest.raises(ValueError, match="maker"):
        replace(head, checkpoint=lie)


def test_a_fact_is_not_changed_afterwards(chain: Any, maker: Any) -> None:
    found = verify_in_bulk(maker.envelopes[0], chain.log(maker))
    with pytest.raises(AttributeError):
        found.fact.product = "urn:test:gold"  # type: ignore[misc]  # that is the point
    with pytest.raises(AttributeError):
        found.anything = True  # type: ignore[attr-defined]  # that is the point
    with pytest.raises(AttributeError):
        chain.head(maker).time = 0


# How a refusal is worded: what was refused, at which step, and the two things that differ


def sentence(kind: type[RefusedError], call: Any, *arguments: Any) -> str:
    with pytest.raises(kind) as refusal:
        call(*arguments)
    text = str(refusal.value)

    assert type(refusal.value) is kind
    assert isinstance(refusal.value.__cause__, Exception)
    assert text.isprintable()
    assert not text.endswith(".")
    return text


def test_a_refusal_says_the_statement_the_issuer_the_step_and_what_differs(
    chain: Any, maker: Any
) -> None:
    part = maker.envelopes[0]
    entry = commitment_of(part)
    found = Envelope.parse(part)
    (signature,) = found.signatures
    label = maker.statement_key.key.label
    spoilt = replace(found, signatures=(replace(signature, signature=bytes(64)),)).encode()
    renamed = replace(found, signatures=(replace(signature, keyid="else"),)).encode()
    not_entered = replace(found, payload=b"{}").encode()
    log = chain.log(maker)

    assert sentence(MalformedError, verify_in_bulk, b"{}", log) == (
        "statement ? of cell.example refused at step 1 (envelope): "
        "envelope: Object missing required field `payload`"
    )
    assert sentence(AuthorshipError, verify_in_bulk, not_entered, log) == (
        f"statement {commitment_of(not_entered)} of cell.example refused at step 3 (entry): "
        f"the log holds no entry for {commitment_of(not_entered)} among its 6 entries"
    )
    assert sentence(SignatureError, verify_in_bulk, renamed, log) == (
        f"statement {entry} of cell.example refused at step 4 (key): "
        f"signed as else, its entry names {label}"
    )
    assert sentence(SignatureError, verify_in_bulk, spoilt, log) == (
        f"statement {entry} of cell.example refused at step 4 (key): "
        f"the signature hashes to {hashlib.sha256(bytes(64)).hexdigest()}, "
        f"its entry has {hashlib.sha256(signature.signature).hexdigest()}"
    )
    head = chain.head(maker)
    assert sentence(ProofError, verify_alone, part, maker.proof(2), head, log) == (
        f"statement {entry} of cell.example refused at step 9 (inclusion): "
        "a proof for leaf 2, the entry is leaf 3"
    )


def entered(company: Any, payload: bytes) -> bytes:
    signed = envelope.sign(PAYLOAD_TYPE, payload, company.statement_key)
    data: bytes = company.enter_envelope(signed)
    return data


def test_a_refusal_of_the_payload_says_the_step_too(chain: Any, maker: Any) -> None:
    honest = Envelope.parse(maker.envelopes[0]).payload
    forms = {
        honest.replace(b'"gwp":"AR6"', b'"gwp":"AR9"'): (
            MalformedError, "5 (payload)",
            "statement: Invalid enum value 'AR9' - at `$.predicate.method.gwp`",
        ),
        honest.replace(b'"name":"urn:test:cell"', b'"name":"urn:test:gold"'): (
            StatementError, "6 (subject and issuer)",
            "subject urn:test:gold, product urn:test:cell",
        ),
        honest.replace(b'"issuer":"cell.example"', b'"issuer":"gold.example"'): (
            StatementError, "6 (subject and issuer)",
            "issued by gold.example, entered in the log of cell.example",
        ),
        honest.replace(b'"production":{"fossil":"2"}', b'"production":{"fossil":"1"}'): (
            StatementError, "7 (content)",
            "footprint production.fossil is written as 1, its own lines give 2",
        ),
    }  # fmt: skip
    lies = {entered(maker, payload): told for payload, told in forms.items()}
    log = chain.log(maker)
    for data, (kind, step, why) in lies.items():
        assert sentence(kind, verify_in_bulk, data, log) == (
            f"statement {commitment_of(data)} of cell.example refused at step {step}: {why}"
        )


def test_a_refusal_of_the_signature_says_whose_it_is_not(chain: Any, maker: Any) -> None:
    found = Envelope.parse(maker.envelopes[0])
    payload = found.payload.replace(b'"fossil":"2"', b'"fossil":"1"')
    data = maker.enter_envelope(replace(found, payload=payload))
    log = chain.log(maker)

    assert sentence(SignatureError, verify_signed, data, log) == (
        f"statement {commitment_of(data)} of cell.example refused at step 8 (signature): "
        f"not signed by {maker.statement_key.key.label}"
    )


def test_what_is_the_callers_fault_elsewhere_is_the_issuers_here(chain: Any, maker: Any) -> None:
    chain.sells(
        "can", "1", by=CELL, output=Amount("1", "piece"),
        footprint=Stages(production=Components(fossil="1")),
    )  # fmt: skip
    with pytest.raises(StatementError, match=r"step 7 \(content\): 1 piece \(count\)") as refusal:
        verify_in_bulk(maker.envelopes[-1], chain.log(maker))

    assert isinstance(refusal.value.__cause__, UnitError)


def test_a_refusal_of_a_log_says_whose_and_what_differs(chain: Any, maker: Any) -> None:
    head = chain.head(maker)
    root = head.checkpoint.root.hex()
    with pytest.raises(ProofError) as fewer:
        verify_log(head, maker.lines[:-1])
    with pytest.raises(ProofError) as others:
        verify_log(head, maker.lines[::-1])

    assert str(fewer.value) == "log cell.example: 5 entries, its checkpoint has 6"
    assert re.fullmatch(
        f"log cell.example: its entries hash to [0-9a-f]{{64}}, its checkpoint has {root}",
        str(others.value),
    )


def test_a_refusal_of_a_checkpoint_says_whose_the_step_and_what_differs(
    chain: Any, maker: Any, signs: Any, cosigns: Any
) -> None:
    note, key = maker.note(), maker.log_key.key
    witness = cosigns(3).key
    refused = "checkpoint of cell.example refused at step "

    def spoilt(name: str) -> str:
        lines = (
            replace(each, blob=each.blob[:8] + bytes(range(64))) if each.name == name else each
            for each in note.signatures
        )
        return str(replace(note, signatures=tuple(lines)).encode())

    def told(kind: type[RefusedError], text: str) -> str:
        return sentence(kind, verify_checkpoint, text, key, chain.policy)

    assert told(MalformedError, "").startswith(f"{refused}1 (note): note: no empty line")
    other = chain.company("other.example")
    assert told(SignatureError, other.note().encode()) == (
        f"{refused}2 (origin): checkpoint of 'other.example', not of {key.encode()!r}"
    )
    stranger = replace(note, signatures=note.signatures[1:]).encode()
    assert told(SignatureError, stranger) == (
        f"{refused}3 (log signature): note: signed by none of the 1 known keys: {key.label}"
    )
    assert told(SignatureError, spoilt(CELL)) == (
        f"{refused}3 (log signature): not signed by {key.label}"
    )
    assert told(SignatureError, spoilt(witness.name)) == (
        f"{refused}4 (cosignatures): not signed by {witness.label}"
    )
    assert told(QuorumError, maker.note(witnesses=(1, 3)).encode()) == (
        f"{refused}5 (quorum): size 6: cosigned by w1, w3, which is not the quorum all-five, "
        "k = 4 of n = 5"
    )
