"""Attacks on the formats of the log layer, from whoever may send a note, a proof or a request."""

import re
import time
import unicodedata
from collections.abc import Callable, Iterator

import pytest

from bcca_protocol import checkpoint, merkle, wire
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import Genesis, KeyAdd, StatementEntry, parse_entry
from bcca_protocol.errors import LimitError, MalformedError, ProofError, RefusedError
from bcca_protocol.history import History
from bcca_protocol.keys import Algorithm, Role, SeedSigner, VerifierKey
from bcca_protocol.limits import (
    MAX_ADD_CHECKPOINT_BYTES,
    MAX_CHECKPOINT_BYTES,
    MAX_PROOF_HASHES,
    MAX_TREE_SIZE,
)
from bcca_protocol.merkle import Tree
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.policy import Policy, verify_checkpoint
from bcca_protocol.proof import TlogProof
from bcca_protocol.tiles import Tile, tiles_for
from bcca_protocol.witness import AddCheckpoint, WitnessState, answer

AT = 1_780_000_000
ORIGIN = "cathode.example/bcca"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
HUGE = (10**18, MAX_TREE_SIZE)


def log_signer(origin: str = ORIGIN) -> SeedSigner:
    return SeedSigner(name=origin, algorithm=Algorithm.ED25519, seed=b"l" * 32)


LOG = log_signer()
WITNESSES = [
    SeedSigner(name=f"w{n}", algorithm=Algorithm.ED25519_COSIGNATURE, seed=bytes([n]) * 32)
    for n in range(3)
]
POLICY = Policy.parse(
    "".join(f"witness {each.name} {each.key.encode()}\n" for each in WITNESSES)
    + "group g all w0 w1 w2\nquorum g\n"
)
TREE = Tree(merkle.leaf_hash(b"%d" % number) for number in range(13))
HEAD = Checkpoint(origin=ORIGIN, size=13, root=TREE.root())


def cosigned(head: Checkpoint = HEAD, signer: SeedSigner = LOG) -> str:
    """Return a head that its log signed and every witness cosigned."""
    signed = checkpoint.sign_checkpoint(head, [signer])
    lines = [checkpoint.cosign(head.encode(), each, at=AT) for each in WITNESSES]
    return signed.with_signatures(lines).encode()


def ask(body: bytes) -> int:
    """Return the status with which a witness answers that cosigned 5 entries."""
    known = WitnessState(size=5, root=TREE.root(5))
    return answer(body, {ORIGIN: LOG.key}, lambda _: known, WITNESSES[0], AT).status


def read_request(text: str) -> Checkpoint:
    """Return the checkpoint that a witness is asked to cosign."""
    return Checkpoint.parse(Note.parse(AddCheckpoint.parse(text.encode()).note).text)


PATH = merkle.prove_consistency(5, 13, TREE.subtree)
NOTE = checkpoint.sign_checkpoint(HEAD, [LOG]).encode()
REQUEST = AddCheckpoint(old=5, proof=PATH, note=NOTE).encode().decode()
PROOF = TlogProof(
    index=4, path=merkle.prove_inclusion(4, 13, TREE.subtree), checkpoint=cosigned(), extra=b"!"
).encode()
ENTRY = StatementEntry(commitment=b"c" * 32, key=1, signature_hash=b"\xfe" * 32).encode()

# Each with what reads it and whatever hangs on it.
READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "checkpoint": (cosigned(), lambda text: verify_checkpoint(text, LOG.key, POLICY, at=AT)),
    "tlog-proof": (
        PROOF,
        lambda text: verify_checkpoint(TlogProof.parse(text).checkpoint, LOG.key, POLICY),
    ),
    "add-checkpoint": (REQUEST, read_request),
    "verifier key": (LOG.key.encode(), VerifierKey.parse),
    "genesis": (Genesis(recovery_hash=b"\xfb" * 32).encode(), parse_entry),
    "key": (KeyAdd(role=Role.LOG, key=LOG.key).encode(), parse_entry),
    "entry": (ENTRY, parse_entry),
}
every_reader = pytest.mark.parametrize(("text", "read"), READERS.values(), ids=READERS)


# Non-canonical base64


def respelled(text: str) -> Iterator[str]:
    """Yield `text` with one base64 text in it spelled in another way that says the same."""
    for found in re.finditer(r"[A-Za-z0-9+/]{20,}={0,2}", text):
        if re.fullmatch(r"[0-9a-f]{64}", found[0]):
            continue  # a commitment is in hex
        body = found[0].rstrip("=")
        padding = found[0][len(body) :]
        yield text[: found.start()] + body[:8] + "\n" + found[0][8:] + text[found.end() :]
        yield text[: found.start()] + found[0] + "=" + text[found.end() :]
        yield text[: found.start()] + found[0] + "====" + text[found.end() :]
        if padding:
            idle = ALPHABET[ALPHABET.index(body[-1]) ^ 1]
            yield text[: found.start()] + body[:-1] + idle + padding + text[found.end() :]
            yield text[: found.start()] + body + text[found.end() :]
        if set(body) & {"+", "/"}:
            urlsafe = found[0].replace("+", "-").replace("/", "_")
            yield text[: found.start()] + urlsafe + text[found.end() :]


