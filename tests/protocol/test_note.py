import pytest

from bcca_protocol import note
from bcca_protocol.errors import LimitError, MalformedError, SignatureError, UnusableError
from bcca_protocol.keys import Algorithm, SeedSigner, VerifierKey
from bcca_protocol.note import Note, NoteSignature, verify_note

TEXT = "a first line\n\nand one after an empty one\n"


def signer_named(name: str, algorithm: Algorithm = Algorithm.ED25519) -> SeedSigner:
    return SeedSigner(name=name, algorithm=algorithm, seed=name.encode().rjust(32, b"."))


ALICE, BOB = signer_named("alice.example"), signer_named("bob.example")


@pytest.fixture
def signed() -> Note:
    return note.sign(TEXT, [ALICE, BOB])


def forged(by: VerifierKey) -> NoteSignature:
    return NoteSignature(name=by.name, key_id=by.id, blob=BOB.sign(b"another text\n"))


def test_a_note_reads_back_what_it_writes(signed: Note) -> None:
    text = signed.encode()

    assert Note.parse(text) == signed
    assert text.startswith(f"{TEXT}\n— alice.example ")


@pytest.mark.parametrize(
    "text", ["\n", "\n\n", "a\n", "a\n\n", "\n\na\n", "— a b\n", "a\n\n— a b\n"]
)
def test_a_text_may_hold_empty_lines_and_what_looks_like_signatures(text: str) -> None:
    signed = note.sign(text, [ALICE])

    read = Note.parse(signed.encode())

    assert read.text == text
    assert verify_note(read, [ALICE.key]) == (ALICE.key,)


def test_a_note_is_verified_by_every_known_key_in_the_order_of_its_lines(signed: Note) -> None:
    assert verify_note(signed, [BOB.key, ALICE.key]) == (ALICE.key, BOB.key)
    assert verify_note(signed, [BOB.key]) == (BOB.key,)


def test_a_key_that_signed_twice_counts_once(signed: Note) -> None:
    twice = signed.with_signatures(signed.signatures)

    assert verify_note(twice, [ALICE.key]) == (ALICE.key,)


@pytest.mark.parametrize("keys", [(), (signer_named("carol.example").key,)])
def test_a_note_by_nobody_known_is_refused(signed: Note, keys: tuple[VerifierKey, ...]) -> None:
    with pytest.raises(SignatureError, match="signed by none of"):
        verify_note(signed, keys)


def test_a_known_key_that_fails_refuses_the_whole_note(signed: Note) -> None:
    tampered = signed.with_signatures([forged(ALICE.key)])

    with pytest.raises(SignatureError, match=r"not signed by alice\.example"):
        verify_note(tampered, [ALICE.key, BOB.key])
    assert verify_note(tampered, [BOB.key]) == (BOB.key,)


def test_a_line_of_which_only_name_or_only_id_is_known_is_ignored(signed: Note) -> None:
    blob = bytes(64)
    name_only = NoteSignature(name=ALICE.key.name, key_id=b"1234", blob=blob)
    id_only = NoteSignature(name="mallory.example", key_id=ALICE.key.id, blob=blob)

    assert verify_note(signed.with_signatures([name_only, id_only]), [ALICE.key]) == (ALICE.key,)
    with pytest.raises(SignatureError, match="signed by none of"):
        verify_note(Note(text=TEXT, signatures=(name_only, id_only)), [ALICE.key])


def test_two_known_keys_with_one_name_and_id_are_refused(signed: Note) -> None:
    twins = [
        VerifierKey(name="alice.example", algorithm=Algorithm.ED25519, public=found.to_bytes(32))
        for found in (7391, 33340)  # the first two that share an id
    ]

    with pytest.raises(UnusableError, match=r"both called alice\.example\+44bcb22b"):
        verify_note(signed, twins)


def test_a_signature_moved_to_another_text_is_refused(signed: Note) -> None:
    moved = Note(text="another text\n", signatures=signed.signatures)

    with pytest.raises(SignatureError, match="not signed by"):
        verify_note(moved, [ALICE.key])


