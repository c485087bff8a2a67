"""One statement of this node by its commitment: what is asked most, and has to be quick."""

from sqlalchemy import bindparam, select
from sqlmodel import col

from bcca_node.storage.database import Database, Query
from bcca_node.storage.listed import OWN, Own
from bcca_node.storage.tables import StatementRow

_IS_IT = col(StatementRow.commitment) == bindparam("commitment")
_ONE = Query(select(*OWN).where(_IS_IT))
_ENVELOPE = Query(select(col(StatementRow.envelope)).where(_IS_IT))


def one(database: Database, commitment: str) -> list[Own]:
    """Return what `listed.find` does for one commitment, in a tenth of its time."""
    return [Own(*row) for row in database.look(_ONE, commitment=commitment)]


def envelope(database: Database, commitment: str) -> bytes:
    """Return the envelope of a statement that was found: it stays, and is the same."""
    ((content,),) = database.look(_ENVELOPE, commitment=commitment)
    return bytes(content)
