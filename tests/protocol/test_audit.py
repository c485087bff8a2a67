import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, bundle, footprint
from bcca_protocol.audit import Report, Step
from bcca_protocol.bundle import Body, Header, LogLine, RuleSet, StatementLine
from bcca_protocol.entry import Status
from bcca_protocol.errors import (
    AuthorshipError,
    ConflictError,
    MalformedError,
    ProofError,
    QuorumError,
    RefusedError,
    StatementError,
    UnproductiveError,
)
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Amount, Electricity, Instrument, Interval
from bcca_protocol.limits import MAX_CLOCK_SKEW_SECONDS
from bcca_protocol.policy import Policy
from bcca_protocol.results import Edge, Gap, Resolved, Rules
from bcca_protocol.rules import NEUTRAL
from bcca_protocol.statement import FootprintRollUp, Site

AT = 1_780_000_000  # witness n of five cosigns n seconds later; four are a quorum
SEEN = AT + 2
Evidence = tuple[Header, list[Body]]
Change = Callable[[FootprintRollUp], FootprintRollUp]


@pytest.fixture
def evidence(chain: Any, line: Any, per: Any) -> Evidence:
    """Five tiers, of which the policy may know any: ore, foil, power, cell and pack."""
    green = Electricity(supply="contract", location_factor=per("0.6", "kWh"))
    kwh = {"declared_unit": Amount("1", "kWh"), "output": Amount("1", "kWh")}
    own = line("own", "1", "0.1", "kWh", kind="energy", electricity=green)
    chain.sells("power", activities=[own], **kwh)
    chain.sells("ore", "2", chain.buys("power", "0.5", unit="kWh"), output=Amount("7", "kg"))
    chain.sells("foil", "1", chain.buys("ore", "3", yield_="0.9"), mass_kg="1")
    chain.sells("cell", "4", chain.buys("foil", "0.3"), chain.buys("ore", "0.7"))
    chain.sells("pack", "1", chain.buys("cell", "5", stages="rawMaterial"), mass_kg="1")
    found: Evidence = chain.evidence(chain.rolled_up("pack", "2"))
    return found


def audited(chain: Any, header: Header, body: list[Body], **asked: Any) -> Report:
    """Audit what the maker seals, under a policy that knows everybody."""
    return audit.audit(chain.sealed(header, body), chain.policy, **asked)


def require_refused(
    chain: Any, header: Header, body: list[Body], *parts: str, error: type[RefusedError]
) -> None:
    with pytest.raises(error) as refused:
        audited(chain, header, body)

    assert type(refused.value) is error
    assert [part for part in parts if part not in str(refused.value)] == []


def logs_of(body: list[Body]) -> dict[str, LogLine]:
    return {item.origin: item for item in body if isinstance(item, LogLine)}


def with_logs_anew(chain: Any, body: list[Body]) -> list[Body]:
    """Return `body` with every log as it is by now."""
    return [chain.log_line(item.origin) if isinstance(item, LogLine) else item for item in body]


def without(body: list[Body], origin: str, kind: type[Body] | None = None) -> list[Body]:
    kinds = (LogLine, StatementLine) if kind is None else (kind,)
    return [b for b in body if not (isinstance(b, kinds) and getattr(b, "origin", "") == origin)]


def test_what_holds_is_reported_with_its_total_and_nothing_unverified(
    chain: Any, evidence: Evidence
) -> None:
    report = audited(chain, *evidence)

    assert (report.product, report.maker, report.unit) == ("urn:test:pack", "pack.example", "kg")
    twice = 2 * Fraction(chain.added().total("pack"))
    assert abs(Fraction(report.total) - twice) < Fraction(1, 10**30)
    assert report.total == footprint.total(report.footprint)
    assert report.unverified == ()
    assert not report.incomplete
    assert report.needed.amount == 2
    assert len(report.evidence.logs) == 5
    assert len(report.evidence.facts) == 6


