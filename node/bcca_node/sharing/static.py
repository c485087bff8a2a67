"""A node as a folder of files: any web server or object store shows it (SPEC 13.4).

.well-known/bcca.json, did.json      who it is, and where its files are
log/                                 the published log (c2sp.org/tlog-tiles)
statements/<commitment>              envelopes of public statements
products/<SHA-256 of the URN>.jsonl  the current ones of a product, and their count
pages/<number>                       those of 256 entries of the log, packed
sealed/<name>                        what a partner may see of a product, sealed to it
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import msgspec
from sqlmodel import Session

from bcca_node.ledger import export, identity
from bcca_node.ledger.files import only_writer, write_changed
from bcca_node.ledger.node import Node
from bcca_node.network import descriptor
from bcca_node.network.descriptor import Descriptor, product_file
from bcca_node.network.lines import Item, encode_lines
from bcca_node.sharing import peers, press, recipients, shelf
from bcca_node.sharing.caller import NOBODY
from bcca_node.sharing.recipients import Sealed
from bcca_node.sharing.sealing import FOLDER as SEALED
from bcca_node.storage import statements
from bcca_node.storage.pages import WIDTH
from bcca_protocol import wire
from bcca_protocol.errors import RefusedError, UnusableError

LOG, STATEMENTS, PRODUCTS, PAGES = "log", "statements", "products", "pages"
DESCRIPTOR = descriptor.PATH.removeprefix("/")

_ItemsOf = Callable[[Sequence[str]], dict[str, list[Item]]]

_TAKEN = (LOG, STATEMENTS, PRODUCTS, PAGES, SEALED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What a folder shows now, and how many of its files had to be written for that.

    `left_out` says for whom nothing could be sealed, a sentence each.
    """

    size: int
    statements: int
    products: int
    sealed: int
    written: int
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it in words."""
        return (
            f"{self.size} entries of the log, {self.statements} public statements, "
            f"{self.products} products, {self.sealed} sealed files; {self.written} files written"
        )


def place(node: Node, folder: Path, to: Sequence[str] = ()) -> Placed:
    """Bring `folder` up to what this node has published; what has not changed stays as it is.

    From now on, files are sealed for the partners `to` too, with what they were granted. Whoever
    reads meanwhile finds all that the checkpoint promises, before and after. Raises UnusableError
    where nothing is published, for a folder that holds anything else, for one that cannot be
    written, for a partner that nothing can be sealed for, and where keys are closed that seal.
    """
    require_ours(node, folder)
    with node.database.read() as session:
        export.published(node, session)  # else not even the folder is made
    recipients.remember(node, to)
    try:
        with only_writer(folder), node.database.read() as session:
            return _Place(node, session, folder).bring_up()
    except OSError as error:
        raise UnusableError(f"{folder}: cannot be written: {error}") from error


def require_ours(node: Node, folder: Path) -> None:
    """Return if `folder` is empty, not there, or of this node; raises UnusableError."""
    path = folder / DESCRIPTOR
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return
        found = descriptor.decode(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnusableError(
            f"{folder}: not an empty folder, nor one that was published before: name another"
        ) from error
    except (OSError, RefusedError) as error:
        raise UnusableError(f"{path}: cannot be read: {error}: name another folder") from error
    ours = {key.encode() for key in node.log_keys}
    if found.origin != node.origin or ours.isdisjoint(each.vkey for each in found.keys):
        raise UnusableError(
            f"{path}: of {found.origin}, another log than that of {node.origin} here: name "
            "another folder"
        )


def describe(node: Node) -> Descriptor:
    """Return what the folder says of itself: no witness, and its products as files."""
    url = node.settings.url
    return msgspec.structs.replace(
        peers.describe(node, NOBODY),
        witness=None,
        products=f"{url}/{PRODUCTS}",
        pages=f"{url}/{PAGES}/",
    )


class _Place:
    """One bringing up to date of a folder, within one state of the database."""

    def __init__(self, node: Node, session: Session, folder: Path) -> None:
        self._node = node
        self._session = session
        self._folder = folder
        self._head = export.published(node, session)
        self._size = self._head.size
        self._before = export.size_before(node, session, folder / LOG, self._head)
        self._sealed = Sealed(node, session, folder)
        self._written = 0

    def bring_up(self) -> Placed:
        """Write what is new, in the order in which readers may come to need it."""
        self._write(DESCRIPTOR, wire.encode(describe(self._node)))
        self._place_did_document()
        shown = self._place_statements()
        self._place_pages()
        # A reader of the old checkpoint needs what was current under it, of the new one what is.
        self._place_products(self._under_both)
        self._written += self._sealed.place(self._before, self._size)
        self._written += export.place(self._session, self._folder / LOG, self._head, self._before)
        if self._before < self._size:
            self._place_products(self._current)
            self._written += self._sealed.place(self._size)
        products = sum(1 for _ in (self._folder / PRODUCTS).glob("*.jsonl"))
        return Placed(
            size=self._size,
            statements=shown,
            products=products,
            sealed=self._sealed.tidy(self._size),
            written=self._written,
            left_out=tuple(self._sealed.left_out),
        )

    def _place_did_document(self) -> None:
        """Write did.json, unless the origin has a path that cannot be in this folder."""
        path = identity.did_path(self._node.origin).removeprefix("/")
        first, *rest = path.split("/")
        if first not in _TAKEN and not {".", ".."}.intersection((first, *rest)):
            self._write(path, identity.encode_did(self._node))

    def _place_statements(self) -> int:
        """Write the envelopes that are not there yet: one never changes."""
        names = statements.names(self._session, "public", self._size)
        folder = self._folder / STATEMENTS
        there = {each.name for each in folder.iterdir()} if folder.exists() else set()
        for part in _parts([name for name in names if name not in there]):
            for own in statements.find(self._session, part):
                self._write(f"{STATEMENTS}/{own.commitment}", own.envelope)
        return len(names)

    def _place_pages(self) -> None:
        """Write the pages with what is new; a full one never changes."""
        folder = self._folder / PAGES
        for number in range(ceil(self._size / WIDTH)):
            is_full = (number + 1) * WIDTH <= self._before
            if not is_full or not (folder / str(number)).exists():
                made, _ = press.made(self._session, number, self._size)
                if made is not None:
                    self._write(f"{PAGES}/{number}", made.content)

    def _place_products(self, items_of: _ItemsOf) -> None:
        """Write the lists of products on which anything is new."""
        for part in _parts(self._changed()):
            for product, items in items_of(part).items():
                path = f"{PRODUCTS}/{product_file(product)}"
                if items or (self._folder / path).exists():
                    self._write(path, b"".join(encode_lines(items)))

    def _changed(self) -> list[str]:
        """Return the products whose lists are to be compared.

        These are all, where the folder has this very tree already.
        """
        products = statements.products(self._session)
        if self._before == self._size:
            return products
        touched = set(statements.touched_since(self._session, self._before))
        folder = self._folder / PRODUCTS
        return [
            each
            for each in products
            if each in touched or not (folder / product_file(each)).exists()
        ]

    def _current(self, products: Sequence[str]) -> dict[str, list[Item]]:
        return shelf.current_under(self._session, products, self._size)

    def _under_both(self, products: Sequence[str]) -> dict[str, list[Item]]:
        before = shelf.current_under(self._session, products, self._before)
        both = self._current(products)
        for product, items in both.items():
            unique = {each.commitment: each for each in (*before[product], *items)}
            both[product] = sorted(unique.values(), key=lambda each: each.index)
        return both

    def _write(self, path: str, content: bytes) -> None:
        self._written += write_changed(self._folder / path, content)


def _parts(names: Sequence[str]) -> Iterable[Sequence[str]]:
    page = statements.PAGE
    return (names[start : start + page] for start in range(0, len(names), page))
