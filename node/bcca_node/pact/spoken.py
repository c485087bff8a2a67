"""Names, places, standards and sources of a statement as PACT spells them (SPEC 16.1)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

from bcca_node.pact.model import FactorSource, SectorRules
from bcca_protocol.errors import StatementError
from bcca_protocol.inventory import Factor
from bcca_protocol.statement import Classification, FootprintRollUp, PartialFootprint

Whole = PartialFootprint | FootprintRollUp

# What a query carries as it is: without #, & and +, which clients are known to send unescaped.
_SAFE = "!$'()*,;=:@/-._~"
_SCHEMES: Mapping[str, str] = MappingProxyType(
    {"cpc": "urn:cpc:", "unspsc": "urn:unspsc:", "eclass": "urn:eclass:"}
)
_STANDARDS: Mapping[str, str] = MappingProxyType(
    {
        "iso14067": "ISO14067",
        "iso14083": "ISO14083",
        "iso1404044": "ISO14040-44",
        "iso14040": "ISO14040-44",
        "iso14044": "ISO14040-44",
        "ghgpproduct": "GHGP-Product",
        "ghgprotocolproductstandard": "GHGP-Product",
        "pef": "PEF",
        "pact1": "PACT-1.0",
        "pact10": "PACT-1.0",
        "pact2": "PACT-2.0",
        "pact20": "PACT-2.0",
        "pact3": "PACT-3.0",
        "pact30": "PACT-3.0",
        "pact303": "PACT-3.0",
        "pas2050": "PAS2050",
    }
)
_YEAR = re.compile(r"[:-](?:19|20)[0-9]{2}$")
_OTHER = re.compile(r"[^a-z0-9]+")
_UNSAID = "not stated"


class Place(NamedTuple):
    """Where a product is made, as finely as is stated: at most one of the two."""

    country: str | None
    subdivision: str | None


def companies(stated: Whole, ids: Iterable[str]) -> tuple[str, ...]:
    """Return the URNs of a producer: as stated, else the node's, else one of its origin."""
    found = tuple(dict.fromkeys(stated.producer.ids or ids))
    if found:
        return found
    host, _, path = stated.issuer.partition("/")
    return (f"urn:pact:{host}:company-id:{path.replace('/', ':') or host}",)


def classifications(stated: Whole) -> tuple[str, ...]:
    """Return the classifications of a product as URNs, each once."""
    host = stated.issuer.partition("/")[0]
    found = stated.product.classifications or ()
    return tuple(dict.fromkeys(_classification(each, host) for each in found))


def place(stated: Whole) -> Place:
    """Return where a product is made: the subdivision, or the country alone."""
    site = stated.site
    if site is None or site.subdivision is not None:
        return Place(None, None if site is None else site.subdivision)
    return Place(site.country, None)


def standards(stated: Whole) -> tuple[str, ...]:
    """Return the standards a statement follows; StatementError for one that names none."""
    found = tuple(dict.fromkeys(map(_standard, stated.method.standards)))
    if not found:
        raise StatementError("it names no standard that it follows, and PACT asks for one")
    return found


def sector_rules(stated: Whole) -> tuple[SectorRules, ...] | None:
    """Return the rules that a statement follows beside the standards."""
    names = list(stated.method.rules or ())
    if isinstance(stated, FootprintRollUp):
        names.append(f"{stated.rules.name} (sha256:{stated.rules.digest})")
    if not names:
        return None
    told = tuple(dict.fromkeys(names))
    return (SectorRules("Other", told, stated.producer.name),)


def sources(stated: Whole) -> tuple[FactorSource, ...] | None:
    """Return where its secondary factors are from, as far as the statement itself shows it."""
    found = dict.fromkeys(
        FactorSource(each.source, each.version or _UNSAID)
        for each in _factors(stated)
        if each.kind != "supplierSpecific"
    )
    return tuple(found) or None


def _factors(stated: Whole) -> Iterator[Factor]:
    match stated:
        case PartialFootprint(activities=lines):
            yield from (line.factor for line in lines)
        case FootprintRollUp(manifest=manifest):
            stood_in = (edge.resolved.substitute for edge in manifest or ())
            yield from (each.factor for each in stood_in if each is not None)


def _classification(found: Classification, host: str) -> str:
    scheme = _OTHER.sub("", found.scheme.lower())
    prefix = _SCHEMES.get(scheme)
    if prefix is None:
        prefix = f"urn:pact:{host}:{_OTHER.sub('-', found.scheme.lower()).strip('-') or 'code'}:"
    return prefix + quote(found.code, safe=_SAFE)


def _standard(name: str) -> str:
    return _STANDARDS.get(_OTHER.sub("", _YEAR.sub("", name.lower())), name)
