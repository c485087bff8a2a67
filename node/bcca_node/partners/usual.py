"""What each kind of event about a request says, and what it does not (SPEC 13.11)."""

from typing import Literal

from bcca_node.partners.event import RequestEvent
from bcca_protocol.errors import MalformedError


def require_usual(event: RequestEvent) -> None:
    """Raise MalformedError for an event that lacks what its kind says, or says more."""
    may: dict[str, tuple[Literal["reason", "product", "commitment", "comment"], ...]] = {
        "accepted": ("product", "comment"),
        "declined": ("reason", "comment"),
        "fulfilled": ("product", "commitment", "comment"),
    }
    must = {"declined": ("reason",), "fulfilled": ("product", "commitment")}
    must |= {"question": ("comment",), "comment": ("comment",)}
    given = {
        name
        for name in ("wanted", "reason", "product", "commitment", "comment")
        if getattr(event, name) is not None
    }
    wrong = given - set(may.get(event.kind, ("comment",)))
    missing = set(must.get(event.kind, ())) - given
    if wrong or missing:
        said = f"lacks {', '.join(sorted(missing))}" if missing else f"has a {min(wrong)}"
        raise MalformedError(f"event {event.id}: a request that is {event.kind} {said}")
