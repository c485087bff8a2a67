"""One liar in the network: every attack in both ways of checking, alone and in bulk.

A refusal names the statement, the step of SPEC 6.3 or 6.4, and the two things that differ.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import pytest

from bcca_protocol import checkpoint, envelope, merkle
from bcca_protocol.aggregate import aggregate
from bcca_protocol.entry import (
    KeyAdd,
    KeyCompromised,
    KeyRetire,
    StatementEntry,
    Status,
    StatusEntry,
    compromised_message,
    status_handle,
)
from bcca_protocol.envelope import Envelope, EnvelopeSignature, pae
from bcca_protocol.errors import (
    AuthorshipError,
    ConflictError,
    LimitError,
    MalformedError,
    PolicyError,
    ProofError,
    QuorumError,
    RefusedError,
    SignatureError,
    StatementError,
    UnproductiveError,
)
from bcca_protocol.facts import Fact
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.graph import connect
from bcca_protocol.inventory import Allocation, Amount, CoProduct, Supplier
from bcca_protocol.keys import Algorithm, Role, VerifierKey
from bcca_protocol.limits import MAX_PROOF_HASHES, MAX_STATEMENT_BYTES
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.policy import Policy, verify_checkpoint
from bcca_protocol.proof import TlogProof
from bcca_protocol.verify import (
    PAYLOAD_TYPE,
    Signed,
    Verified,
    VerifiedLog,
    entry_of,
    verify_all_in_bulk,
    verify_alone,
    verify_in_bulk,
    verify_log,
    verify_signed,
)
from bcca_protocol.wire import b64, showable, unb64

GARBAGE = bytes(range(64))


@dataclass(frozen=True, kw_only=True)
class Shown:
    """All that a verifier gets to see of one statement, as bytes; and whom it believes."""

    envelope: bytes
    entries: tuple[bytes, ...]
    note: str
    proof: str
    key: VerifierKey
    policy: str


Check = Callable[[Shown], Verified[Fact]]


believed = cache(Policy.parse)


def log_of(shown: Shown) -> VerifiedLog:
    head = verify_checkpoint(shown.note, shown.key, believed(shown.policy))
    return verify_log(head, shown.entries)


def in_bulk(shown: Shown) -> Verified[Fact]:
    log = log_of(shown)
    try:
        return verify_in_bulk(shown.envelope, log)
    except RefusedError as error:  # among many it is refused in the same words
        with pytest.raises(type(error), match=re.escape(str(error))):
            list(verify_all_in_bulk([shown.envelope], log))
        raise


def in_a_bundle(shown: Shown) -> Signed[Fact]:
    return verify_signed(shown.envelope, log_of(shown))


def alone(shown: Shown) -> Signed[Fact]:
    proof = TlogProof.parse(shown.proof)
    head = verify_checkpoint(proof.checkpoint, shown.key, believed(shown.policy))
    return verify_alone(shown.envelope, proof, head, log_of(shown))


SINGLY = {"alone": alone, "in a bundle": in_a_bundle}
BOTH = {**SINGLY, "in bulk": in_bulk}


@pytest.fixture(params=BOTH.values(), ids=list(BOTH))
def check(request: pytest.FixtureRequest) -> Check:
    """One way of checking after the other."""
    way: Check = request.param
    return way


@pytest.fixture(params=SINGLY.values(), ids=list(SINGLY))
def singly(request: pytest.FixtureRequest) -> Check:
    """One way after the other in which the signature itself is checked."""
    way: Check = request.param
    return way


@pytest.fixture
def maker(chain: Any) -> Any:
    """A cathode maker with three statements, entries 3, 4 and 5 of its log."""
    for name in ("precursor", "cathode", "scrap"):
        chain.sells(name, "2", by="maker.example")
    return chain.company("maker.example")


@pytest.fixture
def thief(chain: Any) -> Any:
    """Another company that the policy knows."""
    return chain.company("thief.example")


def commitment_of(data: bytes) -> str:
    found = Envelope.parse(data)
    return hashlib.sha256(pae(found.payload_type, found.payload)).hexdigest()


def index_of(company: Any, data: bytes) -> int:
    """Return where a statement was entered first; the last entry where it was not."""
    try:
        name = commitment_of(data).encode()
    except RefusedError:
        name = b"no name at all"
    found = (index for index, line in enumerate(company.lines) if name in line)
    return next(found, len(company.lines) - 1)


def show(chain: Any, company: Any, data: bytes | None = None, **more: Any) -> Shown:
    """Return what one sees of a statement, by default of the last one of its company."""
    shown = company.envelopes[-1] if data is None else data
    honest = Shown(
        envelope=shown,
        entries=tuple(company.lines),
        note=company.note().encode(),
        proof=company.proof(index_of(company, shown)).encode(),
        key=company.log_key.key,
        policy=chain.policy_text(),
    )
    return replace(honest, **more)


def signed(company: Any, payload: bytes, kind: str = PAYLOAD_TYPE) -> Envelope:
    """Return whatever bytes signed by a company's statement key."""
    return envelope.sign(kind, payload, company.statement_key)


def with_signature(data: bytes, signature: bytes) -> Envelope:
    """Return an envelope with another signature under the same name."""
    found = Envelope.parse(data)
    (old,) = found.signatures
    return replace(found, signatures=(replace(old, signature=signature),))


def payload_of(data: bytes) -> bytes:
    return Envelope.parse(data).payload


def lowered(data: bytes) -> Envelope:
    """Return an envelope in which 2 kg became 1 kg, wherever it stands, under the old signature."""
    found = Envelope.parse(data)
    assert found.payload.count(b'"fossil":"2"') == 2
    return replace(found, payload=found.payload.replace(b'"fossil":"2"', b'"fossil":"1"'))


def with_changed(company: Any, old: bytes, new: bytes) -> bytes:
    """Sign and enter a company's last statement once more, with some bytes of it replaced."""
    payload = payload_of(company.envelopes[-1])
    assert payload.count(old) == 1
    entered: bytes = company.enter_envelope(signed(company, payload.replace(old, new)))
    return entered


def refused(check: Check, shown: Shown, kind: type[RefusedError], step: str, *both: str) -> str:
    """Return why a statement is refused; the sentence names it, the step and what differs."""
    with pytest.raises(RefusedError) as refusal:
        check(shown)
    name = "?" if step == "1 (envelope)" else commitment_of(shown.envelope)
    sentence = str(refusal.value)

    assert type(refusal.value) is kind
    assert sentence.startswith(f"statement {name} of {shown.key.name} refused at step {step}: "), (
        sentence
    )
    assert [each for each in both if each not in sentence] == [], sentence
    assert "\n" not in sentence
    return sentence


def refused_log(check: Check, shown: Shown, kind: type[RefusedError], *both: str) -> str:
    """Return why a whole log is refused; the sentence names its owner and what differs."""
    with pytest.raises(RefusedError) as refusal:
        check(shown)
    sentence = str(refusal.value)

    assert type(refusal.value) is kind
    assert shown.key.name in sentence, sentence
    assert [each for each in both if each not in sentence] == [], sentence
    return sentence


