"""Proof files as transparency-dev/formats reads them, and one they read too kindly."""

import json
from pathlib import Path

import pytest

from bcca_protocol.errors import MalformedError
from bcca_protocol.proof import TlogProof
from bcca_protocol.wire import b64


def test_exactly_the_valid_proofs_are_read(shared: Path) -> None:
    cases = json.loads((shared / "vectors/note/tlog_proof_parse.json").read_bytes())

    for case in (case for case in cases if case["ok"]):
        proof = TlogProof.parse(case["text"])

        extra = None if proof.extra is None else b64(proof.extra)
        assert (proof.index, len(proof.path), extra) == (
            case["index"],
            case["hashes"],
            case["extra"],
        )
    for case in (case for case in cases if not case["ok"]):
        with pytest.raises(MalformedError):
            TlogProof.parse(case["text"])
    assert len(cases) == 11
