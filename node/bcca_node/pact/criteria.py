"""What footprints are asked for: the criteria of a list, and of an event that asks (SPEC 16.2).

One class for both. Values of one criterion are alternatives, criteria hold together; an empty one
counts as not given.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Self
from urllib.parse import unquote, unquote_plus

import msgspec

from bcca_node.pact.model import ProductFootprint
from bcca_node.storage.pactshelf import Term, Wanted
from bcca_protocol.errors import MalformedError
from bcca_protocol.wire import showable

MAX_VALUES = 100  # of one criterion: each is looked up by itself
MAX_VALUE_CHARS = 2_000  # a URN of ours has no more (SPEC 2.3)

_TERMS: Mapping[str, Term] = MappingProxyType(
    {
        "productId": Term.PRODUCT,
        "companyId": Term.COMPANY,
        "geography": Term.GEOGRAPHY,
        "classification": Term.CLASSIFICATION,
    }
)
_ON, _AFTER, _BEFORE, _STATUS = "validOn", "validAfter", "validBefore", "status"
NAMES = frozenset({*_TERMS, _ON, _AFTER, _BEFORE, _STATUS})

_IS_DEPRECATED: Mapping[str, bool] = MappingProxyType({"active": False, "deprecated": True})
# RFC 3339; a plus sign that nobody escaped has become a space.
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)"
    r"(?:[Zz]|([+ -])([0-9]{2}:[0-9]{2}))"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """Which footprints are asked for; everything but times is in small letters."""

    terms: Mapping[Term, tuple[str, ...]] = MappingProxyType({})
    valid_on: datetime | None = None
    valid_after: datetime | None = None
    valid_before: datetime | None = None
    statuses: frozenset[str] = frozenset()

    @classmethod
    def from_query(cls, query: bytes) -> Self:
        """Return what the query of a URL asks for; raises MalformedError.

        Other parameters are passed over. Clients are known to escape nothing: a value counts as it
        came, and as it reads without its escapes.
        """
        found = {name: values for name, values in parameters(query).items() if name in NAMES}
        for name, values in found.items():
            _require_few(name, values)
        return cls._of(
            {
                name: [form for value in values for form in _forms(value)]
                if name in _TERMS
                else [unquote(value).replace("+", " ") for value in values]
                for name, values in found.items()
            }
        )

    @classmethod
    def from_event(cls, told: Mapping[str, object]) -> Self:
        """Return what the data of an event ask for; raises MalformedError.

        Each criterion is a text or an array of texts; `comment` and what is not known is none.
        """
        found = {name: _texts(name, told[name]) for name in told if name in NAMES}
        for name, values in found.items():
            _require_few(name, values)
        return cls._of(found)

    @classmethod
    def _of(cls, given: Mapping[str, Sequence[str]]) -> Self:
        terms = {term: _small(given.get(name, ())) for name, term in _TERMS.items()}
        return cls(
            terms=MappingProxyType({term: values for term, values in terms.items() if values}),
            valid_on=_time(_ON, given),
            valid_after=_time(_AFTER, given),
            valid_before=_time(_BEFORE, given),
            statuses=frozenset(_small(given.get(_STATUS, ()))),
        )

    @property
    def is_impossible(self) -> bool:
        """Say whether no footprint can be meant: by a status that there is not, or by its times.

        What begins after one moment, holds at a second and ends before a third has these in order.
        """
        times = (self.valid_after, self.valid_on, self.valid_before)
        given = [each for each in times if each is not None]
        if any(late <= early for early, late in pairwise(given)):
            return True
        return bool(self.statuses) and self.statuses.isdisjoint(_IS_DEPRECATED)

    @property
    def is_simple(self) -> bool:
        """Say whether a page costs no more than it brings: one value at most, of one criterion."""
        times = (self.valid_on, self.valid_after, self.valid_before)
        values = [each for of_one in self.terms.values() for each in of_one]
        return len(values) <= 1 and not self.statuses and times == (None, None, None)

    @property
    def leading(self) -> tuple[Term, str]:
        """Return a term that every footprint has which is asked for: all there is, if simple."""
        kind, values = next(iter(self.terms.items()), (Term.ANY, ("",)))
        return kind, values[0]

    def wanted(self) -> Wanted:
        """Return what to look for: times of ours are whole seconds, so bounds are brought there."""
        deprecated = {_IS_DEPRECATED[each] for each in self.statuses & _IS_DEPRECATED.keys()}
        return Wanted(
            terms=self.terms,
            starts_by=None if self.valid_on is None else _floor(self.valid_on),
            ends_from=None if self.valid_on is None else _ceiling(self.valid_on),
            starts_after=None if self.valid_after is None else _floor(self.valid_after),
            ends_before=None if self.valid_before is None else _ceiling(self.valid_before),
            deprecated=deprecated.pop() if len(deprecated) == 1 else None,
        )


def terms_of(footprint: ProductFootprint) -> dict[Term, tuple[str, ...]]:
    """Return by what a footprint is found, in small letters."""
    pcf = footprint.pcf
    places = (
        pcf.geography_country,
        pcf.geography_country_subdivision,
        pcf.geography_region_or_subregion,
    )
    return {
        Term.PRODUCT: _small(footprint.product_ids),
        Term.COMPANY: _small(footprint.company_ids),
        Term.CLASSIFICATION: _small(footprint.product_classifications or ()),
        Term.GEOGRAPHY: _small(place for place in places if place is not None),
    }


def validity_of(footprint: ProductFootprint) -> tuple[int, int]:
    """Return when a footprint of this node is valid, in POSIX seconds; it always says so."""
    start, end = footprint.validity_period_start, footprint.validity_period_end
    ended = footprint.pcf.reference_period_end
    return _floor(datetime.fromisoformat(start or ended)), _floor(
        datetime.fromisoformat(end or ended)
    )


def parameters(query: bytes) -> dict[str, list[str]]:
    """Return the parameters of a query, each with its values as they came, empty ones left out."""
    found: dict[str, list[str]] = {}
    for part in query.decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        if value:
            found.setdefault(unquote_plus(name), []).append(value)
    return found


def _forms(value: str) -> Iterable[str]:
    """Return what a client may have meant: with or without escapes, a plus sign or a space."""
    return (unquote_plus(value), unquote(value), value)


def _small(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.lower() for each in values if each))


def _texts(name: str, told: object) -> list[str]:
    match told:
        case None:
            return []
        case str(text):
            return [text]
        case list() if all(isinstance(each, str) for each in told):
            return [str(each) for each in told]
        case _:
            raise MalformedError(f"data.{name} is neither a text nor an array of texts")


def _require_few(name: str, values: Sequence[str]) -> None:
    if len(values) > MAX_VALUES:
        raise MalformedError(
            f"{name} has {len(values)} values, where {MAX_VALUES} are read: ask in several calls"
        )
    for each in values:
        if len(each) > MAX_VALUE_CHARS:
            raise MalformedError(
                f"{name}: {showable(each[:40])}… has {len(each)} characters, where "
                f"{MAX_VALUE_CHARS} are read"
            )


def _time(name: str, given: Mapping[str, Sequence[str]]) -> datetime | None:
    """Return a moment that may be given once; raises MalformedError for what is none."""
    found = [each for each in given.get(name, ()) if each]
    if not found:
        return None
    match = _TIME.fullmatch(found[0])
    if match is None or len(set(found)) > 1:
        raise MalformedError(
            f"{name}: {showable(', '.join(found)[:80])!r} is not one time such as "
            "2026-01-01T00:00:00Z"
        )
    day, clock, sign, offset = match.groups()
    zone = "+00:00" if offset is None else f"{'-' if sign == '-' else '+'}{offset}"
    try:
        return datetime.fromisoformat(f"{day}T{clock}{zone}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MalformedError(f"{name}: {showable(found[0][:40])!r}: {error}") from error


def _floor(time: datetime) -> int:
    return (time - _EPOCH) // _SECOND


def _ceiling(time: datetime) -> int:
    return -((_EPOCH - time) // _SECOND)
