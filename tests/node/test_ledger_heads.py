"""Heads met anywhere: two that contradict are kept as a proof, and nobody is accused falsely."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func
from sqlmodel import select

from bcca_node.ledger import heads
from bcca_node.storage import heads as stored
from bcca_node.storage.database import Database
from bcca_node.storage.tables import HeadRow
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint, cosign, sign_checkpoint
from bcca_protocol.errors import RefusedError, SignatureError
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.merkle import Tree
from bcca_protocol.misbehaviour import Misbehaviour, from_heads, from_tree, verify_misbehaviour
from bcca_protocol.note import Note, NoteSignature

ORIGIN = "mine.example"
AT = 1_780_000_000


def signer(seed: int, name: str = ORIGIN, algorithm: Algorithm = Algorithm.ED25519) -> SeedSigner:
    return SeedSigner(name=name, algorithm=algorithm, seed=bytes([seed]) * 32)


LOG, FALSE = signer(1), signer(2)
WITNESS = signer(3, "witness.example", Algorithm.ED25519_COSIGNATURE)


def tree(size: int, *, fork: int | None = None) -> Tree:
    """Return a tree; from leaf `fork` on it is another one."""
    lines = (b"%d%s" % (n, b"!" if fork is not None and n >= fork else b"") for n in range(size))
    return Tree(map(merkle.leaf_hash, lines))


def head(size: int, root: bytes, by: SeedSigner = LOG, *more: str) -> Note:
    checkpoint = Checkpoint(origin=by.key.name, size=size, root=root, extensions=more)
    return sign_checkpoint(checkpoint, [by])


def head_of(grown: Tree, size: int | None = None) -> Note:
    return head(grown.size if size is None else size, grown.root(size))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'node.db'}")
    yield database
    database.close()


def test_heads_of_one_tree_are_no_misbehaviour(database: Database) -> None:
    grown = tree(20)
    for size in (0, 1, 7, 20, 7):
        with database.write() as session:
            assert heads.meet(session, LOG.key, head_of(grown, size), at=AT) is None

    with database.read() as session:
        assert [each.size for each in stored.every(session, ORIGIN)] == [0, 1, 7, 20]
        assert list(heads.proofs(session)) == []


def test_a_second_root_of_one_size_is_a_stored_proof_and_is_stored_once(database: Database) -> None:
    one, other = head(7, b"1" * 32), head(7, b"2" * 32)
    with database.write() as session:
        assert heads.meet(session, LOG.key, one, at=AT) is None
        found = heads.meet(session, LOG.key, other, at=AT)
    for at, again in enumerate((one, other, one), AT + 1):
        with database.write() as session:
            assert heads.meet(session, LOG.key, again, at=at) == found

    with database.read() as session:
        (proof,) = heads.proofs(session, ORIGIN)
        assert list(heads.proofs(session, "another.example")) == []
    assert (proof.origin, proof.found_at) == (ORIGIN, AT)
    assert verify_misbehaviour(proof.evidence).evidence == found == from_heads(LOG.key, one, other)


def test_the_proof_keeps_who_cosigned_each_of_the_two(database: Database) -> None:
    one, other = head(7, b"1" * 32), head(7, b"2" * 32)
    cosigned = one.with_signatures([cosign(one.text, WITNESS, at=AT)])
    with database.write() as session:
        heads.meet(session, LOG.key, one, at=AT)
        heads.meet(session, LOG.key, cosigned, at=AT)
        found = heads.meet(session, LOG.key, other, at=AT)

    assert found is not None
    assert found.older == cosigned


def test_a_tree_that_contradicts_a_smaller_head_met_before_is_proof(database: Database) -> None:
    honest, lie = tree(70), tree(100, fork=60)
    with database.write() as session:
        for size in (0, 1, 59, 60, 61, 64, 70):
            heads.meet(session, LOG.key, head_of(honest, size), at=AT)
        found = heads.compare(session, LOG.key, head_of(lie), lie.subtree, at=AT)
        again = heads.compare(session, LOG.key, head_of(lie), lie.subtree, at=AT + 1)

    assert found == again
    proven = [verify_misbehaviour(each.encode()) for each in found]
    assert [(each.older.size, each.newer.size) for each in proven] == [
        (61, 100),
        (64, 100),
        (70, 100),
    ]
    with database.read() as session:
        assert {each.id for each in heads.proofs(session)} == {each.id for each in found}


def test_a_proof_that_came_from_elsewhere_is_kept_with_its_heads(database: Database) -> None:
    lie = tree(100, fork=3)
    found = from_tree(LOG.key, head_of(tree(64)), head_of(lie), lie.subtree)
    with database.write() as session:
        assert heads.contradict(session, found, at=AT) == found

    with database.read() as session:
        assert [each.size for each in stored.every(session, ORIGIN)] == [64, 100]
        assert [each.evidence for each in heads.proofs(session)] == [found.encode()]


# Nobody is accused falsely, and nobody hides a lie


def test_whoever_introduces_a_false_key_accuses_nobody_and_hides_nothing(
    database: Database,
) -> None:
    true, lie = head(7, b"1" * 32), head(7, b"2" * 32)
    with database.write() as session:
        assert heads.meet(session, FALSE.key, head(7, b"1" * 32, FALSE), at=AT) is None
        assert heads.meet(session, LOG.key, true, at=AT) is None
        assert heads.meet(session, FALSE.key, head(7, b"3" * 32, FALSE), at=AT) is not None
        found = heads.meet(session, LOG.key, lie, at=AT)

    assert found is not None
    assert verify_misbehaviour(found.encode()).key == LOG.key


def test_attack_a_false_key_met_first_does_not_erase_what_the_true_one_signs(
    database: Database,
) -> None:
    true, lie = head(7, b"1" * 32), head(7, b"2" * 32)
    with database.write() as session:
        assert heads.meet(session, FALSE.key, head(7, b"1" * 32, FALSE, "x"), at=AT) is None
        assert heads.meet(session, LOG.key, true, at=AT) is None
        found = heads.meet(session, LOG.key, lie, at=AT)

    assert found == from_heads(LOG.key, true, lie)
    with database.read() as session:
        assert {each.note for each in stored.every(session, ORIGIN)} == {
            true.encode(),
            lie.encode(),
            head(7, b"1" * 32, FALSE, "x").encode(),
        }


def test_a_head_from_before_keys_were_kept_is_taken_over_by_the_key_that_signed_it(
    database: Database,
) -> None:
    seen = head(7, b"1" * 32)
    cosigned = seen.with_signatures([cosign(seen.text, WITNESS, at=AT)])
    with database.write() as session:
        stored.keep(session, Checkpoint.parse(seen.text), "", cosigned.encode())
        heads.meet(session, FALSE.key, head(7, b"1" * 32, FALSE), at=AT)
        heads.meet(session, LOG.key, seen, at=AT)

    with database.read() as session:
        kept = {each.vkey: each.note for each in stored.every(session, ORIGIN)}
    assert kept.keys() == {LOG.key.encode(), FALSE.key.encode()}
    assert kept[LOG.key.encode()] == cosigned.encode()


@pytest.mark.parametrize(
    "note",
    [
        head(7, b"1" * 32, FALSE),
        head(7, b"1" * 32, signer(1, "another.example")),
        Note(text="no head\n", signatures=head(7, b"1" * 32).signatures),
    ],
)
def test_a_head_that_the_log_did_not_sign_is_not_kept(database: Database, note: Note) -> None:
    with pytest.raises(RefusedError), database.write() as session:
        heads.meet(session, LOG.key, note, at=AT)

    with database.read() as session:
        assert stored.every(session, ORIGIN) == []


def test_a_head_of_another_log_by_the_same_key_is_refused(database: Database) -> None:
    text = Checkpoint(origin="another.example", size=7, root=b"1" * 32).encode()
    signature = NoteSignature(name=ORIGIN, key_id=LOG.key.id, blob=LOG.sign(text.encode()))

    with pytest.raises(RefusedError, match=r"another\.example"), database.write() as session:
        heads.meet(session, LOG.key, Note(text=text, signatures=(signature,)), at=AT)


def test_garbage_lines_under_a_head_do_not_push_its_log_or_its_witness_out(
    database: Database,
) -> None:
    plain = head(7, b"1" * 32)
    good = cosign(plain.text, WITNESS, at=AT)
    forged = [
        NoteSignature(name=good.name, key_id=good.key_id, blob=b"x" * 72),
        *(NoteSignature(name="x", key_id=n.to_bytes(4), blob=b"x") for n in range(98)),
    ]
    with database.write() as session:
        heads.meet(session, LOG.key, plain.with_signatures([good]), at=AT)
        heads.meet(session, LOG.key, plain.with_signatures(forged), at=AT)
        found = heads.meet(session, LOG.key, head(7, b"2" * 32), at=AT)

    assert found is not None
    assert found.older.signatures[:2] == (*plain.signatures, good)


def test_a_flood_of_heads_and_of_lies_is_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MAX_HEADS", 5)
    monkeypatch.setattr(heads, "MAX_PROOFS", 3)
    with database.write() as session:
        for size in range(20):
            heads.meet(session, LOG.key, head(size, b"1" * 32), at=AT)
            heads.meet(session, FALSE.key, head(size, b"3" * 32, FALSE), at=AT)
        for number in range(20):
            heads.meet(session, LOG.key, head(19, bytes([number]) * 32), at=AT)

    with database.read() as session:
        kept = stored.every(session, ORIGIN)
        assert len(kept) == 10
        assert len(list(heads.proofs(session))) == 3


def test_attack_heads_with_endless_extension_lines_are_bounded_in_bytes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MAX_HEAD_BYTES", 200_000)
    with database.write() as session:
        heads.meet(session, FALSE.key, head(3, b"3" * 32, FALSE), at=AT)
        for size in range(30):
            heads.meet(session, LOG.key, head(size, b"1" * 32, LOG, "x" * 50_000), at=AT)
        # What is there already grows by the lines of others, and gives way to itself alone.
        met = head(29, b"1" * 32, LOG, "x" * 50_000)
        more = [NoteSignature(name="x" * 250, key_id=b"1234", blob=b"x" * 5_000)]
        heads.meet(session, LOG.key, met.with_signatures(more), at=AT)

    with database.read() as session:
        assert [each.size for each in stored.every(session, ORIGIN)] == [3, 27, 28, 29]
        assert session.exec(select(func.sum(HeadRow.held))).one() == sum(
            len(each.note.encode()) for each in stored.every(session, ORIGIN)
        )


def test_attack_a_log_of_many_lies_costs_no_more_proofs_than_are_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "MAX_PROOFS", 3)
    honest, lie = tree(70), tree(100, fork=40)
    with database.write() as session:
        for size in range(70):
            heads.meet(session, LOG.key, head_of(honest, size), at=AT)
        found = heads.compare(session, LOG.key, head_of(lie), lie.subtree, at=AT)

    assert [Checkpoint.parse(each.older.text).size for each in found] == [41, 42, 43]


def test_a_head_kept_without_its_logs_signature_proves_nothing(database: Database) -> None:
    true = head(7, b"1" * 32)
    forged = Note(text=head(7, b"2" * 32).text, signatures=true.signatures)
    with database.write() as session:
        stored.keep(session, Checkpoint.parse(forged.text), "", forged.encode())
        assert heads.meet(session, LOG.key, true, at=AT) is None

        with pytest.raises(SignatureError):
            heads.contradict(session, Misbehaviour(key=LOG.key, older=true, newer=forged), at=AT)
