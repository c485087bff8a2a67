"""Drafts at rest: what was imported and waits to be published."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from bcca_node.ledger import desk
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import Published, publish
from bcca_node.storage import statements
from bcca_node.storage.statements import Draft
from bcca_protocol import wire
from bcca_protocol.errors import UnusableError
from bcca_protocol.statement import PARTIAL_FOOTPRINT, PartialFootprint
from bcca_protocol.wire import showable

ID_DIGITS = 8  # of SHA-256, behind the product's own id: enough for one product's periods
MAX_NAMED = 20  # drafts in one message

Enter: TypeAlias = Callable[[Sequence[PartialFootprint]], list[Published]]

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]+")
_DECODER = msgspec.json.Decoder(PartialFootprint)


def keep(node: Node, predicates: Sequence[PartialFootprint]) -> list[Draft]:
    """Keep predicates as drafts, each in the place of an earlier one of the same thing.

    Raises UnusableError where two of them are the same thing: product, site, batch and period.
    """
    drafts: dict[str, Draft] = {}
    for each in predicates:
        draft = Draft(
            id=_id(each),
            product=each.product.id,
            kind=PARTIAL_FOOTPRINT,
            predicate=wire.encode(each),
        )
        if drafts.setdefault(draft.id, draft) is not draft:
            raise UnusableError(
                f"two drafts of {draft.product} are for one site, batch and period, "
                f"{each.period.start} to {each.period.end}: leave one out"
            )
    with node.database.write() as session:
        statements.put_drafts(session, list(drafts.values()))
    return list(drafts.values())


def read(draft: Draft) -> PartialFootprint:
    """Return what a draft says."""
    return wire.read(draft.predicate, _DECODER, what=f"draft {draft.id}")


def choose(node: Node, names: Sequence[str]) -> list[Draft]:
    """Return the drafts called `names`, each once; all there are where nothing is named.

    A name is an id, a URN, the last part of one, or a product's name. Raises UnusableError for one
    that fits no draft, or several.
    """
    with node.database.read() as session:
        found = statements.drafts(session)
    if not names:
        return found
    return list({each.id: each for each in (_named(found, name) for name in names)}.values())


def publish_drafts(node: Node, drafts: Sequence[Draft]) -> list[Published]:
    """Sign and enter drafts, all or none, and drop them; raises as `publish` does."""
    return _published(node, drafts, lambda predicates: publish(node, predicates))


def publish_at_desk(node: Node, drafts: Sequence[Draft]) -> list[Published]:
    """Do the same through the process that serves this node; raises as `desk.publish` does."""
    return _published(node, drafts, lambda it: desk.publish(node.settings.data, it))


def _published(node: Node, drafts: Sequence[Draft], enter: Enter) -> list[Published]:
    """Have drafts entered, and drop them."""
    if not drafts:
        return []
    done = enter([read(each) for each in drafts])
    # A crash before this leaves drafts that are published already: publishing answers as it did.
    forget(node, drafts)
    return done


def forget(node: Node, drafts: Sequence[Draft]) -> None:
    """Drop drafts."""
    with node.database.write() as session:
        statements.drop_drafts(session, [each.id for each in drafts])


def _id(predicate: PartialFootprint) -> str:
    """Return the name of what the draft is about, so that a newer draft of it has the same."""
    site = predicate.site.id if predicate.site else None
    place = [predicate.product.id, site, predicate.batch]
    place += [predicate.period.start, predicate.period.end]
    digest = hashlib.sha256(msgspec.json.encode(place)).hexdigest()[:ID_DIGITS]
    return f"{_NOT_IN_ID.sub('-', _last(predicate.product.id))}-{digest}"


def _last(urn: str) -> str:
    return urn.rpartition(":")[2]


def _named(drafts: Sequence[Draft], name: str) -> Draft:
    shown = repr(showable(name[:200]))
    exact = [each for each in drafts if each.id == name]
    found = exact or [
        each
        for each in drafts
        if name in (each.product, _last(each.product), read(each).product.name)
    ]
    match found:
        case [only]:
            return only
        case []:
            raise UnusableError(f"no draft is called {shown}: there are {_listed(drafts)}")
        case _:
            raise UnusableError(f"{shown} fits several drafts, say which: {_listed(found)}")


def _listed(drafts: Sequence[Draft]) -> str:
    more = f" and {len(drafts) - MAX_NAMED} more" if len(drafts) > MAX_NAMED else ""
    return (", ".join(each.id for each in drafts[:MAX_NAMED]) or "none") + more
