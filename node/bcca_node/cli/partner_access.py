"""`bcca partners grant|revoke|appoint|dismiss|log`: what partners and their auditors see here."""

import re
from typing import Annotated

import typer
from sqlmodel import Session

from bcca_node.cli import mail
from bcca_node.cli.given import DataOption, JsonOption, age, open_node
from bcca_node.cli.partner_names import PartnerArgument, called, end_of, known, seconds
from bcca_node.cli.screen import listed, put_json, say, show_table, tell
from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import predicate_of
from bcca_node.partners import auditors
from bcca_node.storage import grants, logs, partners, statements
from bcca_node.storage.calls import Fetched
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.statements import OwnStatement
from bcca_protocol import period
from bcca_protocol.errors import UnusableError
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.wire import HEX_DIGEST, URN, showable

DONE, WAITING = 0, 3
WHY = "granted by hand"

ProductOption = Annotated[
    str | None, typer.Option(metavar="URN", help="All that this node states of a product.")
]
StatementOption = Annotated[
    str | None, typer.Option(metavar="COMMITMENT", help="One statement of this node.")
]
AllOption = Annotated[bool, typer.Option("--all", help="All that this node states.")]
UntilOption = Annotated[
    str | None, typer.Option(metavar="DATE", help="Until the end of which day.")
]

_URN = re.compile(URN)
_COMMITMENT = re.compile(HEX_DIGEST)


def add(group: typer.Typer) -> None:
    """Add the commands to those of partners."""
    group.command(
        "grant", epilog="Example: bcca partners grant pack.example/bcca --all --until 2027-12-31"
    )(grant)
    group.command(
        "revoke", epilog="Example: bcca partners revoke pack.example/bcca --all --data node"
    )(revoke)
    group.command(
        "appoint", epilog="Example: bcca partners appoint audit.example --until 2027-06-30"
    )(appoint)
    group.command("dismiss", epilog="Example: bcca partners dismiss audit.example --data node")(
        dismiss
    )
    group.command("log", epilog="Example: bcca partners log --since 30d --data node")(log)


