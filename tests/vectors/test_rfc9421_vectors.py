"""Signature bases and Ed25519 signatures of HTTP messages: RFC 9421, B.2.6."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bcca_node.network import fields, signatures
from bcca_protocol.errors import SignatureError
from bcca_protocol.keys import Algorithm, VerifierKey

Vector = dict[str, Any]


@pytest.fixture
def vector(shared: Path) -> Vector:
    found: Vector = json.loads((shared / "vectors/rfc9421/b26_ed25519.json").read_bytes())
    return found


@pytest.fixture
def key(vector: Vector) -> VerifierKey:
    public = bytes.fromhex(vector["public_key_hex"])
    return VerifierKey(name="test-key-ed25519", algorithm=Algorithm.ED25519, public=public)


def covered(vector: Vector) -> tuple[list[str], str]:
    """Return what the vector covers, in its order, and the text that says so."""
    (member,) = fields.decode_dictionary(vector["signature_input"], "signature-input").values()
    assert isinstance(member.value, tuple)
    return [str(each.value) for each in member.value], member.text


def values(vector: Vector) -> dict[str, str]:
    request = vector["request"]
    told = {name.lower(): value for name, value in request["headers"].items()}
    path = request["path"].partition("?")[0]
    return told | {
        "@method": request["method"],
        "@path": path,
        "@authority": request["authority"],
    }


def signature_of(vector: Vector) -> bytes:
    (member,) = fields.decode_dictionary(vector["signature"], "signature").values()
    assert isinstance(member.value, bytes)
    return member.value


def test_the_base_of_the_vector_is_built_from_its_request(vector: Vector) -> None:
    names, text = covered(vector)

    assert signatures.base(values(vector), names, text).decode() == vector["signature_base"]


def test_the_signature_of_the_vector_verifies(vector: Vector, key: VerifierKey) -> None:
    names, text = covered(vector)

    key.verify(signature_of(vector), signatures.base(values(vector), names, text))


def test_the_vector_signed_again_is_the_vector(vector: Vector, shared: Path) -> None:
    pem = (shared / "vectors/rfc9421/test-key-ed25519.key").read_bytes()
    names, text = covered(vector)
    private = load_pem_private_key(pem, None)

    signed = private.sign(signatures.base(values(vector), names, text))  # type: ignore[union-attr, call-arg]  # Ed25519

    assert f"sig-b26=:{base64.b64encode(signed).decode()}:" == vector["signature"]


@pytest.mark.parametrize("name", ["date", "@method", "@path", "@authority", "content-type"])
def test_the_vector_with_another_value_of_anything_it_covers_is_refused(
    vector: Vector, key: VerifierKey, name: str
) -> None:
    names, text = covered(vector)
    changed = {**values(vector), name: values(vector)[name] + "x"}

    with pytest.raises(SignatureError):
        key.verify(signature_of(vector), signatures.base(changed, names, text))
