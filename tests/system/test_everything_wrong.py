"""One run in which all goes wrong at once: it ends, tells each, and adds up what is there."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from bcca_node.cli import INCOMPLETE
from bcca_node.cli import main as bcca
from bcca_node.ledger import status
from bcca_node.packmaker import explain, run
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.secrecy import Keeping
from bcca_node.supplier.case_drafts import last_full_year
from bcca_protocol import footprint
from bcca_protocol.cumulative import Leaf
from bcca_protocol.entry import Status
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Interval
from bcca_protocol.quantity import plain
from bcca_protocol.results import Gap
from bcca_protocol.standing import Standing

HEAD, HONEST, LIAR, FOIL, MINE, REFINERY = "pack", "cell", "cathode", "foil", "mine", "refinery"
CELL, ORE = "urn:bcca:t:cell", "urn:bcca:t:ore"  # 3 kg of the cell maker's own; 2 of ore for it
STATEMENTS = "/statements"
BOUND_SECONDS = 30.0  # a supplier that hangs has 1.5 s an answer; the machine may be busy
TRIES = 5  # of four witnesses that are left each has to answer, on a machine that is busy
VERIFY_SECONDS = 60
CODES = ("gap", "expired")  # that keep the result from being declared

# What is there, per kg of the pack: so much of each, at so many kg CO2e of its maker's own.
OWN, WIRE, SALTED, PASTE, HOUSING, RESIN = "1", "1.7", "0.6", "4", "1.1", "2.5"
TOTAL = (
    Fraction(OWN)
    + 2 * Fraction(3)  # cells without their ore
    + Fraction("0.7") * Fraction(WIRE)  # the later statement, not the superseded one
    + Fraction("0.9") * Fraction(SALTED)  # expired, and counted
    + Fraction("1.5")
    * (Fraction(PASTE) + Fraction("0.3") * (Fraction(HOUSING) + Fraction("0.4") * Fraction(RESIN)))
)


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """The products of a pack: each is wrong in its own way, but the first two."""

    paste: str
    resin: str
    housing: str
    wire: str
    salt: str
    film: str
    binder: str
    foil: str
    label: str
    pack: str
    old_wire: str

    def missing(self, market: Any) -> Mapping[str, tuple[str, set[str]]]:
        """Return of whom each missing product is, and whose value needs it."""
        return {
            ORE: (market.origin(MINE), {CELL, self.pack}),
            self.foil: (market.origin(FOIL), {self.pack}),
            self.binder: (market.origin(LIAR), {self.pack}),
            self.film: (market.origin(HONEST), {self.pack}),
            self.label: (market.origin(HONEST), {self.pack}),
        }


def years_ago(years: int) -> Interval:
    year = int(last_full_year(datetime.now(UTC)).start[:4]) - years
    return Interval(start=f"{year}-01-01T00:00:00Z", end=f"{year + 1}-01-01T00:00:00Z")


def keeps_its_recipe(market: Any, name: str, product: str) -> None:
    """Let a supplier add a product up as the pack maker does, and show no more than the result."""
    node = market.member(name).node
    order = Order(
        product=product, amount=None, at=node.clock(), keeping=Keeping.SECRET, sharing="public"
    )
    done = market.ask(lambda fetcher: run.roll_up(node, fetcher, order))
    assert done.witnessed.published


def corrected(market: Any, name: str, product: str, kg: str, better: str) -> str:
    """Publish a statement and then its correction; return the first one's commitment."""
    [first] = market.publish(name, market.part(name, product, kg))
    fixed = market.part(name, product, better)
    market.publish(name, status.replacing(fixed, first.commitment, Status.CORRECTED))
    return str(first.commitment)


def wrong(market: Any) -> Wrong:
    """Let everybody publish; of the pack there is a first roll-up, of what is superseded since."""
    new = market.new_urn
    resin, housing, paste, binder = new(LIAR), new(REFINERY), new(LIAR), new(LIAR)
    wire, salt, film, label = (new(HONEST) for _ in range(4))
    foil, pack = new(FOIL), new(HEAD)
    market.publish(LIAR, market.part(LIAR, resin, RESIN))
    of_resin = [market.bought(LIAR, resin, "0.4")]
    market.publish(REFINERY, market.part(REFINERY, housing, HOUSING, of_resin, sharing="direct"))
    keeps_its_recipe(market, REFINERY, housing)
    market.publish(LIAR, market.part(LIAR, paste, PASTE, [market.bought(REFINERY, housing, "0.3")]))
    less = Stages(production=Components(fossil="6"))
    lie = market.payload(market.part(LIAR, binder, "7", footprint=less))
    market.enter(market.signed(lie), binder)
    market.publish(FOIL, market.part(FOIL, foil, "4"))
    market.publish(HONEST, market.part(HONEST, salt, SALTED, period=years_ago(6)))
    pinned = corrected(market, HONEST, film, "8", "7.5")
    [old] = market.publish(HONEST, market.part(HONEST, wire, "9", period=years_ago(1)))

    wires = market.bought(HONEST, wire, "0.7")
    [first] = market.publish(HEAD, market.part(HEAD, pack, OWN, [wires]))
    market.run(pack)
    later = market.part(HONEST, wire, WIRE)
    market.publish(HONEST, status.replacing(later, old.commitment, Status.SUPERSEDED))
    lines = [
        market.bought(HONEST, CELL, "2"),
        wires,
        market.bought(HONEST, salt, "0.9"),
        market.bought(HONEST, film, "0.2", statement=pinned),
        market.bought(HONEST, label, "0.1"),
        market.bought(LIAR, paste, "1.5"),
        market.bought(LIAR, binder, "5"),
        market.bought(FOIL, foil, "3"),
    ]
    whole = market.part(HEAD, pack, OWN, lines)
    market.publish(HEAD, status.replacing(whole, first.commitment, Status.CORRECTED))
    return Wrong(
        paste=paste,
        resin=resin,
        housing=housing,
        wire=wire,
        salt=salt,
        film=film,
        binder=binder,
        foil=foil,
        label=label,
        pack=pack,
        old_wire=old.commitment,
    )


