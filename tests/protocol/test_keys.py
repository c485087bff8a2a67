import pytest

from bcca_protocol.errors import LimitError, MalformedError, SignatureError, UnusableError
from bcca_protocol.keys import Algorithm, SeedSigner, Signer, VerifierKey

P = 2**255 - 19
MESSAGE = b"a message"
# RFC 8032, 7.1, test 1
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SIGNATURE_OF_NOTHING = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
    "d25bf5f0595bbe24655141438e7a100b"
)
# The eight points of low order have five values of y (C2SP/CCTV ed25519, README).
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
SPACES = ["\t", "\n", "\v", "\r", " ", "\x85", "\xa0", "\u2028", "\u3000"]


@pytest.fixture
def signer() -> SeedSigner:
    return SeedSigner(name="cathode.example/bcca", algorithm=Algorithm.ED25519, seed=SEED)


def key_named(name: str) -> VerifierKey:
    return VerifierKey(name=name, algorithm=Algorithm.ED25519, public=PUBLIC)


def written_with_other_sign(encoded: bytes) -> bytes:
    return encoded[:31] + bytes([encoded[31] ^ 0x80])


def test_a_seed_signs_as_in_rfc_8032(signer: SeedSigner) -> None:
    assert signer.key.public == PUBLIC
    assert signer.sign(b"") == SIGNATURE_OF_NOTHING


def test_what_a_signer_signs_verifies(signer: SeedSigner) -> None:
    some: Signer = signer

    some.key.verify(some.sign(MESSAGE), MESSAGE)


def test_a_key_shows_neither_its_seed_nor_what_it_loaded(signer: SeedSigner) -> None:
    assert SEED.hex() not in repr(signer)
    assert repr(SEED) not in repr(signer)
    assert "Ed25519" not in repr(signer.key)


def test_a_changed_message_is_refused(signer: SeedSigner) -> None:
    with pytest.raises(SignatureError, match=r"not signed by cathode\.example/bcca"):
        signer.key.verify(signer.sign(MESSAGE), MESSAGE + b"!")


def test_a_signature_of_another_key_is_refused(signer: SeedSigner) -> None:
    other = SeedSigner(name=signer.name, algorithm=signer.algorithm, seed=bytes(32))

    with pytest.raises(SignatureError, match="not signed by"):
        signer.key.verify(other.sign(MESSAGE), MESSAGE)


@pytest.mark.parametrize("bit", range(0, 512, 7))
def test_a_changed_bit_of_a_signature_is_refused(signer: SeedSigner, bit: int) -> None:
    number = int.from_bytes(signer.sign(MESSAGE), "little") ^ 1 << bit

    with pytest.raises(SignatureError):
        signer.key.verify(number.to_bytes(64, "little"), MESSAGE)


@pytest.mark.parametrize("length", [0, 31, 32, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(signer: SeedSigner, length: int) -> None:
    signature = (signer.sign(MESSAGE) * 2)[:length]

    with pytest.raises(SignatureError):
        signer.key.verify(signature, MESSAGE)


@pytest.mark.parametrize("encoded", LOW_ORDER)
def test_a_point_of_low_order_is_no_key_and_no_r(signer: SeedSigner, encoded: str) -> None:
    plain = bytes.fromhex(encoded)

    for point in (plain, written_with_other_sign(plain)):
        with pytest.raises(MalformedError, match="low order"):
            VerifierKey(name="a", algorithm=Algorithm.ED25519, public=point)
        with pytest.raises(SignatureError, match="low order"):
            signer.key.verify(point + signer.sign(MESSAGE)[32:], MESSAGE)


@pytest.mark.parametrize("y", range(P, 2**255))
def test_a_y_that_is_not_below_p_is_no_key_and_no_r(signer: SeedSigner, y: int) -> None:
    plain = y.to_bytes(32, "little")

    for point in (plain, written_with_other_sign(plain)):
        with pytest.raises(MalformedError, match="not below p"):
            VerifierKey(name="a", algorithm=Algorithm.ED25519_COSIGNATURE, public=point)
        with pytest.raises(SignatureError, match="not below p"):
            signer.key.verify(point + signer.sign(MESSAGE)[32:], MESSAGE)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_verifier_key_reads_back_what_it_writes(algorithm: Algorithm) -> None:
    key = VerifierKey(name="cathode.example/bcca", algorithm=algorithm, public=PUBLIC)

    assert VerifierKey.parse(key.encode()) == key
    assert key.encode().startswith(f"{key.label}+")
    assert key.label == f"cathode.example/bcca+{key.id.hex()}"


def test_the_same_public_key_has_another_id_under_another_name_or_type() -> None:
    keys = [
        VerifierKey(name=name, algorithm=algorithm, public=PUBLIC)
        for name in ("a.example", "b.example")
        for algorithm in Algorithm
    ]

    assert len({key.id for key in keys}) == len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n",
        "example.com/foo+530d903a+ AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==",
        "example.com/foo+530d903a+",
        "example.com/foo+530d903a+BukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+ĀekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ],
)
def test_a_verifier_key_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "name", ["", "a+b", "a\x00", "a\x1b[2J", "a\x9b2J", "a\u202eb", "\ud800", *SPACES]
)
def test_a_name_that_a_note_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(MalformedError, match="key name"):
        key_named(name)


def test_a_name_has_at_most_255_bytes() -> None:
    assert key_named("a" * 255).name == "a" * 255
    with pytest.raises(LimitError, match="256 bytes, over 255"):
        key_named("é" * 128)


def test_a_seal_key_neither_signs_nor_verifies() -> None:
    key = VerifierKey(name="a", algorithm=Algorithm.X25519, public=PUBLIC)

    with pytest.raises(SignatureError, match="does not sign"):
        key.verify(bytes(64), MESSAGE)
    with pytest.raises(UnusableError, match="does not sign"):
        SeedSigner(name="a", algorithm=Algorithm.X25519, seed=SEED)


def test_a_seed_has_32_bytes() -> None:
    with pytest.raises(UnusableError, match="31 bytes, not 32"):
        SeedSigner(name="a", algorithm=Algorithm.ED25519, seed=SEED[1:])
