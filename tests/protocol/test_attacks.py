"""One liar in the network: every attack in both ways of checking, alone and in bulk.

A refusal names the statement, the step of SPEC 6.3 or 6.4, and the two things that differ.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from bcca_protocol import envelope, merkle
from bcca_protocol.aggregate import aggregate
from bcca_protocol.entry import (
    KeyAdd,
    KeyCompromised,
    KeyRetire,
    Status,
    StatementEntry,
    compromised_message,
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
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.graph import connect
from bcca_protocol.inventory import Allocation, Amount, CoProduct, Supplier
from bcca_protocol.keys import Algorithm, Role, SeedSigner, VerifierKey
from bcca_protocol.limits import MAX_PROOF_HASHES, MAX_STATEMENT_BYTES
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.policy import Policy, verify_checkpoint
from bcca_protocol.proof import TlogProof
from bcca_protocol.verify import (
    PAYLOAD_TYPE,
    Fact,
    Signed,
    Verified,
    VerifiedLog,
    entry_of,
    verify_alone,
    verify_in_bulk,
    verify_log,
    verify_signed,
)
from bcca_protocol.wire import b64

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


def log_of(shown: Shown) -> VerifiedLog:
    head = verify_checkpoint(shown.note, shown.key, Policy.parse(shown.policy))
    return verify_log(head, shown.entries)


def in_bulk(shown: Shown) -> Verified[Fact]:
    return verify_in_bulk(shown.envelope, log_of(shown))


def in_a_bundle(shown: Shown) -> Signed[Fact]:
    return verify_signed(shown.envelope, log_of(shown))


def alone(shown: Shown) -> Signed[Fact]:
    proof = TlogProof.parse(shown.proof)
    head = verify_checkpoint(proof.checkpoint, shown.key, Policy.parse(shown.policy))
    return verify_alone(shown.envelope, proof, head, log_of(shown))


SINGLY = {"alone": alone, "in a bundle": in_a_bundle}
BOTH = {**SINGLY, "in bulk": in_bulk}


@pytest.fixture(params=BOTH.values(), ids=BOTH)
def check(request: pytest.FixtureRequest) -> Check:
    """One way of checking after the other."""
    way: Check = request.param
    return way


@pytest.fixture(params=SINGLY.values(), ids=SINGLY)
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
    data = maker.envelopes[0]
    grown = {"entries": (*maker.lines, b"bcca/v1 key retire 2")}
    proof = maker.proof(3)
    maker.enter(grown["entries"][-1].decode())
    root = merkle.Tree(map(merkle.leaf_hash, grown["entries"])).root()
    lie = show(chain, maker, data, proof=replace(proof, checkpoint=maker.note().encode()).encode())

    sentence = refused(alone, lie, ProofError, "9 (inclusion)", f"claimed {root.hex()}")
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
    spoilt = {
        "too many": (*path, bytes(32)),
        "hashes are too many": (bytes(32), *path),
        f"{MAX_PROOF_HASHES} hashes are too many": (*path, *[bytes(32)] * 61)[:MAX_PROOF_HASHES],
        "too few": path[:-1],
        f"{len(path) - 1} hashes are too few": path[1:],
        "0 hashes are too few": (),
    }

    for why, wrong in spoilt.items():
        lie = spoilt_proof(chain, maker, data, path=wrong)
        refused(alone, lie, ProofError, "9 (inclusion)", "leaf 4 in 6", why)


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


def fork_of(chain: Any, company: Any) -> Any:
    """Return a second log of the same keys: what its owner shows to others."""
    return type(company)(origin=company.origin)


def test_two_trees_of_one_size_are_never_both_believed_while_two_witnesses_lie(
    check: Check, chain: Any, maker: Any
) -> None:
    other = fork_of(chain, maker)
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
    other = fork_of(chain, maker)
    for each in (maker.envelopes[0], *maker.envelopes[:0:-1]):
        other.enter_envelope(Envelope.parse(each))
    lie = show(chain, maker, data, proof=other.proof(3).encode())
    roots = [chain.head(each).checkpoint.root.hex() for each in (maker, other)]

    assert in_bulk(lie).index == 3  # the other tree is nowhere to be seen
    refused(alone, lie, ConflictError, "9 (inclusion)", "size 6", *roots)


def test_the_entries_of_another_tree_of_that_size_are_refused_with_both_roots(
    check: Check, chain: Any, maker: Any
) -> None:
    other = fork_of(chain, maker)
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
    return [*lines[:3], lines[3].replace(b" 2 ", b" 1 "), *lines[4:]]


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
    by_itself = envelope_free_cosignature(head.encode(), own)
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
