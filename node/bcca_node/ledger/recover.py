"""Getting back what an old database lacks: entries of this node's own log that others still have.

Witnesses say how far the log had come, mirrors give its entries, and nothing is believed but what
hashes, behind the entries that are here, to a head that this log's own key signed (SPEC 5.11).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sqlmodel import Session

from bcca_node.ledger import alarm, ended, guard, log, mirror, payloads
from bcca_node.ledger.node import Node
from bcca_node.network import tlog
from bcca_node.network.client import Fetcher
from bcca_node.storage import alarms, logs, lost, statements
from bcca_node.storage.logs import Head
from bcca_node.storage.lost import Lost
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import StatementEntry, parse_entry
from bcca_protocol.errors import (
    BccaError,
    ConflictError,
    MalformedError,
    QuorumError,
    RefusedError,
    SignatureError,
    UnavailableError,
)
from bcca_protocol.note import Note, verify_note
from bcca_protocol.policy import Policy, verify_checkpoint
from bcca_protocol.tiles import TILE_WIDTH

_LOG, _WITNESS = "/log", "/witness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What came back: the log had `before` entries and now has `size`, of `seen` that there are.

    `lost` is what the log holds and nobody gave back, `found` what somebody did; `refused` is why
    a mirror or a witness was of no use.
    """

    before: int
    size: int
    seen: int
    via: str | None
    found: int
    lost: tuple[Lost, ...]
    refused: Mapping[str, str]

    @property
    def is_whole(self) -> bool:
        """Say whether nothing is known to be missing."""
        return self.size >= self.seen and not self.lost


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A head of this log that is shown at `url`."""

    url: str
    note: Note
    checkpoint: Checkpoint


async def recover(node: Node, fetcher: Fetcher, sources: Sequence[str] = ()) -> Recovered:
    """Bring the log of `node` to the newest head that anybody shows; no keys are needed.

    `sources` are URLs of its log elsewhere, asked beside every mirror that the policy names. An
    alarm ends where nothing is missing any more. Raises ConflictError where entries here are
    others than those that were shown to others, UnavailableError where no witness answered and
    there is no copy; UnusableError without a policy.
    """
    policy = node.trust.required()
    (heard, silent), (shown, refused) = await asyncio.gather(
        guard.ask(node, fetcher, policy), _shown_at(node, fetcher, _places(node, policy, sources))
    )
    if not heard and not shown:
        reasons = "; ".join(f"{name}: {why}" for name, why in (silent | refused).items())
        raise UnavailableError(
            f"log {node.origin}: nobody shows it, so try again later ({reasons})"
        )
    with node.database.read() as session:
        before = logs.size(session)
    via = None
    for each in sorted(shown, key=lambda it: it.checkpoint.size, reverse=True):
        if each.checkpoint.size <= before or via is not None:
            break
        try:
            await _catch_up(node, fetcher, each, policy)
            via = each.url
        except BccaError as error:
            refused[each.url] = str(error)
    places = [_statements_of(each.url) for each in shown]
    found = await payloads.find(node, fetcher, [f"{base}/statements" for base in places])
    heads = [(each.witness, each.note) for each in heard if each.note is not None]
    size, seen, missing = _settle(node, heads + [(each.url, each.note) for each in shown])
    return Recovered(
        before=before,
        size=size,
        seen=seen,
        via=via,
        found=found,
        lost=missing,
        refused=silent | refused,
    )


def _places(node: Node, policy: Policy, sources: Sequence[str]) -> list[str]:
    """Return where copies of this log may be, those that were named first."""
    logs_at = (line.url for name, line in policy.logs.items() if name != node.origin)
    witnesses_at = (line.url for line in policy.witnesses.values() if line.key.name != node.origin)
    bases = [
        *(url.rstrip("/").removesuffix(_LOG) for url in logs_at if url is not None),
        *(url.rstrip("/").removesuffix(_WITNESS) for url in witnesses_at if url is not None),
    ]
    mirrors = (mirror.url_of(base, node.origin) for base in bases)
    return list(dict.fromkeys(chain((url.rstrip("/") for url in sources), mirrors)))


def _statements_of(url: str) -> str:
    """Return under what the statements of a log stand that is shown at `url`."""
    return url.removesuffix(_LOG)


async def _shown_at(
    node: Node, fetcher: Fetcher, places: Sequence[str]
) -> tuple[list[_Shown], dict[str, str]]:
    """Return the heads of this log that are shown at `places`, and why others show none."""
    answers = await asyncio.gather(*(_shown(fetcher, url) for url in places))
    heads: list[_Shown] = []
    refused: dict[str, str] = {}
    with node.database.read() as session:
        for url, answer in zip(places, answers, strict=True):
            if isinstance(answer, BccaError):
                refused[url] = str(answer)
                continue
            try:
                head = alarm.read_head(node, session, answer)
            except BccaError as error:
                refused[url] = f"{url}: {error}"
            else:
                heads.append(_Shown(url=url, note=answer, checkpoint=head))
    return heads, refused


async def _shown(fetcher: Fetcher, url: str) -> Note | BccaError:
    try:
        return Note.parse(await tlog.fetch_checkpoint(fetcher, url))
    except BccaError as error:
        return error


async def _catch_up(node: Node, fetcher: Fetcher, shown: _Shown, policy: Policy) -> None:
    """Enter what is new in a copy, once all of it hashes to the head that this log signed."""
    with node.database.read() as session:
        size = logs.size(session)
        first = size - size % TILE_WIDTH
        edge = logs.entries(session, first, size)
    fetched = await tlog.fetch_from(fetcher, shown.url, first, shown.checkpoint.size)
    if list(fetched[: len(edge)]) != edge:
        raise ConflictError(_differ(node, shown, size))
    try:
        lines = [each.decode() for each in fetched[len(edge) :]]
    except UnicodeDecodeError as error:
        raise MalformedError(f"{shown.url}: an entry is not UTF-8: {error.reason}") from error
    with node.database.write() as session:
        if logs.size(session) != size:
            raise UnavailableError(f"log {node.origin}: it grew meanwhile, so run this again")
        log.append(session, lines)
        total = shown.checkpoint.size
        if merkle.root_hash(total, log.subtree(session, total)) != shown.checkpoint.root:
            raise ConflictError(_differ(node, shown, size))
        _require_good(session, shown)
        logs.put_head(session, _head(node, shown, policy))
        _note_statements(session, size, lines)


def _differ(node: Node, shown: _Shown, size: int) -> str:
    return (
        f"log {node.origin}: the {size} entries here are not the first of the "
        f"{shown.checkpoint.size} that {shown.url} shows under a head of this log"
    )


def _require_good(session: Session, shown: _Shown) -> None:
    """Return if a log key signed the head that is good behind all its entries (SPEC 5.4)."""
    try:
        verify_note(shown.note, alarm.good_keys(session))
    except SignatureError as error:
        raise SignatureError(
            f"{shown.url}: its head of {shown.checkpoint.size} entries is signed by no log key "
            "that is good behind them"
        ) from error


def _head(node: Node, shown: _Shown, policy: Policy) -> Head:
    """Return the head that is shown, published if a quorum is behind it."""
    note = shown.note.encode()
    try:
        verify_checkpoint(note, node.key_of(note), policy, at=node.clock())
        published = True
    except QuorumError:
        published = False
    return Head(
        size=shown.checkpoint.size, root=shown.checkpoint.root, note=note, published=published
    )


def _note_statements(session: Session, first: int, lines: Sequence[str]) -> None:
    """Note which statements entries from `first` on enter and end; their payloads are missing."""
    missing: dict[str, Lost] = {}
    for index, line in enumerate(lines, first):
        try:
            entry = parse_entry(line)
        except RefusedError:
            break  # a broken log: nothing behind it counts (SPEC 5.6)
        if isinstance(entry, StatementEntry):
            name = entry.commitment.hex()
            missing.setdefault(name, Lost(commitment=name, index=index, line=line))
    for own in statements.find(session, list(missing)):
        missing.pop(own.commitment)  # entered again: the first entry counts
    for known in lost.find(session, list(missing)):
        missing.pop(known.commitment)
    lost.add(session, list(missing.values()))
    ends = ended.read(session, first)
    start, last = 0, first if ends else 0
    while start < last:
        page = statements.page(session, start, last)
        for own in page:
            at = ends.get(ended.handle_of(own))
            if at is not None:
                statements.end(session, own.commitment, at)
        start = page[-1].index + 1 if page else last


def _settle(node: Node, heads: Sequence[tuple[str, Note]]) -> tuple[int, int, tuple[Lost, ...]]:
    """Return how many entries are here, how many somebody has seen, and which statements are lost.

    The alarms end where all `heads`, pairs of who showed one and its note, are of the tree here,
    and all that this node ever met: nobody shows a head again that one witness alone has seen.
    """
    with node.database.write() as session:
        size = logs.size(session)
        met = [("somebody", note) for note in alarm.known_heads(node, session)]
        heads = [*(each for each in heads if _counts(node, session, each[1])), *met]
        seen = max((Checkpoint.parse(note.text).size for _, note in heads), default=size)
        for who, note in heads:
            if Checkpoint.parse(note.text).size <= size:
                _require_agreement(node, session, who, note)
        if seen <= size:
            alarms.clear(session, node.clock())
        return size, seen, tuple(lost.everything(session))


def _counts(node: Node, session: Session, note: Note) -> bool:
    """Say whether a head still says something, now that the log may be longer than it was."""
    try:
        alarm.read_head(node, session, note)
    except RefusedError:
        return False
    return True


def _require_agreement(node: Node, session: Session, who: str, note: Note) -> None:
    """Raise ConflictError where a head of this log is of another tree than the one here."""
    told = alarm.contradiction(node, session, [who], note)
    if told is not None:
        raise ConflictError(
            f"log {node.origin}: {told}; this cannot be mended by fetching: restore a backup from "
            "before the two parted, or end this log"
        )
