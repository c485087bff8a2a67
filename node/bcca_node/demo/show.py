"""The demo: a case split over its companies, published, collected, added up, checked offline."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from bcca_node.demo import sharing
from bcca_node.demo.network import Member, Network
from bcca_node.demo.roster import company_of
from bcca_node.demo.survey import survey
from bcca_node.ledger.publish import State, publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import guard
from bcca_node.network.client import Fetcher
from bcca_node.packmaker.bundling import write_bundle
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.plan import Progress
from bcca_node.packmaker.run import Run, roll_up
from bcca_node.supplier.case_drafts import draft_predicates, last_full_year
from bcca_node.supplier.cases import Case, Reference, urn
from bcca_protocol import period
from bcca_protocol.errors import RefusedError, UnavailableError
from bcca_protocol.keys import Role
from bcca_protocol.statement import PartialFootprint, Sharing

BUNDLE = "pack.bcca.jsonl"
PUBLISHING = 4  # nodes publishing at once: more only wait for the two cores
VERIFY_SECONDS = 120
TRIES = 3  # to have the result witnessed: all nodes share this process, and answer late at times


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What is added up, and by process whose statement is not public.

    Where any is not, each company shows its customers what they buy, and hands on what it may.
    """

    case: Case
    reference: Reference
    shared: Mapping[str, Sharing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """Who hears how far the demo is."""

    step: Callable[[str], None]
    progress: Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What `bcca-verify` said in a process of its own."""

    status: int
    answer: Mapping[str, Any]

    @property
    def steps(self) -> list[str]:
        """Return what was checked, a sentence a step."""
        return [f"{s['number']}. {s['what']}: {s['found']}" for s in self.answer["steps"]]

    @property
    def unverified(self) -> list[str]:
        """Return what nobody can verify from the bundle."""
        return [str(item) for item in self.answer["notVerified"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the demo came to. `products` is kg CO2e per one unit, excluding uptake, by process."""

    run: Run
    products: Mapping[str, Decimal]
    statements: int
    verified: int
    troubles: Mapping[tuple[str, str], str]
    bundle: Path
    policy: Path
    checked: Checked


async def show(network: Network, play: Play, folder: Path, watcher: Watcher) -> Shown:
    """Return what came of publishing, collecting, adding up and checking a case on `network`."""
    case, reference, shared = play.case, play.reference, play.shared
    head = network.members[company_of(case, reference.process_id).id]
    trusted = head.node.trust.required()
    signer = head.node.keys.signer(Role.REQUEST)
    async with Fetcher(guard.hosts_of(trusted), signer=signer) as fetcher:
        said = drafts(network, case, shared)
        watcher.step(f"{len(said)} companies sign and publish {len(case.processes)} statements")
        await publish_all(network, said, fetcher)
        if shared:
            watcher.step("each shows its customers what they buy, and collects what it may hand on")
            sharing.acquaint(network, case)
            await sharing.gather_all(network)
        watcher.step(f"{head.seat.name} collects, tier by tier, and verifies")
        order = Order(
            product=urn(case.name, reference.process_id),
            amount=reference.amount,
            at=head.node.clock(),
            on_progress=watcher.progress,
        )
        run = await _published(head, fetcher, order)
        every = await survey(network, head, case, run.sum, fetcher)
    watcher.step("the bundle is written, and bcca-verify checks it in a process of its own")
    # Where not all of it is public, all of it is for the pack maker itself.
    bundle = _write(head, run, folder / BUNDLE, to=head.node.origin if shared else None)
    policy = head.node.settings.data / "policy.txt"
    return Shown(
        run=run,
        products=every.products,
        statements=len(case.processes),
        verified=every.verified,
        troubles={**run.sum.collected.troubles, **every.troubles},
        bundle=bundle,
        policy=policy,
        checked=_check(bundle, policy),
    )


def drafts(
    network: Network, case: Case, shared: Mapping[str, Sharing]
) -> dict[str, list[PartialFootprint]]:
    """Return what each company states of its own processes, by the id of its seat."""
    urns = {urn(case.name, process_id): each for process_id, each in shared.items()}
    makers = {each: company_of(case, each) for each in case.processes}
    shares: dict[str, list[str]] = {}
    for process_id, company in makers.items():
        shares.setdefault(company.id, []).append(process_id)
    year = last_full_year(datetime.now(UTC))
    said = {
        company: draft_predicates(
            case,
            processes,
            lambda process_id: network.members[makers[process_id].id].supplier,
            lambda process_id: makers[process_id],
            year,
        )
        for company, processes in shares.items()
    }
    return {
        company: [
            msgspec.structs.replace(each, sharing=urns.get(each.product.id, each.sharing))
            for each in parts
        ]
        for company, parts in said.items()
    }


async def publish_all(
    network: Network, said: Mapping[str, Sequence[PartialFootprint]], fetcher: Fetcher
) -> None:
    """Let each company sign and publish its own; raises UnavailableError without a quorum."""
    turns = asyncio.Semaphore(PUBLISHING)
    members = network.members
    await asyncio.gather(
        *(_publish(members[id_], each, fetcher, turns) for id_, each in said.items())
    )


async def _publish(
    member: Member,
    said: Sequence[PartialFootprint],
    fetcher: Fetcher,
    turns: asyncio.Semaphore,
) -> None:
    async with turns:
        await asyncio.to_thread(publish, member.node, said)
        witnessed = await witness(member.node, fetcher)
    if not witnessed.published:
        raise UnavailableError(f"{member.seat.id}: {witnessed}")


async def _published(head: Member, fetcher: Fetcher, order: Order) -> Run:
    """Return the roll-up, entered and witnessed; raises UnavailableError where it is not."""
    why: object = ""
    for _ in range(TRIES):
        run = await roll_up(head.node, fetcher, order)
        if run.published is not None and run.published.state is State.PUBLISHED:
            return run
        why = run.unentered or run.witnessed
    raise UnavailableError(
        f"{order.product}: the result is not published after {TRIES} tries: {why}"
    )


def _write(head: Member, run: Run, path: Path, *, to: str | None) -> Path:
    made = period.text_at(head.node.clock())
    with path.open("xb") as file:
        product = run.statement.product.id
        file.writelines(write_bundle(head.node, product, made=made, recipient=to))
    return path


def _check(bundle: Path, policy: Path) -> Checked:
    """Run bcca-verify as an auditor would; raises RefusedError if it does not hold."""
    command = [sys.executable, "-m", "bcca_protocol", str(bundle), "--policy", str(policy)]
    done = subprocess.run(  # noqa: S603  # our own interpreter and files
        [*command, "--json"],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=VERIFY_SECONDS,
    )
    if done.returncode not in (0, 3):
        raise RefusedError(f"bcca-verify: {done.stderr.decode(errors='replace').strip()}")
    return Checked(status=done.returncode, answer=json.loads(done.stdout))
