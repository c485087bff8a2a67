"""One statement of this node by its commitment: what is asked most, and has to be quick."""

from sqlalchemy import Boolean, and_, bindparam, case, or_, select
from sqlmodel import col

from bcca_node.storage.database import Database, Query
from bcca_node.storage.listed import OWN, Own
from bcca_node.storage.tables import StatementRow

_IS_IT = col(StatementRow.commitment) == bindparam("commitment")
_ENVELOPE = Query(select(col(StatementRow.envelope)).where(_IS_IT))
_IS_SHOWN = and_(
    col(StatementRow.index) < bindparam("size"),
    or_(
        col(StatementRow.sharing) == bindparam("public"),
        bindparam("everything", type_=Boolean),
    ),
)
_ONE = Query(select(*OWN, case((_IS_SHOWN, col(StatementRow.envelope)))).where(_IS_IT))


def one(
    database: Database, commitment: str, *, size: int, everything: bool
) -> list[tuple[Own, bytes | None]]:
    """Return what `listed.find` does for one commitment, in a tenth of its time.

    With it comes the envelope of what is among the first `size` entries and public, or whatever it
    is where the caller is shown `everything`; no other is read.
    """
    told = {"size": size, "everything": everything, "public": "public"}
    return [
        (Own(*own), envelope)
        for *own, envelope in database.look(_ONE, commitment=commitment, **told)
    ]


def envelope(database: Database, commitment: str) -> bytes:
    """Return the envelope of a statement that was found: it stays, and is the same."""
    ((content,),) = database.look(_ENVELOPE, commitment=commitment)
    return bytes(content)
