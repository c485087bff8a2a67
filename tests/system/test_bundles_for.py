"""Bundles made for somebody: what each recipient is shown, and what it can prove with it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bcca_node.ledger.trust import FILE as POLICY
from bcca_node.network.lines import Item
from bcca_node.packmaker import bundling
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.run import roll_up
from bcca_node.storage import grants, partners, statements
from bcca_node.storage.grants import Appointment, Grant, Scope
from bcca_node.storage.partners import Partner
from bcca_protocol import footprint, period, wire
from bcca_protocol.__main__ import HOLDS, INCOMPLETE
from bcca_protocol.__main__ import main as bcca_verify
from bcca_protocol.audit import Report, audit
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.policy import Policy

HEAD, LIAR, HONEST, FOIL, REFINERY = "pack", "cathode", "cell", "foil", "refinery"
CUSTOMER, AUDITOR, THEIRS = "customer.example", "auditor.example", "their-auditor.example"
WHOLE = Decimal(1 + 26) + 3 * (7 + Decimal("0.3") * 2) + Decimal("0.7") * (4 + Decimal("1.7") * 2)


def key(origin: str) -> str:
    """Return the request key of an organisation that has no node here."""
    seed = origin.encode().ljust(32)[:32]
    return SeedSigner(name=origin, algorithm=Algorithm.ED25519, seed=seed).key.encode()


@dataclass(frozen=True, kw_only=True)
class Made:
    """A pack that everybody upstream shares in another way, rolled up."""

    market: Any
    pack: str
    names: dict[str, str]

    @property
    def node(self) -> Any:
        return self.market.member(HEAD).node

    def bundle(self, recipient: str | None) -> list[bytes]:
        made = period.text_at(self.node.clock())
        return list(bundling.write_bundle(self.node, self.pack, made=made, recipient=recipient))

    def audited(self, recipient: str | None) -> Report:
        """Return what a recipient finds that knows the pack maker alone."""
        text = (self.node.settings.data / POLICY).read_text(encoding="utf-8")
        logs = [line for line in text.splitlines() if line.startswith("log ")]
        others = [line for line in logs if f" {self.node.origin}+" not in line]
        kept = [line for line in text.splitlines() if line not in others]
        if others == logs:
            kept.insert(0, f"log {self.node.log_key.encode()}")
        return audit(self.bundle(recipient), Policy.parse("\n".join([*kept, ""])))

    def withheld(self, report: Report) -> set[str]:
        """Return the short names of what a report says is withheld."""
        names = {commitment: name for name, commitment in self.names.items()}
        return {names[each.commitment] for each in report.withheld}


@pytest.fixture(scope="module")
def kept() -> dict[tuple[str, str], Made]:
    """What was rolled up before: no test here changes it."""
    return {}


@pytest.fixture
def made(market: Any, kept: dict[tuple[str, str], Made]) -> Callable[..., Made]:
    """Publish and roll up a pack: the metal is direct, the paint downstream, the foil direct."""

    def make(*, own: str = "direct", metal: str = "direct") -> Made:
        if (own, metal) not in kept:
            kept[own, metal] = rolled_up(own, metal)
        return kept[own, metal]

    def rolled_up(own: str, metal: str) -> Made:
        raw = market.sold("2", by=REFINERY, sharing=metal)
        shows(market, REFINERY)
        paint = market.sold("7", inputs=[market.bought(REFINERY, raw, "0.3")], sharing="downstream")
        foil = market.sold(
            "4", by=FOIL, inputs=[market.bought(REFINERY, raw, "1.7")], sharing="direct"
        )
        for maker in (LIAR, FOIL):
            # By something public its maker says where the refinery is.
            market.sold("1", by=maker, inputs=[market.bought(REFINERY, raw, "1")])
            shows(market, maker)
        product = market.new_urn(HEAD)
        cells = market.bought(HONEST, "urn:bcca:t:cell", "2")
        bought = [cells, market.bought(LIAR, paint, "3"), market.bought(FOIL, foil, "0.7")]
        market.publish(HEAD, market.part(HEAD, product, "1", bought, sharing=own))
        run(market, product)
        told = (
            ("metal", REFINERY, raw), ("paint", LIAR, paint), ("foil", FOIL, foil),
            ("pack", HEAD, product), ("cell", HONEST, "urn:bcca:t:cell"),
            ("ore", "mine", "urn:bcca:t:ore"),
        )  # fmt: skip
        names = {name: commitment_of(market, maker, what) for name, maker, what in told}
        return Made(market=market, pack=product, names=names)

    return make


def run(market: Any, product: str) -> None:
    node = market.member(HEAD).node
    order = Order(product=product, amount=None, at=node.clock())
    market.ask(lambda fetcher: roll_up(node, fetcher, order))


def rows(market: Any, maker: str) -> list[Any]:
    with market.member(maker).node.database.read() as session:
        return list(statements.page(session, 0, 10_000))


def shows(market: Any, maker: str) -> None:
    """Let a supplier show the pack maker all that it has, whatever its sharing."""
    shown = (
        Item(commitment=row.commitment, index=row.index, envelope=row.envelope)
        for row in rows(market, maker)
    )
    market.shows(*shown, by=maker)


def commitment_of(market: Any, maker: str, product: str) -> str:
    found = [r for r in rows(market, maker) if r.product == product and "partial" in r.kind]
    return str(found[-1].commitment)


def befriended(node: Any, origin: str, product: str | None = None) -> None:
    """Make a partner of the pack maker, to whom a product may be granted."""
    vkey = key(origin)
    with node.database.write() as session:
        partners.put(
            session,
            Partner(
                origin=origin, name=origin, url=f"https://{origin}", log_key=vkey,
                request_key=vkey, seal_key=vkey, roles=frozenset(), since=node.clock(),
            ),
        )  # fmt: skip
        if product is not None:
            given = node.clock()
            grants.put(
                session, Grant(partner=origin, scope=Scope.PRODUCT, about=product, given=given)
            )


def appointed(node: Any, auditor: str, recipient: str, product: str) -> None:
    """Appoint an auditor of one product for the pack maker itself, or for a partner of it."""
    with node.database.write() as session:
        grants.appoint(
            session,
            Appointment(
                recipient=recipient, auditor=auditor, product=product,
                request_key=key(auditor), given=node.clock(),
            ),
        )  # fmt: skip


def test_for_the_pack_maker_itself_a_bundle_holds_everything_to_the_last_digit(
    made: Callable[..., Made],
) -> None:
    pack = made()
    report = pack.audited(pack.node.origin)

    assert [told.split(":")[0] for told in report.unverified] == ["introduced"]
    assert (report.withheld, report.incomplete, report.total) == ((), False, WHOLE)
    assert report.recipient == pack.node.origin
    assert footprint.total(report.recomputed) == WHOLE


def test_for_the_auditor_that_the_pack_maker_appointed_it_holds_everything_too(
    made: Callable[..., Made],
) -> None:
    pack = made()
    befriended(pack.node, AUDITOR)
    appointed(pack.node, AUDITOR, pack.node.origin, pack.pack)
    report = pack.audited(AUDITOR)

    assert (report.withheld, report.incomplete, report.total) == ((), False, WHOLE)
    assert footprint.total(report.recomputed) == WHOLE
    assert report.recipient == AUDITOR


def test_for_a_customer_the_direct_statements_of_others_are_withheld_and_that_stands_first(
    made: Callable[..., Made],
) -> None:
    pack = made()
    befriended(pack.node, CUSTOMER, pack.pack)
    report = pack.audited(CUSTOMER)

    assert pack.withheld(report) == {"foil", "metal"}
    assert [told.split(":")[0] for told in report.unverified[:2]] == ["withheld", "withheld"]
    assert all("under a key valid there" in told for told in report.unverified[:2])
    assert (report.incomplete, report.total) == (True, WHOLE)
    assert footprint.total(report.recomputed) == 1 + 26 + 3 * 7
    assert footprint.total(report.claimed) == WHOLE - (1 + 26 + 3 * 7)


def test_for_an_auditor_whom_a_customer_appointed_it_holds_what_that_customer_may_see(
    made: Callable[..., Made],
) -> None:
    pack = made()
    befriended(pack.node, CUSTOMER, pack.pack)
    appointed(pack.node, THEIRS, CUSTOMER, pack.pack)

    assert pack.withheld(pack.audited(THEIRS)) == {"foil", "metal"}


def test_for_a_partner_without_a_grant_it_holds_the_roll_up_alone(
    made: Callable[..., Made],
) -> None:
    """Its author hands it the roll-up; nothing shown names a log, so public ones stay out too."""
    pack = made()
    befriended(pack.node, "stranger.example")
    report = pack.audited("stranger.example")

    assert pack.withheld(report) == {"pack", "paint", "foil", "metal", "cell", "ore"}
    assert set(report.evidence.logs) == {pack.node.origin}
    assert (report.incomplete, report.recomputed, report.total) == (True, {}, WHOLE)


def test_a_grant_that_ended_shows_nothing_any_more(made: Callable[..., Made]) -> None:
    pack = made()
    befriended(pack.node, "ended.example")
    ended = Grant(partner="ended.example", scope=Scope.PRODUCT, about=pack.pack, given=0, until=1)
    with pack.node.database.write() as session:
        grants.put(session, ended)

    assert "pack" in pack.withheld(pack.audited("ended.example"))


def test_for_nobody_named_it_holds_what_is_public(made: Callable[..., Made]) -> None:
    pack = made(own="public")
    report = pack.audited(None)

    assert pack.withheld(report) == {"paint", "foil", "metal"}
    assert report.recipient is None
    assert footprint.total(report.recomputed) == 1 + 26


def test_what_is_public_behind_what_is_withheld_is_named_and_its_log_left_out(
    made: Callable[..., Made],
) -> None:
    """Nothing shown names the refinery, so nobody would know by which key to believe it."""
    pack = made(own="public", metal="public")
    report = pack.audited(None)

    assert pack.withheld(report) == {"paint", "foil", "metal"}
    (metal,) = (each for each in report.withheld if each.commitment == pack.names["metal"])
    assert metal.line.index is None
    assert metal.line.reason == "it may be shown, and only what is withheld names its log"
    assert pack.market.origin(REFINERY) not in report.evidence.logs


def test_a_roll_up_that_is_not_public_is_bundled_for_nobody_in_particular_never(
    made: Callable[..., Made],
) -> None:
    with pytest.raises(
        UnusableError, match="is not public: say for whom the bundle is, with --for"
    ):
        made().bundle(None)


@pytest.mark.parametrize("origin", ["nobody.example", "self", ""])
def test_for_somebody_who_is_not_known_here_no_bundle_is_made(
    made: Callable[..., Made], origin: str
) -> None:
    with pytest.raises(UnusableError, match=r"neither a partner of .* nor an auditor appointed"):
        made().bundle(origin)


def test_for_a_partner_whose_keys_are_not_believed_no_bundle_is_made(
    made: Callable[..., Made],
) -> None:
    pack = made()
    befriended(pack.node, "false.example", pack.pack)
    with pack.node.database.write() as session:
        known = partners.get(session, "false.example")
        assert known is not None
        partners.put(session, replace(known, refused="its log has another key"))

    appointed(pack.node, "false.example", pack.node.origin, pack.pack)

    with pytest.raises(UnusableError, match="neither a partner"):
        pack.bundle("false.example")


@pytest.mark.parametrize("recipient", [CUSTOMER, None, "self"])
def test_no_byte_of_what_is_withheld_is_in_the_file(
    made: Callable[..., Made], recipient: str | None
) -> None:
    pack = made(own="public")
    befriended(pack.node, CUSTOMER, pack.pack)
    lines = b"".join(pack.bundle(pack.node.origin if recipient == "self" else recipient))
    secret = {
        name: row.envelope
        for name, maker in (("metal", REFINERY), ("foil", FOIL), ("paint", LIAR))
        for row in rows(pack.market, maker)
        if row.commitment == pack.names[name]
    }

    shown = {name for name, envelope in secret.items() if wire.b64(envelope).encode() in lines}

    expected = {CUSTOMER: {"paint"}, None: set(), "self": set(secret)}
    assert shown == expected[recipient]


def test_the_auditors_command_tells_the_two_apart_by_its_exit_status(
    made: Callable[..., Made], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = made()
    befriended(pack.node, CUSTOMER, pack.pack)
    policy = pack.node.settings.data / POLICY
    told = {}
    for recipient in (CUSTOMER, pack.node.origin):
        path = tmp_path / "pack.bcca.jsonl"
        path.write_bytes(b"".join(pack.bundle(recipient)))
        capsys.readouterr()
        status = bcca_verify([str(path), "--policy", str(policy)])
        told[recipient] = (status, capsys.readouterr().out.splitlines()[1][:12])

    assert told[CUSTOMER] == (INCOMPLETE, "  - withheld")
    assert told[pack.node.origin][0] == HOLDS
