"""`bcca audit log`: a whole log checked by somebody who trusts nobody."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bcca_node.auditor import logs, places
from bcca_node.auditor.logs import Audit
from bcca_node.auditor.places import Place
from bcca_node.auditor.report import Report
from bcca_node.cli.given import JsonOption
from bcca_node.cli.screen import console, put_json, say
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import host_of, hosts_of
from bcca_node.settings import Settings
from bcca_protocol.errors import PolicyError, RefusedError, UnusableError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.limits import MAX_POLICY_BYTES
from bcca_protocol.policy import Policy

HOLDS, WRONG = 0, 1

_EXAMPLE = "Example: bcca audit log https://mine.example/bcca --policy policy.txt"


def add(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="Check what others keep.")
    group.callback()(_audit)
    group.command("log", epilog=_EXAMPLE)(audit_log)
    app.add_typer(group, name="audit")


def audit_log(
    log: Annotated[
        str,
        typer.Argument(metavar="ORIGIN|URL|DIR", help="A log of the policy, a web address, files."),
    ],
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Whom you believe, and who is asked.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="VKEY", help="The log's key, where no policy has it.")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write a proof that the log lied.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="BCCA_DATA", metavar="DIR", help="A node that remembers."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Check a whole log: every entry, tile, key and status, and that it shows all the same tree.

    No node is needed; one lends its policy and remembers what was met. The exit status is 0 if
    all holds, 1 if something is wrong.
    """
    if evidence is not None and evidence.exists():
        raise UnusableError(f"{evidence} is there already: name another file for the evidence")
    if evidence is not None and not evidence.absolute().parent.is_dir():
        raise UnusableError(f"{evidence}: its folder is not there: make it first")
    known = None if key is None else _key(key)
    with _node(data) as node:
        trusted = _policy(policy, node)
        with _watching() as on_progress:
            report = asyncio.run(_run(log, trusted, known, node, on_progress))
    if (Path(log) / "statements").is_dir():
        report.unjudged.append(
            "the statements in this folder: the log holds their entries, and whoever collects "
            "checks each against its own"
        )
    if evidence is not None and report.evidence:
        write_whole(evidence, report.evidence[0].encode())
    if as_json:
        put_json(_as_json(report))
    else:
        _print(report, evidence)
    return WRONG if report.problems else HOLDS


async def _run(
    log: str,
    trusted: Policy | None,
    key: VerifierKey | None,
    node: Node | None,
    on_progress: Callable[[int], None],
) -> Report:
    at_url = log.startswith(("http://", "https://"))
    # Whoever names an address himself may mean one of his own network.
    named = {host_of(log)} if at_url else set[str]()
    hosts = named if trusted is None else named | _hosts(trusted)
    async with Fetcher(hosts) as fetcher:
        place = await _place(fetcher, log, trusted, node)
        at = int(time.time()) if node is None else node.clock()
        asked = Audit(place=place, fetcher=fetcher, at=at, policy=trusted, key=key, node=node)
        return await logs.audit(asked, on_progress=on_progress)


async def _place(fetcher: Fetcher, log: str, trusted: Policy | None, node: Node | None) -> Place:
    """Return where the log is; raises UnusableError for a name that leads nowhere."""
    if log.startswith(("http://", "https://")):
        return await places.at_url(fetcher, log)
    if Path(log).is_dir():
        return places.in_folder(Path(log))
    if node is not None and node.origin == log:
        return places.Own(node)
    line = None if trusted is None else trusted.logs.get(log)
    if line is None or line.url is None:
        raise UnusableError(
            f"{log!r} is no address, no folder, and no log with an address in the policy: "
            "name one of these"
        )
    return places.Site(fetcher, line.url.rstrip("/"))


@contextmanager
def _node(data: Path | None) -> Iterator[Node | None]:
    """Yield the node that remembers, None where there is none."""
    node = None if data is None else Node.open(Settings.load(data))
    with nullcontext() if node is None else closing(node):
        yield node


def _policy(path: Path | None, node: Node | None) -> Policy | None:
    """Return the policy of a file, else that of the node, else None; raises PolicyError."""
    if path is None:
        return None if node is None else node.trust.policy()
    try:
        with path.open("rb") as file:
            return Policy.parse(file.read(MAX_POLICY_BYTES + 1).decode())
    except UnicodeDecodeError as error:
        raise PolicyError(f"policy {path}: not UTF-8: {error.reason}") from error


def _key(text: str) -> VerifierKey:
    try:
        return VerifierKey.parse(text)
    except RefusedError as error:
        raise UnusableError(f"--key {error}") from error


def _hosts(trusted: Policy) -> frozenset[str]:
    try:
        return hosts_of(trusted)
    except RefusedError as error:
        raise PolicyError(f"policy: {error}") from error


@contextmanager
def _watching() -> Iterator[Callable[[int], None]]:
    """Yield who draws a bar while entries are read, where somebody looks."""
    out = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=out, transient=True, disable=not out.is_terminal
    ) as bar:
        task = bar.add_task("entries read", total=None)
        yield lambda done: bar.update(task, completed=done)


def _print(report: Report, evidence: Path | None) -> None:
    say(f"Log {report.origin}")
    say(*(f"  {step.number}. {step.what}: {step.found}" for step in report.steps))
    if report.unjudged:
        say("Not judged:", *(f"  - {each}" for each in report.unjudged))
    if report.problems:
        say("WRONG:", *(f"  - {each}" for each in report.problems))
    for each in report.evidence[:1]:
        kept = "name a file with --evidence to keep it" if evidence is None else f"see {evidence}"
        say(f"It showed two trees, and that is proven ({each.id}): {kept}.")
        if evidence is not None:
            say(f"Anybody can check it with: bcca-verify --misbehaviour {evidence}")
    say("NOT ALL HOLDS." if report.problems else "ALL HOLDS.")


def _as_json(report: Report) -> dict[str, object]:
    return {
        "verdict": "wrong" if report.problems else "holds",
        "origin": report.origin,
        "size": str(report.size),
        "root": report.root.hex(),
        "key": None if report.key is None else report.key.encode(),
        "steps": [step._asdict() for step in report.steps],
        "notJudged": report.unjudged,
        "problems": report.problems,
        "evidence": [each.id for each in report.evidence],
    }


def _audit() -> None:
    """Keep `log` a command of its own, though it is the only one."""