def test_the_truth_is_believed_in_every_way(check: Check, chain: Any, maker: Any) -> None:
    for index, data in enumerate(maker.envelopes, 3):
        found = check(show(chain, maker, data))

        assert (found.fact.commitment, found.index) == (commitment_of(data), index)
        assert found.is_current
        assert isinstance(found, Signed) is (check is not in_bulk)


# Numbers and signatures


def test_a_changed_number_under_the_old_signature_is_refused(
    check: Check, chain: Any, maker: Any
) -> None:
    lie = lowered(maker.envelopes[-2]).encode()

    refused(
        check, show(chain, maker, lie), AuthorshipError, "3 (entry)",
        f"holds no entry for {commitment_of(lie)}", "among its 6 entries",
    )  # fmt: skip


def test_a_changed_number_that_its_owner_entered_under_the_old_signature_stands_in_bulk_only(
    singly: Check, chain: Any, maker: Any
) -> None:
    lie = show(chain, maker, maker.enter_envelope(lowered(maker.envelopes[-2])))

    assert in_bulk(lie).fact.commitment == commitment_of(lie.envelope)
    refused(singly, lie, SignatureError, "8 (signature)", maker.statement_key.key.label)


GARBAGES: dict[str, Callable[[bytes], bytes]] = {
    "any 64 bytes": lambda _: GARBAGE,
    "zeros": lambda _: bytes(64),
    "nothing": lambda _: b"",
    "a byte short": lambda right: right[:-1],
    "a byte long": lambda right: right + b"\x00",
    "one bit off": lambda right: right[:-1] + bytes([right[-1] ^ 1]),
    "twice": lambda right: right + right,
    "halves exchanged": lambda right: right[32:] + right[:32],
}
garbages = pytest.mark.parametrize("spoilt", GARBAGES.values(), ids=GARBAGES)


@garbages
def test_a_garbage_signature_over_a_logged_payload_is_refused(
    check: Check, chain: Any, maker: Any, spoilt: Callable[[bytes], bytes]
) -> None:
    honest = Envelope.parse(maker.envelopes[-1])
    right = honest.signatures[0].signature
    lie = with_signature(maker.envelopes[-1], spoilt(right)).encode()

    refused(
        check, show(chain, maker, lie), SignatureError, "4 (key)",
        hashlib.sha256(spoilt(right)).hexdigest(), hashlib.sha256(right).hexdigest(),
    )  # fmt: skip


@garbages
def test_a_garbage_signature_whose_hash_its_issuer_logged_stands_in_bulk_only(
    singly: Check, chain: Any, maker: Any, spoilt: Callable[[bytes], bytes]
) -> None:
    payload = payload_of(maker.envelopes[-1]).replace(b"scrap", b"waste")
    subject = hashlib.sha256(b"urn:test:waste").hexdigest().encode()
    right = signed(maker, re.sub(rb"[0-9a-f]{64}", subject, payload))
    garbage = with_signature(right.encode(), spoilt(right.signatures[0].signature))
    lie = show(chain, maker, maker.enter_envelope(garbage))

    assert not isinstance(in_bulk(lie), Signed)
    refused(singly, lie, SignatureError, "8 (signature)", maker.statement_key.key.label)


def test_a_signature_by_another_key_than_the_entry_names_stands_in_bulk_only(
    singly: Check, chain: Any, maker: Any, signs: Any
) -> None:
    second = signs(maker.origin, "second statement")
    added = maker.enter(KeyAdd(role=Role.STATEMENT, key=second.key).encode())
    payload = payload_of(maker.envelopes[-1]).replace(b'"fossil":"2"', b'"fossil":"1"')
    by_the_first = signed(maker, payload)
    (signature,) = by_the_first.signatures
    renamed = replace(by_the_first, signatures=(replace(signature, keyid=second.key.label),))
    lie = show(chain, maker, maker.enter_envelope(renamed, added))

    assert in_bulk(lie).index == added + 1
    refused(singly, lie, SignatureError, "8 (signature)", second.key.label)


def test_a_re_signed_number_that_is_not_in_the_log_is_refused(
    check: Check, chain: Any, maker: Any
) -> None:
    lie = signed(maker, lowered(maker.envelopes[-1]).payload).encode()

    refused(
        check, show(chain, maker, lie), AuthorshipError, "3 (entry)",
        f"holds no entry for {commitment_of(lie)}", "among its 6 entries",
    )  # fmt: skip


def test_a_statement_entered_after_the_checkpoint_is_not_in_the_log_yet(
    check: Check, chain: Any, maker: Any
) -> None:
    early = {
        "entries": tuple(maker.lines[:5]),
        "note": maker.note(5).encode(),
        "proof": maker.proof(4, 5).encode(),
    }

    refused(
        check, show(chain, maker, **early), AuthorshipError, "3 (entry)",
        f"holds no entry for {commitment_of(maker.envelopes[-1])}", "among its 5 entries",
    )  # fmt: skip


# Proofs


def spoilt_proof(chain: Any, company: Any, data: bytes, **more: Any) -> Shown:
    honest = company.proof(index_of(company, data))
    return show(chain, company, data, proof=replace(honest, **more).encode())


def test_a_proof_for_another_leaf_is_refused(chain: Any, maker: Any) -> None:
    for right, data in enumerate(maker.envelopes, 3):
        for wrong in set(range(6)) - {right}:
            lie = show(chain, maker, data, proof=maker.proof(wrong).encode())

            refused(
                alone, lie, ProofError, "9 (inclusion)",
                f"a proof for leaf {wrong}", f"the entry is leaf {right}",
            )  # fmt: skip


def test_the_path_of_another_leaf_under_the_right_index_is_refused(chain: Any, maker: Any) -> None:
    for right, data in enumerate(maker.envelopes, 3):
        for wrong in set(range(6)) - {right}:
            path = maker.proof(wrong).path

            refused(
                alone, spoilt_proof(chain, maker, data, path=path), ProofError, "9 (inclusion)",
                f"leaf {right}",
            )  # fmt: skip


def test_a_proof_against_another_root_is_refused_with_both_roots(chain: Any, maker: Any) -> None:
    path = maker.proof(3).path
    maker.enter(KeyRetire(add=2).encode())
    root = chain.head(maker).checkpoint.root.hex()
    lie = spoilt_proof(chain, maker, maker.envelopes[0], path=path)

    sentence = refused(alone, lie, ProofError, "9 (inclusion)", f"claimed {root}")
    assert re.search(r"computed [0-9a-f]{64}", sentence)


def test_a_proof_against_another_logs_checkpoint_is_refused(
    chain: Any, maker: Any, thief: Any
) -> None:
    chain.sells("anode", "2", by=thief.origin)
    honest = show(chain, maker)
    head = chain.head(thief)
    proof = TlogProof.parse(honest.proof)

    with pytest.raises(ProofError) as refusal:
        verify_alone(honest.envelope, proof, head, log_of(honest))

    assert str(refusal.value) == (
        f"statement {commitment_of(honest.envelope)} of maker.example refused at step "
        "9 (inclusion): checkpoint of thief.example, statement of maker.example"
    )


