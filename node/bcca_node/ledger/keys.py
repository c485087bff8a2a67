"""Keys replaced, retired and declared stolen, and the end of a log (SPEC 5.4 and 5.9).

Each change is one turn: the file of keys is written before the log has it, and counts from then on.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from sqlmodel import Session

from bcca_node.ledger import keylines, log
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.keyfile import ALGORITHMS, Box, SealedKey
from bcca_node.ledger.keylines import KeyRecord
from bcca_node.ledger.node import Node
from bcca_node.ledger.trust import ENDED
from bcca_node.ledger.turn import Turn, turn
from bcca_node.storage import alarms, logs, statements
from bcca_node.storage.statements import OwnStatement
from bcca_protocol import merkle
from bcca_protocol.ending import EndNote, sign_end
from bcca_protocol.entry import (
    KeyAdd,
    KeyCompromised,
    KeyRetire,
    StatementEntry,
    compromised_message,
    parse_entry,
)
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import Role, Signer, VerifierKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a change did; `node` is the one that has the keys as they are now."""

    node: Node
    added: tuple[KeyRecord, ...]
    ended: tuple[KeyRecord, ...]
    void: tuple[OwnStatement, ...] = ()


def rotate(node: Node, role: Role, passphrase: str) -> Changed:
    """Add a new key of `role` and retire those before it, but log keys: they go on to sign.

    Raises UnusableError as `turn` does, and for another passphrase.
    """
    if role is Role.RECOVERY:
        raise UnusableError(
            "the recovery key is the one to which the log's genesis commits: no other"
        )
    change = _Change(node, passphrase)
    with turn(node, for_keys=True) as held:
        change.begin(held)
        if role is not Role.LOG:
            change.enter([KeyRetire(add=e.index).encode() for e in change.good() if e.role is role])
        return change.done([role])


def retire(node: Node, index: int, passphrase: str) -> Changed:
    """Retire the key that entry `index` added; it signs nothing new.

    Raises UnusableError if it is not good any more, or if no newer one of its role is.
    """
    change = _Change(node, passphrase)
    with turn(node, for_keys=True) as held:
        change.begin(held)
        found = change.key(index)
        if found.ended is not None:
            raise UnusableError(f"key {index} is {found.state}: there is nothing to retire")
        if not _is_replaced(node, found):
            raise UnusableError(
                f"key {index} is the newest {found.role} key: run `bcca keys rotate {found.role}` "
                "first, and retire it once others know the new one"
            )
        _require_renamed(node, found)
        change.enter([KeyRetire(add=index).encode()])
        return change.done([])


def compromise(
    node: Node, index: int, last_good: int, recovery: Signer, passphrase: str
) -> Changed:
    """Declare the key that entry `index` added stolen after entry `last_good`.

    Void with it are all keys added since; roles that lose theirs get a new one. What was published
    with them is void, and is to be issued anew. Raises UnusableError for a log's last log key:
    with that, only `end` helps.
    """
    change = _Change(node, passphrase)
    with turn(node, for_keys=True) as held:
        change.begin(held)
        _require_notice(change.key(index), last_good, held.next)
        lost = keylines.lost_to(change.known.values(), index, last_good)
        left = {role for role in Role for e in node.keystore.good(role) if e not in lost}
        if Role.LOG not in left:
            voided = ", ".join(str(each.index) for each in lost if _is_log_key(each))
            raise UnusableError(
                f"key {index}, stolen after entry {last_good}: its notice voids every log key that "
                f"is good ({voided}), since it voids all keys added since; run `bcca keys end`"
            )
        signed = compromised_message(node.origin, index, last_good)
        notice = KeyCompromised(
            add=index,
            last_good=last_good,
            recovery_key=recovery.key.public,
            signature=recovery.sign(signed),
        )
        at = change.enter([notice.encode()])
        void = _void(held.session, {e.index for e in lost}, last_good, at)
        roles = [role for role in ALGORITHMS if role not in left]
        return replace(change.done(roles, new_secret=Role.STATEMENT in roles), void=tuple(void))


def strangers(node: Node) -> list[KeyRecord]:
    """Return the keys that this node's log has and its file of keys has not: somebody's else."""
    ours = {each.index for each in node.keystore.keys}
    with node.database.read() as session:
        known = keylines.read(logs.lines_like(session, keylines.BEGINNING))
    return [each for each in known.values() if each.index not in ours]


def head_at(node: Node, size: int) -> bytes:
    """Return the root of the first `size` entries; raises UnusableError where there are fewer."""
    with node.database.read() as session:
        there = logs.size(session)
        if not 0 < size <= there:
            raise UnusableError(
                f"log {node.origin}: --size {size} is not 1 to {there}, its entries"
            )
        return merkle.root_hash(size, log.subtree(session, there))