def rolled_up(market: Any, pack: str) -> tuple[run.Run, float]:
    """Return a run whose roll-up is published, and how long it took; witnesses are asked anew."""
    node = market.member(HEAD).node
    order = Order(product=pack, amount=None, at=node.clock())
    why: object = None
    for _ in range(TRIES):
        began = time.monotonic()
        done = market.ask(lambda fetcher: run.roll_up(node, fetcher, order), hurried=True)
        seconds = time.monotonic() - began
        if done.published is not None and (done.witnessed is None or done.witnessed.published):
            return done, seconds
        why = done.unentered or done.witnessed
    pytest.fail(f"not published in {TRIES} runs: {why}")


def verified(market: Any, pack: str, folder: Path) -> tuple[int, dict[str, Any]]:
    """Return what `bcca-verify` says of the bundle, in a process of its own: status and answer."""
    bundle = folder / "pack.bcca.jsonl"
    bundle.write_bytes(b"".join(market.bundle(pack)))
    policy = market.member(HEAD).node.settings.data / "policy.txt"
    done = subprocess.run(
        [sys.executable, "-m", "bcca_protocol", str(bundle), "--policy", str(policy), "--json"],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=VERIFY_SECONDS,
    )
    return done.returncode, json.loads(done.stdout)


def require_told(reason: str, *parts: str) -> None:
    """Fail unless a reason holds all of `parts`."""
    assert [part for part in parts if part not in reason] == [], reason


def reasons_of(done: run.Run, market: Any, made: Wrong) -> dict[str, str]:
    """Return why each gap is one, by product: of the right supplier, with its dependents."""
    graph = done.sum.totals.graph
    expected = made.missing(market)
    found = {}
    for edge in done.statement.manifest or ():
        if not isinstance(edge.resolved.gap, Gap):
            continue
        part = graph.parts[graph.index[edge.consumer]]
        [bought] = [each for each in part.bought if each.line == edge.line]
        found[bought.product] = edge.resolved.gap.reason
        origin, needed_by = expected[bought.product]
        needing = explain.dependents(done.sum.totals, bought.product, origin)
        assert (bought.origin, {each.product for each in needing}) == (origin, needed_by)
    assert found.keys() == expected.keys()
    return found


def require_each_is_told(done: run.Run, market: Any, made: Wrong) -> None:
    """Fail unless each thing that is wrong is told for what it is."""
    told = reasons_of(done, market, made)
    require_told(told[ORE], market.member(MINE).url)
    require_told(told[made.foil], f"{market.member(FOIL).url}{STATEMENTS}", "no answer in time")
    require_told(told[made.binder], "footprint production.fossil is written as 6", "give 7")
    require_told(told[made.film], "no current statement", "corrected")
    require_told(told[made.label], f"no statement for {made.label}", "bcca request")
    assert done.statement.incomplete
    outdated = {(each.product, each.supplier, each.standing) for each in done.outdated}
    superseded = (made.wire, market.origin(HONEST), Standing.SUPERSEDED)
    assert outdated == {superseded, (made.pack, market.origin(HEAD), Standing.CORRECTED)}
    assert made.old_wire in {each.commitment for each in done.outdated}
    reached = {each.part.product: each for each in done.sum.collected.reached.values()}
    assert isinstance(reached[made.housing].signed, Leaf)
    assert made.resin not in reached  # a cumulative footprint buys nothing more
    words = {code: [r.words for r in done.verdict.blocks if r.code == code] for code in CODES}
    assert {code: len(each) for code, each in words.items()} == {"gap": 5, "expired": 1}
    require_told(words["expired"][0], made.salt, market.origin(HONEST))


def test_a_run_where_everything_is_wrong_at_once_ends_and_reports_each(
    own_market: Any,
    lies: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    market, made = own_market, wrong(own_market)
    market.network.stop(MINE)
    market.lies(STATEMENTS, lies.hangs(), by=FOIL)

    done, seconds = rolled_up(market, made.pack)

    assert seconds < BOUND_SECONDS
    require_each_is_told(done, market, made)
    status_of, answer = verified(market, made.pack, tmp_path)
    total = footprint.total(footprint.decode(done.statement.footprint))
    assert Fraction(total) == TOTAL
    assert (status_of, answer["verdict"], answer["total"]) == (3, "incomplete", plain(total))
    said = "\n".join(answer["notVerified"])
    require_told(said, *made.missing(market), *reasons_of(done, market, made).values())
    require_told(said, f"of {made.housing} is the word of", made.salt, "expired: ")

    # The command, with its own patience: the slow one now breaks off, after a while.
    market.lies(STATEMENTS, lies.breaks_off(b"{", 100), by=FOIL)
    monkeypatch.setenv("BCCA_PASSPHRASE", "correct horse battery staple")
    data = market.member(HEAD).node.settings.data
    exit_status = bcca(["aggregate", made.pack, "--data", str(data), "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert (exit_status, shown["total"]) == (INCOMPLETE, plain(total))
    assert {each["product"] for each in shown["missing"]} == set(made.missing(market))
