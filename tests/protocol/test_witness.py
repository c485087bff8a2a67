from dataclasses import replace
from hashlib import shake_128

import pytest

from bcca_protocol.checkpoint import Checkpoint, cosign, sign_checkpoint, verify_cosignature
from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.limits import (
    MAX_ADD_CHECKPOINT_BYTES,
    MAX_NOTE_SIGNATURES,
    MAX_PROOF_HASHES,
)
from bcca_protocol.merkle import EMPTY_ROOT, Tree, leaf_hash, prove_consistency
from bcca_protocol.note import Note, NoteSignature, verify_note
from bcca_protocol.witness import (
    PLAIN,
    TREE_SIZE,
    AddCheckpoint,
    Answer,
    WitnessState,
    answer,
)

ORIGIN = "cathode.example/bcca"
AT = 1_767_225_600
LOG = SeedSigner(name=ORIGIN, algorithm=Algorithm.ED25519, seed=b"l" * 32)
THIEF = SeedSigner(name=ORIGIN, algorithm=Algorithm.ED25519, seed=b"t" * 32)
WITNESS = SeedSigner(
    name="anode.example/bcca", algorithm=Algorithm.ED25519_COSIGNATURE, seed=b"w" * 32
)
TREE = Tree(leaf_hash(b"%d" % number) for number in range(17))
FORK = Tree(leaf_hash(b"%d" % (number if number < 5 else -number)) for number in range(17))


def head(size: int, tree: Tree = TREE) -> Checkpoint:
    return Checkpoint(origin=ORIGIN, size=size, root=tree.root(size))


def state(size: int) -> WitnessState:
    return WitnessState(size=size, root=TREE.root(size))


def request(
    old: int,
    checkpoint: Checkpoint,
    *,
    proof: tuple[bytes, ...] | None = None,
    signer: SeedSigner = LOG,
    tree: Tree = TREE,
) -> bytes:
    if proof is None:
        proof = prove_consistency(old, checkpoint.size, tree.subtree)
    note = sign_checkpoint(checkpoint, [signer])
    return AddCheckpoint(old=old, proof=proof, note=note.encode()).encode()


def ask(body: bytes, known: WitnessState | None = None) -> Answer:
    """Return what a witness answers that cosigned `known` last."""
    return answer(body, {ORIGIN: LOG.key}, {ORIGIN: known}.__getitem__, WITNESS, AT)


def is_refused(given: Answer, status: int) -> bool:
    """Say whether nothing is to be stored or published, for a reason told in plain text."""
    return (given.status, given.content_type, given.checkpoint) == (status, PLAIN, None)


# The request


def test_a_request_is_old_size_hashes_and_checkpoint() -> None:
    asked = AddCheckpoint(old=10, proof=(bytes(32), EMPTY_ROOT), note="a\n1\n\n\n— s\n")

    assert asked.encode().decode() == (
        "old 10\n"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        "\n"
        "a\n1\n\n\n— s\n"
    )
    assert AddCheckpoint.parse(asked.encode()) == asked


HASH = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n\n",
        "old 1",
        "old 1\n",
        "1\n\nnote",
        "old\n\nnote",
        "old \n\nnote",
        "old 01\n\nnote",
        "old +1\n\nnote",
        "old -1\n\nnote",
        "old  1\n\nnote",
        "old 1 \n\nnote",
        "old 1\r\n\r\nnote",
        "old 1\n\r\n\nnote",
        "old \u0661\n\nnote",
        "Old 1\n\nnote",
        "\nold 1\n\nnote",
        f"old 1\n{HASH}\nnote",
        f"old 1\n {HASH}\n\nnote",
        f"old 1\n{HASH[:-1]}\n\nnote",
        f"old 1\n{HASH[:-2]}V=\n\nnote",
        f"old 1\n{HASH[:-4]}\n\nnote",
        "old 1\nAA==\n\nnote",
    ],
)
def test_a_request_of_another_form_is_refused(body: str) -> None:
    with pytest.raises(MalformedError):
        AddCheckpoint.parse(body.encode())
    assert is_refused(ask(body.encode()), 400)


def test_a_request_over_a_limit_is_refused() -> None:
    line = f"{HASH}\n"
    most = f"old 1\n{line * MAX_PROOF_HASHES}\nnote"

    assert len(AddCheckpoint.parse(most.encode()).proof) == MAX_PROOF_HASHES
    for body in (most.replace("1\n", f"1\n{line}"), "old 1\n\n" + "n" * MAX_ADD_CHECKPOINT_BYTES):
        with pytest.raises(LimitError):
            AddCheckpoint.parse(body.encode())
        assert is_refused(ask(body.encode()), 400)


@pytest.mark.parametrize("size", range(1, 33))
def test_whatever_is_asked_it_is_answered(size: int) -> None:
    noise = shake_128(bytes(size)).digest(size)
    for body in (noise, b"old 1\n" + noise, request(0, head(1)) + noise):
        assert is_refused(ask(body), 400)


# Cosigning


