"""Heads of a log that others have seen: two that contradict prove that it showed two trees.

Witnesses and mirrors of the policy are asked, and whatever this node has met is remembered.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bcca_node.ledger import heads, mirror
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.storage import heads as stored
from bcca_node.storage.witnessed import origin_hash
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import BccaError, RefusedError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES
from bcca_protocol.merkle import Subtree
from bcca_protocol.misbehaviour import Misbehaviour, from_heads, from_tree
from bcca_protocol.note import Note, verify_note
from bcca_protocol.policy import Policy

WITNESS = "witness "  # in front of the name of who showed a head


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A head that the log signed, and who showed it; `witness` is its name in the policy."""

    by: str
    witness: str | None = None
    note: Note
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of comparing a log with the heads that others have seen of it.

    `agree` and `ahead` name those whose head is of the same tree, and who have seen more than
    there is; `silent` says why others showed none. Who has seen `ahead` is not refuted by it.
    """

    agree: Sequence[str]
    ahead: Sequence[Met]
    lies: Sequence[tuple[Met, Misbehaviour]]
    silent: Sequence[str]


async def ask(fetcher: Fetcher, policy: Policy, key: VerifierKey) -> tuple[list[Met], list[str]]:
    """Return the heads that witnesses and mirrors of `policy` have of the log of `key`.

    With them, in words, who shows none and why; a node that does not mirror the log is not named.
    """
    witnesses, mirrors = _witness_urls(policy, key.name), _mirror_urls(policy, key.name)
    asked = [*witnesses.items(), *mirrors.items()]
    names = {f"{WITNESS}{name}": name for name in policy.witnesses}
    found = [
        replace(each, witness=names.get(each.by)) if isinstance(each, Met) else each
        for each in await asyncio.gather(*(_ask(fetcher, by, url, key) for by, url in asked))
    ]
    told = zip((by for by, _ in asked), found, strict=True)
    return (
        [each for each in found if isinstance(each, Met)],
        [
            f"{by}: {why or 'it has seen nothing of this log'}"
            for by, why in told
            if isinstance(why, str) and (why or by in witnesses)
        ],
    )


def remembered(node: Node, key: VerifierKey) -> list[Met]:
    """Return the heads of the log of `key` that this node has met."""
    with node.database.read() as session:
        known = stored.every(session, key.name)
    notes = [(Note.parse(each.note), each.size) for each in known]
    return [
        Met(by=f"this node, at {size}", note=note, checkpoint=Checkpoint.parse(note.text))
        for note, size in notes
        if _is_signed(note, key)
    ]


def compare(
    key: VerifierKey, note: Note, subtree: Subtree, others: Iterable[Met], silent: Sequence[str]
) -> Compared:
    """Return how the tree under `note`, which was read whole, stands to the heads of `others`."""
    head = Checkpoint.parse(note.text)
    agree, ahead, lies = [], [], []
    beyond: dict[int, Met] = {}
    for met in others:
        seen = met.checkpoint
        if seen.size > head.size:
            ahead.append(met)
            first = beyond.setdefault(seen.size, met)
            if first.checkpoint.root != seen.root:
                lies.append((met, from_heads(key, first.note, met.note)))
        elif merkle.root_hash(seen.size, subtree) == seen.root:
            agree.append(met.by)
        elif seen.size == head.size:
            lies.append((met, from_heads(key, met.note, note)))
        else:
            lies.append((met, from_tree(key, met.note, note, subtree)))
    return Compared(agree=agree, ahead=ahead, lies=lies, silent=silent)


def proven(node: Node, key: VerifierKey) -> list[Misbehaviour]:
    """Return the proofs against `key` that this node has kept."""
    with node.database.read() as session:
        kept = list(heads.proofs(session, key.name))
    found = (Misbehaviour.parse(each.evidence) for each in kept)
    return [each for each in found if each.key == key]


def remember(
    node: Node, key: VerifierKey, note: Note, subtree: Subtree, others: Iterable[Met]
) -> None:
    """Keep what was met in this node's database, and every contradiction as a proof."""
    with node.database.write() as session:
        for met in others:
            heads.meet(session, key, met.note, at=node.clock())
        heads.compare(session, key, note, subtree, at=node.clock())


async def _ask(fetcher: Fetcher, by: str, url: str, key: VerifierKey) -> Met | str:
    """Return the head at `url`, or why it shows none: an empty reason where nothing is there."""
    try:
        found = await fetcher.find(f"{url}/checkpoint", limit=MAX_CHECKPOINT_BYTES)
        if found is None:
            return ""
        note = Note.parse(found.decode(errors="replace"))
        verify_note(note, (key,))
        checkpoint = Checkpoint.parse(note.text)
    except BccaError as error:
        return str(error)
    if checkpoint.origin != key.name:
        return f"it shows a head of {checkpoint.origin!r}"
    return Met(by=by, note=note, checkpoint=checkpoint)


def _witness_urls(policy: Policy, origin: str) -> dict[str, str]:
    """Return where each witness but the log's owner shows the last head it cosigned."""
    return {
        f"{WITNESS}{line.name}": f"{line.url.rstrip('/')}/{origin_hash(origin)}"
        for line in policy.witnesses.values()
        if line.url is not None and line.key.name != origin
    }


def _mirror_urls(policy: Policy, origin: str) -> dict[str, str]:
    """Return where each other node shows its copy of the log."""
    return {
        f"mirror {other}": mirror.url_of(line.url.rstrip("/").removesuffix("/log"), origin)
        for other, line in policy.logs.items()
        if line.url is not None and other != origin
    }


def _is_signed(note: Note, key: VerifierKey) -> bool:
    try:
        verify_note(note, (key,))
    except RefusedError:
        return False
    return True
