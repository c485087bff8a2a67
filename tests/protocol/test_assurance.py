"""Opinions of third parties: which count, how much they cover, and what nobody can vouch for."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from bcca_protocol import assurance, audit, issue, manifest, telling, verify
from bcca_protocol.aggregate import aggregate
from bcca_protocol.assurance import Reader, with_levels
from bcca_protocol.bundle import StatementLine
from bcca_protocol.demand import demand
from bcca_protocol.entry import KeyAdd, Status
from bcca_protocol.envelope import Envelope, pae
from bcca_protocol.errors import AuthorshipError, PolicyError, StatementError
from bcca_protocol.exemption import cut_off, statements_in
from bcca_protocol.inventory import Interval
from bcca_protocol.keys import Role
from bcca_protocol.policy import Policy
from bcca_protocol.rules import NEUTRAL, parse
from bcca_protocol.statement import FootprintRollUp, Independence, Opinion, Producer, Product
from bcca_protocol.wire import b64

VERIFIER = "assurer.example"
ADVERSE = NEUTRAL.replace('"neutral"', '"ours"').replace("blocks = [", 'blocks = ["adverse", ')


@pytest.fixture
def pack(chain: Any) -> Any:
    """A pack of 1 kg CO2e, its cell of 2 twice, ore of 3 once in each; by commitment."""
    names = {"ore": chain.sells("ore", "3", producer=Producer(name="Ore", ids=("urn:lei:ORE",)))}
    names["cell"] = chain.sells("cell", "2", chain.buys("ore", "1"))
    names["pack"] = chain.sells("pack", "1", chain.buys("cell", "2"))
    chain.names = names
    chain.company(VERIFIER)
    return chain


def says(chain: Any, about: Iterable[str], by: str = VERIFIER, **more: Any) -> str:
    """Enter an opinion; return its commitment."""
    fields: dict[str, Any] = {
        "issuer": by, "nonce": issue.UNSET_NONCE, "sharing": "public",
        "product": Product(id="urn:test:ore", name="ore"),
        "producer": Producer(name="Assurer", ids=("urn:lei:ASSURER",)),
        "period": Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z"),
        "about": tuple(about), "criteria": ("ISO 14064-3",), "scope": "own lines",
        "covers": "own", "level": "limited", "conclusion": "unmodified",
        "materiality_percent": "5", "findings": (), "expires": "2028-01-01T00:00:00Z",
        "independence": Independence(statement="none", affiliations=()),
    }  # fmt: skip
    company = chain.company(by)
    made = issue.issue(Opinion(**fields | more), company.statement_key, b"secret")
    name: str = commitment(company.enter_envelope(made))
    return name


def commitment(envelope: bytes) -> str:
    found = Envelope.parse(envelope)
    return hashlib.sha256(pae(found.payload_type, found.payload)).hexdigest()


def opinions(chain: Any, by: str = VERIFIER) -> list[Any]:
    company = chain.company(by)
    log = chain.log(company)
    found = [verify.verify_signed(each, log) for each in company.envelopes]
    return [each for each in found if assurance.is_opinion(each)]


def rolled_up(chain: Any, name: str = "pack", by: Sequence[str] = (VERIFIER,)) -> FootprintRollUp:
    """Return a roll-up as a maker states it whose policy has these verifiers."""
    plain = chain.rolled_up(name)
    added = chain.added(name)
    index = added.index(name)
    read = {each.origin for each in plain.logs} | set(by)
    reader = Reader(
        verifiers=by,
        logs={o: chain.log(chain.company(o)) for o in read},
        sizes={},
        at=plain.reference_date,
    )
    said = [each for who in by for each in opinions(chain, who)]
    levels = assurance.levels(assurance.weigh(said, added.totals.sources(), reader))
    totals = aggregate(with_levels(added.graph, levels), [index])
    frame = chain.frame(plain, read)
    return manifest.state(totals, demand(totals, index, totals.graph.parts[index].declared), frame)


def bundled(chain: Any, rolled: FootprintRollUp, by: Sequence[str] = (VERIFIER,)) -> list[bytes]:
    """Return a bundle with the opinions of some verifiers beside the evidence."""
    header, body = chain.evidence(rolled)
    for who in by:
        company = chain.company(who)
        body.append(chain.log_line(who))
        body += [
            StatementLine(origin=who, index=str(company.index_of(each)), envelope=b64(each))
            for each in company.envelopes
        ]
    lines: list[bytes] = chain.sealed(header, body)
    return lines


def policy_of(chain: Any, *verifiers: str, logs: Sequence[str] | None = None) -> Policy:
    text = chain.policy_text(logs=logs)
    return Policy.parse(text + "".join(f"verifier {origin}\n" for origin in verifiers))


def audited(
    chain: Any, rolled: FootprintRollUp, by: Sequence[str] = (VERIFIER,), **more: Any
) -> Any:
    trusted = more.get("policy", policy_of(chain, VERIFIER))
    return audit.audit(bundled(chain, rolled, by), trusted)


def kg(report: Any) -> tuple[str, str]:
    return str(report.assured.kg["limited"]), str(report.assured.kg["reasonable"])


def weights(rolled: FootprintRollUp) -> tuple[str, str]:
    return rolled.weights.limited, rolled.weights.reasonable


# What counts, and how much.


@pytest.mark.parametrize("covers", ["own", "cradleToGate"])
def test_an_opinion_counts_by_the_own_lines_of_the_statements_it_names(
    pack: Any, covers: str
) -> None:
    says(pack, [pack.names["cell"], pack.names["ore"]], covers=covers)
    says(pack, [pack.names["ore"]], level="reasonable")
    rolled = rolled_up(pack)

    assert rolled.weights.absolute == "11"
    assert weights(rolled) == ("4", "6")  # two cells of 2; two of ore, of 3, once at the higher
    report = audited(pack, rolled)
    assert kg(report) == ("4", "6")
    assert not [each for each in report.unverified if "assurance" in each]


def test_what_is_assured_does_not_change_by_splitting_a_company_in_two(chain: Any) -> None:
    one = chain.sells("ore", "3")
    chain.sells("cell", "1", chain.buys("ore", "1"))
    says(chain, [one])
    first = rolled_up(chain, "cell").weights
    other = type(chain)()
    half = other.sells("half", "1")
    whole = other.sells("ore", "2", other.buys("half", "1"))
    other.sells("cell", "1", other.buys("ore", "1"))
    says(other, [half, whole])
    second = rolled_up(other, "cell").weights

    assert (first.absolute, first.limited) == (second.absolute, second.limited) == ("4", "3")


def test_a_modified_opinion_counts_and_a_disclaimer_does_not(pack: Any) -> None:
    says(pack, [pack.names["ore"]], conclusion="modified")
    says(pack, [pack.names["cell"]], conclusion="disclaimer")

    assert weights(rolled_up(pack)) == ("6", "0")


def test_without_opinions_a_roll_up_has_the_bytes_it_always_had(pack: Any) -> None:
    assert rolled_up(pack, by=()) == pack.rolled_up("pack")


def test_a_cumulative_footprint_is_covered_as_a_whole_or_not_at_all(pack: Any) -> None:
    leaf = pack.publish(pack.rolled_up("cell"))
    pack.company("cell.example").envelopes[:] = pack.company("cell.example").envelopes[1:]
    says(pack, [leaf], covers="own")
    own = rolled_up(pack)
    says(pack, [leaf], covers="cradleToGate")
    whole = rolled_up(pack)

    assert weights(own) == ("0", "0")
    assert weights(whole) == ("10", "0")
    report = audited(pack, whole)
    assert any("covers own lines, which a cumulative" in each for each in report.unverified)


def test_lines_that_are_cut_off_are_under_no_assurance(chain: Any, line: Any) -> None:
    chain.rules = parse(
        NEUTRAL.replace('"neutral"', '"cut"').replace('percent = "0"', 'percent = "5"')
    )
    name = chain.sells("cell", activities=(line("a", "1", "96"), line("b", "1", "4")))
    says(chain, [name])
    added = chain.added("cell")
    graph = with_levels(added.graph, {name: "limited"})
    totals = aggregate(graph, [0])
    needed = demand(totals, 0, graph.parts[0].declared)
    lines = statements_in(chain.company("cell.example").envelopes)
    cut = cut_off(totals, needed, chain.rules.cut_off_percent, lines)

    assert str(cut.totals.tally(0)["limited"]) == "96"


# What does not count.


DEPENDENT: dict[str, tuple[dict[str, Any], str]] = {
    "the same organisation": (
        {"producer": Producer(name="Ore", ids=("urn:lei:ORE",))},
        "are one organisation, urn:lei:ORE"
    ),
    "an affiliate, by its own word": (
        {"independence": Independence(statement="none", affiliations=("ore.example",))},
        "says that it is affiliated with ore.example",
    ),
    "expired": ({"expires": "2026-01-02T00:00:00Z"}, "it expired on 2026-01-02T00:00:00Z"),
    "valid no longer": (
        {"validity": Interval(start="2025-01-01T00:00:00Z", end="2026-02-01T00:00:00Z")},
        "it expired on 2026-02-01T00:00:00Z",
    ),
    "adverse": ({"conclusion": "adverse"}, "its conclusion is adverse"),
}  # fmt: skip


@pytest.mark.parametrize("why", DEPENDENT)
def test_an_opinion_that_does_not_count_is_told_with_the_reason(pack: Any, why: str) -> None:
    fields, words = DEPENDENT[why]
    says(pack, [pack.names["ore"]], **fields)
    rolled = rolled_up(pack)

    assert weights(rolled) == ("0", "0")
    assert any(words in each for each in audited(pack, rolled).unverified)


def test_attack_a_producer_that_holds_a_key_of_its_verifier_is_not_assured_by_it(pack: Any) -> None:
    ore, assurer = pack.company("ore.example"), pack.company(VERIFIER)
    says(pack, [pack.names["ore"]])
    ore.enter(KeyAdd(role=Role.STATEMENT, key=assurer.statement_key.key).encode())

    assert weights(rolled_up(pack)) == ("0", "0")


def test_attack_a_producer_that_is_its_own_verifier_is_not_assured_by_it(pack: Any) -> None:
    says(pack, [pack.names["ore"]], by="ore.example")

    assert weights(rolled_up(pack, by=["ore.example"])) == ("0", "0")


def test_a_revoked_opinion_does_not_count(pack: Any) -> None:
    name = says(pack, [pack.names["ore"]])
    revoke(pack, name)

    assert weights(rolled_up(pack)) == ("0", "0")


def revoke(chain: Any, name: str) -> None:
    company = chain.company(VERIFIER)
    chain.maker = lambda *_: company
    chain.status("assurer", name, Status.REVOKED)


def test_an_adverse_opinion_is_told_first_and_rules_may_block_it(pack: Any) -> None:
    pack.rules = parse(ADVERSE)
    name = says(pack, [pack.names["ore"]], conclusion="adverse")
    report = audited(pack, rolled_up(pack))

    told = f"opinion {name} of {VERIFIER} on {pack.names['ore']}: adverse, limited assurance of own"
    assert any(each.startswith(f"adverse: {told}") for each in report.unverified)
    assert [each.code for each in report.verdict.blocks] == ["adverse"]


def test_an_opinion_about_the_roll_up_itself_is_told_and_is_in_no_weight(pack: Any) -> None:
    rolled = pack.rolled_up("pack")
    header, body = pack.evidence(rolled)
    says(pack, [header.roll_up], covers="cradleToGate", level="reasonable")
    company = pack.company(VERIFIER)
    (envelope,) = company.envelopes
    body.append(pack.log_line(VERIFIER))
    index = str(company.index_of(envelope))
    body.append(StatementLine(origin=VERIFIER, index=index, envelope=b64(envelope)))
    report = audit.audit(pack.sealed(header, body), policy_of(pack, VERIFIER))

    (told,) = telling.as_json(report, (), [])["opinions"]
    assert (told["statement"], told["counts"], told["level"]) == (
        header.roll_up,
        True,
        "reasonable",
    )
    assert kg(report) == ("0", "0")


# The reader's own policy.


def test_a_reader_that_lists_no_verifier_verifies_all_the_same_and_is_told(pack: Any) -> None:
    says(pack, [pack.names["ore"]])
    report = audited(pack, rolled_up(pack), policy=policy_of(pack))

    assert kg(report) == ("0", "0")
    assert any(f"the policy has no verifier {VERIFIER}" in each for each in report.unverified)
    assert any(each.startswith("claimed: 6 kg CO2e gross") for each in report.unverified)


def test_a_reader_that_does_not_know_the_verifiers_log_sets_its_opinions_aside(pack: Any) -> None:
    says(pack, [pack.names["ore"]])
    known = [each for each in pack.companies if each != VERIFIER]
    report = audited(pack, rolled_up(pack), policy=policy_of(pack, logs=known))

    assert report.evidence.aside == {VERIFIER: 1}
    assert any(f"1 opinions of {VERIFIER}, whose log nobody" in each for each in report.unverified)


def test_a_bundle_without_its_opinions_is_verified_and_what_they_gave_is_a_claim(pack: Any) -> None:
    says(pack, [pack.names["ore"]])
    report = audited(pack, rolled_up(pack), by=())

    assert not report.incomplete
    assert any(each.startswith(f"not here: 4 entries of {VERIFIER}") for each in report.unverified)
    assert any(each.startswith("claimed: 6 kg CO2e gross") for each in report.unverified)


def test_attack_assurance_without_any_opinion_read_is_refused(pack: Any) -> None:
    truth = pack.rolled_up("pack")
    claimed = msgspec.structs.replace(truth.weights, reasonable="6")
    lie = msgspec.structs.replace(truth, weights=claimed)

    with pytest.raises(
        StatementError, match=r"weights\.reasonable is stated as 6, recomputed as 0"
    ):
        audited(pack, lie, by=())


def test_attack_a_log_with_anything_but_opinions_is_not_set_aside(pack: Any) -> None:
    says(pack, [pack.names["ore"]])
    pack.sells("tin", "1", by=VERIFIER)
    known = [each for each in pack.companies if each != VERIFIER]

    with pytest.raises(AuthorshipError, match=f"log {VERIFIER}: neither in the policy nor named"):
        audited(pack, rolled_up(pack), policy=policy_of(pack, logs=known))


# The policy.


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("verifier else.example\n", "verifier else.example: no log line above names it"),
        (f"verifier {VERIFIER}\nverifier {VERIFIER}\n", f"verifier {VERIFIER} is named twice"),
        ("verifier\n", "'verifier' and 0 items: no known line"),
    ],
)
def test_a_verifier_that_no_log_line_names_is_refused(pack: Any, more: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        Policy.parse(pack.policy_text() + more)


def test_a_policy_says_whose_opinions_count(pack: Any) -> None:
    assert policy_of(pack, VERIFIER).verifiers == {VERIFIER}
    assert policy_of(pack).verifiers == frozenset()
