"""Which footprints of others took the place of which, and which content of one is shown.

A host shows a footprint once more when its status changes: the same footprint, and other bytes. It
is one for whoever reads a list, and each content stays for whoever asks for it (SPEC 16.5).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from sqlmodel import Session

from bcca_node.storage import foreign
from bcca_node.storage.foreign import Foreign, Trust, Weight

Key: TypeAlias = tuple[str, str, str]  # partner, id, digest


class Successor(NamedTuple):
    """What took the place of a content: another footprint, or the same with another status."""

    id: str
    digest: str


def successors(session: Session, found: Sequence[Foreign]) -> dict[Key, Successor]:
    """Return what took the place of these, as far as anything did, by partner, id and digest."""
    replaced = foreign.replacing(session, {(each.partner, each.id) for each in found})
    newest = _newest(each for each in found if not is_other(each))
    made: dict[Key, Successor] = {}
    for each in found:
        about = each.partner, each.id
        by = replaced.get(about)
        if by is None and each.is_deprecated and newest.get(about, each).number > each.number:
            by = newest[about].id, newest[about].digest
        if by is not None:
            made[key(each)] = Successor(*by)
    return made


def one_of_each(found: Iterable[Foreign]) -> list[Foreign]:
    """Return one content of each footprint, in the order in which they first stand.

    That is the one that was verified, else that was accepted, else the first, which is what a run
    takes. Other content under a known id is a row of its own: somebody may accept it.
    """
    groups: dict[tuple[str, ...], list[Foreign]] = {}
    for each in found:
        about = key(each) if is_other(each) else (each.partner, each.id)
        groups.setdefault(about, []).append(each)
    return [min(each, key=_rank) for each in groups.values()]


def is_other(footprint: Foreign) -> bool:
    """Say whether a footprint came before with other content, but for its status."""
    return any(each.field == "id" and each.weight is Weight.FATAL for each in footprint.problems)


def key(footprint: Foreign) -> Key:
    """Return by what one content is known."""
    return footprint.partner, footprint.id, footprint.digest


def _newest(found: Iterable[Foreign]) -> Mapping[tuple[str, str], Foreign]:
    ordered = sorted(found, key=lambda each: each.number)
    return {(each.partner, each.id): each for each in ordered}


def _rank(each: Foreign) -> tuple[bool, bool, int]:
    return each.trust is not Trust.SIGNED, each.accepted is None, each.number
