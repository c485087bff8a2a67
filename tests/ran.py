"""What a command did, as tests look at it."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """The one sentence of a command that did nothing."""
        assert self.out == ""
        assert self.err.startswith("bcca: ")
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.err
        return self.err
