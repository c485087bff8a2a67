"""Signed notes and verifier keys: C2SP's, Go's, and what derives from them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bcca_protocol.checkpoint import Checkpoint, verify_cosignature
from bcca_protocol.errors import RefusedError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.note import Note, verify_note


def signers(case: Mapping[str, Any]) -> tuple[VerifierKey, ...]:
    """Return who signed, nobody for a note that is refused."""
    keys = [VerifierKey.parse(each) for each in case["vkeys"]]
    try:
        return verify_note(Note.parse(case["note"]), keys)
    except RefusedError:
        return ()


def is_verifier_key(text: str) -> bool:
    try:
        return VerifierKey.parse(text).encode() == text
    except RefusedError:
        return False


def test_exactly_the_valid_notes_verify(shared: Path) -> None:
    cases = json.loads((shared / "vectors/note/notes.json").read_bytes())

    wrong = [
        case["desc"]
        for case in cases
        if len(signers(case)) != case.get("verified", 1 if case["valid"] else 0)
    ]

    assert wrong == []
    assert len(cases) == 23


def test_the_checkpoints_among_the_notes_are_read(shared: Path) -> None:
    cases = json.loads((shared / "vectors/note/notes.json").read_bytes())
    checkpoints = [case for case in cases if "checkpoint" in case]

    for case in checkpoints:
        checkpoint = Checkpoint.parse(Note.parse(case["note"]).text)

        assert checkpoint.origin == case["checkpoint"]["origin"]
        assert checkpoint.size == case["checkpoint"]["size"]
    assert len(checkpoints) == 3


def test_the_cosignature_among_the_notes_says_when(shared: Path) -> None:
    cases = json.loads((shared / "vectors/note/notes.json").read_bytes())
    (case,) = (case for case in cases if "timestamp" in case)
    note = Note.parse(case["note"])

    at = verify_cosignature(note.signatures[0], note.text, VerifierKey.parse(case["vkeys"][0]))

    assert at == case["timestamp"]


def test_exactly_the_valid_verifier_keys_are_read(shared: Path) -> None:
    cases = json.loads((shared / "vectors/note/vkeys.json").read_bytes())

    wrong = [case for case in cases if is_verifier_key(case["vkey"]) != case["valid"]]

    assert wrong == []
    assert len(cases) == 8
