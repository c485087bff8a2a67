"""Inclusion and consistency as in transparency-dev/merkle: 518 files, most of them to refuse."""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bcca_protocol import merkle
from bcca_protocol.errors import ProofError

Case = Mapping[str, Any]


def hash_of(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def path_of(case: Case) -> tuple[bytes, ...]:
    return tuple(hash_of(each) for each in case["proof"] or ())


def check_inclusion(case: Case) -> None:
    leaf, root = hash_of(case["leafHash"]), hash_of(case["root"])
    merkle.verify_inclusion(leaf, case["leafIdx"], case["treeSize"], path_of(case), root)


def check_consistency(case: Case) -> None:
    roots = hash_of(case["root1"]), hash_of(case["root2"])
    merkle.verify_consistency(case["size1"], case["size2"], path_of(case), *roots)


def check_subtree_inclusion(case: Case) -> None:
    """An aligned subtree is a tree of its own."""
    size = aligned_size(case["start"], case["end"])
    leaf, root = hash_of(case["leafHash"]), hash_of(case["root"])
    merkle.verify_inclusion(leaf, case["leafIdx"] - case["start"], size, path_of(case), root)


def check_subtree_consistency(case: Case) -> None:
    """The vectors' valid subtrees are empty, or begin where the tree begins."""
    size = aligned_size(case["start"], case["end"]) if case["start"] else case["end"]
    roots = hash_of(case["root1"]), hash_of(case["root2"])
    merkle.verify_consistency(size, case["size"], path_of(case), *roots)


def aligned_size(start: int, end: int) -> int:
    size = end - start
    if size and start % (1 << (size - 1).bit_length()):
        raise ProofError(f"[{start}, {end}) is not a subtree")
    return size


def holds(check: Callable[[Case], None], case: Case) -> bool:
    try:
        check(case)
    except ProofError:
        return False
    return True


def has_only_hashes(case: Case) -> bool:
    """A few valid cases have texts of 12 bytes for roots: those are refused here on purpose."""
    given = [case[name] for name in ("root", "root1", "root2", "leafHash") if name in case]
    return all(len(hash_of(each)) == merkle.HASH_BYTES for each in given)


@pytest.mark.parametrize(
    ("folder", "count", "check"),
    [
        ("inclusion", 98, check_inclusion),
        ("consistency", 98, check_consistency),
        ("subtreeinclusion", 204, check_subtree_inclusion),
        ("subtreeconsistency", 118, check_subtree_consistency),
    ],
)
def test_exactly_the_valid_proofs_verify(
    shared: Path, folder: str, count: int, check: Callable[[Case], None]
) -> None:
    files = sorted((shared / "vectors/merkle" / folder).rglob("*.json"))
    cases = {str(file): json.loads(file.read_bytes()) for file in files}

    wrong = [
        name
        for name, case in cases.items()
        if holds(check, case) != (has_only_hashes(case) and not case["wantErr"])
    ]

    assert wrong == []
    assert len(cases) == count
