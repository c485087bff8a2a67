"""Opinions of a verifier that the policy lists, from its node to the pack maker's auditor."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bcca_node.ledger.node import Node
from bcca_node.storage import logs, statements
from bcca_protocol import __main__ as verifier
from bcca_protocol.inventory import Interval
from bcca_protocol.issue import UNSET_NONCE
from bcca_protocol.statement import Independence, Opinion, Producer, Product

ORIGIN = "assurer.example/bcca"
CATHODE = "urn:bcca:case:t:C1"


@dataclass(frozen=True)
class Assurer:
    """A verifier's node, and the network in which it says what it thinks of the cathode."""

    node: Node
    two_tiers: Any
    desk: Any
    policy: str

    def cathode(self) -> str:
        with self.two_tiers.supplier.database.read() as session:
            head = logs.published_head(session)
            assert head is not None
            (found,) = statements.current(session, [CATHODE], head.size)
        return found.commitment

    def says(self, **more: Any) -> None:
        fields: dict[str, Any] = {
            "issuer": ORIGIN, "nonce": UNSET_NONCE, "sharing": "public",
            "product": Product(id=CATHODE, name="C1"), "producer": Producer(name="Assurer"),
            "period": Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z"),
            "about": (self.cathode(),), "criteria": ("ISO 14064-3",), "scope": "own lines",
            "covers": "own", "level": "reasonable", "conclusion": "unmodified",
            "materiality_percent": "5", "findings": (), "expires": "2028-12-31T00:00:00Z",
            "independence": Independence(statement="none", affiliations=()),
        }  # fmt: skip
        self.desk.published(self.node, Opinion(**fields | more))

    def aggregated(self, *options: str) -> Any:
        ran = self.desk.bcca("aggregate", "P1", "--json", *options, data=self.two_tiers.pack)
        assert ran.status in (0, 3), ran.err
        return ran.json

    def audited(
        self, capsys: pytest.CaptureFixture[str], folder: Path, policy: str, *to: str
    ) -> tuple[int, str]:
        """Return what `bcca-verify` says of the bundle to whoever believes `policy`."""
        bundle, believed = folder / "p1.jsonl", folder / "policy.txt"
        ran = self.desk.bcca("bundle", "P1", "-o", bundle, *to, "--force", data=self.two_tiers.pack)
        assert ran.status == 0, ran.err
        believed.write_text(policy, encoding="utf-8")
        status = verifier.main([str(bundle), "--policy", str(believed)])
        return status, capsys.readouterr().out


@pytest.fixture
def assurer(
    desk: Any, two_tiers: Any, served: Callable[..., Node], policy_of: Callable[..., str]
) -> Assurer:
    node = served(ORIGIN)
    policy = policy_of([two_tiers.supplier, two_tiers.pack, node], two_tiers.witnesses, 4)
    for each in (*two_tiers.witnesses, two_tiers.supplier, node):
        (each.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    policy += f"verifier {ORIGIN}\n"
    two_tiers.believe(policy)
    return Assurer(node, two_tiers, desk, policy)


def test_an_opinion_of_a_listed_verifier_counts_and_an_auditor_recomputes_it(
    assurer: Assurer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = assurer.aggregated()
    assurer.says()
    told = assurer.aggregated()
    status, out = assurer.audited(capsys, tmp_path, assurer.policy)
    _, unlisted = assurer.audited(capsys, tmp_path, assurer.policy.replace("verifier", "# "))
    nobody = "\n".join(e for e in assurer.policy.split("\n") if ORIGIN not in e)
    unknown, aside = assurer.audited(capsys, tmp_path, nobody)

    assert before["assured"] == {"limited": "0", "reasonable": "0"}
    assert told["assured"] == {"limited": "0", "reasonable": "12"}
    (opinion,) = told["opinions"]
    assert (opinion["verifier"], opinion["counts"]) == (ORIGIN, True)
    assert told["commitment"] != before["commitment"]
    assert (status, unknown) == (0, 0)
    assert "Under reasonable assurance by this policy: 12 kg CO2e gross." in out
    assert "claimed:" not in out
    assert f"the policy has no verifier {ORIGIN}" in unlisted
    assert "claimed: 12 kg CO2e gross are stated as under reasonable assurance" in unlisted
    assert f"1 opinions of {ORIGIN}, whose log nobody here names" in aside
    people = assurer.desk.bcca("aggregate", "P1", data=assurer.two_tiers.pack).out
    assert "66.7 % under reasonable" in people


def test_an_adverse_opinion_is_told_and_counts_for_nothing(assurer: Assurer) -> None:
    assurer.says(conclusion="adverse")
    people = assurer.desk.bcca("aggregate", "P1", data=assurer.two_tiers.pack)

    assert assurer.aggregated()["assured"]["reasonable"] == "0"
    assert "adverse: opinion " in people.out


def test_an_opinion_that_is_not_shared_with_the_pack_maker_counts_for_nothing(
    assurer: Assurer,
) -> None:
    assurer.says(sharing="direct")

    assert assurer.aggregated()["assured"]["reasonable"] == "0"  # nobody granted it to us


def test_offline_the_opinions_that_were_kept_count(assurer: Assurer) -> None:
    assurer.says()
    assurer.aggregated()

    assert assurer.aggregated("--offline")["assured"]["reasonable"] == "12"


def test_a_verifier_that_is_down_is_told_and_stops_nobody(assurer: Assurer) -> None:
    url = assurer.node.settings.url
    assurer.two_tiers.believe(assurer.policy.replace(f"{url}/log", "http://127.0.0.1:9/log"))
    told = assurer.aggregated()

    assert (told["total"], told["state"]) == ("18", "published")
    assert [(e["supplier"], e["product"]) for e in told["troubles"]] == [(ORIGIN, "opinions")]
