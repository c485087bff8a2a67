"""Foreign footprints are kept as they came, never changed, and verified where they are signed."""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.node.office import Office
from tests.system.foreign_host import ID, footprint

from bcca_node.ledger import status
from bcca_node.ledger.node import Node
from bcca_node.ledger.witnessing import witness
from bcca_node.network import guard
from bcca_node.network.client import Fetcher
from bcca_node.pact import intake, model, proving, reading, shelf
from bcca_node.storage import foreign, leaving, seen
from bcca_node.storage.foreign import Foreign, Trust, Weight
from bcca_node.storage.pactclients import PactPartner
from bcca_protocol.errors import LimitError, MalformedError, UnusableError

AT = 1_790_000_000
MILL = "pact:mill"


def took(node: Node, content: bytes | dict[str, Any], by: str = MILL, at: int = AT) -> Foreign:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with node.database.write() as session:
        return intake.take(node, session, by, data, at).footprint


def kept(node: Node, number: int = 1, by: str = MILL) -> list[Foreign]:
    with node.database.read() as session:
        return foreign.contents(session, by, ID.format(number))


def test_the_very_bytes_are_kept_and_a_digest_of_them(node: Node) -> None:
    content = json.dumps(footprint(), indent=3).encode() + b" "
    took(node, content)

    [found] = kept(node)
    assert (found.content, found.trust, found.is_usable) == (content, Trust.UNSIGNED, True)


def test_the_same_again_is_kept_once(node: Node) -> None:
    first = took(node, footprint())

    assert took(node, footprint(), at=AT + 9) == first
    assert kept(node) == [first]


def test_an_id_in_capitals_is_the_same_id(node: Node) -> None:
    took(node, footprint(id=ID.format(1).upper()))

    assert [each.id for each in kept(node)] == [ID.format(1)]


def test_two_partners_with_one_id_are_kept_apart(node: Node) -> None:
    took(node, footprint())
    took(node, footprint(companyName="Other"), by="pact:other")

    assert len(kept(node)) == len(kept(node, by="pact:other")) == 1
    assert kept(node, by="pact:other")[0].problems == ()


def test_it_is_found_by_its_products_however_they_are_written(node: Node) -> None:
    made = took(node, footprint(productIds=["URN:X:aB", "urn:x:c"]))
    with node.database.read() as session:
        assert foreign.of_products(session, ["urn:x:Ab", "urn:x:C"]) == [made]
        assert foreign.of_products(session, ["urn:x:d"]) == []


def test_deprecated_later_it_ends_and_that_is_no_problem(node: Node) -> None:
    took(node, footprint())
    took(node, footprint(status="Deprecated"), at=AT + 9)

    assert [(each.is_deprecated, each.problems) for each in kept(node)] == [(True, ())] * 2


def test_attack_what_is_deprecated_stays_so(node: Node) -> None:
    took(node, footprint(status="Deprecated"))
    took(node, footprint(), at=AT + 9)

    assert [each.is_usable for each in kept(node)] == [False, False]


def test_attack_other_numbers_under_a_known_id_count_for_nothing(node: Node) -> None:
    took(node, footprint())
    changed = {"fossilGhgEmissions": "1.00", "pcfExcludingBiogenicUptake": "1.20"}
    took(node, footprint(pcf={**changed, "pcfIncludingBiogenicUptake": "0.70"}), at=AT + 9)

    first, second = kept(node)
    assert first.is_usable
    assert not second.is_usable
    [problem] = second.problems
    assert (problem.field, problem.weight) == ("id", Weight.FATAL)
    assert "with another pcf, and a footprint never changes" in problem.told


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_what_another_takes_the_place_of_ends_whichever_comes_first(
    node: Node, order: tuple[int, int]
) -> None:
    both = {1: footprint(1), 2: footprint(2, precedingPfIds=[ID.format(1).upper()])}
    for number in order:
        took(node, both[number])

    assert [kept(node, number)[0].is_deprecated for number in (1, 2)] == [True, False]


def test_attack_another_partners_word_ends_nothing(node: Node) -> None:
    took(node, footprint(1))
    took(node, footprint(2, precedingPfIds=[ID.format(1)]), by="pact:rival")

    assert kept(node)[0].is_usable


