"""Two heads that no one tree has: proven by the log's own signatures, or not at all."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from bcca_protocol import merkle, misbehaviour
from bcca_protocol.checkpoint import Checkpoint, cosign, sign_checkpoint
from bcca_protocol.errors import (
    LimitError,
    MalformedError,
    ProofError,
    RefusedError,
    SignatureError,
)
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.limits import MAX_MISBEHAVIOUR_BYTES
from bcca_protocol.merkle import EMPTY_ROOT, Tree
from bcca_protocol.misbehaviour import (
    Misbehaviour,
    ProvenMisbehaviour,
    from_heads,
    from_tree,
    prove,
    verify_misbehaviour,
)
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.policy import Policy

ORIGIN = "mine.example"
AT = 1_780_000_000


def signer(seed: int, name: str = ORIGIN, algorithm: Algorithm = Algorithm.ED25519) -> SeedSigner:
    return SeedSigner(name=name, algorithm=algorithm, seed=bytes([seed]) * 32)


LOG, THIEF = signer(1), signer(2)
WITNESSES = [signer(9 + n, f"w{n}.example", Algorithm.ED25519_COSIGNATURE) for n in range(5)]


def tree(size: int, *, fork: int | None = None) -> Tree:
    """Return a tree; from leaf `fork` on it is another one."""
    lines = (b"%d%s" % (n, b"!" if fork is not None and n >= fork else b"") for n in range(size))
    return Tree(map(merkle.leaf_hash, lines))


def head(size: int, root: bytes, by: Sequence[SeedSigner] = (LOG,), *more: str) -> Note:
    checkpoint = Checkpoint(origin=by[0].key.name, size=size, root=root, extensions=more)
    return sign_checkpoint(checkpoint, by)


def head_of(grown: Tree, size: int | None = None) -> Note:
    return head(grown.size if size is None else size, grown.root(size))


def path_only(older: int, newer: int, path: Sequence[bytes]) -> Misbehaviour:
    """Return what is said of a log that shows one honest tree."""
    honest = tree(newer)
    return Misbehaviour(
        key=LOG.key, older=head_of(honest, older), newer=head_of(honest), path=tuple(path)
    )


# What is proven


@pytest.mark.parametrize("size", range(18))
def test_two_roots_of_one_size_are_proof(size: int) -> None:
    one, other = head_of(tree(size)), head(size, b"x" * 32)

    found = from_heads(LOG.key, one, other)

    assert found == from_heads(LOG.key, other, one)
    assert prove(replace(found, older=found.newer, newer=found.older)).newer.size == size
    proven = verify_misbehaviour(found.encode())
    assert (proven.origin, proven.newer.size, proven.key) == (ORIGIN, size, LOG.key)
    assert proven.what.startswith(f"two trees of size {size}: root ")


@pytest.mark.parametrize("newer", range(1, 18))
def test_a_tree_that_does_not_begin_with_an_older_one_is_proof(newer: int) -> None:
    lie = tree(newer, fork=0)
    for older in range(1, newer):
        found = from_tree(LOG.key, head_of(tree(older)), head_of(lie), lie.subtree)

        proven = verify_misbehaviour(found.encode())
        assert (proven.older.size, proven.newer.size) == (older, newer)
        assert lie.root(older).hex() in proven.what


@pytest.mark.parametrize("fork", range(40))
def test_a_fork_anywhere_below_the_older_size_is_proof(fork: int) -> None:
    lie = tree(100, fork=fork)

    for older in range(fork + 1, 42):
        from_tree(LOG.key, head_of(tree(older)), head_of(lie), lie.subtree)


@pytest.mark.parametrize("newer", [1, 2, 7])
def test_a_tree_of_nothing_with_something_in_it_is_proof(newer: int) -> None:
    honest = tree(newer)

    found = from_tree(LOG.key, head(0, b"x" * 32), head_of(honest), honest.subtree)

    assert found.path == ()
    assert EMPTY_ROOT.hex() in verify_misbehaviour(found.encode()).what


def test_a_log_that_signs_with_two_keys_is_caught_by_either() -> None:
    both = (LOG, THIEF)
    one, other = head(7, b"1" * 32, both), head(7, b"2" * 32, both)

    assert {prove(from_heads(each.key, one, other)).key for each in both} == {LOG.key, THIEF.key}


def test_marks_that_reorder_text_in_an_extension_do_not_keep_a_lie_from_being_written_down() -> (
    None
):
    odd = "\u202egninnigeb\u0085\u2028 \x7f\\\"'é"
    found = from_heads(LOG.key, head(7, b"1" * 32, (LOG,), odd), head(7, b"2" * 32))

    assert verify_misbehaviour(found.encode()).evidence == found


# What is not


@pytest.mark.parametrize("newer", range(1, 18))
def test_an_honest_log_is_not_accused(newer: int) -> None:
    honest = tree(newer)
    for older in range(newer):
        path = merkle.prove_beginning(older, newer, honest.subtree)

        with pytest.raises(ProofError, match=f"the tree of {newer} begins with that of {older}"):
            prove(path_only(older, newer, path))
        with pytest.raises(ProofError, match="begins with that of"):
            from_tree(LOG.key, head_of(honest, older), head_of(honest), honest.subtree)


@pytest.mark.parametrize("newer", range(2, 18))
def test_garbage_paths_do_not_accuse_an_honest_log(newer: int) -> None:
    honest = tree(newer)
    for older in range(1, newer):
        path = merkle.prove_beginning(older, newer, honest.subtree)
        garbage = [(*path[:at], b"x" * 32, *path[at + 1 :]) for at in range(len(path))]
        garbage += [path[:-1], path[1:], (*path, b"x" * 32), (b"x" * 32, *path), path[::-1]]
        garbage += [(*path[:at], b, a, *path[at + 2 :]) for at, (a, b) in neighbours(path)]
        for each in garbage:
            if each != path:
                with pytest.raises(ProofError):
                    prove(path_only(older, newer, each))


def neighbours(path: tuple[bytes, ...]) -> list[tuple[int, tuple[bytes, bytes]]]:
    return list(enumerate(pairwise(path)))


def test_the_path_of_a_tree_that_the_log_never_signed_does_not_accuse_it() -> None:
    lie = tree(100, fork=3)
    path = merkle.prove_beginning(64, 100, lie.subtree)

    with pytest.raises(ProofError, match="a path to root"):
        prove(path_only(64, 100, path))


def test_one_head_twice_is_no_lie() -> None:
    one = head_of(tree(7))

    with pytest.raises(ProofError):
        from_heads(LOG.key, one, one)
    with pytest.raises(ProofError):
        from_heads(LOG.key, one, head(7, tree(7).root(), (LOG,), "another extension"))


@pytest.mark.parametrize("path", [None, (), (b"x" * 32,)])
@pytest.mark.parametrize(("older", "newer"), [(7, 7), (7, 6), (6, 7), (0, 0), (0, 6), (6, 0)])
def test_heads_out_of_their_order_prove_nothing(
    older: int, newer: int, path: tuple[bytes, ...] | None
) -> None:
    first, second = (head(size, tree(size).root()) for size in (older, newer))

    with pytest.raises(ProofError):
        prove(Misbehaviour(key=LOG.key, older=first, newer=second, path=path))


def test_a_thief_who_signs_for_another_log_accuses_only_himself() -> None:
    one, other = head(7, b"1" * 32), head(7, b"2" * 32, (THIEF,))

    with pytest.raises(SignatureError, match=r"2 \(signatures\)"):
        from_heads(LOG.key, one, other)
    with pytest.raises(SignatureError, match=r"2 \(signatures\)"):
        from_heads(THIEF.key, one, other)


def test_the_heads_of_another_origin_are_refused() -> None:
    elsewhere = signer(1, "elsewhere.example")
    one, other = head(7, b"1" * 32, (elsewhere,)), head(7, b"2" * 32, (elsewhere,))

    with pytest.raises(SignatureError, match=r"1 \(heads\): a head of elsewhere.example"):
        from_heads(LOG.key, one, other)


def test_a_witness_is_not_accused_as_if_it_were_a_log() -> None:
    cosigner = signer(1, ORIGIN, Algorithm.ED25519_COSIGNATURE)
    checkpoints = [Checkpoint(origin=ORIGIN, size=7, root=root * 32) for root in (b"1", b"2")]
    one, other = (
        Note(text=each.encode(), signatures=(cosign(each.encode(), cosigner, at=AT),))
        for each in checkpoints
    )

    with pytest.raises(SignatureError, match=r"1 \(heads\)"):
        from_heads(cosigner.key, one, other)


@pytest.mark.parametrize("at", ["older", "newer"])
def test_a_note_with_any_signature_byte_changed_proves_nothing(at: str) -> None:
    found = from_heads(LOG.key, head(7, b"1" * 32), head(7, b"2" * 32))
    note: Note = getattr(found, at)
    (line,) = note.signatures
    for place in range(len(line.blob)):
        blob = bytearray(line.blob)
        blob[place] ^= 1
        forged = replace(note, signatures=(replace(line, blob=bytes(blob)),))
        notes = {"older": found.older, "newer": found.newer, at: forged}

        with pytest.raises(SignatureError):
            prove(Misbehaviour(key=LOG.key, older=notes["older"], newer=notes["newer"]))


def test_nobody_makes_the_fact_but_the_verifier() -> None:
    found = from_heads(LOG.key, head(7, b"1" * 32), head(7, b"2" * 32))
    older, newer = (Checkpoint.parse(each.text) for each in (found.older, found.newer))

    with pytest.raises(TypeError):
        ProvenMisbehaviour(maker=object(), evidence=found, older=older, newer=newer, what="so")


# Who lied with it


def test_the_evidence_names_the_witnesses_that_cosigned_both_trees() -> None:
    one, other = head(7, b"1" * 32), head(7, b"2" * 32)
    one = one.with_signatures(cosign(one.text, each, at=AT) for each in WITNESSES[:4])
    other = other.with_signatures(cosign(other.text, each, at=AT) for each in WITNESSES[2:])

    proven = prove(from_heads(LOG.key, one, other))

    assert proven.cosigners(policy()) == ("w2", "w3")


def test_a_cosignature_that_somebody_made_up_accuses_no_witness() -> None:
    one, other = head(7, b"1" * 32), head(7, b"2" * 32)
    made_up = NoteSignature(
        name=WITNESSES[0].key.name, key_id=WITNESSES[0].key.id, blob=AT.to_bytes(8) + b"x" * 64
    )
    true = cosign(other.text, WITNESSES[0], at=AT)

    found = from_heads(LOG.key, one.with_signatures([made_up]), other.with_signatures([true]))

    assert prove(found).cosigners(policy()) == ()


def policy() -> Policy:
    lines = [f"witness w{n} {each.key.encode()}" for n, each in enumerate(WITNESSES)]
    return Policy.parse("\n".join([*lines, "group g 4 w0 w1 w2 w3 w4", "quorum g", ""]))


# The file


def test_the_file_is_one_line_that_is_read_as_it_was_written() -> None:
    lie = tree(100, fork=3)
    for found in (
        from_heads(LOG.key, head(7, b"1" * 32), head(7, b"2" * 32)),
        from_tree(LOG.key, head_of(tree(64)), head_of(lie), lie.subtree),
        from_tree(LOG.key, head(0, b"x" * 32), head_of(lie), lie.subtree),
    ):
        data = found.encode()

        assert data.count(b"\n") == 1
        assert Misbehaviour.parse(data) == found
        assert found.id == hashlib.sha256(data).hexdigest()


def test_a_file_with_any_byte_changed_left_out_or_doubled_proves_nothing_new() -> None:
    lie = tree(6, fork=3)
    found = from_tree(LOG.key, head_of(tree(5)), head_of(lie), lie.subtree)
    data = found.encode()
    for at in range(len(data)):
        for changed in (
            data[:at] + b"A" + data[at + 1 :],
            data[:at] + data[at + 1 :],
            data[:at] + data[at : at + 1] + data[at:],
            data[:at],
        ):
            if changed != data:
                with pytest.raises(RefusedError):
                    verify_misbehaviour(changed)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "bcca/v2 misbehaviour"},
        {"format": 1},
        {"path": "x"},
        {"path": [""]},
        {"path": ["AA=="]},
        {"older": []},
        {"older": "x"},
        {"older": ["\ud800"]},
        {"key": "x"},
        {"extra": "x"},
    ],
)
def test_a_file_of_another_form_is_malformed(change: dict[str, object]) -> None:
    data = from_heads(LOG.key, head(7, b"1" * 32), head(7, b"2" * 32)).encode()
    written = json.dumps({**json.loads(data), **change}, separators=(",", ":"), sort_keys=True)

    with pytest.raises(MalformedError):
        verify_misbehaviour(written.encode() + b"\n")


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\n", b"[" * 100_000, b"\x00"]
)
def test_what_is_no_such_file_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        verify_misbehaviour(data)


def test_an_endless_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitError):
        verify_misbehaviour(b" " * (MAX_MISBEHAVIOUR_BYTES + 1))


def test_a_path_of_as_many_hashes_as_fit_is_refused_fast() -> None:
    path = (b"x" * 32,) * 20_000

    with pytest.raises(ProofError, match="too many"):
        verify_misbehaviour(path_only(5, 6, path).encode())


def test_sizes_of_10_to_the_18_are_only_numbers() -> None:
    big = 10**18
    one, other = head(big, b"1" * 32), head(big + 1, b"2" * 32)

    with pytest.raises(ProofError):
        prove(Misbehaviour(key=LOG.key, older=one, newer=other, path=(b"x" * 32,) * 60))
    assert misbehaviour.from_heads(LOG.key, one, head(big, b"3" * 32)).path is None