def test_a_proof_too_long_or_too_short_is_refused(chain: Any, maker: Any) -> None:
    data = maker.envelopes[1]
    path = maker.proof(4).path
    longest = (*path, *[bytes(32)] * MAX_PROOF_HASHES)[:MAX_PROOF_HASHES]

    for wrong in ((*path, bytes(32)), (bytes(32), *path), longest):
        why = f"leaf 4 in 6: {len(wrong)} hashes are too many"
        lie = spoilt_proof(chain, maker, data, path=wrong)
        refused(alone, lie, ProofError, "9 (inclusion)", why)
    for wrong in (path[:-1], path[1:], ()):
        why = f"leaf 4 in 6: {len(wrong)} hashes are too few"
        lie = spoilt_proof(chain, maker, data, path=wrong)
        refused(alone, lie, ProofError, "9 (inclusion)", why)


@pytest.mark.parametrize("at", range(2))
def test_a_proof_with_one_bit_off_is_refused_with_both_roots(
    chain: Any, maker: Any, at: int
) -> None:
    data = maker.envelopes[1]
    path = list(maker.proof(4).path)
    path[at] = bytes([path[at][0] ^ 1]) + path[at][1:]
    root = chain.head(maker).checkpoint.root.hex()

    lie = spoilt_proof(chain, maker, data, path=tuple(path))

    refused(alone, lie, ProofError, "9 (inclusion)", f"claimed {root}", "computed ")


# Logs, checkpoints, witnesses, policies


def test_a_checkpoint_below_quorum_is_refused(check: Check, chain: Any, maker: Any) -> None:
    below = maker.note(witnesses=(1, 2, 3)).encode()
    index = index_of(maker, maker.envelopes[-1])
    proof = replace(maker.proof(index), checkpoint=below).encode()

    refused_log(
        check, show(chain, maker, note=below, proof=proof), QuorumError,
        "size 6: cosigned by w1, w2, w3,", "k = 4 of n = 5",
    )  # fmt: skip


def test_a_proof_under_a_checkpoint_below_quorum_is_refused(chain: Any, maker: Any) -> None:
    below = replace(maker.proof(5), checkpoint=maker.note(witnesses=(1, 2, 3)).encode())

    refused_log(
        alone, show(chain, maker, proof=below.encode()), QuorumError,
        "size 6: cosigned by w1, w2, w3,", "k = 4 of n = 5",
    )  # fmt: skip


def fork_of(company: Any) -> Any:
    """Return a second log of the same keys: what its owner shows to others."""
    return type(company)(origin=company.origin)


def test_two_trees_of_one_size_are_never_both_believed_while_two_witnesses_lie(
    check: Check, chain: Any, maker: Any
) -> None:
    other = fork_of(maker)
    for data in reversed(maker.envelopes):
        other.enter_envelope(Envelope.parse(data))
    liars = (4, 5)

    for split in product((maker, other), repeat=3):
        believed = []
        for tree in (maker, other):
            honest = [n for n, seen in enumerate(split, 1) if seen is tree]
            note = tree.note(witnesses=(*honest, *liars)).encode()
            proof = replace(tree.proof(4), checkpoint=note).encode()
            shown = show(chain, tree, tree.envelopes[1], note=note, proof=proof)
            if len(honest) >= 2:
                believed.append(check(shown).fact.commitment)
            else:
                refused_log(check, shown, QuorumError, "size 6", "w4, w5", "k = 4 of n = 5")

        assert len(believed) == 1


def test_two_trees_of_one_size_are_refused_with_both_roots_where_three_witnesses_lie(
    chain: Any, maker: Any
) -> None:
    data = maker.envelopes[0]
    other = fork_of(maker)
    for each in (maker.envelopes[0], *maker.envelopes[:0:-1]):
        other.enter_envelope(Envelope.parse(each))
    lie = show(chain, maker, data, proof=other.proof(3).encode())
    roots = [chain.head(each).checkpoint.root.hex() for each in (maker, other)]

    assert in_bulk(lie).index == 3  # the other tree is nowhere to be seen
    refused(alone, lie, ConflictError, "9 (inclusion)", "size 6", *roots)


def test_the_entries_of_another_tree_of_that_size_are_refused_with_both_roots(
    check: Check, chain: Any, maker: Any
) -> None:
    other = fork_of(maker)
    for data in reversed(maker.envelopes):
        other.enter_envelope(Envelope.parse(data))
    roots = [chain.head(each).checkpoint.root.hex() for each in (maker, other)]

    refused_log(check, show(chain, maker, entries=tuple(other.lines)), ProofError, *roots)


def missing(lines: Sequence[bytes]) -> list[bytes]:
    return [*lines[:4], *lines[5:]]


def added(lines: Sequence[bytes]) -> list[bytes]:
    return [*lines[:4], lines[3], *lines[4:]]


def swapped(lines: Sequence[bytes]) -> list[bytes]:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


def changed(lines: Sequence[bytes]) -> list[bytes]:
    return [*lines[:4], lines[4].replace(b" 2 ", b" 1 "), *lines[5:]]


@pytest.mark.parametrize("spoil", [missing, added])
def test_a_log_with_a_missing_or_an_added_entry_is_refused_with_both_sizes(
    check: Check, chain: Any, maker: Any, spoil: Callable[[Sequence[bytes]], list[bytes]]
) -> None:
    lines = spoil(maker.lines)

    refused_log(
        check, show(chain, maker, entries=tuple(lines)), ProofError,
        f"{len(lines)} entries", "its checkpoint has 6",
    )  # fmt: skip


@pytest.mark.parametrize("spoil", [swapped, changed])
def test_a_log_with_a_swapped_or_a_changed_entry_is_refused_with_both_roots(
    check: Check, chain: Any, maker: Any, spoil: Callable[[Sequence[bytes]], list[bytes]]
) -> None:
    lines = spoil(maker.lines)
    root = merkle.Tree(map(merkle.leaf_hash, lines)).root().hex()

    refused_log(
        check, show(chain, maker, entries=tuple(lines)), ProofError,
        root, chain.head(maker).checkpoint.root.hex(),
    )  # fmt: skip


@pytest.mark.parametrize("spoil", [missing, added, swapped, changed])
def test_a_proof_from_a_spoilt_tree_is_refused(
    chain: Any, maker: Any, spoil: Callable[[Sequence[bytes]], list[bytes]]
) -> None:
    tree = merkle.Tree(map(merkle.leaf_hash, spoil(maker.lines)))
    path = merkle.prove_inclusion(3, tree.size, tree.subtree)
    lie = spoilt_proof(chain, maker, maker.envelopes[0], path=path)

    refused(alone, lie, ProofError, "9 (inclusion)", "leaf 3")


def test_a_log_that_another_key_signs_is_refused_with_both_keys(
    check: Check, chain: Any, maker: Any, signs: Any
) -> None:
    stranger = signs(maker.origin, "another log").key

    refused_log(check, show(chain, maker, key=stranger), SignatureError, stranger.label)


