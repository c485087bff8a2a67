"""What a PACT partner calls the products of this node: by its own part numbers too (SPEC 13.10).

A number counts for the partner with whom it was confirmed and for nobody else, and in whatever
case, as every criterion does (SPEC 16.2).
"""

import re
from collections.abc import Collection, Mapping

from sqlmodel import Session

from bcca_node.pact.criteria import Criteria
from bcca_node.storage import pairs
from bcca_node.storage.pactshelf import Term, Wanted
from bcca_protocol.wire import URN

_URN = re.compile(URN)


def products(session: Session, partner: str, names: Collection[str]) -> Mapping[str, str]:
    """Return the products of this node by those of `names`, in small letters, that are numbers.

    A number that would be two products is none, as in `partners.parts.resolve`.
    """
    found: dict[str, set[str]] = {}
    for theirs, ours in pairs.confirmed(session, partner, names):
        if _URN.match(ours):
            found.setdefault(theirs.lower(), set()).add(ours)
    return {name: ours.pop() for name, ours in found.items() if len(ours) == 1}


def wanted(session: Session, partner: str, criteria: Criteria) -> Wanted:
    """Return what a partner asks for, with the products that its part numbers are here."""
    asked, named = criteria.wanted(), criteria.terms.get(Term.PRODUCT, ())
    ours = products(session, partner, named) if named else {}
    if not ours:
        return asked
    values = {*named, *(each.lower() for each in ours.values())}
    return asked._replace(terms={**asked.terms, Term.PRODUCT: sorted(values)})