@every_reader
def test_base64_spelled_in_another_way_is_refused_wherever_it_stands(
    text: str, read: Callable[[str], object]
) -> None:
    read(text)
    others = list(respelled(text))

    for other in others:
        with pytest.raises(RefusedError):
            read(other)
    assert others


def test_a_log_ends_where_a_signature_hash_has_idle_bits() -> None:
    """Else two entries, with two leaf hashes, would say the same."""
    before = [READERS["genesis"][0].encode(), READERS["key"][0].encode()]
    for other in respelled(ENTRY):
        assert History.read(ORIGIN, LOG.key, [*before, other.encode()]).broken == 2


# Unicode tricks


LOOKALIKES = {
    "Cyrillic a": ORIGIN.replace("a", "\u0430"),
    "fullwidth": ORIGIN.replace("c", "\uff43"),
    "fraction slash": ORIGIN.replace("/", "\u2044"),
    "ideographic full stop": ORIGIN.replace(".", "\u3002"),
    "capital": ORIGIN.capitalize(),
    "combining": ORIGIN.replace("e", "e\u0301", 1),
}


@pytest.mark.parametrize("name", LOOKALIKES.values(), ids=LOOKALIKES)
def test_a_log_whose_name_looks_like_anothers_is_another(name: str) -> None:
    twin = log_signer(name)  # even with the very same key
    head = Checkpoint(origin=name, size=13, root=TREE.root())

    with pytest.raises(RefusedError, match="origin"):
        verify_checkpoint(cosigned(head, twin), LOG.key, POLICY)
    assert twin.key.id != LOG.key.id
    note = checkpoint.sign_checkpoint(head, [twin]).encode()
    assert ask(AddCheckpoint(old=5, proof=PATH, note=note).encode()) == 404


@pytest.mark.parametrize("unseen", ["\u00ad", "\u200d", "\u2060"])
def test_a_name_with_what_nobody_sees_in_it_is_no_name(unseen: str) -> None:
    with pytest.raises(MalformedError, match="key name"):
        log_signer(ORIGIN.replace("e", f"e{unseen}", 1))


def test_names_are_compared_as_bytes_and_never_made_alike() -> None:
    composed = "grüße.example/bcca"
    decomposed = unicodedata.normalize("NFD", composed)
    one, other = log_signer(composed), log_signer(decomposed)
    head = Checkpoint(origin=composed, size=13, root=TREE.root())

    assert verify_checkpoint(cosigned(head, one), one.key, POLICY).checkpoint == head
    with pytest.raises(RefusedError, match="origin"):
        verify_checkpoint(cosigned(head, one), other.key, POLICY)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_a_mark_that_ends_a_line_elsewhere_hides_no_size_and_no_signature(mark: str) -> None:
    """A reader that splits at it would see another size, or a signature line."""
    hidden = cosigned().replace("\n13\n", f"{mark}99\n13\n")
    joined = cosigned().replace("\n— w0", f"{mark}— w0")
    for text in (hidden, joined, cosigned().replace("\n", mark)):
        with pytest.raises(RefusedError):
            verify_checkpoint(text, LOG.key, POLICY)


@pytest.mark.parametrize(
    "mark", ["\u202e", "\u2066", "\u200f", "\ufeff", "\x1b[2J", "\x7f", "\x9b"]
)
def test_a_name_that_would_reorder_or_clear_a_terminal_signs_nothing(mark: str) -> None:
    with pytest.raises(MalformedError) as refused:
        NoteSignature(name=f"w{mark}0", key_id=bytes(4), blob=b"1")
    with pytest.raises(MalformedError):
        Note.parse(cosigned().replace("— w0", f"— w{mark}0"))
    assert mark not in str(refused.value)


@pytest.mark.parametrize("digits", ["\u0661\u0663", "\uff11\uff13", "\u00b9\u00b3", "\u246c"])
def test_digits_of_other_scripts_are_no_size(digits: str) -> None:
    for text, read in (
        (HEAD.encode().replace("\n13\n", f"\n{digits}\n"), Checkpoint.parse),
        (PROOF.replace("index 4", f"index {digits}"), TlogProof.parse),
        (f"tile/0/{digits}", Tile.parse),
        (f"bcca/v1 key retire {digits}", parse_entry),
    ):
        with pytest.raises(RefusedError):
            read(text)
    assert ask(REQUEST.replace("old 5", f"old {digits}").encode()) == 400


# Sizes of 10**18


