"""What is wrong with a footprint of others, field by field; and what can be read of it (SPEC 16.5).

Only what is *fatal* keeps its numbers out of a run: a number that counts and cannot be read, has
the wrong sign or is a JSON number, an unknown unit, sums that are off, an unknown GWP or period, a
name that is there twice. All else is told. The numbers stay as they were received.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import MAXYEAR, UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from bcca_node.pact import amounts, model, reading
from bcca_node.pact.fields import URN, UUID, Fields, Need, Problems, Sign, shown
from bcca_node.pact.reading import Members
from bcca_node.storage.foreign import Problem, Weight
from bcca_protocol.quantity import Unit

MAX_SKEW = timedelta(days=1)  # of `created`: tomorrow in another zone is no future
VALIDITY_YEARS = 3  # from the end of the reference period, never longer

_VERSION = re.compile(r"\A3\.[0-9]+\.[0-9]+(?:-[0-9]{8})?\Z")  # 2 has fields of like names
_REPORT = re.compile(r"\AAR[0-9]\Z")
_COUNTRY = re.compile(r"\A[A-Z]{2}\Z")
_SUBDIVISION = re.compile(r"\A[A-Z]{2}-[A-Z0-9]{1,3}\Z")
_HUNDRED = Decimal(100)
_WORST = 5  # data quality is rated 1 to 5
_RATINGS = ("technologicalDQR", "geographicalDQR", "temporalDQR")
_FREE = (
    "boundaryProcessesDescription",
    "exemptedEmissionsDescription",
    "allocationRulesDescription",
    "technologicalCO2CaptureOrigin",
    "ccuCreditCertification",
)
_STATUS = (model.ACTIVE, model.DEPRECATED)
_COVERAGE = ("PCF calculation model", "PCF program", "product level")
_OPERATORS = ("PEF", "EPD International", "Other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A footprint of others as far as it can be read, and what is wrong with it.

    `numbers` are the emissions and removals that could be read, by their PACT name: kg CO2e for
    `amount` of `unit` together. `gwp` is such as AR6, None where it is not one; `start` and `end`
    are of the reference period, `valid_from` and `valid_until` of the validity, in UTC.
    """

    problems: tuple[Problem, ...]
    id: str | None
    is_deprecated: bool
    company_name: str
    company_ids: tuple[str, ...]
    product_name: str
    product_ids: tuple[str, ...]
    preceding: tuple[str, ...]
    unit: Unit | None
    amount: Decimal | None
    mass_kg: Decimal | None
    numbers: Mapping[str, Decimal] = field(default_factory=dict)
    gwp: str | None = None
    geography: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """What keeps its numbers out of a run."""
        return tuple(each for each in self.problems if each.weight is Weight.FATAL)


class _Span(NamedTuple):
    start: datetime | None
    end: datetime | None


def judge(found: Members, *, at: int) -> Judged:
    """Return what footprint `found` says, as of POSIX second `at`, and every problem it has."""
    problems = Problems()
    for path in reading.repeated(found):
        problems.tell(path, "is there twice, and nobody says which one counts", is_fatal=True)
    top = Fields(found, problems)
    _heading(top, at)
    pcf = top.inner("pcf", Need.VITAL) or Fields(Members(), Problems())
    _rest(pcf)
    period = _period(pcf)
    counted = amounts.counted(pcf)
    validity = _validity(top, period)
    read = Judged(
        problems=(),
        id=_id(top),
        is_deprecated=top.choice("status", _STATUS, Need.VITAL) == model.DEPRECATED,
        company_name=top.text("companyName", Need.MUST) or "",
        company_ids=tuple(top.texts("companyIds", Need.VITAL, shape=URN)),
        product_name=top.text("productNameCompany", Need.MUST) or "",
        product_ids=tuple(top.texts("productIds", Need.VITAL, shape=URN)),
        preceding=tuple(each.lower() for each in top.texts("precedingPfIds", shape=UUID)),
        unit=counted.unit,
        amount=counted.amount,
        mass_kg=counted.mass_kg,
        numbers=counted.numbers,
        gwp=_gwp(pcf),
        geography=_geography(pcf),
        start=period.start,
        end=period.end,
        valid_from=validity.start,
        valid_until=validity.end,
    )
    return replace(read, problems=problems.all())


def _heading(top: Fields, at: int) -> None:
    version = top.text("specVersion", Need.VITAL)
    if version and not _VERSION.match(version):
        top.tell("specVersion", f"{shown(version)}, where 3.x.y belongs", is_fatal=True)
    created = top.time("created", Need.MUST)
    if created is not None and created > datetime.fromtimestamp(at, UTC) + MAX_SKEW:
        top.tell("created", f"{created:%Y-%m-%d} is in the future")
    top.text("productDescription", Need.MUST, may_be_empty=True)
    top.texts("productClassifications", shape=URN)
    top.text("comment", may_be_empty=True)
    for each in top.inners("extensions"):
        each.text("specVersion", Need.MUST)
        schema = each.text("dataSchema", Need.MUST)
        if schema and not schema.startswith("https://"):
            each.tell("dataSchema", f"{shown(schema)} is no https URL")
        each.inner("data", Need.MUST)


