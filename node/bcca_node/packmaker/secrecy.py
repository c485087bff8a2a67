"""Secret recipes: what a roll-up is made of stays here, and goes to whom its owner hands it.

Once secret, a product's recipe stays so until its owner says otherwise: a run that forgot to say it
would tell everybody.
"""

import secrets
from enum import StrEnum

import msgspec
from sqlmodel import Session

from bcca_node.ledger.sign import predicate_of
from bcca_node.storage import recipes, statements
from bcca_protocol import wire
from bcca_protocol.errors import UnusableError
from bcca_protocol.limits import MAX_STATEMENT_BYTES, MAX_TREE_SIZE
from bcca_protocol.partial import Part
from bcca_protocol.recipe import SALT_BYTES, Recipe, hide, revealed
from bcca_protocol.statement import FootprintRollUp

MAX_RECIPE_BYTES = 64 * MAX_STATEMENT_BYTES  # 200,000 edges: what a pack of 100,000 products has

_READ = msgspec.json.Decoder(Recipe)


class Keeping(StrEnum):
    """Whether a roll-up tells what it is made of."""

    OPEN = "open"
    SECRET = "secret"  # noqa: S105


def chosen(session: Session, product: str, told: Keeping | None) -> Keeping:
    """Return what was told, else what the newest roll-up of the product does; open by default.

    Where none stands any more, a recipe that was ever kept stays secret.
    """
    if told is not None:
        return told
    rolled = _standing(session, product)
    is_secret = rolled[-1].manifest is None if rolled else recipes.is_kept(session, product)
    return Keeping.SECRET if is_secret else Keeping.OPEN


def conceal(
    session: Session, stated: FootprintRollUp, made_of: Part
) -> tuple[FootprintRollUp, Recipe]:
    """Return a roll-up without its recipe, and that; `made_of` is the part it begins with.

    Where the standing one of the same period was made of the same, its salt and trees serve again:
    it stands, and is not corrected. Raises UnusableError for what others may see anyway.
    """
    if made_of.sharing != "direct":
        raise UnusableError(
            f"{made_of.product}: its partial footprint {made_of.commitment} is shared as "
            f"`{made_of.sharing}`, and with it its recipe: publish it as `direct`, by a draft that "
            f"says so and `bcca status correct {made_of.commitment} DRAFT`, then run this again"
        )
    for last in _standing(session, stated.product.id):
        kept = kept_of(session, last)
        if kept is not None and last.period == stated.period and kept.edges == stated.manifest:
            same = msgspec.structs.replace(stated, logs=kept.logs)
            return hide(same, wire.unb64(kept.salt, "recipe: salt"))
    return hide(stated, secrets.token_bytes(SALT_BYTES))


def require_room(stated: FootprintRollUp) -> None:
    """Raise UnusableError for what is larger than a statement may be, saying how it fits."""
    size = len(wire.encode(stated))
    if size > MAX_STATEMENT_BYTES:
        raise UnusableError(
            f"{stated.product.id}: its roll-up of {len(stated.manifest or ())} edges has {size} "
            f"bytes, over {MAX_STATEMENT_BYTES}: share its partial footprint as `direct` and add "
            "`--recipe secret`, which keeps the edges apart"
        )


def keep(session: Session, recipe: Recipe, product: str) -> None:
    """Keep a recipe: without it nobody can recompute the roll-up any more."""
    recipes.put(session, recipe.digest, product, wire.encode(recipe))


def kept_of(session: Session, rolled: FootprintRollUp) -> Recipe | None:
    """Return the recipe that a roll-up of this node keeps secret, None where it has none."""
    content = rolled.manifest_digest and recipes.get(session, rolled.manifest_digest)
    if not content:
        return None
    return wire.decode(content, _READ, what="recipe", limit=MAX_RECIPE_BYTES)


def whole(session: Session, rolled: FootprintRollUp) -> FootprintRollUp:
    """Return a roll-up of this node with its secret recipe in it, as far as that is kept here."""
    recipe = kept_of(session, rolled)
    return rolled if recipe is None else revealed(rolled, recipe)


def _standing(session: Session, product: str) -> list[FootprintRollUp]:
    """Return this node's current roll-ups of a product, the newest period last."""
    found = statements.current(session, [product], MAX_TREE_SIZE)
    read = (predicate_of(each.envelope) for each in found)
    rolled = [each for each in read if isinstance(each, FootprintRollUp)]
    return sorted(rolled, key=lambda each: each.period.end)
