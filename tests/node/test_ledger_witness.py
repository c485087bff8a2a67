"""A node as a witness of others: every answer over HTTP, in its order (c2sp.org/tlog-witness)."""

from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from bcca_node.ledger import heads
from bcca_node.ledger.backup import backup
from bcca_node.ledger.keys import rotate
from bcca_node.ledger.node import Node
from bcca_node.ledger.restore import restore
from bcca_node.settings import Settings
from bcca_node.storage import heads as met
from bcca_node.storage import logs, witnessed
from bcca_protocol import ending, merkle
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint, verify_cosignature
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.limits import MAX_ADD_CHECKPOINT_BYTES
from bcca_protocol.merkle import EMPTY_ROOT
from bcca_protocol.misbehaviour import verify_misbehaviour
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.witness import PLAIN, TREE_SIZE, AddCheckpoint, WitnessState

Ask = Callable[..., httpx.Response]

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - what `new_node` gives its keys

LOG = SeedSigner(name="log.example", algorithm=Algorithm.ED25519, seed=bytes([1]) * 32)
STRANGER = SeedSigner(name="log.example", algorithm=Algorithm.ED25519, seed=bytes([2]) * 32)
LEAVES = [merkle.leaf_hash(b"entry %d" % each) for each in range(20)]


def root(size: int, leaves: list[bytes] = LEAVES) -> bytes:
    return merkle.Tree(leaves[:size]).root()


def head(size: int, of: bytes | None = None, *, signer: SeedSigner = LOG) -> str:
    checkpoint = Checkpoint(
        origin=signer.key.name, size=size, root=root(size) if of is None else of
    )
    return sign_checkpoint(checkpoint, (signer,)).encode()


def asked(old: int, new: str, proof: tuple[bytes, ...] | None = None) -> bytes:
    size = Checkpoint.parse(Note.parse(new).text).size
    if proof is None:
        subtree = merkle.Tree(LEAVES[:size]).subtree
        proof = merkle.prove_consistency(old, size, subtree) if old <= size else ()
    return AddCheckpoint(old=old, proof=proof, note=new).encode()


