"""The texts of the rules that this node's roll-ups followed, by their digest."""

from sqlmodel import Field, Session, SQLModel


class RuleTextRow(SQLModel, table=True):
    """A rule text: a roll-up has its digest alone, and whoever checks that needs the text."""

    __tablename__ = "rule_text"

    digest: str = Field(primary_key=True)
    content: str


def put(session: Session, digest: str, text: str) -> None:
    """Keep a text under its SHA-256, Hex."""
    session.merge(RuleTextRow(digest=digest, content=text))


def get(session: Session, digest: str) -> str | None:
    """Return the text with that digest, None if it is not kept."""
    row = session.get(RuleTextRow, digest)
    return None if row is None else row.content