def end(node: Node, size: int, successor: VerifierKey, recovery: Signer) -> EndNote:
    """End this node's log after `size` entries, in favour of `successor`; return the end note.

    It is kept in DATA/ended, nothing is entered any more, and alarms are answered by it. Raises
    UnusableError if the log has fewer entries or has ended otherwise, MalformedError for no
    successor. To end it again as it has ended returns the note.
    """
    before = node.trust.ends().get(node.origin)
    if before is not None and (before.size, before.successor) == (size, successor):
        return before
    if before is not None:
        raise UnusableError(
            f"log {node.origin}: it has ended with {before.size} entries, and goes on as "
            f"{before.successor.encode()}"
        )
    note = sign_end(node.origin, size, head_at(node, size), successor, recovery)
    folder = node.settings.data / ENDED
    folder.mkdir(mode=0o700, exist_ok=True)
    name = sha256(node.origin.encode()).hexdigest()
    write_whole(folder / f"{name}.txt", note.encode().encode())
    with node.database.write() as session:
        alarms.clear(session, node.clock())
    return note


class _Change:
    """A change of keys while it is made: lines of the log, then the file that goes with them."""

    def __init__(self, node: Node, passphrase: str) -> None:
        self._node = node
        self._box: Box = node.keystore.unlock(passphrase)

    def begin(self, held: Turn) -> None:
        """Read what the log has of keys, now that nobody else can add to it."""
        self._held = held
        self._lines = list(logs.lines_like(held.session, keylines.BEGINNING))
        self._first = held.next
        self.known: Mapping[int, KeyRecord] = keylines.read(self._lines)

    def good(self) -> list[KeyRecord]:
        """Return the keys of the log that are good, this node's or not."""
        return [each for each in self.known.values() if each.ended is None]

    def key(self, index: int) -> KeyRecord:
        """Return the key that entry `index` added; raises UnusableError if it added none."""
        if index not in self.known:
            raise UnusableError(
                f"log {self._node.origin}: entry {index} adds no key; `bcca keys list` shows them"
            )
        return self.known[index]

    def enter(self, lines: Sequence[str]) -> int:
        """Add lines to the log; return the index of the first."""
        first = self._held.enter(lines)
        self._lines += enumerate(lines, first)
        return first

    def done(self, roles: Sequence[Role], *, new_secret: bool = False) -> Changed:
        """Add a key of each role, write the file; return what was changed.

        A kill from here on leaves keys that no log has, which count for nothing.
        """
        node, forged = self._node, self._forge(roles)
        before = {each.index for each in self.good()}
        self.known = keylines.read(self._lines)
        secret = self._box.forge_secret() if new_secret else ""
        keys = node.keystore.changed(self._first, forged, self.known, secret)
        keyring = keys.opened(self._box)
        self._held.signers = keyring.log_signers
        keys.save(node.settings.data)
        return Changed(
            node=replace(node, keystore=keys, keyring=keyring),
            added=tuple(self.known[each.index] for each in forged),
            ended=tuple(
                e for e in self.known.values() if e.index in before and e.ended is not None
            ),
        )

    def _forge(self, roles: Sequence[Role]) -> list[SealedKey]:
        """Make keys and enter them, behind what was entered."""
        forged = []
        for role in roles:
            key = self._box.forge(self._node.origin, role, self._held.next)
            self.enter([KeyAdd(role=role, key=VerifierKey.parse(key.vkey)).encode()])
            forged.append(key)
        return forged


def _is_log_key(each: KeyRecord) -> bool:
    return each.role is Role.LOG and each.ended is None


def _is_replaced(node: Node, found: KeyRecord) -> bool:
    """Say whether a newer key of this node stands in for one of its own, or any for a stranger."""
    others = [each for each in node.keystore.good(found.role) if each != found]
    newest = max((each.index for each in others), default=0)
    return newest > found.index if found in node.keystore.keys else bool(others)


def _require_renamed(node: Node, found: KeyRecord) -> None:
    """Return unless this node's own policy still reads its log with the key that is to retire."""
    policy = node.trust.policy()
    line = None if policy is None else policy.logs.get(node.origin)
    if line is not None and line.key == found.key:
        raise UnusableError(
            f"key {found.index}: policy.txt still names it, and so may the witnesses, who would "
            "cosign nothing more: put the line of `bcca keys list --policy-line` there first, and "
            "ask them to"
        )


def _require_notice(stolen: KeyRecord, last_good: int, next_index: int) -> None:
    """Return if a notice would change something, else raise UnusableError."""
    if not 0 <= last_good < next_index:
        raise UnusableError(f"--last-good {last_good} is not 0 to {next_index - 1}, the last entry")
    if keylines.is_stolen_earlier(stolen, last_good):
        raise UnusableError(
            f"key {stolen.index} is {stolen.state}: a later last good entry changes nothing"
        )


def _void(session: Session, keys: Collection[int], last_good: int, at: int) -> list[OwnStatement]:
    """End the own statements behind `last_good` that these keys signed; return them."""
    found: list[OwnStatement] = []
    start, size = last_good + 1, logs.size(session)
    while page := statements.page(session, start, size):
        first, start = page[0].index, page[-1].index + 1
        lines = logs.entries(session, first, start)
        signed = (own for own in page if _key_in(lines[own.index - first]) in keys)
        found += [own for own in signed if own.ended is None]
    for own in found:
        statements.end(session, own.commitment, at)
    return found


def _key_in(line: bytes) -> int | None:
    """Return the entry that added the key by which a statement was signed."""
    entry = parse_entry(line.decode())
    return entry.key if isinstance(entry, StatementEntry) else None
