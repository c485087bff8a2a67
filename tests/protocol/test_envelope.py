import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from bcca_protocol.envelope import Envelope, EnvelopeSignature, pae, sign, verify_envelope
from bcca_protocol.errors import LimitError, MalformedError, SignatureError, UnusableError
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.limits import MAX_ENVELOPE_SIGNATURES, MAX_STATEMENT_BYTES

TYPE = "application/vnd.in-toto+json"
ALICE = SeedSigner(name="alice.example", algorithm=Algorithm.ED25519, seed=b"a" * 32)
BOB = SeedSigner(name="bob.example", algorithm=Algorithm.ED25519, seed=b"b" * 32)
ENVELOPE = sign(TYPE, b'{"a":"1"}', ALICE)


def written(**members: Any) -> bytes:
    """Return ENVELOPE in JSON with some members replaced, and those that are None left out."""
    whole = json.loads(ENVELOPE.encode()) | members
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def signed_by(*signers: SeedSigner) -> Envelope:
    signatures = tuple(
        each for signer in signers for each in sign(TYPE, ENVELOPE.payload, signer).signatures
    )
    return replace(ENVELOPE, signatures=signatures)


def test_an_envelope_is_written_as_canonical_json() -> None:
    envelope = Envelope(
        payload_type="text/é",
        payload=b"\x00\xff",
        signatures=(
            EnvelopeSignature(keyid="k", signature=b"\xfb"),
            EnvelopeSignature(keyid=None, signature=b"\xff"),
        ),
    )

    assert envelope.encode().decode() == (
        '{"payload":"AP8=","payloadType":"text/é",'
        '"signatures":[{"keyid":"k","sig":"+w=="},{"sig":"/w=="}]}'
    )


@pytest.mark.parametrize("payload_type", ["", TYPE, 'a "quoted" \\ type', "é水\x00\x7f\u2028"])
@pytest.mark.parametrize("payload", [b"", b"{}", bytes(range(256))])
@pytest.mark.parametrize("keyids", [(), (None,), ("",), ("k", None, "k")])
def test_an_envelope_reads_back_what_it_writes(
    payload_type: str, payload: bytes, keyids: tuple[str | None, ...]
) -> None:
    envelope = Envelope(
        payload_type=payload_type,
        payload=payload,
        signatures=tuple(EnvelopeSignature(keyid=each, signature=payload) for each in keyids),
    )

    assert Envelope.parse(envelope.encode()) == envelope


def test_what_is_signed_counts_bytes_and_not_characters() -> None:
    assert pae("é", "水".encode()) == "DSSEv1 2 é 3 水".encode()


def test_no_two_payloads_have_one_encoding() -> None:
    assert pae("a 1 b", b"") != pae("a", b"b 0 ")


def test_the_bytes_that_were_signed_are_handed_on() -> None:
    signed = verify_envelope(Envelope.parse(ENVELOPE.encode()), [BOB.key, ALICE.key])

    assert (signed.payload_type, signed.payload, signed.keys) == (TYPE, b'{"a":"1"}', (ALICE.key,))


def test_a_keyid_is_a_hint_and_proves_nothing() -> None:
    (signature,) = ENVELOPE.signatures
    for keyid in (None, "", BOB.key.label):
        hinted = replace(ENVELOPE, signatures=(replace(signature, keyid=keyid),))

        assert verify_envelope(hinted, [ALICE.key]).keys == (ALICE.key,)
        with pytest.raises(SignatureError):
            verify_envelope(hinted, [BOB.key])


@pytest.mark.parametrize(
    "forged",
    [
        replace(ENVELOPE, payload=b'{"a":"2"}'),
        replace(ENVELOPE, payload_type="application/json"),
        replace(ENVELOPE, signatures=()),
        replace(ENVELOPE, signatures=(EnvelopeSignature(keyid=None, signature=b""),)),
        replace(
            ENVELOPE,
            signatures=(
                EnvelopeSignature(keyid=None, signature=ALICE.sign(ENVELOPE.payload)),  # no PAE
            ),
        ),
    ],
)
def test_a_forged_envelope_is_refused(forged: Envelope) -> None:
    with pytest.raises(SignatureError, match=r"signed by 0 of alice\.example.* 1 must"):
        verify_envelope(forged, [ALICE.key])


def test_an_envelope_that_nobody_is_trusted_to_sign_is_refused() -> None:
    with pytest.raises(SignatureError, match="no key"):
        verify_envelope(ENVELOPE, [])


def test_two_signers_reach_a_threshold_of_two() -> None:
    signed = verify_envelope(signed_by(BOB, ALICE), [ALICE.key, BOB.key], threshold=2)

    assert signed.keys == (ALICE.key, BOB.key)


def test_one_signer_twice_is_no_threshold_of_two() -> None:
    with pytest.raises(SignatureError):
        verify_envelope(signed_by(ALICE, ALICE), [ALICE.key, BOB.key], threshold=2)


