"""What came of checking a whole log."""

from dataclasses import dataclass, field

from bcca_protocol.audit import Step
from bcca_protocol.keys import VerifierKey
from bcca_protocol.misbehaviour import Misbehaviour


@dataclass(kw_only=True)
class Report:
    """What was checked, what is wrong, what could not be judged, and proofs that the log lied."""

    origin: str = "?"
    size: int = 0
    root: bytes = b""
    key: VerifierKey | None = None
    steps: list[Step] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    evidence: list[Misbehaviour] = field(default_factory=list)

    def took(self, what: str, found: str) -> None:
        """Note a step that was taken."""
        self.steps.append(Step(len(self.steps) + 1, what, found))
