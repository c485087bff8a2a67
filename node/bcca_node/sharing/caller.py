"""Who asks, as far as a signature shows: nobody in particular, a key, a partner, the operator."""

from dataclasses import dataclass
from enum import StrEnum

from bcca_protocol.keys import VerifierKey


class Kind(StrEnum):
    """How well a caller is known."""

    NOBODY = "nobody"  # no signature: whoever it is
    STRANGER = "stranger"  # a good signature by a key that means nothing here
    AUDITOR = "auditor"  # appointed by somebody who may see something here
    PARTNER = "partner"  # whom this node deals with
    OPERATOR = "operator"  # this node's own request key


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks; `origin` is known of partners, auditors and the operator."""

    kind: Kind
    key: VerifierKey | None = None
    origin: str | None = None

    @property
    def name(self) -> str:
        """What the access log calls it: its origin, else its key, else nothing."""
        return self.origin or ("" if self.key is None else self.key.label)


NOBODY = Caller(kind=Kind.NOBODY)