def test_one_key_under_two_names_is_no_threshold_of_two() -> None:
    alias = SeedSigner(name="alias.example", algorithm=Algorithm.ED25519, seed=ALICE.seed)

    with pytest.raises(SignatureError):
        verify_envelope(signed_by(ALICE, alias), [ALICE.key, alias.key], threshold=2)


@pytest.mark.parametrize("threshold", [0, -1])
def test_a_threshold_that_nobody_need_reach_is_refused(threshold: int) -> None:
    with pytest.raises(UnusableError):
        verify_envelope(ENVELOPE, [ALICE.key], threshold=threshold)


def test_unknown_members_are_ignored() -> None:
    (signature,) = json.loads(ENVELOPE.encode())["signatures"]
    data = written(more=[1], signatures=[signature | {"cert": {}}])

    assert Envelope.parse(data) == ENVELOPE


@pytest.mark.parametrize(
    ("encoded", "payload"),
    [("+/8=", b"\xfb\xff"), ("-_8=", b"\xfb\xff"), ("", b""), ("AA==", b"\x00")],
)
def test_both_alphabets_of_base64_are_read(encoded: str, payload: bytes) -> None:
    assert Envelope.parse(written(payload=encoded)).payload == payload


@pytest.mark.parametrize(
    "encoded",
    ["+_8=", "-/8=", "AA", "AA=", "AB==", "AA==\n", " AA==", "A", "AA==AA==", "AA===", "ÀA="],
)
def test_what_base64_would_not_write_is_refused(encoded: str) -> None:
    with pytest.raises(MalformedError):
        Envelope.parse(written(payload=encoded))
    with pytest.raises(MalformedError):
        Envelope.parse(written(signatures=[{"sig": encoded}]))


def ours(payload: str, more: str = "") -> bytes:
    """Return ENVELOPE as this project begins to write it, with another payload, and more."""
    _, _, rest = ENVELOPE.encode().partition(b'","')
    return f'{{"payload":"{payload}"{more},"'.encode() + rest


@pytest.mark.parametrize("size", range(20))
def test_a_payload_of_any_length_is_read_and_its_idle_bits_are_refused(size: int) -> None:
    payload = bytes(range(0xF0, 0xF0 + size % 16)) + bytes(size - size % 16)
    text = base64.b64encode(payload).decode()
    idle = {0: 0, 1: 15, 2: 3}[size % 3]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stem = text.rstrip("=")

    assert Envelope.parse(ours(text)) == replace(ENVELOPE, payload=payload)
    for bits in range(1, idle + 1):
        odd = stem[:-1] + alphabet[alphabet.index(stem[-1]) + bits]
        with pytest.raises(MalformedError, match="is not how base64 is written"):
            Envelope.parse(ours(odd.ljust(len(text), "=")))


@pytest.mark.parametrize(
    "more", [',"payload":"AQ=="', ',"p\\u0061yload":"AQ=="', ', "payload" : "AQ=="']
)
@pytest.mark.parametrize("first", ["AA==", "", "/w==", "_w==", "AB=="])
def test_of_a_payload_named_twice_the_last_counts(first: str, more: str) -> None:
    assert Envelope.parse(ours(first, more)).payload == b"\x01"


@pytest.mark.parametrize("more", [',"payload":"AR=="', ',"p\\u0061yload":"AR=="'])
def test_the_last_payload_is_read_as_strictly_as_the_first(more: str) -> None:
    with pytest.raises(MalformedError, match="is not how base64 is written"):
        Envelope.parse(ours("AQ==", more))


@pytest.mark.parametrize(
    "text", ["\\/w==", "\\u002fw==", "/w=\\u003d", "\\u002f\\u0077\\u003d\\u003d", "_w=="]
)
def test_base64_may_be_escaped_as_json_allows(text: str) -> None:
    assert Envelope.parse(ours(text)).payload == b"\xff"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"\xef\xbb\xbf" + ENVELOPE.encode(),
        ENVELOPE.encode()[:-1],
        ENVELOPE.encode() + b"{}",
        written(payload=None),
        written(payloadType=None),
        written(signatures=None),
        written(payload=1),
        written(payloadType=["text"]),
        written(payloadType="\ud800"),
        written(signatures={}),
        written(signatures=[{"keyid": "k"}]),
        written(signatures=[{"sig": None}]),
        b'{"payload":' + b"[" * 10_000,
        b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Envelope.parse(data)


def test_an_envelope_of_more_than_the_limit_is_not_even_read() -> None:
    with pytest.raises(LimitError):
        Envelope.parse(b"[" * (MAX_STATEMENT_BYTES + 1))


def test_an_envelope_with_a_flood_of_signatures_is_refused() -> None:
    flood = replace(ENVELOPE, signatures=ENVELOPE.signatures * (MAX_ENVELOPE_SIGNATURES + 1))

    with pytest.raises(LimitError):
        Envelope.parse(flood.encode())
