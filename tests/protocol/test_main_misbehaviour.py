"""`bcca-verify --misbehaviour`: whether a log lied, from one file and no network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bcca_protocol.__main__ import HOLDS, REFUSED, UNUSABLE
from bcca_protocol.checkpoint import Checkpoint, cosign, sign_checkpoint
from bcca_protocol.limits import MAX_MISBEHAVIOUR_BYTES
from bcca_protocol.misbehaviour import from_heads
from bcca_protocol.note import Note

ORIGIN = "mine.example"
Ran = tuple[int, str, str]


@pytest.fixture
def heads(market: Any) -> list[Note]:
    """Two heads of one size that the mine signed, each cosigned by a witness."""
    log_key = market.company(ORIGIN).log_key
    return [
        sign_checkpoint(Checkpoint(origin=ORIGIN, size=7, root=root * 32), [log_key])
        for root in (b"1", b"2")
    ]


@pytest.fixture
def evidence(market: Any, heads: list[Note], tmp_path: Path) -> Path:
    path = tmp_path / "lie.json"
    path.write_bytes(from_heads(market.company(ORIGIN).log_key.key, *heads).encode())
    return path


def policy_file(market: Any, folder: Path, **policy: Any) -> Path:
    path = folder / "policy.txt"
    path.write_text(market.policy_text(**policy), encoding="utf-8")
    return path


def test_a_proven_lie_exits_0_and_names_the_key(
    run: Callable[..., Ran], market: Any, evidence: Path
) -> None:
    status, out, err = run("--misbehaviour", evidence)

    assert (status, err) == (HOLDS, "")
    assert out.startswith("PROVEN: the log mine.example signed two trees of size 7: root 3131")
    assert market.company(ORIGIN).log_key.key.encode() in out
    assert "only a policy could say" in out


def test_a_policy_tells_whose_key_it_is_and_which_witnesses_lied_too(
    run: Callable[..., Ran], market: Any, heads: list[Note], evidence: Path, cosigns: Any
) -> None:
    log_key = market.company(ORIGIN).log_key.key
    lying = [each.with_signatures([cosign(each.text, cosigns(3), at=7)]) for each in heads]
    evidence.write_bytes(from_heads(log_key, *lying).encode())

    status, out, _ = run(
        "--misbehaviour", evidence, "--policy", policy_file(market, evidence.parent)
    )

    assert status == HOLDS
    assert "the policy has that key for that log" in out
    assert out.endswith("cosigned both: w3\n")


def test_json_says_the_same(run: Callable[..., Ran], market: Any, evidence: Path) -> None:
    policy = policy_file(market, evidence.parent, logs=["another.example"])

    status, out, _ = run("--misbehaviour", evidence, "--policy", policy, "--json")

    said = json.loads(out)
    assert status == HOLDS
    assert {**said, "what": ""} == {
        "verdict": "proven",
        "origin": ORIGIN,
        "key": market.company(ORIGIN).log_key.key.encode(),
        "keyKnown": "the policy does not name that log",
        "what": "",
        "older": {"size": "7", "root": (b"1" * 32).hex()},
        "newer": {"size": "7", "root": (b"2" * 32).hex()},
        "cosignedBoth": [],
    }


def test_a_thief_who_frames_a_log_with_a_key_of_his_own_proves_nothing_under_a_policy(
    run: Callable[..., Ran], market: Any, evidence: Path
) -> None:
    thief = market.company("thief.example").log_key
    policy = policy_file(market, evidence.parent, logs=[ORIGIN])
    text = policy.read_text(encoding="utf-8")
    true = market.company(ORIGIN).log_key.key.encode()
    theirs = type(thief)(name=ORIGIN, algorithm=thief.algorithm, seed=thief.seed).key.encode()
    policy.write_text(text.replace(true, theirs), encoding="utf-8")

    status, out, err = run("--misbehaviour", evidence, "--policy", policy)

    assert (status, out) == (REFUSED, "")
    assert true in err
    assert theirs in err


def test_one_head_twice_exits_1_in_one_sentence(
    run: Callable[..., Ran], market: Any, heads: list[Note], evidence: Path
) -> None:
    data = evidence.read_bytes()
    one, other = (each.encode().split("\n") for each in heads)
    said = {**json.loads(data), "older": one, "newer": one}
    evidence.write_text(
        json.dumps(said, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )

    status, out, err = run("--misbehaviour", evidence)

    assert other != one
    assert (status, out, err.count("\n")) == (REFUSED, "", 1)
    assert "3 (trees)" in err


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b" " * (MAX_MISBEHAVIOUR_BYTES + 9)])
def test_what_is_no_proof_exits_1(run: Callable[..., Ran], tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lie.json"
    path.write_bytes(content)

    status, out, err = run("--misbehaviour", path)

    assert (status, out, err.count("\n")) == (REFUSED, "", 1)


@pytest.mark.parametrize("arguments", [("--misbehaviour", "nowhere.json"), (), ("x.jsonl",)])
def test_nothing_to_look_at_exits_2(run: Callable[..., Ran], arguments: tuple[str, ...]) -> None:
    status, out, err = run(*arguments)

    assert (status, out, err.count("\n")) == (UNUSABLE, "", 1)


def test_a_bundle_and_a_proof_at_once_are_not_both_checked(
    run: Callable[..., Ran], evidence: Path
) -> None:
    assert run("x.jsonl", "--misbehaviour", evidence)[0] == UNUSABLE
