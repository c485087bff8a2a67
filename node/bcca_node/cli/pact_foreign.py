"""`bcca pact foreign|show|accept`: footprints that others sent, and what is wrong with them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, TypeAlias

import typer
from sqlmodel import Session

from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.partner_names import pact_called
from bcca_node.cli.screen import put_json, say, shortened, show_table
from bcca_node.packmaker import unsigned
from bcca_node.packmaker.unsigned import Unsigned
from bcca_node.pact import intake, latest
from bcca_node.pact.judge import Judged
from bcca_node.pact.latest import Key, Successor
from bcca_node.storage import foreign
from bcca_node.storage.foreign import Foreign, Problem
from bcca_protocol import period
from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

MAX_LISTED = 500  # of those that came last; --partner lists those of one
MAX_CALLED = 50  # contents of one name that are looked at: a host shows one again now and then
MAX_USE_CHARS = 80  # of one row; `bcca pact show` has all of it
COLUMNS = ("id", "of", "product", "trust", "problems", "use")

Successors: TypeAlias = Mapping[Key, Successor]

IdArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="The footprint; the first digits of its id or digest do."),
]


def add(group: typer.Typer) -> None:
    """Add the commands to those of PACT."""
    group.command("foreign", epilog="Example: bcca pact foreign --data node")(list_foreign)
    group.command("show", epilog="Example: bcca pact show 3f9a --data node")(show)
    group.command(
        "accept", epilog="Example: bcca pact accept 3f9a --reason 'checked by telephone'"
    )(accept)


def list_foreign(
    data: DataOption,
    partner: Annotated[str | None, typer.Option(metavar="NAME", help="Of one partner.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List footprints that PACT partners sent or showed, the newest first.

    One whose status alone has changed since is one row; --json has each content that came.
    """
    with open_node(data) as node:
        origin = None if partner is None else pact_called(node, partner).origin
        with node.database.read() as session:
            found = foreign.every(session, origin, last=MAX_LISTED)[::-1]
            count = foreign.count(session, origin)
            after = latest.successors(session, found)
    if as_json:
        put_json({"footprints": in_json(found, after), "count": count})
        return
    if not found:
        say("No footprint of another came yet: `bcca pact pull PARTNER`.")
        return
    show_table(COLUMNS, as_rows(found, after))
    if count > len(found):
        say(f"and {count - len(found)} that came before")


def show(footprint: IdArgument, data: DataOption, as_json: JsonOption = False) -> None:
    """Show a footprint of another: what it says as it came, and what is wrong with it by field."""
    with open_node(data) as node, node.database.read() as session:
        found = _called(session, footprint)
        after = _after(session, found)
    said = intake.read(found)
    if as_json:
        [told] = in_json([found], after)
        put_json(told | {"content": found.content.decode(errors="replace")})
        return
    rows = [(name, text) for name, text in _said(said) if text]
    show_table(("", ""), [("id", found.id), ("of", found.partner), ("digest", found.digest), *rows])
    say(f"trust: {_trust(found)}", f"use: {_use(found, said, after.get(latest.key(found)))}")
    in_run = _in_run(found, said)
    if isinstance(in_run, Unsigned):
        when = "" if found.is_usable else "if you accept it, "
        say(f"{when}a run says: {in_run.told}")
    if found.told:
        say(f"the statement that it carries is not believed: {found.told}")
    for each in found.problems:
        say(f"{each.weight:7}  {_sentence(each)}")


