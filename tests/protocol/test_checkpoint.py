from dataclasses import replace

import pytest

from bcca_protocol.checkpoint import Checkpoint, cosign, sign_checkpoint, verify_cosignature
from bcca_protocol.errors import LimitError, MalformedError, SignatureError, UnusableError
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.merkle import leaf_hash
from bcca_protocol.note import Note, verify_note

ORIGIN = "cathode.example/bcca"
ROOT = leaf_hash(b"an entry")
AT = 1_767_225_600
LOG = SeedSigner(name=ORIGIN, algorithm=Algorithm.ED25519, seed=b"l" * 32)
WITNESS = SeedSigner(
    name="witness.example", algorithm=Algorithm.ED25519_COSIGNATURE, seed=b"w" * 32
)
CHECKPOINT = Checkpoint(origin=ORIGIN, size=1, root=ROOT)


def encoded(origin: str, size: str, root: str, rest: str = "") -> str:
    return f"{origin}\n{size}\n{root}\n{rest}"


ROOT_TEXT = CHECKPOINT.encode().split("\n")[2]


@pytest.mark.parametrize("extensions", [(), ("one",), ("one", "and another")])
@pytest.mark.parametrize("size", [0, 1, 10, 2**63 - 1])
def test_a_checkpoint_reads_back_what_it_writes(size: int, extensions: tuple[str, ...]) -> None:
    checkpoint = Checkpoint(origin=ORIGIN, size=size, root=ROOT, extensions=extensions)

    assert Checkpoint.parse(checkpoint.encode()) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{ORIGIN}\n1\n",
        f"{ORIGIN}\n1\n{ROOT_TEXT}",
        encoded("", "1", ROOT_TEXT),
        encoded("a\x00", "1", ROOT_TEXT),
        encoded("a\ud800", "1", ROOT_TEXT),
        encoded(ORIGIN, "", ROOT_TEXT),
        encoded(ORIGIN, "01", ROOT_TEXT),
        encoded(ORIGIN, "+1", ROOT_TEXT),
        encoded(ORIGIN, "-1", ROOT_TEXT),
        encoded(ORIGIN, " 1", ROOT_TEXT),
        encoded(ORIGIN, "1_0", ROOT_TEXT),
        encoded(ORIGIN, "\u0661", ROOT_TEXT),
        encoded(ORIGIN, "9" * 5_000, ROOT_TEXT),
        encoded(ORIGIN, "1", ""),
        encoded(ORIGIN, "1", ROOT_TEXT[:-1]),
        encoded(ORIGIN, "1", ROOT_TEXT[:40]),
        encoded(ORIGIN, "1", ROOT.hex()),
        encoded(ORIGIN, "1", ROOT_TEXT + " "),
        encoded(ORIGIN, "1", ROOT_TEXT[:-2] + chr(ord(ROOT_TEXT[-2]) + 1) + "="),
        encoded(ORIGIN, "1", ROOT_TEXT, "\n"),
        encoded(ORIGIN, "1", ROOT_TEXT, "one\n\n"),
        encoded(ORIGIN, "1", ROOT_TEXT, "one"),
        encoded(ORIGIN, "1", ROOT_TEXT, "one\r\n"),
    ],
)
def test_a_checkpoint_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Checkpoint.parse(text)


def test_a_size_takes_at_most_63_bits() -> None:
    with pytest.raises(LimitError, match="size 9223372036854775808"):
        Checkpoint.parse(encoded(ORIGIN, str(2**63), ROOT_TEXT))


def test_an_origin_has_at_most_255_bytes() -> None:
    with pytest.raises(LimitError, match="over 255 bytes"):
        Checkpoint(origin="a" * 256, size=1, root=ROOT)


def test_a_checkpoint_is_signed_by_its_log() -> None:
    note = sign_checkpoint(CHECKPOINT, [LOG])

    assert Checkpoint.parse(note.text) == CHECKPOINT
    assert verify_note(Note.parse(note.encode()), [LOG.key]) == (LOG.key,)


