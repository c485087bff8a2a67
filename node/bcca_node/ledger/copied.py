"""The copy of another log: what fits behind it, and what is kept of a log that lies.

Everything here works on the database alone, and may run in a thread of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

from sqlmodel import Session

from bcca_node.ledger import heads
from bcca_node.ledger.growth import grow
from bcca_node.storage import copies
from bcca_node.storage.copies import Copy, TileContent
from bcca_node.storage.database import Database
from bcca_protocol import merkle, misbehaviour, tiles
from bcca_protocol.errors import ConflictError, ProofError, UnavailableError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.merkle import HASH_BYTES, Subtree
from bcca_protocol.note import Note
from bcca_protocol.policy import VerifiedCheckpoint
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH, Tile
from bcca_protocol.wire import showable

LOG = "/log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a log is, with which key it is verified, and who said so (None: the policy).

    `also_named` are other keys by which the same tier names it: one may have followed another.
    `via` is the URL of a mirror at which it is read instead; `url` is empty where nobody says
    where its own node is.
    """

    origin: str
    key: VerifierKey
    url: str
    introduced_by: str | None
    also_named: tuple[str, ...] = ()
    via: str | None = None

    @property
    def read_at(self) -> str:
        """The URL under which its checkpoint and tiles are asked for."""
        return self.url if self.via is None else self.via


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """Entries that were fetched, to stand from index `first` on, where a bundle begins.

    `bytes_before` is how long those before them are.
    """

    first: int
    entries: Sequence[bytes]
    bytes_before: int = 0


