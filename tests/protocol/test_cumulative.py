"""A supplier's own roll-up as what feeds an input: its recipe stays with it, its numbers count."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, footprint, statement, verify
from bcca_protocol.cumulative import is_roll_up, leaf
from bcca_protocol.entry import Status
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import RefusedError, StatementError
from bcca_protocol.inventory import Amount, Exclusion, Interval, Quality
from bcca_protocol.quantity import number
from bcca_protocol.repeat import repeat
from bcca_protocol.results import Gap, Resolved, Substitute
from bcca_protocol.rules import neutral
from bcca_protocol.statement import FootprintRollUp


@pytest.fixture
def secret(chain: Any, line: Any, per: Any) -> Any:
    """A cell of foil of ore; whoever makes the foil will say only what it adds up to."""
    own = {"quality": Quality("1", "2", "3"), "amount_kind": "measured"}
    chain.sells("ore", activities=[line("own", "1", "2", **own)], mass_kg="1")
    chain.maker("salt")
    chain.sells(
        "foil", "1", chain.buys("ore", "0.7"), chain.buys("salt", "0.1"),
        exclusions=(Exclusion(name="glue", reason="little", estimate="0.3"),),
    )  # fmt: skip
    chain.sells("cell", "4", chain.buys("foil", "3", stages="production"))
    chain.stand_ins = lambda _, bought: (
        Substitute(per("6"), "silent") if bought.product == "urn:test:salt" else None
    )
    return chain


def hide(chain: Any, name: str = "foil", amount: str = "10") -> FootprintRollUp:
    """Publish a roll-up of a product with a digest for its recipe, and nothing else of its maker's.

    Return it with its manifest.
    """
    whole: FootprintRollUp = chain.rolled_up(name, amount)
    chain.publish(msgspec.structs.replace(whole, manifest=None, manifest_digest="ab" * 32))
    company = chain.maker(name)
    company.envelopes[:] = company.envelopes[-1:]
    return whole


def audited(chain: Any, rolled: FootprintRollUp, truth: FootprintRollUp | None = None) -> Any:
    return audit.audit(chain.sealed(*chain.evidence(rolled, truth=truth)), chain.policy)


def close(one: Any, other: Any) -> bool:
    return abs(Fraction(number(one)) - Fraction(number(other))) < Fraction(1, 10**28)


def test_a_hidden_recipe_adds_up_to_what_the_open_one_does(secret: Any) -> None:
    openly = secret.rolled_up("cell", "2")
    hide(secret)
    hidden = secret.rolled_up("cell", "2")

    assert hidden.footprint == openly.footprint
    assert hidden.weights == openly.weights
    assert close(hidden.exempted_percent, openly.exempted_percent)
    assert [edge.line for edge in hidden.manifest] == ["foil"]


def test_what_a_leaf_had_from_substitutes_stays_unsigned_through_tiers(secret: Any) -> None:
    hide(secret)
    weights = secret.rolled_up("cell").weights

    assert (weights.absolute, weights.signed, weights.default) == ("13", "11.2", "1.8")
    assert (weights.primary_amount, weights.quality.geographical) == ("4.2", "8.4")


def test_a_roll_up_with_a_leaf_is_repeated_and_says_whose_word_it_is(secret: Any) -> None:
    hide(secret)
    rolled = secret.rolled_up("cell")
    report = audited(secret, rolled)

    assert report.total == footprint.total(footprint.decode(rolled.footprint)) == Decimal(13)
    (claimed,) = (each for each in report.unverified if each.startswith("claimed"))
    assert "urn:test:foil is the word of foil.example" in claimed


def test_what_is_incomplete_upstream_of_a_leaf_is_incomplete(secret: Any) -> None:
    secret.stand_ins = lambda *_: None
    hide(secret)
    rolled = secret.rolled_up("cell")

    assert rolled.incomplete
    assert audited(secret, rolled).incomplete


def test_a_roll_up_is_valid_no_longer_than_its_leaf(chain: Any) -> None:
    chain.sells("foil", "1", period=Interval("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"))
    hide(chain)
    chain.sells("cell", "4", chain.buys("foil", "3"))

    assert chain.rolled_up("cell").validity.end == "2028-01-01T00:00:00Z"


def test_a_leaf_is_bought_in_its_own_unit_and_mass(chain: Any) -> None:
    pieces = {"declared_unit": Amount("1", "piece"), "output": Amount("1", "piece")}
    chain.sells("lid", "5", mass_kg="0.2", **pieces)
    hide(chain, "lid", "4")
    chain.sells("case", "0", chain.buys("lid", "3"))
    (edge,) = chain.rolled_up("case").manifest

    assert edge.amount == "15"
    assert chain.total("case") == "75"


def test_a_leaf_of_an_introduced_log_counts_as_introduced(chain: Any) -> None:
    chain.sells("foil", "1")
    hide(chain)
    chain.sells("cell", "4", chain.buys("foil", "3"))
    company = chain.maker("foil")
    log = verify.verify_log(chain.head(company), company.lines, introduced=True)
    found = filter(is_roll_up, (verify.verify_signed(each, log) for each in company.envelopes))
    offers = [*chain.facts(), *map(leaf, found)]
    added = chain.added("cell", graph=chain.graph(offers))

    assert added.tally("cell")["introduced"] == 3


def test_a_leaf_of_which_all_was_excluded_excludes_nothing_that_can_be_told(chain: Any) -> None:
    chain.sells(
        "foil", "0", exclusions=(Exclusion(name="all", reason="?", estimate="1"),)
    )  # fmt: skip
    whole = hide(chain)
    chain.sells("cell", "4", chain.buys("foil", "3"))

    assert whole.exempted_percent == "100"
    assert chain.rolled_up("cell").exempted_percent == "0"


def test_a_leaf_stands_in_two_places_once(chain: Any) -> None:
    chain.sells("foil", "1")
    hide(chain)
    chain.sells("tab", "0", chain.buys("foil", "1"))
    chain.sells("cell", "0", chain.buys("foil", "1"), chain.buys("tab", "1"))
    graph = chain.graph()

    assert [part.name for part in graph.parts].count("foil") == 1
    assert chain.total("cell") == "2"


def test_a_roll_up_that_feeds_carries_a_manifest_too_and_is_repeated_by_itself(
    secret: Any,
) -> None:
    """Whoever is given the manifest and what it names recomputes the leaf by the same function."""
    whole = secret.rolled_up("foil", "10")
    published = secret.publish(whole)
    header, body = secret.evidence(secret.rolled_up("cell"))
    evidence = audit.audit(secret.sealed(header, body), secret.policy).evidence
    nested = leaf_in(secret, published)

    assert published not in evidence.facts  # the partial footprint was preferred
    facts = {**evidence.facts, published: nested}
    found = repeat(nested.fact, type(evidence)(
        logs=evidence.logs, facts=facts, introduced=evidence.introduced
    ), {}, neutral())  # fmt: skip
    assert found is not None
    assert footprint.encode(found.footprint) == whole.footprint


def leaf_in(chain: Any, commitment: str) -> Any:
    return next(each.signed for each in chain.leaves() if each.fact.commitment == commitment)


# Attacks: a maker that feeds an input with a roll-up that it may not, or changes what it says.


def lie(chain: Any, commitment: str) -> Any:
    truth = chain.rolled_up("cell")
    (edge,) = truth.manifest
    changed = msgspec.structs.replace(edge, resolved=Resolved(commitment=commitment))
    return audited(chain, msgspec.structs.replace(truth, manifest=(changed,)))


def test_a_revoked_roll_up_that_feeds_an_input_is_refused(secret: Any) -> None:
    hide(secret)
    rolled = secret.rolled_up("cell")
    (edge,) = rolled.manifest
    secret.status("foil", edge.resolved.commitment, Status.REVOKED)
    again = msgspec.structs.replace(
        rolled, logs=secret.frame(rolled, ["cell.example", "foil.example"]).logs
    )

    with pytest.raises(StatementError, match="is not current: revoked"):
        audited(secret, again)


def test_a_roll_up_of_another_product_that_feeds_an_input_is_refused(secret: Any) -> None:
    hide(secret)
    secret.sells("tin", "0.1", by="foil.example")
    other = secret.publish(secret.rolled_up("tin"))

    with pytest.raises(StatementError, match=f"fed by {other}, where the rules choose"):
        lie(secret, other)


def test_a_roll_up_that_its_log_entered_after_it_was_read_is_refused(secret: Any) -> None:
    hide(secret)
    rolled = secret.rolled_up("cell")
    trees = tuple(
        tree if tree.origin != "foil.example" else shorter(secret, tree) for tree in rolled.logs
    )

    with pytest.raises(StatementError, match=r"is entry \d+ of foil\.example, of which"):
        audited(secret, msgspec.structs.replace(rolled, logs=trees))


def predicate(envelope: bytes) -> Any:
    return statement.decode(Envelope.parse(envelope).payload).predicate


def shorter(chain: Any, tree: Any) -> Any:
    """Return the tree as it was before the last entry."""
    company = chain.company(tree.origin)
    last = company.lines.pop()
    (made_of,) = chain.maker("cell").envelopes
    (found,) = chain.frame(predicate(made_of), [tree.origin]).logs
    company.lines.append(last)
    return found


def test_a_roll_up_that_feeds_itself_is_refused(chain: Any) -> None:
    chain.sells("cell", "4", chain.buys("cell", "0.1", line="again"))
    rolled = chain.rolled_up("cell")
    (edge,) = rolled.manifest
    before = chain.publish(rolled)
    changed = msgspec.structs.replace(edge, resolved=Resolved(commitment=before))

    with pytest.raises(RefusedError):
        audited(chain, msgspec.structs.replace(rolled, manifest=(changed,)))


def test_a_total_that_is_not_what_the_leaf_says_is_refused(secret: Any) -> None:
    hide(secret)
    rolled = secret.rolled_up("cell")
    production = msgspec.structs.replace(rolled.footprint.production, fossil="1")
    whole = msgspec.structs.replace(rolled.footprint, production=production)

    with pytest.raises(StatementError, match=r"footprint\.production\.fossil is stated as 1"):
        audited(secret, msgspec.structs.replace(rolled, footprint=whole))


def test_a_gap_where_a_roll_up_is_here_is_refused(secret: Any) -> None:
    hide(secret)
    truth = secret.rolled_up("cell")
    (edge,) = truth.manifest
    gap = msgspec.structs.replace(edge, resolved=Resolved(gap=Gap(reason="?")))
    rolled = msgspec.structs.replace(truth, manifest=(gap,), incomplete=True)

    with pytest.raises(StatementError, match="fed by nothing, where the rules choose"):
        audited(secret, rolled, truth)
