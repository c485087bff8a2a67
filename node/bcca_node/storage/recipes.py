"""The recipes that this node's roll-ups keep secret, by the digest that those name."""

from sqlmodel import Field, Session, SQLModel, col, select

from bcca_node.storage.tables import StatementRow
from bcca_protocol.statement import PARTIAL_FOOTPRINT


class RecipeRow(SQLModel, table=True):
    """A recipe, and the product it makes; whoever has a backup of this has the recipe."""

    __tablename__ = "recipe"

    digest: str = Field(primary_key=True)
    product: str = Field(index=True)
    content: bytes


def put(session: Session, digest: str, product: str, content: bytes) -> None:
    """Keep a recipe under the digest that a roll-up of `product` names."""
    session.merge(RecipeRow(digest=digest, product=product, content=content))


def get(session: Session, digest: str) -> bytes | None:
    """Return the recipe with that digest, None if it is not kept."""
    row = session.get(RecipeRow, digest)
    return None if row is None else row.content


def is_kept(session: Session, product: str) -> bool:
    """Say whether any recipe of a product was ever kept secret."""
    return session.exec(select(RecipeRow).where(RecipeRow.product == product)).first() is not None


def behind(session: Session) -> frozenset[str]:
    """Return the partial footprints of the products whose recipe was ever kept secret.

    Such a statement is the recipe; they are few, and read for each caller that is known.
    """
    chosen = select(StatementRow.commitment).where(
        col(StatementRow.product).in_(select(RecipeRow.product)),
        StatementRow.kind == PARTIAL_FOOTPRINT,
    )
    return frozenset(session.exec(chosen).all())