def test_attack_a_footprint_that_replaces_itself_is_kept(node: Node) -> None:
    assert took(node, footprint(precedingPfIds=[ID.format(1)])).is_usable


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (b"[]", MalformedError),
        (b'{"id": "x"}', MalformedError),
        (b"{}", MalformedError),
        (b"\xff", MalformedError),
        (b'{"id": ' + b"[" * 40 + b"]" * 40 + b"}", LimitError),
        (b'{"a": "' + b"x" * reading.MAX_FOOTPRINT_BYTES + b'"}', LimitError),
    ],
    ids=range(6),
)
def test_attack_what_has_no_name_or_no_end_is_not_kept(
    node: Node, content: bytes, refused: type[Exception]
) -> None:
    with pytest.raises(refused, match="a footprint of pact:mill"):
        took(node, content)


def test_one_that_cannot_be_kept_keeps_out_no_other(node: Node) -> None:
    three = [json.dumps(footprint(1)).encode(), b"{}", json.dumps(footprint(2)).encode()]
    with node.database.write() as session:
        batch = intake.take_all(node, session, MILL, three, AT)

    assert [each.footprint.id for each in batch.taken] == [ID.format(1), ID.format(2)]
    [why] = batch.refused
    assert why.startswith("number 2: a footprint of pact:mill: its id is null")


def test_a_fatal_problem_is_accepted_with_a_reason_and_taken_back(node: Node) -> None:
    made = took(node, footprint(pcf={"biogenicNonCO2Emissions": 0.2}))
    assert not made.is_usable
    with node.database.write() as session:
        accepted = intake.accept(session, made, " by telephone ", AT)
    assert (accepted.is_usable, accepted.why) == (True, "by telephone")
    assert kept(node) == [accepted]
    with node.database.write() as session:
        intake.unaccept(session, accepted)
    assert kept(node) == [made]


@pytest.mark.parametrize("why", ["", "  ", "x" * 501])
def test_without_a_reason_nothing_is_accepted(node: Node, why: str) -> None:
    made = took(node, footprint(pcf={"biogenicNonCO2Emissions": 0.2}))
    with node.database.write() as session, pytest.raises(UnusableError, match="--reason"):
        intake.accept(session, made, why, AT)


def test_what_is_deprecated_is_accepted_by_nobody(node: Node) -> None:
    made = took(node, footprint(status="Deprecated"))
    with node.database.write() as session, pytest.raises(UnusableError, match="is deprecated"):
        intake.accept(session, made, "they always do that", AT)


def test_what_a_partner_sent_is_forgotten_with_it(node: Node) -> None:
    took(node, footprint(1))
    took(node, footprint(2), by="pact:other")
    with node.database.write() as session:
        forgotten = leaving.forget(session, MILL)

    assert forgotten.words() == "PACT footprints of it 1"
    assert kept(node) == []
    assert len(kept(node, 2, by="pact:other")) == 1


@dataclasses.dataclass(frozen=True)
class Sold:
    """A product of the supplier, published, and the footprint that its node derives from it."""

    office: Office
    product: str
    content: bytes

    @property
    def whole(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.content)
        return found

    @property
    def commitment(self) -> str:
        return str(self.whole["extensions"][0]["data"]["commitment"])

    def examined(self, content: bytes | dict[str, Any], by: Node | None = None) -> Foreign:
        """Let a node that is not its maker take it from a PACT partner, and look into it."""
        node = by or self.office.node
        supplier = self.office.network.members["oxide"]
        name = f"t{AT}-{self.product.rpartition(':')[2]}".lower()
        partner = PactPartner(name=name, url=supplier.url, auth_url=supplier.url, since=AT)
        took(node, content, by=partner.origin)
        [found] = asyncio.run(proving.prove(node, partner))
        return found


@pytest.fixture
def stranger(new_node: Callable[..., Node], office: Office) -> Node:
    """A node that believes the same witnesses, and has no log in its policy."""
    node = new_node("stranger.example/bcca")
    lines = (office.node.settings.data / "policy.txt").read_text(encoding="utf-8").splitlines()
    policy = "\n".join(each for each in lines if not each.startswith("log "))
    (node.settings.data / "policy.txt").write_text(policy + "\n", encoding="utf-8")
    return node


def derived(office: Office) -> Sold:
    desk = office.desk()
    desk.sells("a", by="oxide")
    node = office.network.members["oxide"].node
    shelf.refresh(node)
    who = PactPartner(name="reader", url="", auth_url="", since=AT)
    urn = desk.urn("a")
    with node.database.read() as session:
        names = [each.id for each in shelf.changed(session, 0, 10_000) if each.product == urn]
    content = shelf.one(node, who, names[0])
    assert content is not None
    return Sold(office, urn, content)