def test_another_companys_log_is_refused_with_both_origins(
    check: Check, chain: Any, maker: Any, thief: Any
) -> None:
    refused_log(
        check, show(chain, maker, key=thief.log_key.key), SignatureError,
        "checkpoint of 'maker.example'", "thief.example",
    )  # fmt: skip


def test_a_garbage_cosignature_of_a_known_witness_refuses_what_a_quorum_stands_behind(
    check: Check, chain: Any, maker: Any, cosigns: Any
) -> None:
    for number in range(1, 6):
        label = cosigns(number).key.label
        note = spoilt_note(maker.note(), label.partition("+")[0])
        proof = replace(maker.proof(5), checkpoint=note).encode()

        refused_log(check, show(chain, maker, note=note, proof=proof), SignatureError, label)


def spoilt_note(note: Note, name: str) -> str:
    """Return a note in which the signature of one name is garbage behind its time."""
    lines = (
        replace(each, blob=each.blob[:8] + GARBAGE) if each.name == name else each
        for each in note.signatures
    )
    return replace(note, signatures=tuple(lines)).encode()


def test_a_garbage_cosignature_under_a_name_that_nobody_knows_changes_nothing(
    check: Check, chain: Any, maker: Any
) -> None:
    stranger = NoteSignature(name="witness6.example", key_id=b"abcd", blob=GARBAGE)
    note = maker.note(witnesses=(1, 2, 3, 4)).with_signatures([stranger]).encode()
    proof = replace(maker.proof(5), checkpoint=note).encode()

    assert check(show(chain, maker, note=note, proof=proof)).is_current


def test_the_logs_own_cosignature_does_not_complete_its_quorum(
    check: Check, chain: Any, maker: Any, cosigns: Any, signs: Any
) -> None:
    own = signs(maker.origin, "witness", Algorithm.ED25519_COSIGNATURE)
    trusted = chain.policy_text().replace(cosigns(5).key.encode(), own.key.encode())
    head = chain.head(maker).checkpoint
    by_itself = checkpoint.cosign(head.encode(), own, at=1_780_000_000)
    for others in ((1, 2, 3), (1, 2, 3, 4)):
        note = maker.note(witnesses=others).with_signatures([by_itself]).encode()
        proof = replace(maker.proof(5), checkpoint=note).encode()
        shown = show(chain, maker, note=note, proof=proof, policy=trusted)

        if len(others) == 4:
            assert check(shown).is_current
        else:
            refused_log(
                check, shown, QuorumError, "cosigned by w1, w2, w3, which", "k = 4 of n = 5"
            )


SURVIVES_NOBODY = {
    "quorum all-five, k = 3 of n = 5: two quorums may share 1": "group all-five 3 w1 w2 w3 w4 w5",
    "quorum all-five, k = 1 of n = 5: two quorums may share 0": "group all-five any w1 w2 w3 w4 w5",
    "quorum all-five, k = 1 of n = 1: two quorums may share 1": "group all-five all w1",
}


@pytest.mark.parametrize(("why", "group"), SURVIVES_NOBODY.items())
def test_a_policy_that_survives_no_liar_believes_nothing(
    check: Check, chain: Any, maker: Any, why: str, group: str
) -> None:
    trusted = chain.policy_text().replace("group all-five 4 w1 w2 w3 w4 w5", group)

    with pytest.raises(PolicyError) as refusal:
        check(show(chain, maker, policy=trusted))

    assert why in str(refusal.value)
    assert "f = 0 liars are survived, where 1 is the least" in str(refusal.value)


# Keys


def test_a_key_used_after_its_retirement_is_refused(check: Check, chain: Any, maker: Any) -> None:
    before = maker.envelopes[-1]
    maker.enter(KeyRetire(add=2).encode())
    chain.sells("late", "2", by=maker.origin)

    assert check(show(chain, maker, before)).is_current
    refused(
        check, show(chain, maker), AuthorshipError, "4 (key)",
        "entry 7 by key 2", "retired at entry 6",
    )  # fmt: skip


def notice(company: Any, add: int, last_good: int) -> str:
    """Return a notice that a key was stolen, signed by the recovery key."""
    signature = company.recovery_key.sign(compromised_message(company.origin, add, last_good))
    public = company.recovery_key.key.public
    return KeyCompromised(
        add=add, last_good=last_good, recovery_key=public, signature=signature
    ).encode()


def test_a_key_used_after_it_was_stolen_is_refused_even_where_that_is_told_later(
    check: Check, chain: Any, maker: Any
) -> None:
    good, *stolen = maker.envelopes
    maker.enter(notice(maker, 2, 3))
    chain.sells("late", "2", by=maker.origin)

    assert check(show(chain, maker, good)).is_current
    for index, data in zip((4, 5, 7), (*stolen, maker.envelopes[-1]), strict=True):
        refused(
            check, show(chain, maker, data), AuthorshipError, "4 (key)",
            f"entry {index} by key 2", "compromised after entry 3",
        )  # fmt: skip


def test_a_key_that_a_thief_added_is_refused(
    check: Check, chain: Any, maker: Any, signs: Any
) -> None:
    thiefs = signs(maker.origin, "of the thief")
    added = maker.enter(KeyAdd(role=Role.STATEMENT, key=thiefs.key).encode())
    payload = payload_of(maker.envelopes[-1]).replace(b'"fossil":"2"', b'"fossil":"1"')
    lie = maker.enter_envelope(envelope.sign(PAYLOAD_TYPE, payload, thiefs), added)
    believed_at_first = check(show(chain, maker, lie))
    maker.enter(notice(maker, 1, 5))
    maker.log_key = signs(maker.origin, "new log")
    maker.enter(KeyAdd(role=Role.LOG, key=maker.log_key.key).encode())

    assert believed_at_first.is_current
    refused(
        check, show(chain, maker, lie), AuthorshipError, "4 (key)",
        "entry 7 by key 6", "void, added by whoever held a stolen key",
    )  # fmt: skip


def test_a_key_used_before_its_add_is_refused(
    check: Check, chain: Any, maker: Any, signs: Any
) -> None:
    second = signs(maker.origin, "second statement")
    payload = payload_of(maker.envelopes[-1]).replace(b'"fossil":"2"', b'"fossil":"1"')
    lie = maker.enter_envelope(envelope.sign(PAYLOAD_TYPE, payload, second), 7)
    maker.enter(KeyAdd(role=Role.STATEMENT, key=second.key).encode())

    refused(
        check, show(chain, maker, lie), AuthorshipError, "4 (key)",
        "entry 6 by key 7", "the key was added later, at entry 7",
    )  # fmt: skip


@pytest.mark.parametrize("add", [0, 3, 6, 7])
def test_an_entry_that_names_no_key_is_refused(
    check: Check, chain: Any, maker: Any, add: int
) -> None:
    lie = maker.enter_envelope(lowered(maker.envelopes[-1]), add)

    refused(
        check, show(chain, maker, lie), AuthorshipError, "4 (key)",
        f"entry 6 by key {add}", f"entry {add} adds no key",
    )  # fmt: skip


