"""Five witnesses, two of them lying, quorum four: a log that shows two trees is not believed twice.

The witnesses are real nodes asked over HTTP; the two liars are their keys in dishonest hands.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import httpx
import pytest

from bcca_node.demo.network import QUORUM, WITNESSES, Ground, Member, Network, Seat
from bcca_node.storage import heads
from bcca_protocol import merkle
from bcca_protocol.__main__ import main as bcca_verify
from bcca_protocol.checkpoint import Checkpoint, cosign, sign_checkpoint
from bcca_protocol.errors import PolicyError, QuorumError
from bcca_protocol.keys import Algorithm, Role, SeedSigner, VerifierKey
from bcca_protocol.merkle import Tree
from bcca_protocol.misbehaviour import Misbehaviour, verify_misbehaviour
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.policy import Policy, verify_checkpoint
from bcca_protocol.witness import AddCheckpoint

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
AT = 1_800_000_000
SEATS = [Seat(id="reader", name="Reader")] + [
    Seat(id=f"w{number}", name=f"Witness {number}") for number in range(WITNESSES)
]
HONEST, LYING = ("w0", "w1", "w2"), ("w3", "w4")


@dataclass(frozen=True, kw_only=True)
class TwoFaced:
    """A log whose owner shows a tree to some and another one of the same size to others."""

    signer: SeedSigner
    trees: tuple[Tree, Tree]

    @property
    def key(self) -> VerifierKey:
        return self.signer.key

    def head(self, face: int) -> Note:
        """Return the signed head of one of its trees."""
        tree = self.trees[face]
        head = Checkpoint(origin=self.key.name, size=tree.size, root=tree.root())
        return sign_checkpoint(head, (self.signer,))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    made = tmp_path_factory.mktemp("split")
    ground = Ground(folder=made / "net", aside=made / "aside", passphrase=PASSPHRASE, scrypt_n=2**4)
    with Network(ground, SEATS, head="reader") as founded:
        yield founded


@pytest.fixture
def new_liar(network: Network) -> Callable[[int], TwoFaced]:
    """Make two-faced logs that every witness knows and that begin alike."""

    def make(number: int) -> TwoFaced:
        seed = number.to_bytes(32)
        signer = SeedSigner(name=f"l{number}.example", algorithm=Algorithm.ED25519, seed=seed)
        shared = [merkle.leaf_hash(b"entry %d" % index) for index in range(10)]
        trees = tuple(Tree([*shared, merkle.leaf_hash(face)]) for face in (b"green", b"grey"))
        line = f"log {signer.key.encode()} https://{signer.key.name}/log\n"
        for member in network.members.values():
            path = member.node.settings.data / "policy.txt"
            path.write_text(line + path.read_text("utf-8"), "utf-8")
        return TwoFaced(signer=signer, trees=(trees[0], trees[1]))

    return make


def asked(member: Member, head: Note) -> httpx.Response:
    """Ask a real witness to cosign a head, as the first that it sees."""
    body = AddCheckpoint(old=0, proof=(), note=head.encode()).encode()
    return httpx.post(f"{member.url}/witness/add-checkpoint", content=body, timeout=20)


def cosigned(network: Network, log: TwoFaced, face: int, by: Sequence[str]) -> list[NoteSignature]:
    """Return the cosignatures that a face of the log gets: the liars sign whatever they see."""
    head = log.head(face)
    answers = [asked(network.members[name], head) for name in by]
    given = [NoteSignature.parse(a.text.rstrip("\n")) for a in answers if a.status_code == 200]
    liars = [network.members[name].node.keys.signer(Role.WITNESS) for name in LYING]
    return [*given, *(cosign(head.text, each, at=AT) for each in liars)]


def is_believed(network: Network, log: TwoFaced, face: int, by: Sequence[str]) -> bool:
    signatures = cosigned(network, log, face, by)
    policy = network.members["reader"].node.trust.required()
    try:
        verify_checkpoint(log.head(face).with_signatures(signatures).encode(), log.key, policy)
    except QuorumError:
        return False
    return True


def test_a_split_view_gets_no_two_quorums_however_the_honest_witnesses_are_divided(
    network: Network, new_liar: Callable[[int], TwoFaced]
) -> None:
    for number, sides in enumerate(product((0, 1), repeat=len(HONEST)), 1):
        log = new_liar(number)
        shown = [[w for w, side in zip(HONEST, sides, strict=True) if side == f] for f in (0, 1)]

        believed = [is_believed(network, log, face, shown[face]) for face in (0, 1)]

        assert believed == [len(shown[face]) >= QUORUM - len(LYING) for face in (0, 1)]
        assert believed.count(True) == 1


def test_an_honest_witness_that_is_shown_both_trees_keeps_the_proof_and_it_names_the_log(
    network: Network,
    new_liar: Callable[[int], TwoFaced],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log, honest = new_liar(100), network.members["w0"]

    first, second = asked(honest, log.head(0)), asked(honest, log.head(1))

    assert (first.status_code, second.status_code) == (200, 409)
    evidence = Misbehaviour(key=log.key, older=log.head(0), newer=log.head(1), path=None).encode()
    with honest.node.database.read() as session:
        kept = [(head.size, head.root) for head in heads.every(session, log.key.name)]
    assert kept == sorted((tree.size, tree.root()) for tree in log.trees)
    proven = verify_misbehaviour(evidence)
    assert proven.key == log.key
    file = tmp_path / "evidence.json"
    file.write_bytes(evidence)
    assert bcca_verify(["--misbehaviour", str(file)]) == 0
    assert log.key.encode() in capsys.readouterr().out


def test_a_policy_with_quorum_three_of_five_does_not_load(network: Network) -> None:
    reader = network.members["reader"]

    with pytest.raises(PolicyError, match="f = 0"):
        Policy.parse(network.policy(reader, quorum=3))
