"""Whether a node's own database still says what it once said: entries, tiles, heads, statements."""

from collections.abc import Iterator

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.storage import copies, logs, statements
from bcca_node.storage.copies import Copy
from bcca_node.storage.logs import Head
from bcca_protocol import merkle, tiles
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import StatementEntry, parse_entry
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import RefusedError
from bcca_protocol.merkle import HASH_BYTES, Tree
from bcca_protocol.note import Note, verify_note
from bcca_protocol.tiles import ENTRIES, Tile
from bcca_protocol.verify import entry_of


def problems(node: Node) -> Iterator[str]:
    """Yield in words what is wrong with the database; nothing where all of it holds together."""
    damage = node.database.damage()
    yield from damage
    if not damage:
        with node.database.read() as session:
            yield from _in_log(node, session)
            yield from _in_copies(session)


def _in_log(node: Node, session: Session) -> Iterator[str]:
    size = logs.size(session)
    entries = logs.entries(session, 0, size)
    if not entries:
        yield "the log is empty: the database is not the one that this node was set up with"
        return
    if len(entries) != size:
        yield f"the log has {len(entries)} entries, the last of them numbered {size - 1}"
        return
    keys = [line.encode() for line in node.keystore.entries()]
    if entries[: len(keys)] != keys:
        yield "the log does not begin with the keys of keys.json: one of the two is another node's"
    tree = Tree(map(merkle.leaf_hash, entries))
    yield from _in_tiles(session, tree)
    for head in (logs.last_head(session), logs.published_head(session)):
        if head is not None:
            yield from _in_head(node, head, tree)
    yield from _in_statements(session, entries)


def _in_tiles(session: Session, tree: Tree) -> Iterator[str]:
    for tile in tiles.tiles_for(tree.size):
        if tile.level == ENTRIES:
            continue
        kept = logs.tile(session, tile.level, tile.index)
        if kept != tiles.encode_tile(tile, tree.subtree):
            yield f"{tile.encode()}: its hashes are not those of the entries"


def _in_head(node: Node, head: Head, tree: Tree) -> Iterator[str]:
    what = f"the head of {head.size} entries"
    if head.size > tree.size:
        yield f"{what}: the log has only {tree.size}, entries were lost: restore a newer copy"
        return
    try:
        note = Note.parse(head.note)
        verify_note(note, node.log_keys)
        signed = Checkpoint.parse(note.text)
    except RefusedError as error:
        yield f"{what}: {error}"
        return
    root = tree.root(head.size)
    if (signed.size, signed.root, head.root) != (head.size, root, root):
        yield f"{what}: signed with root {signed.root.hex()}, the entries hash to {root.hex()}"


def _in_statements(session: Session, entries: list[bytes]) -> Iterator[str]:
    start = 0
    while page := statements.page(session, start, len(entries)):
        for own in page:
            try:
                entry = parse_entry(entries[own.index].decode())
                key = entry.key if isinstance(entry, StatementEntry) else 0
                same = entry == entry_of(Envelope.parse(own.envelope), key)
            except (RefusedError, UnicodeDecodeError):
                same = False
            if not same:
                yield f"statement {own.commitment}: entry {own.index} of the log is not about it"
        start = page[-1].index + 1


def _in_copies(session: Session) -> Iterator[str]:
    """Yield which copies of other logs do not hash to the head that was believed."""
    for copy in copies.every(session):

        def read(tile: Tile, copy: Copy = copy) -> bytes:
            kept = copies.tile(session, copy.origin, copy.vkey, tile.level, tile.index)
            return kept[: tile.width * HASH_BYTES]

        try:
            root = merkle.root_hash(copy.size, tiles.subtree_from(read, copy.size))
        except RefusedError as error:
            yield f"the copy of {copy.origin}: {error}"
            continue
        if root != copy.root:
            yield (
                f"the copy of {copy.origin}: believed with root {copy.root.hex()}, its tiles hash "
                f"to {root.hex()}"
            )