def test_a_key_of_another_role_is_refused_with_both_roles(
    check: Check, chain: Any, maker: Any, signs: Any
) -> None:
    request = signs(maker.origin, "request")
    added = maker.enter(KeyAdd(role=Role.REQUEST, key=request.key).encode())
    payload = payload_of(maker.envelopes[-1]).replace(b'"fossil":"2"', b'"fossil":"1"')
    for signer, add, role in ((request, added, "request"), (maker.log_key, 1, "log")):
        again = payload.replace(b"urn:test:scrap", f"urn:test:{role}".encode())
        lie = maker.enter_envelope(envelope.sign(PAYLOAD_TYPE, again, signer), add)

        refused(
            check, show(chain, maker, lie), AuthorshipError, "4 (key)",
            f"by key {add}: a {role} key", "where a statement key belongs",
        )  # fmt: skip


def test_a_key_that_is_not_in_the_log_is_refused_with_both_keys(
    check: Check, chain: Any, maker: Any, signs: Any
) -> None:
    stranger = signs(maker.origin, "of a stranger")
    payload = payload_of(maker.envelopes[-1]).replace(b'"fossil":"2"', b'"fossil":"1"')
    lie = maker.enter_envelope(envelope.sign(PAYLOAD_TYPE, payload, stranger))

    refused(
        check, show(chain, maker, lie), SignatureError, "4 (key)",
        stranger.key.label, maker.statement_key.key.label,
    )  # fmt: skip


def test_a_statement_behind_a_malformed_entry_is_refused_and_nothing_before_it_is_current(
    check: Check, chain: Any, maker: Any
) -> None:
    before = maker.envelopes[-1]
    maker.enter("bcca/v2 something new")
    chain.sells("late", "2", by=maker.origin)

    assert not check(show(chain, maker, before)).is_current
    refused(
        check, show(chain, maker), AuthorshipError, "3 (entry)",
        commitment_of(maker.envelopes[-1]), "nothing counts from the malformed entry 6",
    )  # fmt: skip


# Whose statement, about what


def test_a_statement_with_another_products_subject_is_refused_with_both_products(
    check: Check, chain: Any, maker: Any
) -> None:
    lie = with_changed(maker, b'"name":"urn:test:scrap"', b'"name":"urn:test:cathode"')

    refused(
        check, show(chain, maker, lie), StatementError, "6 (subject and issuer)",
        "subject urn:test:cathode", "product urn:test:scrap",
    )  # fmt: skip


def test_a_statement_with_another_products_digest_is_refused_with_both_digests(
    check: Check, chain: Any, maker: Any
) -> None:
    right, wrong = (
        hashlib.sha256(name).hexdigest() for name in (b"urn:test:scrap", b"urn:test:cathode")
    )
    lie = with_changed(maker, right.encode(), wrong.encode())

    refused(check, show(chain, maker, lie), StatementError, "6 (subject and issuer)", right, wrong)


def test_a_statement_in_the_name_of_another_issuer_is_refused_with_both_origins(
    check: Check, chain: Any, maker: Any, thief: Any
) -> None:
    chain.sells("anode", "2", by=thief.origin, issuer=maker.origin)

    refused(
        check, show(chain, thief), StatementError, "6 (subject and issuer)",
        "issued by maker.example", "entered in the log of thief.example",
    )  # fmt: skip


def test_a_statement_in_somebody_elses_log_is_refused_with_both_keys(
    check: Check, chain: Any, maker: Any, thief: Any
) -> None:
    stolen = thief.enter_envelope(Envelope.parse(maker.envelopes[-1]))

    refused(
        check, show(chain, thief, stolen), SignatureError, "4 (key)",
        maker.statement_key.key.label, thief.statement_key.key.label,
    )  # fmt: skip


def test_a_statement_in_somebody_elses_log_that_names_its_true_key_is_refused(
    check: Check, chain: Any, maker: Any, thief: Any
) -> None:
    added = thief.enter(KeyAdd(role=Role.STATEMENT, key=maker.statement_key.key).encode())
    stolen = thief.enter_envelope(Envelope.parse(maker.envelopes[-1]), added)

    refused(
        check, show(chain, thief, stolen), StatementError, "6 (subject and issuer)",
        "issued by maker.example", "entered in the log of thief.example",
    )  # fmt: skip


def test_a_statement_signed_anew_by_somebody_else_is_refused(
    check: Check, chain: Any, maker: Any, thief: Any
) -> None:
    stolen = thief.enter_envelope(signed(thief, payload_of(maker.envelopes[-1])))

    refused(
        check, show(chain, thief, stolen), StatementError, "6 (subject and issuer)",
        "issued by maker.example", "entered in the log of thief.example",
    )  # fmt: skip


def test_a_statement_is_not_found_in_the_log_of_another(
    check: Check, chain: Any, maker: Any, thief: Any
) -> None:
    refused(
        check, show(chain, thief, maker.envelopes[-1]), AuthorshipError, "3 (entry)",
        commitment_of(maker.envelopes[-1]), "among its 3 entries",
    )  # fmt: skip


def became(data: bytes, status: Status) -> str:
    """Return the entry that says what became of a statement."""
    nonce = unb64(json.loads(payload_of(data))["predicate"]["nonce"], "nonce")
    handle = status_handle(nonce, bytes.fromhex(commitment_of(data)))
    return StatusEntry(handle=handle, status=status, successor=None).encode()


@pytest.mark.parametrize("status", [None, *Status])
def test_a_commitment_entered_twice_counts_at_its_first_entry(
    check: Check, chain: Any, maker: Any, status: Status | None
) -> None:
    honest = maker.envelopes[0]
    if status is not None:
        maker.enter(became(honest, status))
    maker.enter(entry_of(Envelope.parse(honest), 2).encode())
    found = check(show(chain, maker, honest))

    assert (found.index, found.status) == (3, status)
    assert found.is_current is (status in (None, Status.SUPERSEDED))


def test_a_proof_for_the_second_entry_of_a_revoked_statement_is_refused(
    chain: Any, maker: Any
) -> None:
    honest = maker.envelopes[0]
    maker.enter(became(honest, Status.REVOKED))
    again = maker.enter(entry_of(Envelope.parse(honest), 2).encode())

    refused(
        alone, show(chain, maker, honest, proof=maker.proof(again).encode()), ProofError,
        "9 (inclusion)", "a proof for leaf 7", "the entry is leaf 3",
    )  # fmt: skip


def test_a_second_entry_does_not_lend_its_signature_or_its_key(
    check: Check, chain: Any, maker: Any, signs: Any
) -> None:
    second = signs(maker.origin, "second statement")
    added = maker.enter(KeyAdd(role=Role.STATEMENT, key=second.key).encode())
    payload = payload_of(maker.envelopes[0])
    by_garbage = with_signature(maker.envelopes[0], GARBAGE)
    by_another = envelope.sign(PAYLOAD_TYPE, payload, second)
    right = hashlib.sha256(Envelope.parse(maker.envelopes[0]).signatures[0].signature).hexdigest()

    refused(
        check, show(chain, maker, maker.enter_envelope(by_garbage)), SignatureError, "4 (key)",
        hashlib.sha256(GARBAGE).hexdigest(), right,
    )  # fmt: skip
    refused(
        check, show(chain, maker, maker.enter_envelope(by_another, added)), SignatureError,
        "4 (key)", second.key.label, maker.statement_key.key.label,
    )  # fmt: skip