@pytest.mark.parametrize("new", range(18))
@pytest.mark.parametrize("old", range(18))
def test_a_tree_that_continues_the_last_is_cosigned(old: int, new: int) -> None:
    if old > new:
        return
    given = ask(request(old, head(new)), state(old) if old else None)

    assert (given.status, given.content_type) == (200, PLAIN)
    assert given.checkpoint == head(new)
    line = NoteSignature.parse(given.body.removesuffix("\n"))
    assert verify_cosignature(line, head(new).encode(), WITNESS.key) == AT
    assert given.note == sign_checkpoint(head(new), [LOG]).with_signatures([line])


def test_the_same_tree_is_cosigned_again_for_its_fresh_time() -> None:
    body = request(5, head(5), proof=())

    given = answer(body, {ORIGIN: LOG.key}, lambda _: state(5), WITNESS, AT + 9)

    line = NoteSignature.parse(given.body.removesuffix("\n"))
    assert verify_cosignature(line, head(5).encode(), WITNESS.key) == AT + 9


def test_nothing_that_strangers_signed_is_published() -> None:
    """A note with one line of the log and as many of others as fit, or with the log's repeated."""
    note = sign_checkpoint(head(1), [LOG])
    stranger = cosign(note.text, replace(WITNESS, name="stranger.example"), at=AT)
    for more in (stranger, note.signatures[0]):
        crowded = note.with_signatures([more] * (MAX_NOTE_SIGNATURES - 1)).encode()

        given = ask(AddCheckpoint(old=0, proof=(), note=crowded).encode())

        assert given.note is not None
        assert [each.name for each in given.note.signatures] == [ORIGIN, WITNESS.name]
        assert verify_note(given.note, [LOG.key, WITNESS.key]) == (LOG.key, WITNESS.key)


# Refusals, in the order in which they are checked


def test_a_checkpoint_that_is_none_is_refused() -> None:
    for note in ("", "hello\n", f"{ORIGIN}\n01\n{HASH}\n\n— x AAAAAAA=\n"):
        assert is_refused(ask(AddCheckpoint(old=0, proof=(), note=note).encode()), 400)


def test_a_log_that_nobody_asked_to_witness_is_not_found() -> None:
    given = answer(request(0, head(1)), {}, unasked, WITNESS, AT)

    assert is_refused(given, 404)


def test_a_checkpoint_that_a_thief_signed_is_refused() -> None:
    given = answer(request(0, head(1), signer=THIEF), {ORIGIN: LOG.key}, unasked, WITNESS, AT)

    assert is_refused(given, 403)
    assert given.note is None  # no evidence against the log


def test_a_line_in_the_logs_name_that_does_not_verify_refuses_the_rest() -> None:
    note = sign_checkpoint(head(1), [LOG])
    forged = replace(note.signatures[0], blob=bytes(64))
    for signatures in ((forged,), (*note.signatures, forged), (forged, *note.signatures)):
        text = Note(text=note.text, signatures=signatures).encode()
        body = AddCheckpoint(old=0, proof=(), note=text).encode()

        assert is_refused(answer(body, {ORIGIN: LOG.key}, unasked, WITNESS, AT), 403)


def unasked(origin: str) -> WitnessState | None:
    raise AssertionError(f"the state of {origin} was asked for before the signature was checked")


def test_an_old_size_beyond_the_checkpoint_is_refused_before_the_state_is_told() -> None:
    body = request(6, head(5), proof=())

    assert is_refused(ask(body, state(3)), 400)


@pytest.mark.parametrize("known", [0, 1, 2, 4, 5])
def test_who_does_not_know_the_last_size_is_told(known: int) -> None:
    given = ask(request(3, head(5)), state(known) if known else None)

    assert (given.status, given.body, given.content_type) == (409, f"{known}\n", TREE_SIZE)
    assert given.checkpoint is None


def test_a_log_that_rolls_back_is_refused() -> None:
    given = ask(request(3, head(4)), state(5))

    assert (given.status, given.body) == (409, "5\n")


def test_a_witness_asked_to_sign_a_second_tree_of_one_size_refuses_and_keeps_it() -> None:
    second = head(7, FORK)

    given = ask(request(7, second, proof=()), state(7))

    assert is_refused(given, 422)
    assert given.note == sign_checkpoint(second, [LOG])  # evidence against the log
    assert head(7).root.hex() in given.body
    assert second.root.hex() in given.body


@pytest.mark.parametrize("old", range(6, 17))
def test_a_fork_with_a_proof_of_its_own_is_refused(old: int) -> None:
    for new in range(old + 1, 18):
        given = ask(request(old, head(new, FORK), tree=FORK), state(old))

        assert is_refused(given, 422)
        assert given.note == sign_checkpoint(head(new, FORK), [LOG])


def test_a_proof_that_does_not_verify_is_refused() -> None:
    proof = prove_consistency(6, 13, TREE.subtree)
    for spoilt in ((), proof[:-1], (*proof, bytes(32)), proof[::-1], (bytes(32), *proof[1:])):
        assert is_refused(ask(request(6, head(13), proof=spoilt), state(6)), 422)


def test_a_proof_where_nothing_is_to_prove_is_refused() -> None:
    assert is_refused(ask(request(0, head(5), proof=(bytes(32),))), 422)
    assert is_refused(ask(request(5, head(5), proof=(bytes(32),)), state(5)), 422)


def test_an_empty_tree_with_another_root_is_refused() -> None:
    body = request(0, Checkpoint(origin=ORIGIN, size=0, root=bytes(32)), proof=())

    assert is_refused(ask(body), 422)