def accept(
    footprint: IdArgument,
    data: DataOption,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why it may be used; empty takes it back.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Let an unsigned footprint be used in spite of its fatal problems; runs tell that you did.

    Where its components do not come to its total, the total counts: the difference is put into
    fossil. What no run can use all the same is refused.
    """
    with open_node(data) as node, node.database.write() as session:
        found = _called(session, footprint)
        if reason:
            kept = intake.accept(session, found, reason, node.clock())
            unsigned.require_accepted(kept)
        else:
            kept = intake.unaccept(session, found)
        after = _after(session, kept)
    if as_json:
        put_json(*in_json([kept], after))
        return
    say(f"footprint {kept.id} of {kept.partner}: {_use(kept, intake.read(kept))}")


def as_rows(found: Sequence[Foreign], after: Successors) -> list[tuple[str, ...]]:
    """Return footprints as rows of COLUMNS, each once; `after` is what took their places."""
    return [_row(each, after.get(latest.key(each))) for each in latest.one_of_each(found)]


def in_json(found: Sequence[Foreign], after: Successors) -> list[dict[str, object]]:
    """Return footprints as programs read them, every content, without the content itself."""
    return [_in_json(each, after.get(latest.key(each))) for each in found]


def _row(each: Foreign, by: Successor | None) -> tuple[str, ...]:
    said = intake.read(each)
    product = said.product_name or ", ".join(said.product_ids)
    fatal, rest = len(each.fatal), len(each.problems) - len(each.fatal)
    counted = [f"{fatal} fatal"] * bool(fatal) + [f"{rest} other"] * bool(rest)
    use = shortened(_use(each, said, by), MAX_USE_CHARS)
    return (each.id, each.partner, product[:60], each.trust, ", ".join(counted), use)


def _in_json(each: Foreign, by: Successor | None) -> dict[str, object]:
    said = intake.read(each)
    return {
        "id": each.id,
        "partner": each.partner,
        "digest": each.digest,
        "received": period.text_at(each.received),
        "trust": each.trust,
        "statement": each.statement or None,
        "notBelieved": each.told or None,
        "deprecated": each.is_deprecated,
        "supersededBy": None if by is None else by._asdict(),
        "usable": each.is_usable and not isinstance(_in_run(each, said), str),
        "accepted": None if each.accepted is None else period.text_at(each.accepted),
        "why": each.why or None,
        "companyIds": [*said.company_ids],
        "productIds": [*said.product_ids],
        "problems": [{"field": p.field, "weight": p.weight, "told": p.told} for p in each.problems],
    }


def _called(session: Session, beginning: str) -> Foreign:
    """Return the one footprint whose id begins so; raises UnusableError for none or several."""
    found = latest.one_of_each(foreign.called(session, beginning, MAX_CALLED))
    if not found or not beginning:
        raise UnusableError(
            f"{showable(beginning[:40])!r}: no footprint that came has such an id; "
            "`bcca pact foreign` lists them"
        )
    if len(found) > 1:
        raise UnusableError(
            f"{beginning}: begins the id of several, such as {_named(found[0])} and "
            f"{_named(found[1])}: write more of it, or of its digest"
        )
    return found[0]


def _named(each: Foreign) -> str:
    return f"{each.id} of {each.partner} (digest {each.digest[:12]})"


def _said(said: Judged) -> list[tuple[str, str]]:
    """Return what a footprint says, as far as it can be read."""
    day = "%Y-%m-%d"
    span = "" if not said.start or not said.end else f"{said.start:{day}} to {said.end:{day}}"
    numbers = [(name, f"{value:f} kg CO2e") for name, value in said.numbers.items()]
    per = "" if said.amount is None else f"{said.amount:f} {said.unit or '?'}"
    return [
        ("product", said.product_name),
        ("productIds", ", ".join(said.product_ids[:10])),
        ("company", said.company_name),
        ("companyIds", ", ".join(said.company_ids[:10])),
        ("per", per),
        *numbers,
        ("gwp", said.gwp or ""),
        ("geography", said.geography or "global"),
        ("period", span),
        ("valid until", "" if said.valid_until is None else f"{said.valid_until:{day}}"),
    ]


def _trust(each: Foreign) -> str:
    if each.trust == foreign.Trust.SIGNED:
        return f"signed: it says what statement {each.statement} says, which its log holds"
    return "unsigned: a third party's word"


def _in_run(each: Foreign, said: Judged) -> Unsigned | str | None:
    """Return what a run takes from a footprint, were it accepted; else why it takes nothing.

    None is for one that is signed: its statement feeds a run, and not it.
    """
    if each.trust == foreign.Trust.SIGNED:
        return None
    if each.fatal and each.accepted is None:
        each = replace(each, accepted=each.received, why="(your --reason)")
    try:
        return unsigned.read(each, said)
    except UnusableError as error:
        return str(error)


def _after(session: Session, each: Foreign) -> Successors:
    return latest.successors(session, foreign.contents(session, each.partner, each.id))


def _use(each: Foreign, said: Judged, by: Successor | None = None) -> str:
    if by is not None and by.id != each.id:
        return f"none: superseded by {by.id}"
    if each.is_deprecated:
        return "none: deprecated"
    in_run = _in_run(each, said)
    if in_run is None:
        return "its signed statement"
    if isinstance(in_run, str):
        return f"none: {showable(in_run)}"
    if each.accepted is not None:
        return f"may fill a gap: accepted ({each.why})"
    return "none, unless you accept it" if each.fatal else "may fill a gap"


def _sentence(problem: Problem) -> str:
    return f"{problem.field}: {problem.told}" if problem.field else problem.told