def test_a_first_entry_with_a_garbage_signature_hash_ends_a_statement_for_good(
    check: Check, chain: Any, maker: Any
) -> None:
    right = signed(maker, lowered(maker.envelopes[0]).payload)
    spoilt = StatementEntry(
        commitment=bytes.fromhex(commitment_of(right.encode())), key=2, signature_hash=bytes(32)
    )
    maker.enter(spoilt.encode())
    data = maker.enter_envelope(right)

    refused(
        check, show(chain, maker, data), SignatureError, "4 (key)",
        hashlib.sha256(right.signatures[0].signature).hexdigest(), "00" * 32,
    )  # fmt: skip


# Sums, units, suppliers


def kg(fossil: str) -> Stages:
    return Stages(production=Components(fossil=fossil))


def test_own_lines_that_do_not_sum_are_refused_with_both_numbers(
    check: Check, chain: Any, maker: Any
) -> None:
    for wrong in ("1.9", "2.000000000000000000000000000000001", "-2", "20"):
        chain.sells("cell", "2", by=maker.origin, footprint=kg(wrong))

        refused(
            check, show(chain, maker), StatementError, "7 (content)",
            f"production.fossil is written as {wrong}", "its own lines give 2",
        )  # fmt: skip


def test_a_location_result_that_does_not_sum_is_refused_with_both_numbers(
    check: Check, chain: Any, maker: Any
) -> None:
    chain.sells("cell", "2", by=maker.origin, footprint=kg("2"), location_footprint=kg("3"))

    refused(
        check, show(chain, maker), StatementError, "7 (content)",
        "locationFootprint production.fossil is written as 3", "its own lines give 2",
    )  # fmt: skip


def test_an_allocation_that_does_not_sum_is_refused_with_both_numbers(
    check: Check, chain: Any, maker: Any, line: Any
) -> None:
    shared = Allocation(
        basis="mass",
        joint_process="smelting",
        weight="1",
        co_products=(CoProduct(name="slag", amount="3", unit="kg", weight="1"),),
    )
    joint = (line("joint", "1", "2", joint=True),)
    for written in ("0.5", "2", "0.4"):
        chain.sells(
            "cell", by=maker.origin, activities=joint, allocation=shared, footprint=kg(written)
        )
        if written == "0.5":  # one kg of four
            assert check(show(chain, maker)).is_current
        else:
            refused(
                check, show(chain, maker), StatementError, "7 (content)",
                f"production.fossil is written as {written}", "its own lines give 0.5",
            )  # fmt: skip


def test_a_unit_that_does_not_fit_its_factor_is_refused_with_both_units(
    check: Check, chain: Any, maker: Any, line: Any, per: Any
) -> None:
    odd = line("power", "3", "2", unit="kWh", factor=per("2", "kg"))
    chain.sells("cell", by=maker.origin, activities=(odd,), footprint=kg("6"))

    refused(
        check, show(chain, maker), StatementError, "7 (content)",
        "line power", "3 kWh (energy)", "kg (mass)",
    )  # fmt: skip


def test_an_output_that_is_no_amount_of_what_is_declared_is_refused_with_both_units(
    check: Check, chain: Any, maker: Any
) -> None:
    pieces = Amount(amount="1", unit="piece")
    chain.sells("cell", "2", by=maker.origin, output=pieces, footprint=kg("2"))

    refused(
        check, show(chain, maker), StatementError, "7 (content)",
        "1 piece (count)", "kg (mass) without massKg",
    )  # fmt: skip


def test_a_supplier_key_named_for_another_origin_is_refused_with_both_origins(
    check: Check, chain: Any, maker: Any, thief: Any
) -> None:
    double = Supplier(origin=maker.origin, key=thief.log_key.key.encode())
    ore = chain.buys("ore", supplier=double)
    chain.sells("cell", "2", ore, by="cell.example")

    refused(
        check, show(chain, chain.company("cell.example")), StatementError, "7 (content)",
        "line ore: supplier maker.example", "its log key is named thief.example",
    )  # fmt: skip


# Roll-ups of facts found in bulk and of facts whose signatures were checked


@pytest.fixture(params=["in bulk", "alone"])
def facts(request: pytest.FixtureRequest, chain: Any) -> Callable[[], Any]:
    """Find every part of the network, one way of checking after the other."""
    found: Callable[[], Any] = chain.facts if request.param == "in bulk" else chain.signed
    return found


def test_an_input_in_a_unit_that_its_supplier_does_not_sell_is_a_gap_with_both_units(
    chain: Any, facts: Callable[[], Any]
) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "3", unit="kWh"))
    added = chain.added(graph=chain.graph(facts()))

    (reason,) = added.missing("cell").values()

    assert reason == ("urn:test:ore of ore.example: 3 kWh (energy) is not an amount in kg (mass)")
    assert added.totals.incomplete == {added.index("cell")}


def test_an_input_fed_with_what_does_not_fit_is_refused_naming_both_sides(
    chain: Any, facts: Callable[[], Any]
) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "3", unit="kWh"))
    found = facts()
    ore = next(each for each in found if each.fact.issuer == "ore.example")

    with pytest.raises(StatementError) as refusal:
        connect(found, lambda *_: ore)

    assert str(refusal.value) == (
        "line ore of urn:test:cell (cell.example) buys urn:test:ore of ore.example: "
        "3 kWh (energy) is not an amount in kg (mass)"
    )


@pytest.mark.parametrize("amount", ["1", "1.5"])
def test_an_unproductive_loop_is_refused_naming_its_products_and_issuers(
    chain: Any, facts: Callable[[], Any], amount: str
) -> None:
    chain.sells("steel", "1", chain.buys("scrap", amount))
    chain.sells("scrap", "1", chain.buys("steel", "1"))
    chain.sells("ore", "1")

    with pytest.raises(UnproductiveError) as refusal:
        aggregate(chain.graph(facts()))

    assert "steel (urn:test:steel of steel.example)" in str(refusal.value)
    assert "scrap (urn:test:scrap of scrap.example)" in str(refusal.value)
    assert "ore" not in str(refusal.value)


def test_overlapping_loops_of_which_each_alone_would_do_are_refused_naming_all_products(
    chain: Any, facts: Callable[[], Any]
) -> None:
    chain.sells("hub", "1", chain.buys("left", "0.72"), chain.buys("right", "0.72"))
    chain.sells("left", "1", chain.buys("hub", "0.72"))
    chain.sells("right", "1", chain.buys("hub", "0.72"))

    with pytest.raises(UnproductiveError) as refusal:
        aggregate(chain.graph(facts()))

    for name in ("hub", "left", "right"):
        assert f"{name} (urn:test:{name} of {name}.example)" in str(refusal.value)