def test_a_signature_that_names_another_key_is_refused(signed: Note) -> None:
    with pytest.raises(SignatureError, match=r"the line names alice\.example"):
        note.verify_signature(signed.signatures[0], TEXT, BOB.key)


def test_a_cosigner_does_not_sign_a_note_without_a_time() -> None:
    with pytest.raises(UnusableError, match="not ED25519"):
        note.sign(TEXT, [signer_named("w.example", Algorithm.ED25519_COSIGNATURE)])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a\n\n",
        "a\n— alice.example AAAAAAE=\n",
        "a\n\n— alice.example AAAAAAE=",
        "a\n\n— alice.example AAAAAAE=\r\n",
        "a\n\n— alice.example AAAAAAE=\u2028",
        "a\r\n\n— alice.example AAAAAAE=\n",
        "a\x7f\x00\n\n— alice.example AAAAAAE=\n",
        "a\ud800\n\n— alice.example AAAAAAE=\n",
        "a\n\n- alice.example AAAAAAE=\n",
        "a\n\n—alice.example AAAAAAE=\n",
        "a\n\n—  alice.example AAAAAAE=\n",
        "a\n\n— alice.example  AAAAAAE=\n",
        "a\n\n— alice.example AAAAAAE= \n",
        "a\n\n— alice.example\n",
        "a\n\n— alice example AAAAAAE=\n",
        "a\n\n— alice\u2028example AAAAAAE=\n",
        "a\n\n— alice+example AAAAAAE=\n",
        "a\n\n— alice.example AAAAAA==\n",
        "a\n\n— alice.example AAAAAAF=\n",
        "a\n\n— alice.example AAAAAAE\n",
        "a\n\n— alice.example AAAA-_E=\n",
        "a\n\n— alice.example AAAAAAE=\nb\n",
    ],
)
def test_a_note_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Note.parse(text)


def test_the_smallest_note_is_read() -> None:
    read = Note.parse("\n\n— a AAAAAAE=\n")

    assert read == Note(
        text="\n", signatures=(NoteSignature(name="a", key_id=bytes(4), blob=b"\x01"),)
    )


def test_a_text_separates_lines_by_line_feeds_alone() -> None:
    read = Note.parse("a\u2028b\x85c\n\n— a AAAAAAE=\n")

    assert read.text == "a\u2028b\x85c\n"


def test_a_note_has_at_most_100_signatures() -> None:
    line = "— a AAAAAAE=\n"

    assert len(Note.parse("a\n\n" + line * 100).signatures) == 100
    with pytest.raises(LimitError, match="over 100"):
        Note.parse("a\n\n" + line * 101)


def test_a_note_has_at_most_64_kibibytes() -> None:
    with pytest.raises(LimitError, match="over 65536"):
        Note.parse("a" * 65_536 + "\n\n— a AAAAAAE=\n")


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.ED25519_COSIGNATURE])
def test_attack_a_signature_that_held_is_shown_under_another_text_key_or_time(
    algorithm: Algorithm,
) -> None:
    """What held is kept by all of its bytes: whatever differs in one is looked at anew."""
    dora, eve = signer_named("dora.example", algorithm), signer_named("eve.example", algorithm)
    at = b"" if algorithm is Algorithm.ED25519 else (1_700_000_000).to_bytes(note.TIME_BYTES)
    message = TEXT.encode() if not at else note.cosigned_message(TEXT, 1_700_000_000)
    true = NoteSignature(name=dora.key.name, key_id=dora.key.id, blob=at + dora.sign(message))
    later = bytearray(true.blob)
    later[7] ^= 1
    as_eve = NoteSignature(name=eve.key.name, key_id=eve.key.id, blob=true.blob)

    for _ in range(2):
        note.verify_signature(true, TEXT, dora.key)
        for signature, text, key in (
            (true, TEXT + "\n", dora.key),
            (as_eve, TEXT, eve.key),
            (NoteSignature(name=true.name, key_id=true.key_id, blob=bytes(later)), TEXT, dora.key),
        ):
            with pytest.raises(SignatureError):
                note.verify_signature(signature, text, key)