def test_a_checkpoint_is_signed_by_both_keys_while_one_replaces_the_other() -> None:
    successor = SeedSigner(name=ORIGIN, algorithm=Algorithm.ED25519, seed=b"m" * 32)

    note = sign_checkpoint(CHECKPOINT, [LOG, successor])

    for key in (LOG.key, successor.key):
        assert verify_note(note, [key]) == (key,)


def test_a_key_of_another_name_does_not_sign_a_log() -> None:
    other = SeedSigner(name="anode.example/bcca", algorithm=Algorithm.ED25519, seed=b"o" * 32)

    with pytest.raises(UnusableError, match=f"anode.example/bcca.* does not sign for {ORIGIN}"):
        sign_checkpoint(CHECKPOINT, [other])


@pytest.mark.parametrize("at", [1, AT, 2**63 - 1])
def test_a_cosignature_says_when(at: int) -> None:
    note = sign_checkpoint(CHECKPOINT, [LOG])

    note = note.with_signatures([cosign(note.text, WITNESS, at=at)])

    assert verify_cosignature(note.signatures[1], note.text, WITNESS.key) == at
    assert verify_note(note, [LOG.key, WITNESS.key]) == (LOG.key, WITNESS.key)


def test_a_cosignature_covers_extension_lines() -> None:
    extended = replace(CHECKPOINT, extensions=("one",)).encode()
    signature = cosign(extended, WITNESS, at=AT)

    assert verify_cosignature(signature, extended, WITNESS.key) == AT
    with pytest.raises(SignatureError, match=r"not signed by witness\.example"):
        verify_cosignature(signature, CHECKPOINT.encode(), WITNESS.key)


@pytest.mark.parametrize("at", [0, -1, 2**63])
def test_nothing_is_cosigned_at_no_time(at: int) -> None:
    with pytest.raises(UnusableError, match=f"time {at} is not between"):
        cosign(CHECKPOINT.encode(), WITNESS, at=at)


@pytest.mark.parametrize("at", [0, 2**63, 2**64 - 1])
def test_a_cosignature_at_no_time_is_refused(at: int) -> None:
    text = CHECKPOINT.encode()
    signed = WITNESS.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
    signature = replace(cosign(text, WITNESS, at=AT), blob=at.to_bytes(8) + signed)

    with pytest.raises(SignatureError, match=f"time {at} is no time"):
        verify_cosignature(signature, text, WITNESS.key)


def test_a_backdated_cosignature_is_refused() -> None:
    text = CHECKPOINT.encode()
    signature = cosign(text, WITNESS, at=AT)
    backdated = replace(signature, blob=(AT - 1).to_bytes(8) + signature.blob[8:])

    with pytest.raises(SignatureError, match=r"not signed by witness\.example"):
        verify_cosignature(backdated, text, WITNESS.key)


@pytest.mark.parametrize("length", [1, 7, 8, 71, 73])
def test_a_cosignature_of_another_length_is_refused(length: int) -> None:
    text = CHECKPOINT.encode()
    signature = cosign(text, WITNESS, at=AT)

    with pytest.raises(SignatureError):
        verify_cosignature(
            replace(signature, blob=(signature.blob + b"\0")[:length]), text, WITNESS.key
        )


def test_a_plain_signature_under_a_cosigners_key_is_no_cosignature() -> None:
    text = CHECKPOINT.encode()
    plain = replace(cosign(text, WITNESS, at=AT), blob=AT.to_bytes(8) + WITNESS.sign(text.encode()))

    with pytest.raises(SignatureError, match=r"not signed by witness\.example"):
        verify_cosignature(plain, text, WITNESS.key)


def test_a_logs_key_does_not_cosign() -> None:
    note = sign_checkpoint(CHECKPOINT, [LOG])

    with pytest.raises(UnusableError, match="not a cosigner's"):
        cosign(note.text, LOG, at=AT)
    with pytest.raises(SignatureError, match="its type is ED25519"):
        verify_cosignature(note.signatures[0], note.text, LOG.key)
