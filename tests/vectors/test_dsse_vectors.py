"""DSSE: the example of its specification and what derives from it, by `envelope` alone."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bcca_protocol.envelope import Envelope, pae, verify_envelope
from bcca_protocol.errors import SignatureError
from bcca_protocol.keys import Algorithm, VerifierKey


@pytest.fixture(scope="module")
def vectors(shared: Path) -> Any:
    return json.loads((shared / "vectors/dsse/dsse.json").read_bytes())


def key(case: Any) -> VerifierKey:
    public = base64.b64decode(case["pub_b64"])
    return VerifierKey(name="k", algorithm=Algorithm.ED25519, public=public)


def is_signed(case: Any, by: VerifierKey) -> bool:
    try:
        verify_envelope(Envelope.parse(json.dumps(case["envelope"]).encode()), [by])
    except SignatureError:
        return False
    return True


def test_what_is_signed_is_encoded_as_the_vectors_have_it(vectors: Any) -> None:
    for case in vectors["pae"]:
        expected = case.get("pae", "").encode() or base64.b64decode(case["pae_b64"])

        assert pae(case["payloadType"], base64.b64decode(case["payload_b64"])) == expected
    assert len(vectors["pae"]) == 5


def test_the_signatures_verify(vectors: Any) -> None:
    cases = [case for case in vectors["pae"] if case["alg"] == "Ed25519"]  # else no key of ours

    for case in cases:
        message = pae(case["payloadType"], base64.b64decode(case["payload_b64"]))
        key(case).verify(base64.b64decode(case["sig_b64"]), message)

        assert is_signed(case, by=key(case))
    assert len(cases) == 4


def test_exactly_the_valid_envelopes_verify(vectors: Any) -> None:
    cases = vectors["envelopes"]["cases"]
    by = key(vectors["envelopes"])

    wrong = [case["desc"] for case in cases if is_signed(case, by) is not case["valid"]]

    assert wrong == []
    assert len(cases) == 8
