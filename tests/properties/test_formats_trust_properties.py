"""What is done to signed bytes proves nothing new; and what is read in more than one form.

Whatever is bent here is refused, with an error of this project, or it says what was signed.
"""

import re
from collections.abc import Callable

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bcca_node.ledger.words import SEED_BYTES, from_words, to_words
from bcca_node.network import descriptor
from bcca_node.network.descriptor import Descriptor, KeyLine
from bcca_protocol import checkpoint, envelope, merkle, wire
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import Genesis, KeyAdd, StatementEntry, parse_entry
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import PolicyError, RefusedError, UnusableError
from bcca_protocol.history import History
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.merkle import Tree, verify_inclusion
from bcca_protocol.policy import Policy, verify_checkpoint
from bcca_protocol.proof import TlogProof
from bcca_protocol.witness import AddCheckpoint, WitnessState, answer

Bent = Callable[[SearchStrategy[bytes]], SearchStrategy[list[bytes]]]

AT = 1_780_000_000
ORIGIN = "cathode.example/bcca"
LOG = SeedSigner(name=ORIGIN, algorithm=Algorithm.ED25519, seed=b"l" * 32)
WITNESSES = {
    f"w{number}": SeedSigner(
        name=f"w{number}.example",
        algorithm=Algorithm.ED25519_COSIGNATURE,
        seed=bytes([number]) * 32,
    )
    for number in range(4)
}
TREE = Tree(merkle.leaf_hash(b"%d" % number) for number in range(21))
HEAD = Checkpoint(origin=ORIGIN, size=21, root=TREE.root())
POLICY_TEXT = "".join(
    [
        "# whom we believe\n",
        f"log {LOG.key.encode()} https://cathode.example/bcca/log\n",
        *(f"witness {name} {each.key.encode()}\n" for name, each in WITNESSES.items()),
        "group pair all w0 w1\ngroup g 3 pair w2 w3\nquorum g\n",
    ]
)
POLICY = Policy.parse(POLICY_TEXT)

many = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def cosigned() -> bytes:
    """Return the head with its log's signature, and each witness's at a time of its own."""
    signed = checkpoint.sign_checkpoint(HEAD, [LOG])
    lines = [
        checkpoint.cosign(HEAD.encode(), each, at=AT + number)
        for number, each in enumerate(WITNESSES.values())
    ]
    return signed.with_signatures(lines).encode().encode()