def grant(
    partner: PartnerArgument,
    data: DataOption,
    everything: AllOption = False,
    product: ProductOption = None,
    statement: StatementOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a partner see statements of this node that not everybody sees."""
    scope, about = _scope(everything, product, statement)
    with open_node(data) as node:
        found = known(node, partner)
        if found.refused:
            raise UnusableError(f"{found.origin}: its keys are refused, so it sees nothing more")
        given = Grant(
            partner=found.origin,
            scope=scope,
            about=about,
            given=node.clock(),
            until=_until(node, until),
            why=WHY,
        )
        with node.database.write() as session:
            notes = _notes(node, session, scope, about)
            grants.put(session, given)
    if as_json:
        told = {"partner": found.origin, "scope": scope, "about": about}
        put_json({**told, "until": None if until is None else end_of(until, ""), "notes": notes})
        return
    say(f"{found.origin} may see {f'{scope} {about}'.rstrip()}{_said(until)}")
    tell(*notes)


def revoke(
    partner: PartnerArgument,
    data: DataOption,
    everything: AllOption = False,
    product: ProductOption = None,
    statement: StatementOption = None,
) -> None:
    """Take back what was granted; what a partner has fetched it has.

    It stays so until you grant it, or accept a request for it, again.
    """
    scope, about = _scope(everything, product, statement)
    with open_node(data) as node:
        found = known(node, partner)
        with node.database.write() as session:
            there = grants.drop(session, found.origin, scope, about, at=node.clock())
            left = grants.live(session, found.origin, node.clock())
    if not there:
        raise UnusableError(
            f"{found.origin} was not granted {f'{scope} {about}'.rstrip()}: "
            f"see `bcca partners show {found.origin}`"
        )
    say(f"{found.origin} was granted {f'{scope} {about}'.rstrip()}, and is no more")
    if any(each is Scope.ALL for each, _ in left):
        tell(
            f"It still sees all that this node states: `bcca partners revoke {found.origin} --all`"
        )


def appoint(
    auditor: PartnerArgument,
    data: DataOption,
    product: ProductOption = None,
    until: UntilOption = None,
) -> int:
    """Let an auditor see what this node sees: here, and at the suppliers that are partners.

    It is a partner that was invited as an auditor. Suppliers are told, and show it what they
    show this node, of one product or of all.
    """
    if product is not None:
        _require_urn(product)
    with mail.writing(data) as node:
        found = called(node, auditor)
        begun = mail.last(node)
        told = auditors.appoint(node, found, product=product or "", until=_until(node, until))
        trouble = mail.send(node, _suppliers(node, found.origin), begun)
    say(f"{found.origin} audits {product or 'all products'}{_said(until)}; suppliers told: {told}")
    tell(*trouble)
    return WAITING if trouble else DONE


def dismiss(auditor: PartnerArgument, data: DataOption, product: ProductOption = None) -> int:
    """End what an auditor may see, of one product or of all; suppliers are told."""
    with mail.writing(data) as node:
        found = called(node, auditor)
        begun = mail.last(node)
        if not auditors.dismiss(node, found.origin, product=product):
            raise UnusableError(f"{found.origin} is appointed for nothing of that: nothing to end")
        trouble = mail.send(node, _suppliers(node, found.origin), begun)
    say(f"{found.origin} audits {product or 'nothing'} no more")
    tell(*trouble)
    return WAITING if trouble else DONE


def log(
    data: DataOption,
    partner: Annotated[
        str | None, typer.Option(metavar="ORIGIN", help="What one partner was shown.")
    ] = None,
    product: ProductOption = None,
    statement: StatementOption = None,
    last: Annotated[str, typer.Option("--since", metavar="AGE", help="How far back.")] = "30d",
    as_json: JsonOption = False,
) -> None:
    """Show who fetched what, and when: every statement that a signed caller was shown."""
    with open_node(data) as node:
        start = node.clock() - age(last, "--since")
        origin = "" if partner is None else known(node, partner).origin
        found = node.calls.fetched(
            now=node.clock(),
            since=start,
            origin=origin,
            product=product or "",
            commitment=statement or "",
        )
    if as_json:
        put_json([_fetched_json(each) for each in found])
        return
    rows = [
        (period.text_at(e.last), e.origin or e.caller, e.how, str(e.times), e.commitment[:16])
        for e in found
    ]
    if rows:
        show_table(("last", "who", "how", "times", "statement"), rows)
    else:
        say(f"Nobody that signs its requests has fetched any of it for {last}.")


def _notes(node: Node, session: Session, scope: Scope, about: str) -> list[str]:
    """Return what to know of what is granted; raises UnusableError for no statement of this node.

    A product may be granted before anything is stated of it.
    """
    if scope is Scope.STATEMENT and statements.get(session, about) is None:
        raise UnusableError(
            f"--statement {about[:16]}…: this node has made no such statement: `bcca publish` "
            "prints the commitments of those it enters"
        )
    if scope is not Scope.PRODUCT:
        return []
    head = logs.published_head(session)
    there = statements.current(session, [about], 0 if head is None else head.size)
    if not there:
        return [f"no statement of {about} is published yet: what will be is granted"]
    own = sorted({name for each in there for name in _bought_here(node, each)})
    return [f"it is made of {listed(own)} of this node too, which is granted apart"] if own else []


def _bought_here(node: Node, own: OwnStatement) -> list[str]:
    """Return the products of this very node that a statement names among its inputs."""
    stated = predicate_of(own.envelope)
    lines = stated.inputs if isinstance(stated, PartialFootprint) else ()
    return [each.product for each in lines if each.supplier.origin == node.origin]


def _fetched_json(each: Fetched) -> dict[str, object]:
    return {
        "origin": each.origin,
        "key": each.caller,
        "commitment": each.commitment,
        "product": each.product,
        "how": each.how,
        "first": period.text_at(each.first),
        "last": period.text_at(each.last),
        "times": each.times,
    }


def _scope(everything: bool, product: str | None, statement: str | None) -> tuple[Scope, str]:
    """Return what is granted; raises UnusableError unless it is just one thing."""
    match everything, product, statement:
        case True, None, None:
            return Scope.ALL, ""
        case False, str(urn), None:
            _require_urn(urn)
            return Scope.PRODUCT, urn
        case False, None, str(commitment):
            if not _COMMITMENT.match(commitment):
                raise UnusableError(
                    f"--statement {showable(commitment[:80])!r}: write all 64 digits"
                )
            return Scope.STATEMENT, commitment
    raise UnusableError("say what: one of --all, --product URN and --statement COMMITMENT")


def _require_urn(product: str) -> None:
    if not _URN.match(product):
        raise UnusableError(f"--product {showable(product[:80])!r}: write its URN")


def _until(node: Node, day: str | None) -> int | None:
    if day is None:
        return None
    end = seconds(end_of(day, "--until"))
    if end <= node.clock():
        raise UnusableError(f"--until {day}: that day is over")
    return end


def _said(until: str | None) -> str:
    return "" if until is None else f", until the end of {until}"


def _suppliers(node: Node, auditor: str) -> set[str]:
    with node.database.read() as session:
        return {
            each.origin
            for each in partners.every(session)
            if partners.PartnerRole.SUPPLIER in each.roles and each.origin != auditor
        }