def test_a_supplier_whose_key_another_names_for_it_feeds_nothing(
    chain: Any, facts: Callable[[], Any]
) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", supplier=chain.impostor("ore")))
    added = chain.added(graph=chain.graph(facts()))

    (reason,) = added.missing("cell").values()

    assert reason.startswith("urn:test:ore of ore.example: named with log key ore.example+")
    assert added.total("cell") == 1


# Bytes that two readers could take for two things


FORMS: dict[str, tuple[bytes, bytes, str]] = {
    "a duplicate key": (
        b'"amount":"1","amountKind"', b'"amount":"9","amount":"1","amountKind"',
        """it has '9","amount":"1","amountK', where '1","amountKind":"calcula' belongs""",
    ),
    "an unknown key": (
        b'"amount":"1","amountKind"', b'"amount":"1","amountGsp":"1","amountKind"', "amountGsp"
    ),
    "keys in another order": (
        b'"declaredUnit":{"amount":"1","unit":"kg"}', b'"declaredUnit":{"unit":"kg","amount":"1"}',
        """it has 'unit":"kg","amount":"1"}', where 'amount":"1","unit":"kg"}' belongs""",
    ),
    "a space": (
        b'"declaredUnit":{"amount"', b'"declaredUnit": {"amount"', "it has ' {\"amount\""
    ),
    "a needless escape": (
        b'"sharing":"public"', rb'"sharing":"publi\u0063"', "where 'c\""
    ),
    "a null": (b'"producer":{"name"', b'"producer":{"ids":null,"name"', """where 'name":"""),
    "a default written out": (
        b'"gwp":"AR6",', b'"gwp":"AR6","massBalance":false,', """it has 'massBalance":false"""
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_payload_in_another_form_is_refused_though_it_is_signed_and_logged(
    check: Check, chain: Any, maker: Any, form: tuple[bytes, bytes, str]
) -> None:
    old, new, told = form
    lie = with_changed(maker, old, new)

    refused(check, show(chain, maker, lie), MalformedError, "5 (payload)", told)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda payload: payload + b"\n",
        lambda payload: b" " + payload,
        lambda payload: b"\xef\xbb\xbf" + payload,
        lambda payload: payload + payload,
        lambda payload: payload[:-1],
        lambda payload: payload.decode().encode("utf-16"),
        lambda payload: payload.replace(b"scrap", b"scr\xffap"),
        lambda payload: b"",
        lambda payload: b"null",
        lambda payload: b"[]",
        lambda payload: b"{}",
    ],
    ids=[
        "a line feed behind it", "a space before it", "a byte order mark", "twice", "cut",
        "in UTF-16", "not in UTF-8", "empty", "null", "a list", "an empty object",
    ],
)  # fmt: skip
def test_what_is_not_exactly_one_statement_is_refused_though_it_is_signed_and_logged(
    check: Check, chain: Any, maker: Any, spoil: Callable[[bytes], bytes]
) -> None:
    lie = maker.enter_envelope(signed(maker, spoil(payload_of(maker.envelopes[-1]))))

    refused(check, show(chain, maker, lie), MalformedError, "5 (payload)")


NUMBERS = {
    "a JSON number": (b"1", "got `int`"),
    "a JSON float": (b"1e-7", "got `float`"),
    "an exponent": (b'"1E-7"', "1E-7"),
    "a small exponent": (b'"1e2"', "1e2"),
    "minus zero": (b'"-0"', "-0"),
    "minus zero with decimals": (b'"-0.00"', "-0.00"),
    "a line feed behind it": (b'"1\\n"', ""),
    "Arabic digits": ('"\u0661"'.encode(), "\u0661"),
    "full-width digits": ('"\uff11"'.encode(), "\uff11"),
    "a leading zero": (b'"01"', "01"),
    "a plus": (b'"+1"', "+1"),
    "no digit before the point": (b'".5"', ".5"),
    "no digit behind the point": (b'"1."', "1."),
    "not a number": (b'"NaN"', "NaN"),
    "infinity": (b'"Infinity"', "Infinity"),
    "a comma": (b'"1,5"', "1,5"),
    "an underscore": (b'"1_0"', "1_0"),
    "nothing": (b'""', ""),
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("place", [b'"declaredUnit":{"amount":"1"', b'"values":{"fossil":"2"}'])
def test_what_is_no_plain_decimal_is_refused_though_it_is_signed_and_logged(
    check: Check, chain: Any, maker: Any, place: bytes, number: tuple[bytes, str]
) -> None:
    text, told = number
    lie = with_changed(maker, place, re.sub(rb'"[12]"', lambda _: text, place))
    shown = show(chain, maker, lie)

    with pytest.raises(MalformedError) as refusal:
        check(shown)
    sentence = str(refusal.value)

    assert re.match(
        f"statement {commitment_of(lie)} of maker.example refused at step "
        r"(5 \(payload\)|7 \(content\)): ",
        sentence,
    )
    assert told in sentence or "$.predicate." in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "digits", ["1" * 35, "0." + "0" * 40 + "1" * 35, "1" + "0" * 34 + ".1", "-" + "9" * 35]
)
def test_a_number_of_more_than_34_digits_is_refused_though_it_is_signed_and_logged(
    check: Check, chain: Any, maker: Any, digits: str
) -> None:
    lie = with_changed(
        maker, b'"values":{"fossil":"2"}', b'"values":{"fossil":"%b"}' % digits.encode()
    )

    refused(check, show(chain, maker, lie), LimitError, "7 (content)", digits, "34")


