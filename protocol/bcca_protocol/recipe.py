"""A secret recipe: a roll-up names its manifest by a salted digest (SPEC 8.10).

Whoever is handed the recipe recomputes the roll-up as if the manifest stood in it. Whoever is not
learns neither what it is made of nor how much, nor whose logs were read: without the salt, 32
random bytes, no guess can be confirmed.
"""

import hashlib
from typing import Annotated

import msgspec

from bcca_protocol import rollup, wire
from bcca_protocol.errors import StatementError
from bcca_protocol.results import Edge, ReadLog
from bcca_protocol.rollup import RollUp
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.wire import Record, b64

SALT_BYTES = 32  # as many as the digest has

_DOMAIN = b"bcca/v1 recipe\n"


class Recipe(Record, frozen=True):
    """What a roll-up keeps to itself: its manifest, and the trees that were read for it."""

    salt: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z")]
    logs: tuple[ReadLog, ...]
    edges: tuple[Edge, ...]

    @property
    def digest(self) -> str:
        """The `manifestDigest` of a roll-up with this recipe."""
        return hashlib.sha256(_DOMAIN + wire.encode(self)).hexdigest()


def hide(statement: FootprintRollUp, salt: bytes) -> tuple[FootprintRollUp, Recipe]:
    """Return a roll-up without its manifest, and the recipe that was taken out.

    Of the trees it read, its issuer's own stays. Raises StatementError where there is no manifest,
    or the salt has another length.
    """
    if statement.manifest is None:
        raise StatementError("manifest: there is none to hide")
    if len(salt) != SALT_BYTES:
        raise StatementError(f"salt: {len(salt)} bytes, not {SALT_BYTES}")
    recipe = Recipe(salt=b64(salt), logs=statement.logs, edges=statement.manifest)
    hidden = msgspec.structs.replace(
        statement,
        manifest=None,
        manifest_digest=recipe.digest,
        logs=_own(statement.issuer, statement.logs),
    )
    return hidden, recipe


def reveal(rolled: RollUp, recipe: Recipe) -> RollUp:
    """Return what a roll-up says with its recipe in it, still under its commitment.

    Raises StatementError for the recipe of another roll-up, or one that contradicts it.
    """
    return rollup.reduce(revealed(rolled.statement, recipe), rolled.commitment)


def revealed(stated: FootprintRollUp, recipe: Recipe) -> FootprintRollUp:
    """Return a roll-up with its recipe in it; raises StatementError for the recipe of another."""
    what = f"recipe of {stated.product.id}"
    if stated.manifest_digest != recipe.digest:
        raise StatementError(
            f"{what}: hashes to {recipe.digest}, the roll-up names "
            f"{stated.manifest_digest or 'none'}"
        )
    if _own(stated.issuer, recipe.logs) != stated.logs:
        raise StatementError(f"{what}: read another tree of {stated.issuer} than the roll-up says")
    return msgspec.structs.replace(
        stated, manifest=recipe.edges, manifest_digest=None, logs=recipe.logs
    )


def _own(issuer: str, logs: tuple[ReadLog, ...]) -> tuple[ReadLog, ...]:
    return tuple(each for each in logs if each.origin == issuer)