def _id(top: Fields) -> str | None:
    found = top.text("id", Need.VITAL)
    if found is None or UUID.match(found):
        return None if found is None else found.lower()
    top.tell("id", f"{shown(found)} is no UUID", is_fatal=True)
    return None


def _period(pcf: Fields) -> _Span:
    start = pcf.time("referencePeriodStart", Need.VITAL)
    end = pcf.time("referencePeriodEnd", Need.VITAL)
    if start is not None and end is not None and start >= end:
        told = f"{start:%Y-%m-%d} to {end:%Y-%m-%d} ends before it begins"
        pcf.tell("referencePeriodEnd", told, is_fatal=True)
    return _Span(start, end)


def _validity(top: Fields, period: _Span) -> _Span:
    """Return from when to when a footprint may be used, as it says or else as PACT does."""
    start, end = top.time("validityPeriodStart"), top.time("validityPeriodEnd")
    if period.end is None:
        return _Span(start, end)
    latest = _years_after(period.end, VALIDITY_YEARS)
    if start is not None and start < period.end:
        told = f"{start:%Y-%m-%d} is before the reference period ends, {period.end:%Y-%m-%d}"
        top.tell("validityPeriodStart", told)
    if end is not None and end > latest:
        told = f"{end:%Y-%m-%d} is over {VALIDITY_YEARS} years after {period.end:%Y-%m-%d}"
        top.tell("validityPeriodEnd", told)
    span = _Span(start or period.end, min(end or latest, latest))
    if span.start is not None and span.end is not None and span.start >= span.end:
        top.tell("validityPeriodEnd", "it is never valid: it ends before it begins", is_fatal=True)
    return span


def _gwp(pcf: Fields) -> str | None:
    """Return the assessment report whose GWP the numbers are in, None where that is not one."""
    name = "ipccCharacterizationFactors"
    found = pcf.texts(name, Need.VITAL, shape=_REPORT)
    if len(found) > 1:
        told = f"{', '.join(sorted(found)[:4])}: nobody says which number is in which"
        pcf.tell(name, told, is_fatal=True)
    return found[0] if len(found) == 1 else None


def _geography(pcf: Fields) -> str | None:
    """Return where it was made: a subdivision, a country or a region, the finest there is."""
    subdivision = pcf.text("geographyCountrySubdivision")
    if subdivision and not _SUBDIVISION.match(subdivision):
        pcf.tell("geographyCountrySubdivision", f"{shown(subdivision)} is no ISO 3166-2 code")
    country = pcf.text("geographyCountry")
    if country and not _COUNTRY.match(country):
        pcf.tell("geographyCountry", f"{shown(country)} is no ISO 3166-1 code of two letters")
    region = pcf.choice("geographyRegionOrSubregion", model.REGIONS)
    given = [each for each in (subdivision, country, region) if each]
    if len(given) > 1:
        pcf.tell("geographyCountry", f"{len(given)} geographies, where at most one belongs")
    return given[0] if given else None


def _rest(pcf: Fields) -> None:
    """Tell what is wrong with what is not computed with."""
    pcf.texts("crossSectoralStandards", Need.MUST)
    exempted = pcf.decimal("exemptedEmissionsPercent", Need.MUST, Sign.NOT_NEGATIVE)
    if exempted is not None and exempted > _HUNDRED:
        pcf.tell("exemptedEmissionsPercent", f"{exempted:f} is over 100 percent")
    share = pcf.decimal("primaryDataShare", Need.MAY, Sign.NOT_NEGATIVE)
    if share is not None and share > _HUNDRED:
        pcf.tell("primaryDataShare", f"{share:f} is over 100 percent")
    if share is not None and 0 < share <= 1:
        pcf.tell("primaryDataShare", f"{share:f} looks like a fraction, where percent belong")
    for name in _FREE:
        pcf.text(name, may_be_empty=True)
    pcf.choice("ccuCalculationApproach", ("Cut-off", "Credit"))
    dqi = pcf.inner("dqi")
    for name in _RATINGS if dqi is not None else ():
        rating = dqi.decimal(name, Need.MUST) if dqi is not None else None
        if dqi is not None and rating is not None and not 1 <= rating <= _WORST:
            dqi.tell(name, f"{rating:f} is not between 1 and {_WORST}")
    for source in pcf.inners("secondaryEmissionFactorSources"):
        source.text("name", Need.MUST)
        source.text("version", Need.MUST)
    for rule in pcf.inners("productOrSectorSpecificRules"):
        rule.choice("operator", _OPERATORS, Need.MUST)
        rule.texts("ruleNames", Need.MUST)
    verification = pcf.inner("verification")
    if verification is not None:
        verification.choice("coverage", _COVERAGE)
        verification.time("completedAt")


def _years_after(moment: datetime, years: int) -> datetime:
    """Return the same day so many years later; of 29 February the 28th."""
    last = min(moment.year + years, MAXYEAR)
    try:
        return moment.replace(year=last)
    except ValueError:
        return moment.replace(year=last, day=28)
