"""Whatever a log asks of a witness in whatever order, it cosigns one line of growing trees.

A real node answers, from its database. What it must answer is told again here, plainly, from the
text of c2sp.org/tlog-witness, and shares no code with it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bcca_node.ledger import witness
from bcca_node.ledger.node import Node, found
from bcca_node.settings import Settings
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint, verify_cosignature
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.merkle import Tree, leaf_hash, prove_consistency
from bcca_protocol.note import NoteSignature
from bcca_protocol.witness import TREE_SIZE, AddCheckpoint

LARGEST, FORK = 9, 4
TREES = (
    Tree(leaf_hash(b"%d" % number) for number in range(LARGEST)),
    Tree(leaf_hash(b"%d" % (number if number < FORK else -number)) for number in range(LARGEST)),
)
LOGS = 30  # each example has a log of its own, new to the witness


def log_signer(number: int) -> SeedSigner:
    seed = hashlib.sha256(b"%d" % number).digest()
    return SeedSigner(name=f"log{number}.example", algorithm=Algorithm.ED25519, seed=seed)


@dataclass(frozen=True)
class Step:
    """One request: the size its asker believes is known, the head, and whether the proof fits."""

    old: int
    new: int
    tree: int
    is_proven: bool

    def body(self, signer: SeedSigner) -> bytes:
        head = Checkpoint(origin=signer.name, size=self.new, root=self.root)
        proof = (
            prove_consistency(self.old, self.new, TREES[self.tree].subtree)
            if self.old <= self.new
            else ()
        )
        if not self.is_proven:
            proof = (*proof, bytes(32))
        note = sign_checkpoint(head, [signer]).encode()
        return AddCheckpoint(old=self.old, proof=proof, note=note).encode()

    @property
    def root(self) -> bytes:
        return TREES[self.tree].root(self.new)


def status_for(step: Step, known: int, tree: int) -> int:
    """Return what C2SP asks for, where the first `known` leaves of `tree` were cosigned last."""
    if step.old > step.new:
        return 400
    if step.old != known:
        return 409
    same = step.tree == tree or known <= FORK
    return 200 if step.is_proven and same else 422


steps = st.lists(
    st.builds(
        Step,
        old=st.integers(0, LARGEST),
        new=st.integers(0, LARGEST),
        tree=st.integers(0, 1),
        is_proven=st.sampled_from([True, True, True, False]),
    )
    | st.builds(
        lambda new, tree: (new, tree), st.integers(0, LARGEST), st.integers(0, 1)
    ),  # from wherever the witness is
    max_size=14,
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A witness of many logs."""
    data = tmp_path_factory.mktemp("witness") / "node"
    settings_of = Settings(data=data, origin="witness.example/bcca", name="Witness")
    made = found(settings_of, "a test protects nothing", scrypt_n=2**4)
    names = [f"w{number}" for number in range(3)]
    keys = [
        SeedSigner(name=name, algorithm=Algorithm.ED25519_COSIGNATURE, seed=name.encode() * 16)
        for name in names
    ]
    lines = [f"log {log_signer(number).key.encode()}" for number in range(LOGS)]
    lines += [f"witness {each.name} {each.key.encode()}" for each in keys]
    lines += [f"group g all {' '.join(names)}", "quorum g", ""]
    (data / "policy.txt").write_text("\n".join(lines), encoding="utf-8")
    yield made
    made.close()


def test_a_witness_asked_in_any_order_cosigns_one_line_of_growing_trees(node: Node) -> None:
    fresh = iter(range(LOGS))
    cosigner = node.keystore.record(Role.WITNESS).key

    @settings(
        max_examples=LOGS - 5,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # nothing is tried twice: the witness remembers
    )
    @given(steps)
    def check(asked: list[Step | tuple[int, int]]) -> None:
        signer = log_signer(next(fresh))
        known, tree = 0, 0
        for each in asked:
            step = each if isinstance(each, Step) else Step(known, each[0], each[1], True)
            given_back = witness.add_checkpoint(node, step.body(signer))

            assert given_back.status == status_for(step, known, tree), (step, known, tree)
            if given_back.status == 409:
                assert (given_back.body, given_back.content_type) == (f"{known}\n", TREE_SIZE)
            if given_back.status == 200:
                head = Checkpoint(origin=signer.name, size=step.new, root=step.root)
                line = NoteSignature.parse(given_back.body.removesuffix("\n"))
                assert verify_cosignature(line, head.encode(), cosigner) > 0
                tree = step.tree if step.new > FORK else tree
                known = step.new

    check()