@pytest.fixture
def node(new_node: Callable[..., Node]) -> Node:
    """A witness of log.example."""
    made = new_node("witness.example", clock=lambda: 1_800_000_000)
    names = "".join(f"witness w{n} {witness_key(n)}\n" for n in range(3))
    policy = f"log {LOG.key.encode()}\n{names}group g 3 w0 w1 w2\nquorum g\n"
    (made.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    return made


def witness_key(number: int) -> str:
    algorithm = Algorithm.ED25519_COSIGNATURE
    return SeedSigner(
        name=f"w{number}", algorithm=algorithm, seed=bytes([9 + number]) * 32
    ).key.encode()


@pytest.fixture
def add(node: Node, ask: Ask) -> Callable[[bytes], httpx.Response]:
    return lambda body: ask(node, "/witness/add-checkpoint", body=body)


def monitored(node: Node, ask: Ask, origin: str = "log.example") -> httpx.Response:
    return ask(node, f"/witness/{sha256(origin.encode()).hexdigest()}/checkpoint")


def test_what_is_cosigned_is_stored_and_shown_with_the_logs_own_signature(
    node: Node, add: Callable[[bytes], httpx.Response], ask: Ask
) -> None:
    before = monitored(node, ask)
    answer = add(asked(0, head(5)))
    shown = monitored(node, ask)
    line = NoteSignature.parse(answer.text.removesuffix("\n"))
    key = node.keystore.record(Role.WITNESS).key

    assert before.status_code == 404
    assert (answer.status_code, answer.headers["content-type"]) == (200, PLAIN)
    assert verify_cosignature(line, Note.parse(head(5)).text, key) == 1_800_000_000
    assert shown.text == head(5) + answer.text
    assert shown.headers["content-type"].startswith("text/plain")


def test_every_refusal_in_its_order(node: Node, add: Callable[[bytes], httpx.Response]) -> None:
    assert add(asked(0, head(5))).status_code == 200
    other = SeedSigner(name="other.example", algorithm=Algorithm.ED25519, seed=bytes([3]) * 32)
    bent = head(7).replace("log.example ", "log.example  ")
    forged = head(8).replace(head(8).split("\n")[-2][-8:], head(7).split("\n")[-2][-8:])
    for body, status, said in (
        (b"", 400, ""),
        (b"old 5\n\n" + bent.encode(), 400, ""),
        (b"old 05\n\n" + head(7).encode(), 400, ""),
        (asked(0, head(5, signer=other)), 404, "other.example"),
        (asked(5, head(7, signer=STRANGER)), 403, ""),
        (b"old 5\n\n" + forged.encode(), 403, ""),
        (asked(9, head(7)), 400, "old size 9"),
        (asked(0, head(7)), 409, "5\n"),
        (asked(4, head(7)), 409, "5\n"),
        (asked(6, head(7)), 409, "5\n"),
        (asked(5, head(5, bytes(32))), 422, ""),
        (asked(5, head(7), ()), 422, ""),
        (asked(5, head(7, bytes(32))), 422, ""),
        (asked(5, head(5), (bytes(32),)), 422, ""),
        (bytes(MAX_ADD_CHECKPOINT_BYTES + 1), 413, ""),
    ):
        answer = add(body)

        assert answer.status_code == status, body
        assert said in answer.text
        if status == 409:
            assert (answer.headers["content-type"], answer.text) == (TREE_SIZE, said)
    with node.database.read() as session:
        assert witnessed.last(session, "log.example") == WitnessState(size=5, root=root(5))


def test_a_first_head_needs_no_proof_and_may_have_none(
    add: Callable[[bytes], httpx.Response],
) -> None:
    assert add(asked(0, head(0, EMPTY_ROOT))).status_code == 200
    assert add(asked(0, head(0, bytes(32)))).status_code == 422
    assert add(asked(0, head(5), (bytes(32),))).status_code == 422
    assert add(asked(0, head(5))).status_code == 200


def test_the_same_head_again_is_cosigned_again(
    add: Callable[[bytes], httpx.Response],
) -> None:
    assert [add(asked(old, head(5))).status_code for old in (0, 5, 5, 0)] == [200, 200, 200, 409]


def test_attack_two_trees_shown_to_one_witness_are_kept_as_a_proof(
    node: Node, add: Callable[[bytes], httpx.Response]
) -> None:
    statuses = [add(body).status_code for body in (asked(0, head(5)), asked(0, head(5, bytes(32))))]
    with node.database.read() as session:
        [proof] = heads.proofs(session, "log.example")

    assert statuses == [200, 409]
    assert verify_misbehaviour(proof.evidence).key == LOG.key


def test_attack_a_tree_is_not_cosigned_of_which_another_was_refused(
    node: Node, add: Callable[[bytes], httpx.Response]
) -> None:
    """The fork is shown with a wrong old size, so that it is kept and nothing is said of it."""
    answers = [
        add(body)
        for body in (
            asked(0, head(5)),
            asked(3, head(8, bytes(32))),
            asked(5, head(8)),
            asked(5, head(9)),
        )
    ]
    with node.database.read() as session:
        [proof] = heads.proofs(session, "log.example")
        [refused] = [
            each for each in met.at_size(session, "log.example", 8) if each.root == root(8)
        ]
        assert witnessed.last(session, "log.example") == WitnessState(size=9, root=root(9))

    assert [each.status_code for each in answers] == [200, 409, 403, 200]
    assert "signed two trees of 8 entries" in answers[2].text
    assert refused.note == head(8)  # with no cosignature of ours
    assert verify_misbehaviour(proof.evidence).key == LOG.key


@pytest.fixture
def again(node: Node, add: Callable[[bytes], httpx.Response], tmp_path: Path) -> Iterator[Node]:
    """A witness restored from a backup: since then it has cosigned what it now knows nothing of."""
    add(asked(0, head(5)))
    backup(node, tmp_path / "witness.tar")
    assert add(asked(5, head(8))).status_code == 200
    restore(tmp_path / "witness.tar", tmp_path / "again", environment={})
    settings = Settings.load(tmp_path / "again", {})
    with closing(Node.open(settings, PASSPHRASE, clock=node.clock)) as again:
        with again.database.write() as session:
            logs.set_restored(session, False)  # as the guard does: that mark is of the log alone
            again.clearance.grant(logs.size(session))
        yield again


OTHER = [*LEAVES[:7], bytes(32)]
LIE = head(8, root(8, OTHER))
SHOWN = asked(5, LIE, merkle.prove_consistency(5, 8, merkle.Tree(OTHER).subtree))


def test_attack_a_witness_from_a_backup_does_not_cosign_a_second_tree(
    again: Node, ask: Ask
) -> None:
    refused = ask(again, "/witness/add-checkpoint", body=SHOWN)
    with again.database.read() as session:
        last = witnessed.last(session, "log.example")
        [kept] = met.at_size(session, "log.example", 8)

    assert refused.status_code == 503
    assert "bcca keys rotate witness" in refused.text
    assert last == WitnessState(size=5, root=root(5))
    assert kept.note == LIE  # with no cosignature of ours
    assert monitored(again, ask).status_code == 200  # what it remembers, it still says


def test_a_witness_from_a_backup_cosigns_with_a_new_key_and_never_again_with_the_old(
    again: Node, ask: Ask
) -> None:
    changed = rotate(again, Role.WITNESS, PASSPHRASE).node
    old = ask(again, "/witness/add-checkpoint", body=SHOWN)  # a process that has the old key open
    new = ask(changed, "/witness/add-checkpoint", body=SHOWN)
    line = NoteSignature.parse(new.text.removesuffix("\n"))
    key = changed.keystore.record(Role.WITNESS).key

    assert (old.status_code, new.status_code) == (503, 200)
    assert verify_cosignature(line, Note.parse(LIE).text, key) == 1_800_000_000


def test_refused_requests_are_kept_with_the_logs_signature_and_strangers_are_not(
    node: Node, add: Callable[[bytes], httpx.Response]
) -> None:
    for body in (
        asked(0, head(5)),
        asked(3, head(9)),
        asked(5, head(7, bytes(32))),
        asked(5, head(8, signer=STRANGER)),
    ):
        add(body)
    with node.database.read() as session:
        kept = met.every(session, "log.example")

    assert [each.size for each in kept] == [5, 7, 9]
    assert kept[1].note == head(7, bytes(32))


def test_a_witness_whose_keys_are_closed_answers_that_it_cannot_now(
    new_node: Callable[..., Node], ask: Ask
) -> None:
    locked = new_node("locked.example", locked=True)
    answer = ask(locked, "/witness/add-checkpoint", body=asked(0, head(5)))

    assert answer.status_code == 503


def test_attack_a_log_that_has_ended_is_not_cosigned_beyond_its_end(
    node: Node, add: Callable[[bytes], httpx.Response]
) -> None:
    recovery = SeedSigner(name="log.example", algorithm=Algorithm.ED25519, seed=bytes([4]) * 32)
    successor = SeedSigner(name="new.example", algorithm=Algorithm.ED25519, seed=bytes([5]) * 32)
    end = ending.sign_end("log.example", 8, root(8), successor.key, recovery)
    assert add(asked(0, head(5))).status_code == 200
    (node.settings.data / "ended").mkdir()
    (node.settings.data / "ended" / "log.txt").write_text(end.encode(), encoding="utf-8")

    beyond = add(asked(5, head(9)))
    another = add(asked(5, head(8, bytes(32))))
    until = add(asked(5, head(8)))
    with node.database.read() as session:
        kept = {(each.size, each.root): each.note for each in met.every(session, "log.example")}
        [proof] = heads.proofs(session, "log.example")

    assert verify_misbehaviour(proof.evidence).key == LOG.key  # the thief's, not the owner's tree
    assert (beyond.status_code, another.status_code, until.status_code) == (403, 403, 200)
    assert "has ended with 8 entries" in beyond.text
    assert kept[9, root(9)] == head(9)  # with no cosignature of ours
