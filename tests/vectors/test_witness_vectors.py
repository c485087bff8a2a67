"""add-checkpoint: litewitness's own requests in order, and every step of a small log."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bcca_protocol.checkpoint import verify_cosignature
from bcca_protocol.keys import Algorithm, SeedSigner, VerifierKey
from bcca_protocol.note import NoteSignature
from bcca_protocol.witness import TREE_SIZE, AddCheckpoint, Answer, WitnessState, answer

AT = 1_767_225_600
WITNESS = SeedSigner(
    name="example.com/witness", algorithm=Algorithm.ED25519_COSIGNATURE, seed=b"w" * 32
)


@pytest.fixture(scope="module")
def litewitness(shared: Path) -> Any:
    return json.loads((shared / "vectors/witness/litewitness_requests.json").read_bytes())


@pytest.fixture(scope="module")
def small(shared: Path) -> Path:
    return shared / "vectors/tlog-log-small"


@pytest.fixture(scope="module")
def heads(small: Path) -> dict[int, WitnessState]:
    """Return every head of the small log by its size."""
    vectors = json.loads((small / "vectors.json").read_bytes())
    return {
        each["size"]: WitnessState(size=each["size"], root=base64.b64decode(each["root"]))
        for each in vectors["checkpoints"]
    }


@pytest.fixture(scope="module")
def log_key(small: Path) -> VerifierKey:
    return VerifierKey.parse(json.loads((small / "vectors.json").read_bytes())["logVkey"])


def test_litewitness_requests_are_answered_as_c2sp_asks(litewitness: Any) -> None:
    key = VerifierKey.parse(litewitness["log_vkey"])
    states: dict[str, WitnessState] = {}

    for number, asked in enumerate(litewitness["requests"]):
        given = answer(asked["body"].encode(), {key.name: key}, states.get, WITNESS, AT)
        if given.checkpoint is not None:
            states[key.name] = WitnessState(size=given.checkpoint.size, root=given.checkpoint.root)

        assert given.status in asked["accept"], number
        assert as_asserted(given, asked["assertion"]), number
    assert states[key.name].size == 5


def as_asserted(given: Answer, assertion: str) -> bool:
    if given.status == 409:
        return given.content_type == TREE_SIZE and assertion == f"body == {json.dumps(given.body)}"
    return (given.status == 200) == given.body.startswith("— example.com/witness ")


def test_every_step_of_the_small_log_is_cosigned(
    small: Path, heads: dict[int, WitnessState], log_key: VerifierKey
) -> None:
    bodies = sorted((small / "add-checkpoint").iterdir())

    for path in bodies:
        old, new = map(int, path.stem.split("-"))
        last = {log_key.name: heads[old]}.get
        given = answer(path.read_bytes(), {log_key.name: log_key}, last, WITNESS, AT)

        assert (given.status, given.content_type) == (200, "text/plain; charset=utf-8"), path.name
        assert given.checkpoint is not None
        assert given.note is not None
        assert (given.checkpoint.size, given.checkpoint.root) == (new, heads[new].root)
        line = NoteSignature.parse(given.body.removesuffix("\n"))
        assert verify_cosignature(line, given.checkpoint.encode(), WITNESS.key) == AT
        assert given.note.signatures[-1] == line
    assert len(bodies) == 36


def test_every_request_of_the_small_log_reads_back(small: Path) -> None:
    for path in (small / "add-checkpoint").iterdir():
        assert AddCheckpoint.parse(path.read_bytes()).encode() == path.read_bytes()