def test_a_signed_footprint_is_verified_and_its_statement_is_kept(office: Office) -> None:
    sold = derived(office)
    found = sold.examined(sold.content)

    assert (found.trust, found.told, found.fatal) == (Trust.SIGNED, "", ())
    with office.node.database.read() as session:
        (held,) = seen.some(session, [sold.commitment])
    assert held.product == sold.product


def test_written_anew_by_a_system_in_between_it_is_verified_all_the_same(office: Office) -> None:
    sold = derived(office)

    assert sold.examined(json.dumps(sold.whole, indent=2).encode()).trust is Trust.SIGNED


def test_a_log_that_no_policy_names_is_introduced_by_the_sender(
    office: Office, stranger: Node
) -> None:
    sold = derived(office)

    assert sold.examined(sold.content, by=stranger).trust is Trust.SIGNED


def changed_number(whole: dict[str, Any]) -> str:
    whole["pcf"]["fossilGhgEmissions"] = "5"
    return "numbers"


def changed_unit(whole: dict[str, Any]) -> str:
    whole["pcf"]["declaredUnitAmount"] = "10"
    return "amount"


def changed_validity(whole: dict[str, Any]) -> str:
    whole["validityPeriodEnd"] = "2027-01-01T00:00:00Z"
    return "valid_until"


def changed_id(whole: dict[str, Any]) -> str:
    whole["id"] = ID.format(1)
    return "id"


def changed_product(whole: dict[str, Any]) -> str:
    whole["productIds"] = ["urn:x:dearer"]
    return "product_ids"


@pytest.mark.parametrize(
    "change", [changed_number, changed_unit, changed_validity, changed_id, changed_product]
)
def test_attack_a_good_statement_on_other_numbers_makes_nothing_signed(
    office: Office, change: Callable[[dict[str, Any]], str]
) -> None:
    sold = derived(office)
    whole = sold.whole
    name = change(whole)
    found = sold.examined(whole)

    assert (found.trust, found.is_usable) == (Trust.UNSIGNED, False)
    assert f"the statement that it carries has another {name}" in found.told
    assert any(each.field == "extensions" for each in found.fatal)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("commitment", "00" * 32),
        ("envelope", {"payload": "", "payloadType": "x", "signatures": []}),
        ("envelope", 5),
        ("key", "nonsense"),
        ("log", "http://127.0.0.1:1/log"),
        ("origin", "nobody.example/bcca"),
    ],
    ids=str,
)
def test_attack_an_extension_that_lies_leaves_it_unsigned(
    office: Office, stranger: Node, field: str, value: object
) -> None:
    sold = derived(office)
    whole = sold.whole
    whole["extensions"][0]["data"][field] = value
    found = sold.examined(whole, by=stranger)

    assert found.trust is Trust.UNSIGNED
    assert found.told
    assert found.is_usable  # as unsigned data it is as good as without


def test_what_was_revoked_is_not_signed(office: Office) -> None:
    sold = derived(office)
    node = office.network.members["oxide"].node
    status.revoke(node, sold.commitment)

    async def published() -> bool:
        async with Fetcher(guard.hosts_of(node.trust.required())) as fetcher:
            return (await witness(node, fetcher)).published

    assert asyncio.run(published())
    found = sold.examined(sold.content)
    assert found.trust is Trust.UNSIGNED
    assert "it is revoked" in found.told


def test_without_a_policy_it_stays_unsigned_and_says_why(node: Node) -> None:
    data = {
        "commitment": "00" * 32,
        "origin": "oxide.example/bcca",
        "key": node.log_key.encode(),
        "log": "https://oxide.example/log",
        "index": "0",
        "statement": "https://oxide.example/statements/0",
        "envelope": {},
        "proof": "",
    }
    schema = "https://oxide.example/pact/extension/1.0.0/schema.json"
    carrier = {"specVersion": model.EXTENSION_VERSION, "dataSchema": schema, "data": data}
    made = took(node, footprint(extensions=[carrier]))
    assert made.statement == "00" * 32
    partner = PactPartner(
        name="mill", url="https://mill.example", auth_url="https://mill.example", since=AT
    )
    [found] = asyncio.run(proving.prove(node, partner))

    assert "policy.txt is not there" in found.told
    assert asyncio.run(proving.prove(node, partner)) == []  # not again at once