@pytest.mark.parametrize("size", HUGE)
def test_a_size_of_10_to_the_18_costs_its_reader_nothing(size: int) -> None:
    """The log and its witnesses may sign any size; what follows is refused at once."""
    head = Checkpoint(origin=ORIGIN, size=size, root=bytes(32))
    began = time.process_time()

    assert verify_checkpoint(cosigned(head), LOG.key, POLICY).checkpoint.size == size
    with pytest.raises(ProofError):
        merkle.verify_inclusion(bytes(32), size - 1, size, [bytes(32)] * 63, bytes(32))
    with pytest.raises(ProofError):
        merkle.verify_consistency(5, size, [bytes(32)] * 63, bytes(32), bytes(32))
    note = checkpoint.sign_checkpoint(head, [LOG]).encode()
    for path in ((), PATH, (bytes(32),) * MAX_PROOF_HASHES):
        assert ask(AddCheckpoint(old=5, proof=path, note=note).encode()) == 422
    assert ask(AddCheckpoint(old=size, proof=(), note=NOTE).encode()) == 400
    assert Tile.parse(next(tiles_for(size)).encode()).index == 0
    assert time.process_time() - began < 1


@pytest.mark.parametrize("size", ["9223372036854775808", "18446744073709551616", "9" * 4_300])
def test_a_size_over_63_bits_is_refused(size: str) -> None:
    for text, read in (
        (HEAD.encode().replace("\n13\n", f"\n{size}\n"), Checkpoint.parse),
        (PROOF.replace("index 4", f"index {size}"), TlogProof.parse),
        (f"tile/0/{size}", Tile.parse),
        (f"tile/0/x{size}/000", Tile.parse),
        (f"bcca/v1 key retire {size}", parse_entry),
    ):
        with pytest.raises(RefusedError):
            read(text)
    assert ask(REQUEST.replace("old 5", f"old {size}").encode()) in {400, 409}


# Proofs of the wrong length


@pytest.mark.parametrize("size", [1, 2, 3, 13])
def test_a_proof_file_with_any_other_number_of_hashes_is_refused(size: int) -> None:
    for index in range(size):
        right = merkle.prove_inclusion(index, size, TREE.subtree)
        leaf = merkle.leaf_hash(b"%d" % index)
        for count in range(MAX_PROOF_HASHES + 1):
            path = (right + (bytes(32),) * MAX_PROOF_HASHES)[:count]
            text = TlogProof(index=index, path=path, checkpoint=cosigned()).encode()
            read = TlogProof.parse(text).path
            if count == len(right):
                merkle.verify_inclusion(leaf, index, size, read, TREE.root(size))
                continue
            with pytest.raises(ProofError, match=r"too (many|few)"):
                merkle.verify_inclusion(leaf, index, size, read, TREE.root(size))


def test_a_proof_of_64_hashes_is_refused_before_anything_is_hashed() -> None:
    line = wire.b64(bytes(32)) + "\n"
    index = PROOF.index("index 4\n") + len("index 4\n")
    crowded = PROOF[:index] + line * (MAX_PROOF_HASHES + 1) + PROOF[PROOF.index("\n\n") + 1 :]

    with pytest.raises(LimitError, match="64 hashes, over 63"):
        TlogProof.parse(crowded)
    request = "old 5\n" + line * (MAX_PROOF_HASHES + 1) + "\n" + NOTE
    with pytest.raises(LimitError, match="64 hashes, over 63"):
        AddCheckpoint.parse(request.encode())
    assert ask(request.encode()) == 400


# Endless notes


ENDLESS = {
    "empty lines": "\n" * MAX_CHECKPOINT_BYTES,
    "an endless line": "a" * MAX_CHECKPOINT_BYTES,
    "an endless origin": cosigned().replace(ORIGIN, "a" * 60_000),
    "an endless size": cosigned().replace("\n13\n", f"\n{'1' * 60_000}\n"),
    "an endless root": cosigned().replace("\n— c", f"{'A' * 60_000}\n— c"),
    "endless signatures": cosigned() + "— w AAAAAAA=\n" * 4_000,
    "an endless signature": cosigned() + f"— w {'A' * MAX_CHECKPOINT_BYTES}\n",
    "endless dashes": cosigned() + "— " * 20_000,
    "endless extension lines": cosigned().replace("\n\n", "\n" + "x\n" * 30_000 + "\n"),
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_note_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(RefusedError) as refused:
        verify_checkpoint(text, LOG.key, POLICY)
    assert len(str(refused.value)) < 1_000
    assert ask(f"old 5\n\n{text}".encode()) in {400, 403, 404}
    assert ask(text.encode()) == 400
    assert time.process_time() - began < 1


def test_a_megabyte_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitError):
        Note.parse("a\n" * 500_000)
    with pytest.raises(LimitError):
        AddCheckpoint.parse(b"old 5\n\n" + b"a\n" * MAX_ADD_CHECKPOINT_BYTES)
    with pytest.raises(LimitError):
        TlogProof.parse(PROOF + "a\n" * 2_000_000)