class CopiedLog:
    """A log of others in this node's database, there or yet to come."""

    def __init__(self, database: Database, address: Address) -> None:
        """Look for the log of an address."""
        self._database = database
        self._address = address
        self._name = (address.origin, address.key.encode())

    def held(self) -> Copy | None:
        """Return the copy as it is now."""
        with self._database.read() as session:
            return copies.get(session, *self._name)

    def held_before(self, shown: VerifiedCheckpoint, at: int) -> Copy | None:
        """Return the copy as it is before it is brought up to a head; raises as `require_forward`.

        A head of the same tree, or of a larger one, is forward.
        """
        before = self.held()
        self.require_forward(shown, before, at)
        return before

    def entries(self, size: int) -> list[bytes]:
        """Return the first `size` entries; raises UnavailableError where there is no copy."""
        with self._database.read() as session:
            copy = copies.get(session, *self._name)
            if copy is None:
                raise UnavailableError(f"log {self._address.origin}: this node holds no copy of it")
            return copies.entries(session, copy)[:size]

    def parked(self, first: int, size: int) -> Behind:
        """Return what was fetched before and is to be gone on with, from `first` on or from 0."""
        with self._database.read() as session:
            start, entries = copies.parked(session, *self._name, first, size)
            held = copies.entry_bytes(session, *self._name, start)
        return Behind(first=start, entries=entries, bytes_before=held)

    def park(self, first: int, entries: Sequence[bytes]) -> None:
        """Keep what was fetched before the time was up; it is believed no more for that."""
        with self._database.write() as session:
            copies.park(session, *self._name, first, entries)

    def unpark(self) -> bool:
        """Drop what hashes to no head; say whether there was anything."""
        with self._database.write() as session:
            return copies.unpark(session, *self._name)

    def prove(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the first `new` entries begin with the first `old`."""
        with self._database.read() as session:
            return merkle.prove_consistency(old, new, self._subtree(session, new))

    def meet(self, note: Note, at: int) -> None:
        """Keep a head that the log signed, believed or not: two may be a proof (SPEC 5.10)."""
        with self._database.write() as session:
            heads.meet(session, self._address.key, note, at=at)

    def require_forward(self, shown: VerifiedCheckpoint, before: Copy | None, at: int) -> None:
        """Raise ConflictError if a head is of another tree than the one believed before.

        The proof of that is kept. An older head of the same tree is a ConflictError too, but of no
        use rather than a lie where it comes from a mirror: UnavailableError.
        """
        head = shown.checkpoint
        if before is None or head.size > before.size:
            return
        if (head.size, head.root) == (before.size, before.root):
            return
        with self._database.read() as session:
            tree = self._subtree(session, before.size)
            root = merkle.root_hash(head.size, tree)
            if head.root != root:
                newer = Note.parse(before.note)
                self._keep_proof(shown.note, newer, tree, at)
                raise _two_trees(head.origin, head.size, head.root, root)
        if head.size == before.size:
            return
        if self._address.via is not None:
            raise UnavailableError(
                f"{showable(self._address.via)}: its copy has {head.size} entries, "
                f"{before.size} are held here"
            )
        raise ConflictError(
            f"log {head.origin} was rolled back: it shows {head.size} entries, "
            f"{before.size} were seen before"
        )

    def fitting(
        self, shown: VerifiedCheckpoint, before: Copy | None, behind: Behind, at: int
    ) -> list[TileContent]:
        """Return the tiles that change with the entries `behind`, under the root that is shown.

        Raises ProofError for another root, ConflictError where the tree that has it begins
        otherwise than the one believed before; the proof of that is kept.
        """
        head = shown.checkpoint
        with self._database.read() as session:
            edge = partial(copies.tile, session, *self._name)
            leaves = merkle.leaf_hashes(behind.entries)
            grown = list(grow(edge, behind.first, leaves))
            new = {(level, index): content for level, index, content in grown}

            def read(tile: Tile) -> bytes:
                found = new.get((tile.level, tile.index))
                content = edge(tile.level, tile.index) if found is None else found
                return content[: tile.width * HASH_BYTES]

            tree = tiles.subtree_from(read, head.size)
            root = merkle.root_hash(head.size, tree)
            if root != head.root:
                raise ProofError(
                    f"log {head.origin}: its entries hash to {root.hex()}, "
                    f"its checkpoint has {head.root.hex()}"
                )
            if before is not None and merkle.root_hash(before.size, tree) != before.root:
                self._keep_proof(Note.parse(before.note), shown.note, tree, at)
                begins = merkle.root_hash(before.size, tree)
                raise _two_trees(head.origin, before.size, begins, before.root)
        return grown + _bundles(behind)

    def take(self, head: VerifiedCheckpoint, before: Copy | None, behind: Behind, at: int) -> bool:
        """Keep the entries `behind` under the root of `head`; raises as `fitting`, says as `keep`.

        All is hashed before others have to wait for their turn to write.
        """
        return self.keep(head, self.fitting(head, before, behind, at), before, at)

    def keep(
        self,
        head: VerifiedCheckpoint,
        grown: Sequence[TileContent],
        before: Copy | None,
        at: int,
    ) -> bool:
        """Store the copy up to `head`; return False if another took the place of `before`.

        Every head of the log that was met is held against its tree.
        """
        origin, vkey = self._name
        copy = Copy(
            origin=origin,
            vkey=vkey,
            size=head.checkpoint.size,
            root=head.checkpoint.root,
            note=head.note.encode(),
            url=self._address.url.removesuffix(LOG) or None,
            introduced_by=self._address.introduced_by,
            checked_at=at,
        )
        with self._database.write() as session:
            if not copies.put(session, copy, grown, before=before):
                return False
            if grown:
                tree = self._subtree(session, copy.size)
                heads.compare(session, self._address.key, head.note, tree, at=at)
        return True

    def _subtree(self, session: Session, size: int) -> Subtree:
        edge = cache(partial(copies.tile, session, *self._name))
        return tiles.subtree_from(
            lambda tile: edge(tile.level, tile.index)[: tile.width * HASH_BYTES], size
        )

    def _keep_proof(self, older: Note, newer: Note, tree: Subtree, at: int) -> None:
        found = misbehaviour.from_tree(self._address.key, older, newer, tree)
        with self._database.write() as session:
            heads.contradict(session, found, at=at)


def _bundles(behind: Behind) -> list[TileContent]:
    starts = range(0, len(behind.entries), TILE_WIDTH)
    return [
        (
            ENTRIES,
            (behind.first + start) // TILE_WIDTH,
            tiles.encode_entries(behind.entries[start : start + TILE_WIDTH]),
        )
        for start in starts
    ]


def _two_trees(origin: str, size: int, now: bytes, before: bytes) -> ConflictError:
    return ConflictError(
        f"log {origin} shows two trees of size {size}: root {now.hex()} now, "
        f"{before.hex()} before; the proof is kept, `bcca audit log {origin}` writes it"
    )
