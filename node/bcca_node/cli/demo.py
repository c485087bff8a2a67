"""`bcca demo`: a real battery over a real network on loopback."""

import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bcca_node.cli import picture, screen
from bcca_node.demo import roster, sharing, show
from bcca_node.demo.network import Ground, Network
from bcca_node.demo.show import Play, Shown, Watcher
from bcca_node.packmaker import explain, plan
from bcca_node.supplier import cases
from bcca_node.supplier.cases import Case, Reference
from bcca_protocol import footprint
from bcca_protocol.errors import UnusableError
from bcca_protocol.footprint import STAGES
from bcca_protocol.quantity import plain
from bcca_protocol.wire import showable

Data = Annotated[
    Path | None, typer.Option("--data", help="Keep the nodes' folders here; must be empty.")
]
CaseFolder = Annotated[Path | None, typer.Option("--case", help="A case folder of your own.")]
Product = Annotated[str | None, typer.Option(help="Process id, URN or name to add up.")]
Amount = Annotated[str | None, typer.Option(help="How much of it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Mixed = Annotated[
    bool, typer.Option("--mixed", help="Share few statements with all, and hand on the others.")
]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the nodes up until Ctrl-C.")]


_EXAMPLE = "Example: bcca demo --data network --keep"


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", epilog=_EXAMPLE)(demo)


def demo(
    data: Data = None,
    case: CaseFolder = None,
    product: Product = None,
    amount: Amount = None,
    mixed: Mixed = False,
    as_json: AsJson = False,
    keep: Keep = False,
) -> int:
    """Watch nineteen companies publish a real NMC622 pack, and a pack maker add it up."""
    began = time.monotonic()
    read = cases.read_case(cases.shipped_case() if case is None else case)
    reference = read.reference(product, amount)
    shared = sharing.mixed(read, reference) if mixed else {}
    play = Play(case=read, reference=reference, shared=shared)
    folder = _empty(data)
    out = screen.console(stderr=as_json)
    with _emptied_again(folder), tempfile.TemporaryDirectory(prefix="bcca-witnesses-") as aside:
        ground = Ground(folder=folder, aside=Path(aside), passphrase=_passphrase())
        head = roster.company_of(read, reference.process_id).id
        seats = roster.seats_of(read)
        _line(out, f"founding {len(seats)} nodes: keys, databases, logs, policies")
        with Network(ground, seats, head=head) as network:
            with _watching(out) as watcher:
                shown = asyncio.run(show.show(network, play, folder, watcher))
            seconds = Decimal(str(round(time.monotonic() - began, 1)))
            if as_json:
                sys.stdout.write(json.dumps(_as_json(read, shown, len(seats), seconds)) + "\n")
                sys.stdout.flush()
            else:
                _print(read, reference, shown, seconds)
            if keep:
                _wait(out, network)
    return shown.checked.status


def _empty(data: Path | None) -> Path:
    """Return an empty folder; raises UnusableError for one that is not."""
    if data is None:
        return Path(tempfile.mkdtemp(prefix="bcca-demo-"))
    try:
        data.mkdir(parents=True, exist_ok=True)
        is_empty = not any(data.iterdir())
    except OSError as error:
        raise UnusableError(f"--data {data}: {error.strerror}") from error
    if not is_empty:
        raise UnusableError(f"--data {data}: it is not empty; name a new folder")
    return data.resolve()


@contextmanager
def _emptied_again(folder: Path) -> Iterator[None]:
    """Leave nothing half-made in a folder that was empty, if what fills it fails."""
    try:
        yield
    except BaseException:
        for each in folder.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        raise


def _passphrase() -> str:
    """Return the passphrase of the demo's keys: given, to use the nodes later, or thrown away."""
    return os.environ.get("BCCA_PASSPHRASE") or secrets.token_urlsafe()


@contextmanager
def _watching(out: Console) -> Iterator[Watcher]:
    """Yield who prints the steps, and draws a bar while suppliers are asked."""
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("suppliers read", total=None, visible=False)

        def progress(now: plan.Progress) -> None:
            said = f"tier {now.tiers}, {now.statements} statements verified, suppliers read"
            bar.update(
                task, description=said, total=now.asked, completed=now.suppliers, visible=True
            )

        yield Watcher(step=lambda said: _line(out, said), progress=progress)


def _wait(out: Console, network: Network) -> None:
    """Leave the nodes up until somebody presses Ctrl-C; print where they are."""
    for member in network.members.values():
        _line(out, f"  {member.url}  {member.seat.name} ({member.node.origin})")
    _line(out, "The nodes stay up. Press Ctrl-C to end.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        _line(out, "ended")


def _print(case: Case, ref: Reference, shown: Shown, seconds: Decimal) -> None:
    added, checked = shown.run.sum, shown.checked
    for block in (picture.tree(added), picture.suppliers(added), picture.stages(added)):
        screen.say("")
        screen.show(block)
    screen.say("", *(f"  {step}" for step in checked.steps))
    screen.say(*(f"  not verified: {item}" for item in checked.unverified))
    screen.say(*(f"  trouble: {reason}" for reason in shown.troubles.values()))
    screen.say(
        "",
        f"{plain(explain.total(added))} kg CO2e for {plain(ref.amount)} {ref.unit} of "
        f"{case.processes[ref.process_id].product}",
        f"{checked.answer['verdict']}: {shown.verified} of {shown.statements} statements verified, "
        f"in {seconds} s; check it yourself, with the network unplugged:",
        f"  bcca-verify {shown.bundle} --policy {shown.policy}",
    )


def _line(out: Console, *lines: str) -> None:
    for line in lines:
        out.print(showable(line), soft_wrap=True)


def _as_json(case: Case, shown: Shown, nodes: int, seconds: Decimal) -> dict[str, object]:
    stated = shown.run.statement
    rolled = footprint.decode(stated.footprint)
    return {
        "case": case.name,
        "unit": stated.declared_unit.unit,
        "amount": stated.declared_unit.amount,
        "total": plain(footprint.total(rolled)),
        "components": {c: plain(kg) for c, kg in footprint.by_component(rolled).items()},
        "stages": {s: plain(footprint.by_stage(rolled)[s]) for s in STAGES},
        "products": {process_id: plain(kg) for process_id, kg in shown.products.items()},
        "nodes": nodes,
        "statements": shown.statements,
        "verified": shown.verified,
        "bundle": str(shown.bundle),
        "policy": str(shown.policy),
        "seconds": plain(seconds),
    }