def text_of(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


# What is signed stays what was signed.


def test_a_bent_checkpoint_is_refused_or_says_what_its_log_signed(bent: Bent) -> None:
    @many
    @given(bent(st.just(cosigned())))
    def check(texts: list[bytes]) -> None:
        for text in texts:
            try:
                found = verify_checkpoint(text_of(text), LOG.key, POLICY, at=AT)
            except RefusedError as error:
                assert wire.showable(str(error)) == str(error)
                continue
            assert found.checkpoint == HEAD
            assert AT <= found.time <= AT + len(WITNESSES)
            assert set(found.witnesses) <= WITNESSES.keys()

    check()


def test_whatever_is_done_to_a_request_the_witness_answers_and_signs_nothing_else(
    bent: Bent,
) -> None:
    note = checkpoint.sign_checkpoint(HEAD, [LOG]).encode()
    proof = merkle.prove_consistency(13, HEAD.size, TREE.subtree)
    body = AddCheckpoint(old=13, proof=proof, note=note).encode()
    known = WitnessState(size=13, root=TREE.root(13))

    @many
    @given(bent(st.just(body)))
    def check(bodies: list[bytes]) -> None:
        for each in bodies:
            found = answer(each, {ORIGIN: LOG.key}, lambda _: known, WITNESSES["w0"], AT)
            assert found.status in {200, 400, 403, 404, 409, 422}
            assert found.checkpoint == (HEAD if found.status == 200 else None)
            assert found.body.endswith("\n")
            assert found.body.isprintable() or found.status == 200 or "\n" in found.body

    check()


def test_a_bent_proof_is_refused_or_proves_the_same_entry(bent: Bent) -> None:
    leaf = merkle.leaf_hash(b"5")
    path = merkle.prove_inclusion(5, HEAD.size, TREE.subtree)
    given_proof = TlogProof(index=5, path=path, checkpoint=cosigned().decode(), extra=b"extra")

    @many
    @given(bent(st.just(given_proof.encode().encode())))
    def check(texts: list[bytes]) -> None:
        for text in texts:
            try:
                found = TlogProof.parse(text_of(text))
                head = verify_checkpoint(found.checkpoint, LOG.key, POLICY, at=AT).checkpoint
                verify_inclusion(leaf, found.index, head.size, found.path, head.root)
            except RefusedError as error:
                assert wire.showable(str(error)) == str(error)
                continue
            assert (found.index, found.path, head) == (5, path, HEAD)

    check()


def test_a_bent_envelope_is_refused_or_holds_the_payload_that_was_signed(bent: Bent) -> None:
    payload = '{"of":"a cathode, Grüße"}'.encode()
    signed = envelope.sign("application/vnd.in-toto+json", payload, LOG)

    @many
    @given(bent(st.just(signed.encode())))
    def check(texts: list[bytes]) -> None:
        for text in texts:
            try:
                found = envelope.verify_envelope(Envelope.parse(text), [LOG.key])
            except RefusedError as error:
                assert wire.showable(str(error)) == str(error)
                continue
            assert (found.payload, found.payload_type) == (payload, signed.payload_type)

    check()


# What is read fast is what is read.


def test_a_log_reads_an_entry_exactly_as_the_entry_alone_is_read(bent: Bent) -> None:
    before = [
        Genesis(recovery_hash=bytes(32)).encode().encode(),
        KeyAdd(role=Role.LOG, key=LOG.key).encode().encode(),
    ]
    entry = StatementEntry(commitment=b"c" * 32, key=1, signature_hash=b"\xfe" * 32)

    @many
    @given(bent(st.just(entry.encode().encode())))
    def check(lines: list[bytes]) -> None:
        for line in lines:
            try:
                alone = parse_entry(line.decode())
            except (RefusedError, UnicodeDecodeError):
                alone = None
            history = History.read(ORIGIN, LOG.key, [*before, line])
            found = [record.entry(commitment) for commitment, record in history.statements.items()]
            assert found == ([] if alone is None else [alone])
            assert history.broken == (2 if alone is None else None)

    check()


# What people write by hand may be written in more than one form.


def test_a_bent_policy_is_refused_or_reads_the_same_when_written_plainly(bent: Bent) -> None:
    @many
    @given(bent(st.just(POLICY_TEXT.encode())))
    def check(texts: list[bytes]) -> None:
        for text in texts:
            try:
                found = Policy.parse(text_of(text))
            except PolicyError as error:
                assert wire.showable(str(error)) == str(error)
                continue
            assert Policy.parse(plainly(found)) == found
            assert found.survives >= 1

    check()


def plainly(found: Policy) -> str:
    """Return a policy without comments, blanks and words for thresholds."""
    logs = [f"log {each.key.encode()} {each.url or ''}" for each in found.logs.values()]
    witnesses = [
        f"witness {each.name} {each.key.encode()} {each.url or ''}"
        for each in found.witnesses.values()
    ]
    groups = [
        f"group {each.name} {each.threshold} {' '.join(each.members)}"
        for each in found.groups.values()
    ]
    return "\n".join([*logs, *witnesses, *groups, f"quorum {found.quorum}"])


def test_bent_recovery_words_are_refused_or_stand_for_the_seed_they_spell(bent: Bent) -> None:
    @many
    @given(bent(st.binary(min_size=SEED_BYTES, max_size=SEED_BYTES).map(to_words).map(str.encode)))
    def check(texts: list[bytes]) -> None:
        for text in texts:
            try:
                seed = from_words(text_of(text))
            except UnusableError as error:
                assert wire.showable(str(error)) == str(error)
                continue
            spelled = re.split(r"[\s-]+", text_of(text).strip().lower())
            assert to_words(seed) == " ".join(spelled)

    check()


def test_a_bent_descriptor_is_refused_or_reads_the_same_when_written_anew(bent: Bent) -> None:
    told = Descriptor(
        origin=ORIGIN,
        name="Grüße \\ Cathode",
        keys=(KeyLine(role=Role.LOG, vkey=LOG.key.encode(), index="1"),),
        log="https://cathode.example/bcca/log",
        statements="https://cathode.example/bcca/statements",
        formats=("bcca/v1",),
        peers={"mine.example": "https://mine.example"},
    )

    @many
    @given(bent(st.just(msgspec.json.encode(told))))
    def check(texts: list[bytes]) -> None:
        for text in texts:
            try:
                found = descriptor.decode(text)
            except RefusedError as error:
                assert wire.showable(str(error)) == str(error)
                continue
            assert descriptor.decode(msgspec.json.encode(found)) == found

    check()
