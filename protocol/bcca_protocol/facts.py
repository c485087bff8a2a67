"""What statements say, by kind: a fact each, its content checked (SPEC 6.3, step 7)."""

from typing import TypeAlias

from bcca_protocol import partial, rollup, statement
from bcca_protocol.partial import Part
from bcca_protocol.rollup import Opinion, RollUp
from bcca_protocol.statement import Statement

Fact: TypeAlias = Part | RollUp | Opinion


def fact_in(found: Statement, commitment: str) -> Fact:
    """Return what a statement says, its content checked (SPEC 6.3, step 7)."""
    match found:
        case statement.PartialStatement(predicate=predicate):
            return partial.reduce(predicate, commitment)
        case statement.RollUpStatement(predicate=predicate):
            return rollup.reduce(predicate, commitment)
        case statement.OpinionStatement(predicate=predicate):
            return rollup.reduce_opinion(predicate, commitment)