def test_the_time_of_a_bundle_is_that_of_its_oldest_log_and_it_is_looked_at_from_the_newest(
    chain: Any, evidence: Evidence
) -> None:
    header, body = evidence
    early = chain.maker("ore").note(witnesses=(1, 2, 3, 4))
    origin, key = "ore.example", logs_of(body)["ore.example"].key
    aged: list[Body] = [
        bundle.log_line(origin, key, early, chain.maker("ore").lines)
        if item is logs_of(body)[origin]
        else item
        for item in body
    ]

    assert (audited(chain, header, aged).as_of, audited(chain, header, aged).at) == (AT + 1, SEEN)
    assert audited(chain, header, aged, at=AT + 1000).at == AT + 1000


def test_steps_are_told_as_they_hold_in_their_order(chain: Any, evidence: Evidence) -> None:
    steps: list[Step] = []
    audited(chain, *evidence, on_step=steps.append)

    assert [step.number for step in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[0].found.startswith("13 lines with SHA-256 ")
    assert (
        steps[1].found
        == (
            "5 logs with 21 entries, each cosigned by the quorum 4 of 5 of all-five, "
            "which survives 2 lying; 0 by introduction"
        )
        or "5 logs with 21 entries" in steps[1].found
    )
    assert "6 signed" in steps[2].found
    assert "by pack.example" in steps[3].found


def test_contents_that_are_no_file_yet_are_examined_alike(chain: Any, evidence: Evidence) -> None:
    steps: list[Step] = []
    report = audit.examine(bundle.contents(*evidence), chain.policy, on_step=steps.append)

    assert [step.number for step in steps] == [2, 3, 5, 6]
    assert (report.total, report.unverified) == (audited(chain, *evidence).total, ())


# The maker lies about a number, and signs it.


def one_more(text: str) -> str:
    """Return a number with its last digit changed by one."""
    return text[:-1] + str((int(text[-1]) + 1) % 10)


def footprint_of(rolled: FootprintRollUp) -> FootprintRollUp:
    raw = rolled.footprint.raw_material
    assert raw is not None
    assert raw.fossil is not None
    changed = msgspec.structs.replace(raw, fossil=one_more(raw.fossil))
    stages = msgspec.structs.replace(rolled.footprint, raw_material=changed)
    return msgspec.structs.replace(rolled, footprint=stages)


def set_to(**fields: Any) -> Change:
    return lambda rolled: msgspec.structs.replace(rolled, **fields)


def weights(**fields: Any) -> Change:
    return lambda rolled: msgspec.structs.replace(
        rolled, weights=msgspec.structs.replace(rolled.weights, **fields)
    )


def edges(change: Callable[[tuple[Edge, ...]], tuple[Edge, ...]]) -> Change:
    return lambda rolled: msgspec.structs.replace(rolled, manifest=change(rolled.manifest or ()))


def first_amount(all_edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
    first, *others = all_edges
    return (msgspec.structs.replace(first, amount=one_more(first.amount)), *others)


LIES: dict[str, tuple[Change, str]] = {
    "a digit of the footprint": (footprint_of, r"footprint\.rawMaterial\.fossil is stated as"),
    "a stage that is not there": (
        set_to(footprint=Stages(use=Components(fossil="1"))),
        r"footprint\.use is stated as .* recomputed as nothing",
    ),
    "the location result": (
        set_to(location_footprint=Stages(production=Components(fossil="1"))),
        r"locationFootprint\.\w+",
    ),
    "no location result": (
        set_to(location_footprint=None),
        "locationFootprint is stated as nothing, recomputed as",
    ),
    "another amount": (
        set_to(declared_unit=Amount(amount="3", unit="kg")),
        r"(massKg|footprint\.\w+\.fossil) is stated as",
    ),
    "another unit": (
        set_to(declared_unit=Amount(amount="2", unit="t")),
        r"declaredUnit\.unit is stated as t, recomputed as kg",
    ),
    "the mass": (set_to(mass_kg="1"), "massKg is stated as 1, recomputed as 2"),
    "the exempted percent": (
        set_to(exempted_percent="1"), "exemptedPercent is stated as 1, recomputed as 0"
    ),
    "a longer validity": (
        set_to(validity=Interval("2025-01-01T00:00:00Z", "2028-12-31T00:00:00Z")),
        r"validity\.end is stated as 2028-12-31T00:00:00Z, recomputed as 2029-01-01T00:00:00Z",
    ),
    "no validity": (set_to(validity=None), "validity is stated as nothing, recomputed as"),
    "incomplete": (set_to(incomplete=True), "incomplete is stated as True, recomputed as nothing"),
    "the primary weight": (
        weights(primary="1"), r"weights\.primary is stated as 1, recomputed as 0"
    ),
    "the covered weight": (
        lambda rolled: weights(
            quality=msgspec.structs.replace(rolled.weights.quality, covered="1")
        )(rolled),
        r"weights\.quality\.covered is stated as 1, recomputed as 0",
    ),
    "the amount of an edge": (edges(first_amount), r"manifest\.\d+\.amount is stated as"),
    "edges in another order": (
        edges(lambda found: found[::-1]), r"manifest\.0\.consumer is stated as"
    ),
    "one edge too many": (
        edges(
            lambda found: (
                *found,
                Edge(consumer="ab" * 32, line="x", amount="0", resolved=found[0].resolved),
            )
        ),
        r"manifest\.5 is stated as .* recomputed as nothing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_roll_up_that_its_maker_signed_with_a_lie_is_refused_naming_the_field(
    chain: Any, evidence: Evidence, lie: str
) -> None:
    change, named = LIES[lie]
    header, body = chain.evidence(change(chain.rolled_up("pack", "2")))

    with pytest.raises(StatementError) as refused:
        audited(chain, header, body)

    assert re.search(rf"roll-up {header.roll_up}: {named}", str(refused.value))


def test_a_weight_of_what_was_introduced_depends_on_the_makers_policy_and_is_not_judged(
    chain: Any, evidence: Evidence
) -> None:
    rolled = chain.rolled_up("pack", "2")
    absolute = rolled.weights.absolute
    told = chain.evidence(weights(introduced=absolute)(rolled))

    assert audited(chain, *told).total == audited(chain, *evidence).total


def all_gaps(rolled: FootprintRollUp) -> FootprintRollUp:
    lost = Resolved(gap=Gap(reason="lost"))
    changed = tuple(msgspec.structs.replace(e, resolved=lost) for e in rolled.manifest or ())
    return msgspec.structs.replace(rolled, manifest=changed, incomplete=True)


NOT_HERE = "no partial footprint of urn:test:pack of pack.example is here"
UNREPEATABLE: dict[str, tuple[Change, str]] = {
    "an edge left out": (
        edges(lambda found: found[1:]), "fed by nothing, where the rules choose"
    ),
    "an edge twice": (
        edges(lambda found: (*found, found[0])), "manifest: an input stands twice"
    ),
    "gaps for all that is here": (all_gaps, "fed by nothing, where the rules choose"),
    "no manifest": (
        set_to(manifest=None, manifest_digest="ab" * 32), "its numbers are its issuer's claim"
    ),
    "other rules": (
        set_to(rules=Rules(name="neutral", digest="ab" * 32)),
        "the text of rules neutral is not what the roll-up names",
    ),
    "another plant": (set_to(site=Site(id="elsewhere")), NOT_HERE),
    "another batch": (set_to(batch="2"), NOT_HERE),
    "another period": (
        set_to(period=Interval("2025-01-01T00:00:00Z", "2026-01-02T00:00:00Z")), NOT_HERE
    ),
    "a date that does not exist": (
        set_to(reference_date="2025-02-30T00:00:00Z"), "time 2025-02-30T00:00:00Z"
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", UNREPEATABLE)
def test_a_roll_up_that_cannot_be_repeated_is_refused_saying_why(
    chain: Any, evidence: Evidence, how: str
) -> None:
    change, named = UNREPEATABLE[how]
    truth = chain.rolled_up("pack", "2")
    told = chain.evidence(change(truth), truth=truth)

    require_refused(chain, *told, named, error=StatementError)


def test_an_unproductive_loop_in_a_bundle_is_refused_naming_its_products(chain: Any) -> None:
    names = {
        "a": chain.sells("a", "1", chain.buys("b", "1")),
        "b": chain.sells("b", "1", chain.buys("a", "1")),
    }
    chain.sells("c", "1")
    rolled = chain.rolled_up("c")
    lie = msgspec.structs.replace(
        rolled,
        issuer="a.example",
        product=msgspec.structs.replace(rolled.product, id="urn:test:a"),
        logs=chain.frame(rolled, ["a.example", "b.example"]).logs,
        manifest=tuple(
            Edge(consumer=names[i], line=j, amount="1", resolved=Resolved(names[j]))
            for i, j in ("ab", "ba")
        ),
    )

    require_refused(
        chain, *chain.evidence(lie), "urn:test:a of a.example", "urn:test:b of b.example",
        error=UnproductiveError,
    )  # fmt: skip


# The trees that were read.


OTHER_ROOT = "A" * 43 + "="
TREES: dict[str, tuple[dict[str, str] | None, str, type[RefusedError]]] = {
    "none": (None, "of ore.example, of which the roll-up read 0 entries", StatementError),
    "a shorter one with this root": (
        {"size": "3"}, "log ore.example: its first 3 entries hash to", ProofError
    ),
    "a longer one": (
        {"size": "5"}, "log ore.example: the roll-up read 5 entries of 4", ProofError
    ),
    "one with another root": ({"root": OTHER_ROOT}, f"the roll-up read {OTHER_ROOT}", ProofError),
    "one of somebody else": (
        {"origin": "else.example"}, "of ore.example, of which the roll-up read 0 entries",
        StatementError,
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", TREES)
def test_a_tree_that_the_roll_up_cannot_have_read_is_refused(
    chain: Any, evidence: Evidence, how: str
) -> None:
    changed, named, error = TREES[how]
    rolled = chain.rolled_up("pack", "2")
    (ore,) = (tree for tree in rolled.logs if tree.origin == "ore.example")
    instead = [] if changed is None else [msgspec.structs.replace(ore, **changed)]
    trees = (*(tree for tree in rolled.logs if tree is not ore), *instead)

    require_refused(
        chain, *chain.evidence(msgspec.structs.replace(rolled, logs=trees)), named, error=error
    )


def test_a_beginning_that_holds_too_little_is_refused_naming_the_entry(chain: Any) -> None:
    chain.sells("ore", "1")
    read = chain.frame(chain.rolled_up("ore"), ["ore.example"]).logs
    chain.sells("ore", "2", site=Site(id="B"))
    chain.sells("cell", "1", chain.buys("ore", "1", site="B"))
    rolled = chain.rolled_up("cell")
    logs = (*(tree for tree in rolled.logs if tree.origin != "ore.example"), *read)

    require_refused(
        chain, *chain.evidence(msgspec.structs.replace(rolled, logs=logs)),
        "is entry 4 of ore.example, of which the roll-up read 4 entries", error=StatementError,
    )  # fmt: skip


def test_logs_may_have_grown_since(chain: Any, evidence: Evidence) -> None:
    chain.sells("tin", "1", by="ore.example")
    chain.sells("glue", "1", by="pack.example")

    report = audited(chain, evidence[0], with_logs_anew(chain, evidence[1]))

    assert report.total == audited(chain, *evidence).total


def test_a_part_of_a_log_that_nothing_upstream_is_in_is_refused(
    chain: Any, evidence: Evidence
) -> None:
    header, body = evidence
    chain.sells("stray", "1")
    other = chain.evidence(chain.rolled_up("stray"))[1]
    stray = [item for item in other if getattr(item, "origin", "") == "stray.example"][:2]

    require_refused(
        chain, header, [*body, *stray],
        "of stray.example, of which the roll-up read 0 entries", error=StatementError,
    )  # fmt: skip


# Logs and statements.


def test_a_log_that_nobody_introduced_is_refused(chain: Any, evidence: Evidence) -> None:
    header, body = evidence
    trusted = chain.policy
    chain.sells("stray", "1")
    lines = chain.sealed(header, [*body, chain.log_line("stray.example")])

    with pytest.raises(AuthorshipError) as refused:
        audit.audit(lines, trusted)

    assert str(refused.value) == (
        "log stray.example: neither in the policy nor named by a verified statement"
    )
    assert audit.audit(lines, chain.policy).total == audited(chain, *evidence).total


def test_a_statement_whose_log_is_not_here_is_refused(chain: Any, evidence: Evidence) -> None:
    header, body = evidence

    require_refused(
        chain, header, without(body, "ore.example", LogLine),
        "a statement of ore.example, whose log is not here", error=AuthorshipError,
    )  # fmt: skip


def test_two_logs_of_one_company_are_refused(chain: Any, evidence: Evidence) -> None:
    header, body = evidence

    require_refused(
        chain, header, [*body, logs_of(body)["ore.example"]],
        "bundle: two logs of ore.example", error=MalformedError,
    )  # fmt: skip


def test_a_statement_that_stands_twice_is_refused(chain: Any, evidence: Evidence) -> None:
    header, body = evidence

    require_refused(chain, header, [*body, body[-1]], "stands twice", error=MalformedError)


def test_a_statement_at_another_index_is_refused_with_both(chain: Any, evidence: Evidence) -> None:
    header, (*body, last) = evidence
    moved = msgspec.structs.replace(last, index="2")

    require_refused(
        chain, header, [*body, moved], "entry 3 of", "the bundle has index 2", error=MalformedError
    )


def test_a_statement_under_anothers_origin_is_refused(chain: Any, evidence: Evidence) -> None:
    header, (*body, last) = evidence
    moved = msgspec.structs.replace(last, origin="cell.example")

    require_refused(
        chain, header, [*body, moved], "of cell.example refused at step 3 (entry)",
        error=AuthorshipError,
    )  # fmt: skip


def test_a_log_without_its_last_entry_is_refused(chain: Any, evidence: Evidence) -> None:
    header, body = evidence
    for i, item in enumerate(body):
        if isinstance(item, LogLine):
            cut = msgspec.structs.replace(item, entries=item.entries[:-1])
            require_refused(
                chain, header, [*body[:i], cut, *body[i + 1 :]],
                f"log {item.origin}: ", "its checkpoint has", error=ProofError,
            )  # fmt: skip


def test_a_log_under_too_few_witnesses_is_refused(chain: Any, evidence: Evidence) -> None:
    header, body = evidence
    ore = chain.maker("ore")
    few = bundle.log_line(
        ore.origin, ore.log_key.key.encode(), ore.note(witnesses=(1, 2, 3)), ore.lines
    )

    require_refused(
        chain, header, [*without(body, "ore.example", LogLine), few],
        "checkpoint of ore.example", "size 4: cosigned by w1, w2, w3", error=QuorumError,
    )  # fmt: skip


def test_looked_at_from_before_it_was_seen_a_log_has_no_quorum(
    chain: Any, evidence: Evidence
) -> None:
    with pytest.raises(QuorumError):
        audited(chain, *evidence, at=AT - MAX_CLOCK_SKEW_SECONDS)
    assert audited(chain, *evidence, at=AT + 5 - MAX_CLOCK_SKEW_SECONDS).as_of == SEEN


def test_a_log_that_a_quorum_saw_after_the_last_year_is_refused(
    chain: Any, evidence: Evidence
) -> None:
    header, body = evidence
    ore = chain.maker("ore")
    late = bundle.log_line(ore.origin, ore.log_key.key.encode(), ore.note(at=2**62), ore.lines)

    require_refused(
        chain, header, [*without(body, "ore.example", LogLine), late],
        f"POSIX time {2**62 + 2}: not before the year 10000", error=StatementError,
    )  # fmt: skip


# Introduction.


def test_who_knows_the_maker_alone_gets_the_same_total_and_is_told_what_is_introduced(
    chain: Any, evidence: Evidence
) -> None:
    lines = chain.sealed(*evidence)
    stranger = Policy.parse(chain.policy_text(logs=["pack.example"]))

    known, introduced = audit.audit(lines, chain.policy), audit.audit(lines, stranger)

    assert known.total == introduced.total
    assert known.evidence.introduced == {}
    assert introduced.evidence.introduced == {
        "cell.example": "pack.example", "foil.example": "cell.example",
        "ore.example": "cell.example", "power.example": "ore.example",
    }  # fmt: skip
    assert introduced.unverified == (
        "introduced: 4 of 5 logs are not in this policy; their customers' statements name their "
        "keys, and nobody else here does",
    )
    assert introduced.totals.tally(introduced.needed.root)["introduced"] > 0
    assert known.totals.tally(known.needed.root)["introduced"] == 0


def test_who_does_not_know_the_maker_believes_nothing(chain: Any, evidence: Evidence) -> None:
    stranger = Policy.parse(chain.policy_text(logs=["cell.example"]))

    with pytest.raises(
        AuthorshipError, match=r"log pack\.example: neither in the policy nor named"
    ):
        audit.audit(chain.sealed(*evidence), stranger)


def test_a_log_under_another_key_than_the_policys_is_refused_with_both(
    chain: Any, evidence: Evidence
) -> None:
    header, body = evidence
    right = logs_of(body)["ore.example"]
    false = chain.impostor("ore").key
    lines = chain.sealed(
        header,
        [msgspec.structs.replace(right, key=false) if item is right else item for item in body],
    )

    with pytest.raises(ConflictError) as refused:
        audit.audit(lines, chain.policy)

    assert str(refused.value) == (
        f"log ore.example: the policy names it with key {right.key}, the bundle has {false}"
    )


def test_a_log_under_another_key_than_its_customers_name_is_refused(
    chain: Any, evidence: Evidence
) -> None:
    header, body = evidence
    right, false = logs_of(body)["ore.example"], chain.impostor("ore").key
    lines = chain.sealed(
        header,
        [msgspec.structs.replace(right, key=false) if item is right else item for item in body],
    )

    with pytest.raises(ConflictError, match=r"log ore\.example: (cell|foil)\.example names it"):
        audit.audit(lines, Policy.parse(chain.policy_text(logs=["pack.example"])))


@pytest.mark.parametrize("known", [["pack.example"], ["pack.example", "ore.example"]])
def test_of_two_keys_by_which_customers_name_a_log_the_wrong_one_feeds_nothing(
    chain: Any, known: list[str]
) -> None:
    chain.sells("ore", "2")
    chain.sells("right", "1", chain.buys("ore", "1"))
    chain.sells("wrong", "1", chain.buys("ore", "1", supplier=chain.impostor("ore")))
    chain.sells("pack", "1", chain.buys("right", "1"), chain.buys("wrong", "1"))
    lines = chain.bundle("pack")

    report = audit.audit(lines, Policy.parse(chain.policy_text(logs=known)))

    assert report.total == 5
    assert report.incomplete
    assert "which is not that log's" in report.unverified[0]


# Status, validity, and what cannot be verified.


@pytest.mark.parametrize("name", ["ore", "pack"])
@pytest.mark.parametrize("what", [Status.REVOKED, Status.CORRECTED])
def test_a_part_that_was_revoked_or_corrected_since_is_refused(
    chain: Any, evidence: Evidence, name: str, what: Status
) -> None:
    header, body = evidence
    (part,) = (each.fact for each in chain.facts() if each.fact.name == name)
    chain.status(name, part.commitment, what)

    require_refused(
        chain, header, with_logs_anew(chain, body),
        f"statement {part.commitment} is not current: {what}", error=StatementError,
    )  # fmt: skip


def test_a_roll_up_that_was_revoked_is_refused(chain: Any, evidence: Evidence) -> None:
    header, body = evidence
    chain.status("pack", header.roll_up, Status.REVOKED)

    require_refused(
        chain, header, with_logs_anew(chain, body),
        f"statement {header.roll_up} is not current: revoked", error=StatementError,
    )  # fmt: skip


def test_a_part_that_was_superseded_since_stays_right(chain: Any, evidence: Evidence) -> None:
    header, body = evidence
    (ore,) = (each.fact for each in chain.facts() if each.fact.name == "ore")
    chain.status("ore", ore.commitment, Status.SUPERSEDED)

    assert audited(chain, header, with_logs_anew(chain, body)).unverified == ()


def test_a_part_in_a_log_that_broke_since_is_refused(chain: Any, evidence: Evidence) -> None:
    header, body = evidence
    chain.maker("ore").enter("bcca/v2 something")

    require_refused(
        chain, header, with_logs_anew(chain, body), "is not current: broken log",
        error=StatementError,
    )  # fmt: skip


def test_what_has_expired_is_reported_and_still_counts(chain: Any) -> None:
    old = Interval(start="2022-06-01T00:00:00Z", end="2023-06-01T00:00:00Z")  # until June 2026
    ore = chain.sells("ore", "2", period=old)
    chain.sells("cell", "1", chain.buys("ore", "1"))
    header, body = chain.evidence(chain.rolled_up("cell"))
    june = 1_780_272_000  # 2026-06-01T00:00:00Z

    (lagged,) = audited(chain, header, body, at=june - 1).unverified
    assert lagged.endswith(
        "about the time until 2023-06-01T00:00:00Z, the latest earlier within validity, lag 580 "
        "days to 2025-01-01T00:00:00Z"
    )
    report = audited(chain, header, body, at=june)
    expired = [each for each in report.unverified if each != lagged]
    assert sorted(expired) == sorted(
        f"expired: statement {name} was valid until 2026-06-01T00:00:00Z"
        for name in (ore, header.roll_up)
    )
    assert report.total == 3


def test_a_gap_is_reported_with_what_it_was_bought_for(chain: Any) -> None:
    chain.maker("tin")
    chain.sells("foil", "1", chain.buys("tin", "3", unit="t"))
    chain.sells("cell", "1", chain.buys("foil", "2"))
    report = audited(chain, *chain.evidence(chain.rolled_up("cell", "5")))

    assert report.incomplete
    assert report.total == 15
    assert report.unverified == (
        "missing: 30 t of urn:test:tin of tin.example, bought for urn:test:foil of foil.example: "
        "no statement for urn:test:tin of tin.example",
    )


def test_two_statements_that_overlap_are_reported_with_both_names(chain: Any) -> None:
    both = sorted(chain.sells("ore", kg) for kg in ("2", "3"))
    chain.sells("cell", "1", chain.buys("ore", "1"))

    (told,) = audited(chain, *chain.evidence(chain.rolled_up("cell"))).unverified

    assert told.endswith(f"in one period: {both[0]} and {both[1]}")


def test_a_certificate_claimed_twice_is_reported_with_both(chain: Any, line: Any) -> None:
    instrument = Instrument(type="GEC", vintage="2025", market="CN", claim_handle="cd" * 32)
    bought = Electricity(supply="contract", instrument=instrument)
    power = line("own", "1", "0.03", "kWh", kind="energy", electricity=bought)
    ore = chain.sells("ore", activities=[power])
    cell = chain.sells("cell", "1", chain.buys("ore", "1"), activities=[power])

    report = audited(chain, *chain.evidence(chain.rolled_up("cell")))

    assert report.unverified == (
        f"claimed twice: electricity certificate {'cd' * 32}, by {cell} of cell.example "
        f"and {ore} of ore.example",
    )


def test_methods_that_are_mixed_are_reported(chain: Any, evidence: Evidence) -> None:
    method = chain.rolled_up("pack").method
    old = msgspec.structs.replace(method, gwp="AR5", recycling="cff")
    ore = chain.sells("ore", "2", method=old, site=Site(id="B"))
    chain.sells("cell", "1", chain.buys("ore", "1", site="B"), site=Site(id="B"))
    chain.sells("car", "1", chain.buys("cell", "1", site="B"))

    report = audited(chain, *chain.evidence(chain.rolled_up("car")))

    assert report.unverified == (
        f"mixed methods: gwp is AR5 in {ore} of ore.example, AR6 in the roll-up",
        f"mixed methods: recycling is cff in {ore} of ore.example, cutOff in the roll-up",
    )


# The header.


@pytest.mark.parametrize(
    ("changed", "named", "error"),
    [
        ({"roll_up": "ab" * 32}, f"names roll-up {'ab' * 32}, which is not in it", StatementError),
        (
            {"product": "urn:test:cell"},
            "the bundle is about urn:test:cell of pack.example, its roll-up about urn:test:pack "
            "of pack.example",
            StatementError,
        ),
        (
            {"maker": "cell.example"},
            "the bundle is about urn:test:pack of cell.example, its roll-up about urn:test:pack "
            "of pack.example",
            StatementError,
        ),
        (
            {"maker": "else.example"},
            "the log of else.example is not in the bundle",
            AuthorshipError,
        ),
        ({"made": "2026-02-30T00:00:00Z"}, "time 2026-02-30T00:00:00Z", StatementError),
    ],
)
def test_a_header_that_does_not_fit_is_refused(
    chain: Any, evidence: Evidence, changed: dict[str, str], named: str, error: type[RefusedError]
) -> None:
    header, body = evidence

    require_refused(chain, msgspec.structs.replace(header, **changed), body, named, error=error)


def test_a_header_that_names_a_part_as_its_roll_up_is_refused(
    chain: Any, evidence: Evidence
) -> None:
    header, body = evidence
    (pack,) = (each.fact for each in chain.facts() if each.fact.name == "pack")
    changed = msgspec.structs.replace(header, roll_up=pack.commitment)

    require_refused(chain, changed, body, "which is not in it", error=StatementError)


def test_another_text_of_the_rules_is_refused(chain: Any, evidence: Evidence) -> None:
    header, (_, *body) = evidence
    other = NEUTRAL.replace('cut_off_percent = "0"', 'cut_off_percent = "9"')
    rules = RuleSet(name="neutral", lines=tuple(other.split("\n")))

    require_refused(
        chain, header, [rules, *body], "the text of rules neutral is not what the roll-up names",
        error=StatementError,
    )  # fmt: skip


def test_the_order_of_the_lines_between_header_and_end_is_free(
    chain: Any, evidence: Evidence
) -> None:
    header, body = evidence

    assert audited(chain, header, body[::-1]).total == audited(chain, header, body).total


def test_a_step_that_fails_comes_after_those_that_hold(chain: Any, evidence: Evidence) -> None:
    lie = footprint_of(chain.rolled_up("pack", "2"))
    steps: list[Step] = []

    with pytest.raises(StatementError):
        audited(chain, *chain.evidence(lie), on_step=steps.append)

    assert [step.number for step in steps] == [1, 2, 3, 4, 5]
