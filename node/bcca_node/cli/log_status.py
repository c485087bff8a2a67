"""`bcca log status`: how far this node's log has come with its witnesses, and what is wrong."""

from collections.abc import Iterator

import msgspec
from sqlmodel import Session

from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.screen import put_json, say, show_table
from bcca_node.ledger import heads
from bcca_node.ledger.node import Node
from bcca_node.storage import alarms, copies, logs, witnessed
from bcca_node.storage.logs import Head
from bcca_node.storage.witnessed import Cosigned
from bcca_protocol import period
from bcca_protocol.errors import BccaError
from bcca_protocol.policy import Policy, verify_checkpoint

WELL, ALARMED, PENDING = 0, 1, 3

EXAMPLE = "Example: bcca log status --data node"

_STATEMENT = "bcca/v1 statement "


class _Shown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What JSON shows in camel case."""


class _Witness(_Shown, frozen=True, kw_only=True):
    """How far a witness is: `lag` entries are not under its cosignature, given at `time`."""

    witness: str
    size: int
    lag: int
    time: str | None
    asked: str | None
    refused: str | None


class _Alarm(_Shown, frozen=True, kw_only=True):
    since: str
    what: str


class _Proof(_Shown, frozen=True, kw_only=True):
    origin: str
    found: str
    proof: str


class _Copy(_Shown, frozen=True, kw_only=True):
    origin: str
    size: int
    checked: str
    url: str | None
    introduced_by: str | None


class _Status(_Shown, frozen=True, kw_only=True):
    """All of it; `time` is as of when what is published is true, for whoever has our policy."""

    origin: str
    size: int
    published: int
    time: str | None
    not_believed: str | None
    pending_statements: int
    restored: bool
    ended: str | None
    witnesses: list[_Witness]
    alarms: list[_Alarm]
    misbehaviour: list[_Proof]
    copies: list[_Copy]


def status(data: DataOption, as_json: JsonOption = False) -> int:
    """Show what is published and as of when, how far each witness is, alarms, proofs and copies.

    Nobody is asked, and no passphrase is needed; `bcca doctor` asks. The exit status is 1 while an
    alarm stands, 3 while entries are pending, else 0.
    """
    with open_node(data) as node:
        trusted = node.trust.policy()
        with node.database.read() as session:
            found = _found(node, session, trusted)
    if as_json:
        put_json(msgspec.to_builtins(found))
    else:
        _print(found)
    if found.alarms:
        return ALARMED
    return PENDING if found.published < found.size else WELL


def _found(node: Node, session: Session, trusted: Policy | None) -> _Status:
    size, head = logs.size(session), logs.published_head(session)
    published = 0 if head is None else head.size
    time, not_believed = _time(node, head, trusted)
    return _Status(
        origin=node.origin,
        size=size,
        published=published,
        time=time,
        not_believed=not_believed,
        pending_statements=len(logs.lines_like(session, _STATEMENT, published)),
        restored=logs.restored(session),
        ended=_ended(node),
        witnesses=list(_witnesses(node, session, trusted, size)),
        alarms=[
            _Alarm(since=period.text_at(each.raised_at), what=each.what)
            for each in alarms.standing(session)
        ],
        misbehaviour=[
            _Proof(origin=each.origin, found=period.text_at(each.found_at), proof=each.id)
            for each in heads.proofs(session)
        ],
        copies=[
            _Copy(
                origin=each.origin,
                size=each.size,
                checked=period.text_at(each.checked_at),
                url=each.url,
                introduced_by=each.introduced_by,
            )
            for each in copies.every(session)
        ],
    )


def _time(node: Node, head: Head | None, trusted: Policy | None) -> tuple[str | None, str | None]:
    """Return as of when the published head is believed under our policy, or why it is not."""
    if head is None:
        return None, "nothing is published yet"
    if trusted is None:
        return None, "there is no policy.txt"
    try:
        seen = verify_checkpoint(head.note, node.key_of(head.note), trusted, at=node.clock())
    except BccaError as error:
        return None, str(error)
    return period.text_at(seen.time), None


def _witnesses(
    node: Node, session: Session, trusted: Policy | None, size: int
) -> Iterator[_Witness]:
    """Yield how far the witnesses of the policy are, in its order."""
    known = witnessed.cosigned(session)
    for line in () if trusted is None else trusted.witnesses.values():
        if line.key.name == node.origin:
            continue  # its own cosignature never counts
        nothing = Cosigned(witness=line.name, size=0, time=0, asked_at=0, refused="")
        last = known.get(line.name, nothing)
        yield _Witness(
            witness=line.name,
            size=last.size,
            lag=size - last.size,
            time=period.text_at(last.time) if last.time else None,
            asked=period.text_at(last.asked_at) if last.asked_at else None,
            refused=last.refused or None,
        )


def _ended(node: Node) -> str | None:
    """Return in words that the log has ended, if it has."""
    end = node.trust.ends().get(node.origin)
    if end is None:
        return None
    return (
        f"ended by its owner behind {end.size} entries, nothing is entered any more; "
        f"{end.successor.name} goes on"
    )


def _print(found: _Status) -> None:
    say(*(f"ALARM since {each.since}, nothing is entered: {each.what}" for each in found.alarms))
    as_of = found.not_believed if found.time is None else f"seen by a quorum at {found.time}"
    say(f"{found.origin}: {found.published} of {found.size} entries published, {as_of}")
    if found.published < found.size:
        say(f"  pending: {found.pending_statements} statements; run `bcca publish` or `bcca serve`")
    if found.restored:
        say("  restored from a backup: every witness has to answer before anything is entered")
    if found.ended is not None:
        say(f"  {found.ended}")
    if found.witnesses:
        show_table(
            ("witness", "last cosigned", "what is wrong", "entries", "lag"),
            [
                (w.witness, w.time or "never", w.refused or "", str(w.size), str(w.lag))
                for w in found.witnesses
            ],
            numbers=2,
        )
    for proof in found.misbehaviour:
        say(f"MISBEHAVIOUR of log {proof.origin}, found {proof.found}: proof {proof.proof}")
    if found.copies:
        show_table(
            ("copy of log", "checked", "introduced by", "entries"),
            [(c.origin, c.checked, c.introduced_by or "", str(c.size)) for c in found.copies],
            numbers=1,
        )
