"""The key that stands for a supplier without a log: one for each origin, and nobody's."""

import hashlib

import pytest

from bcca_protocol import unlogged
from bcca_protocol.errors import MalformedError, SignatureError
from bcca_protocol.keys import KEY_BYTES, Algorithm, VerifierKey

FOIL = "foil.example+bf91214d+AS1QFHqnN73i4WBOvmDaKNLwH2Ggn+D1m/NNkufJh0Hf"
ORIGINS = ["foil.example", "a", "cells.example/suppliers/foil-works", *(f"o{n}" for n in range(30))]


def test_it_is_a_hash_of_the_origin_that_anybody_makes_again() -> None:
    assert unlogged.key_of("foil.example") == FOIL
    hashes = [
        hashlib.sha256(f"bcca/v1 no log\nfoil.example\n{number}".encode()).digest()
        for number in range(10)
    ]
    assert VerifierKey.parse(FOIL).public in hashes


@pytest.mark.parametrize("origin", ORIGINS)
def test_it_is_a_log_key_of_that_origin_alone(origin: str) -> None:
    key = VerifierKey.parse(unlogged.key_of(origin))

    assert (key.name, key.algorithm) == (origin, Algorithm.ED25519)
    assert unlogged.is_unlogged(origin, key.encode())
    assert not unlogged.is_unlogged(origin + "x", key.encode())


def test_attack_nothing_is_signed_by_it() -> None:
    key = VerifierKey.parse(FOIL)

    for signature in (bytes([2]) * 64, key.public + bytes(32), bytes([1]) + bytes(63)):
        with pytest.raises(SignatureError):
            key.verify(signature, b"a head")


def test_what_names_no_key_has_none() -> None:
    assert len(VerifierKey.parse(FOIL).public) == KEY_BYTES
    with pytest.raises(MalformedError):
        unlogged.key_of("two words")
