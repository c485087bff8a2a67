"""Policies in Sigsum's own variant, which has bare keys in hex where C2SP has verifier keys."""

from pathlib import Path

import pytest

from bcca_protocol.errors import PolicyError
from bcca_protocol.policy import Policy


def test_a_policy_of_sigsums_variant_is_refused_at_its_first_line_that_says_something(
    shared: Path,
) -> None:
    """Read half, it would believe nobody, or worse: others than its author did."""
    files = sorted((shared / "vectors/policy").iterdir())

    for file in files:
        text = file.read_text(encoding="utf-8")
        lines = enumerate(text.split("\n"), 1)
        first = next(number for number, line in lines if line and not line.startswith("#"))
        with pytest.raises(PolicyError, match=f"^policy, line {first}: verifier key "):
            Policy.parse(text)
    assert len(files) == 4
