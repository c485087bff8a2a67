"""What the rules let stand in for a signed statement, and for which products nothing (SPEC 9.8)."""

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final, TypeAlias

from bcca_protocol.partial import Part
from bcca_protocol.results import Substitute
from bcca_protocol.rules import RuleSet
from bcca_protocol.substituted import NOBODY, is_unsigned_footprint

Called: TypeAlias = Mapping[str, Collection[str]]
"""What products are called by their URN, in the form that `mandatory` of rules has it."""

NAME, CLASS = "name:", "class:"
UNCALLED: Final[Called] = MappingProxyType({})


def called(parts: Iterable[Part], rules: RuleSet) -> Called:
    """Return by URN how signed statements call their product: by its name, and its classes.

    Nothing, where no pattern of the rules asks for that.
    """
    if not any(each.startswith((NAME, CLASS)) for each in rules.mandatory):
        return UNCALLED
    found: dict[str, set[str]] = {}
    for part in parts:
        if part.issuer != NOBODY:
            names = (NAME + part.name, *(CLASS + each for each in part.classes))
            found.setdefault(part.product, set()).update(names)
    return found


def refusal(
    stated: Substitute, product: str, rules: RuleSet, known: Called = UNCALLED
) -> str | None:
    """Return why `rules` do not allow `stated` to stand in for `product`; None if they do."""
    factor = stated.factor
    if is_mandatory(product, rules, known):
        return "the rules want a signed statement of its supplier, and nothing in its place"
    if rules.unsigned is not None and is_unsigned_footprint(stated):
        return None if rules.unsigned else "the rules allow no unsigned footprint"
    if factor.kind == "proxy" and not rules.proxies:
        return f"the rules allow no proxy ({factor.dataset})"
    if "*" not in rules.secondary and factor.source not in rules.secondary:
        return f"the rules do not allow factors of {factor.source}"
    return None


def is_mandatory(product: str, rules: RuleSet, known: Called = UNCALLED) -> bool:
    """Say whether the rules want a signed statement for a product, whatever else is known."""
    return any(_fits(pattern, product, known) for pattern in rules.mandatory)


def _fits(pattern: str, product: str, known: Called) -> bool:
    if pattern.startswith((NAME, CLASS)):
        return any(fnmatchcase(each, pattern) for each in known.get(product, ()))
    return fnmatchcase(product, pattern)
