"""The one Ed25519 rule on every edge case known: Wycheproof, and CCTV by their flags."""

import json
from pathlib import Path

from bcca_protocol.errors import MalformedError, SignatureError
from bcca_protocol.keys import Algorithm, VerifierKey

# A point of low order, or one written in another way: refused, wherever the library stands.
REFUSED_FLAGS = {
    "low_order_A",
    "low_order_R",
    "non_canonical_A",
    "non_canonical_R",
    "low_order_residue",
    "reencoded_k",
}


def is_accepted(public: str, signature: str, message: bytes) -> bool:
    try:
        key = VerifierKey(
            name="example.com/vector", algorithm=Algorithm.ED25519, public=bytes.fromhex(public)
        )
        key.verify(bytes.fromhex(signature), message)
    except (MalformedError, SignatureError):
        return False
    return True


def test_wycheproof_is_accepted_exactly_where_valid(shared: Path) -> None:
    file = shared / "vectors/ed25519/wycheproof_ed25519_test.json"
    cases = [
        (group["publicKey"]["pk"], case)
        for group in json.loads(file.read_bytes())["testGroups"]
        for case in group["tests"]
    ]

    wrong = [
        case["tcId"]
        for public, case in cases
        if is_accepted(public, case["sig"], bytes.fromhex(case["msg"]))
        != (case["result"] == "valid")
    ]

    assert wrong == []
    assert len(cases) == 151


def test_cctv_is_accepted_exactly_where_no_point_is_of_low_order_or_miswritten(
    shared: Path,
) -> None:
    cases = json.loads((shared / "vectors/ed25519/cctv_ed25519vectors.json").read_bytes())

    accepted = {
        case["number"]
        for case in cases
        if is_accepted(case["key"], case["sig"], case["msg"].encode())
    }

    assert accepted == {
        case["number"] for case in cases if REFUSED_FLAGS.isdisjoint(case["flags"] or ())
    }
    assert (len(accepted), len(cases)) == (43, 914)