NAMES = {
    "an escape sequence": "scrap\x1b[2J",
    "an escape sequence in eight bits": "scrap\x9b2J",
    "a backspace": "scrap\b\b\b\b\bgold",
    "a carriage return": "gold\rscrap",
    "a line feed": "scrap\nTotal: 0 kg",
    "a bell": "scrap\x07",
    "a delete": "scrap\x7f",
    "a right-to-left override": "scrap \u202egk 2",
    "an isolate": "scrap \u2066gold\u2069",
    "a mark of direction": "scrap\u200f",
    "a line separator": "scrap\u2028",
    "a zero-width no-break space": "scrap\ufeff",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_what_a_terminal_would_obey_in_a_products_name_is_refused_and_not_repeated(
    check: Check, chain: Any, maker: Any, name: str
) -> None:
    text = json.dumps(name, ensure_ascii=False).encode()
    lie = with_changed(maker, b'"name":"scrap"', b'"name":%b' % text)

    sentence = refused(
        check, show(chain, maker, lie), MalformedError, "5 (payload)",
        "a text holds control characters, which are not shown",
    )  # fmt: skip

    assert sentence.isascii()
    assert sentence.isprintable()


@pytest.mark.parametrize("name", ["scrap\x1b[2J", "scrap \u202egk 2"])
@pytest.mark.parametrize("place", [b'"unit":"kg"', b'"gwp":"AR6"', b'"sharing":"public"'])
def test_what_a_terminal_would_obey_is_not_repeated_where_something_else_is_refused(
    check: Check, chain: Any, maker: Any, place: bytes, name: str
) -> None:
    key = place.partition(b":")[0]
    text = json.dumps(name, ensure_ascii=False).encode()
    lie = payload_of(maker.envelopes[-1]).replace(place, key + b":" + text)
    data = maker.enter_envelope(signed(maker, lie))

    sentence = refused(check, show(chain, maker, data), MalformedError, "5 (payload)")

    assert sentence.isprintable()
    assert "\u202e" not in sentence


# Too much of everything

TEN_MB = 10 * 1024 * 1024
DEEP = {
    "lists": b"[" * 10_000 + b"]" * 10_000,
    "objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "unclosed lists": b"[" * 10_000,
    "unclosed objects": b'{"payload":' * 10_000,
}


def test_ten_megabytes_of_envelope_are_refused_with_both_sizes(
    check: Check, chain: Any, maker: Any
) -> None:
    for spoilt in (b"[" * TEN_MB, b'{"payload":"' + b"A" * TEN_MB, b" " * TEN_MB):
        refused(
            check, show(chain, maker, spoilt), LimitError, "1 (envelope)",
            f"{len(spoilt)} bytes", str(MAX_STATEMENT_BYTES),
        )  # fmt: skip


def test_ten_megabytes_of_payload_are_refused_though_they_are_signed_and_logged(
    check: Check, chain: Any, maker: Any
) -> None:
    payload = payload_of(maker.envelopes[-1]).replace(b"line own", b"x" * TEN_MB)
    data = maker.enter_envelope(signed(maker, payload))

    refused(
        check, show(chain, maker, data), LimitError, "1 (envelope)",
        f"{len(data)} bytes", str(MAX_STATEMENT_BYTES),
    )  # fmt: skip


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
def test_json_ten_thousand_deep_is_refused_as_an_envelope(
    check: Check, chain: Any, maker: Any, deep: bytes
) -> None:
    refused(check, show(chain, maker, deep), MalformedError, "1 (envelope)")


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
def test_json_ten_thousand_deep_is_refused_as_a_payload_though_it_is_signed_and_logged(
    check: Check, chain: Any, maker: Any, deep: bytes
) -> None:
    data = maker.enter_envelope(signed(maker, deep))

    refused(check, show(chain, maker, data), MalformedError, "5 (payload)")


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
def test_json_ten_thousand_deep_is_refused_inside_a_payload(
    check: Check, chain: Any, maker: Any, deep: bytes
) -> None:
    for place in (b'"unit":"kg"}},"predicateType"', b'"producer":{'):
        head, name, tail = payload_of(maker.envelopes[-1]).partition(place)
        payload = head + name.replace(b'"unit":"kg"', b'"unit":' + deep) + tail
        if payload == head + name + tail:
            payload = head + name + b'"ids":' + deep + b"," + tail
        data = maker.enter_envelope(signed(maker, payload))

        refused(check, show(chain, maker, data), MalformedError, "5 (payload)")


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
def test_json_ten_thousand_deep_is_refused_where_an_envelope_is_not_read(
    check: Check, chain: Any, maker: Any, deep: bytes
) -> None:
    data = maker.envelopes[-1].replace(b"{", b'{"more":' + deep + b",", 1)

    refused(check, show(chain, maker, data), MalformedError, "1 (envelope)")


# The envelope, of which nothing but payload and type is signed


def test_a_second_signature_in_the_envelope_is_refused(
    check: Check, chain: Any, maker: Any, thief: Any
) -> None:
    honest = Envelope.parse(maker.envelopes[-1])
    (own,) = honest.signatures
    (more,) = signed(thief, honest.payload).signatures
    for signatures in ((own, more), (more, own), (own, own), ()):
        data = replace(honest, signatures=signatures).encode()

        refused(
            check, show(chain, maker, data), MalformedError, "1 (envelope)",
            f"{len(signatures)} signatures", "exactly one",
        )  # fmt: skip


def test_a_signature_under_another_keyid_is_refused_with_both(
    check: Check, chain: Any, maker: Any, thief: Any
) -> None:
    own = maker.statement_key.key.label
    for keyid in (thief.statement_key.key.label, maker.log_key.key.label, own + "0", own[:-1], ""):
        data = named(maker.envelopes[-1], keyid)

        refused(check, show(chain, maker, data), SignatureError, "4 (key)", keyid, own)


def test_a_keyid_that_a_terminal_would_obey_is_not_repeated(
    check: Check, chain: Any, maker: Any
) -> None:
    data = named(maker.envelopes[-1], "maker\x1b[2J\u202e")

    sentence = refused(check, show(chain, maker, data), SignatureError, "4 (key)")

    assert sentence.isprintable()


def test_a_signature_without_a_keyid_is_refused(check: Check, chain: Any, maker: Any) -> None:
    refused(
        check, show(chain, maker, named(maker.envelopes[-1], None)), MalformedError, "1 (envelope)",
        "the signature has no keyid",
    )  # fmt: skip


def named(data: bytes, keyid: str | None) -> bytes:
    """Return an envelope whose signature names another key."""
    found = Envelope.parse(data)
    (signature,) = found.signatures
    renamed = EnvelopeSignature(keyid=keyid, signature=signature.signature)
    return replace(found, signatures=(renamed,)).encode()


@pytest.mark.parametrize(
    "kind", ["application/json", "", PAYLOAD_TYPE.upper(), PAYLOAD_TYPE + " ", "text/\x1b[2J"]
)
def test_another_payload_type_is_refused_with_both_though_it_is_signed_and_logged(
    check: Check, chain: Any, maker: Any, kind: str
) -> None:
    honest = Envelope.parse(maker.envelopes[-1])
    retyped = replace(honest, payload_type=kind).encode()
    signed_so = signed(maker, honest.payload, kind)
    maker.enter(
        StatementEntry(
            commitment=bytes.fromhex(commitment_of(signed_so.encode())),
            key=2,
            signature_hash=hashlib.sha256(signed_so.signatures[0].signature).digest(),
        ).encode()
    )

    for data in (retyped, signed_so.encode()):
        sentence = refused(
            check, show(chain, maker, data), MalformedError, "1 (envelope)",
            f"payload type {showable(kind)},", PAYLOAD_TYPE,
        )  # fmt: skip
        assert sentence.isprintable()


def test_another_predicate_type_is_refused_though_it_is_signed_and_logged(
    check: Check, chain: Any, maker: Any
) -> None:
    for kind in (b"urn:bcca:footprint:v1", b"urn:bcca:opinion:v1", b"urn:bcca:footprint:v2"):
        lie = with_changed(maker, b"urn:bcca:partial-footprint:v1", kind)
        maker.envelopes.pop()

        refused(check, show(chain, maker, lie), MalformedError, "5 (payload)")


def test_what_is_said_beside_payload_and_signature_changes_nothing(
    check: Check, chain: Any, maker: Any
) -> None:
    (right,) = Envelope.parse(maker.envelopes[-1]).signatures
    claims = b'{"is_current":true,"payload":"e30=","fact":[1,2,{}],'
    data = claims + maker.envelopes[-1][1:]

    assert check(show(chain, maker, data)).fact.commitment == commitment_of(maker.envelopes[-1])
    assert b64(right.signature).encode() in data
