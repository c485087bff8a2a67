"""What came of `bcca publish`, for people and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bcca_node.cli.screen import put_json, say, tell
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import Published
from bcca_node.ledger.witnessing import Witnessed
from bcca_node.sharing.static import Placed

DONE, PENDING = 0, 3

_UNKNOWN = (
    "; a witness that does not know this log: send the line that `bcca keys list --policy-line` "
    "prints to those who run it, they add it to their policy"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was entered, who cosigned it, whom it answers, and what a folder shows of it.

    `witnessed` is None where there is no policy, `placed` where nothing was to be shown.
    """

    entered: Sequence[Published]
    witnessed: Witnessed | None
    answered: Sequence[str]
    folder: Path | None
    placed: Placed | None

    @property
    def state(self) -> str:
        """How far what was entered is."""
        is_published = self.witnessed is not None and self.witnessed.published
        return "published" if is_published else "pending"

    @property
    def status(self) -> int:
        """The exit status: pending, too, where something was left out of the folder."""
        return DONE if self.state == "published" and not self._left_out else PENDING

    def show(self, node: Node, *, as_json: bool) -> None:
        """Print it, with what is to be done next."""
        why = self._why(node)
        if as_json:
            put_json(self._as_json(why))
        else:
            say(*(f"{self.state} {each.commitment} {each.product}" for each in self.entered))
            if self.placed is not None:
                say(f"{self.folder}: {self.placed}")
            tell(why)
        tell(*self.answered, *self._left_out)

    @property
    def _left_out(self) -> Sequence[str]:
        return () if self.placed is None else self.placed.left_out

    def _why(self, node: Node) -> str:
        if self.witnessed is None:
            return (
                f"pending: {node.settings.data / 'policy.txt'} is not there, so nobody was asked "
                "to cosign; write it and run `bcca publish` again"
            )
        if self.witnessed.published:
            return str(self.witnessed)
        refused = self.witnessed.refused.values()
        remedy = _UNKNOWN if any(why.startswith("answered 404") for why in refused) else ""
        return f"{self.witnessed}; run `bcca publish` again when they are there{remedy}"

    def _as_json(self, why: str) -> dict[str, object]:
        witnessed = self.witnessed
        return {
            "state": self.state,
            "statements": [
                {
                    "commitment": each.commitment,
                    "product": each.product,
                    "index": each.index,
                    "state": self.state,
                }
                for each in self.entered
            ],
            "size": None if witnessed is None else witnessed.size,
            "cosigned": [] if witnessed is None else list(witnessed.cosigned),
            "refused": {} if witnessed is None else dict(witnessed.refused),
            "why": why,
            "static": None if self.placed is None else _placed(self.placed),
        }


def _placed(placed: Placed) -> dict[str, object]:
    told = asdict(placed)
    told["leftOut"] = told.pop("left_out")
    return told
