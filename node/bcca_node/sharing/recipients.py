"""For whom the files of a published folder are sealed, and what is in each (SPEC 13.4, 13.12)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from bcca_node.ledger.files import write_changed
from bcca_node.ledger.node import Node
from bcca_node.network.lines import Item
from bcca_node.sharing import access, sealing
from bcca_node.sharing.access import Rights
from bcca_node.sharing.sealing import FOLDER, Pair
from bcca_node.storage import grants, partners, sealed, statements
from bcca_node.storage.partners import Partner
from bcca_node.storage.statements import OwnStatement
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.keys import VerifierKey

_OURS = re.compile("[0-9a-f]{64}")  # whatever else is in the folder is left alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A partner, its seal key, what it shares with this node's, and what it may see now."""

    to: VerifierKey
    pair: Pair
    rights: Rights


def require(node: Node, origin: str) -> Partner:
    """Return the partner that files can be sealed for; raises UnusableError, which says why not."""
    with node.database.read() as session:
        partner = partners.get(session, origin)
        if partner is None:
            raise UnusableError(
                f"--to {origin}: no partner of {node.origin}: `bcca partners list` shows them, "
                "`bcca partners invite` and `accept` make one"
            )
        _require_believed(partner)
        if not grants.live(session, origin, node.clock()):
            raise UnusableError(
                f"--to {origin}: nothing is granted to it, so there is nothing to seal: run "
                f"`bcca partners grant {origin} --product URN` first"
            )
    try:
        sealing.require_usable(VerifierKey.parse(partner.seal_key))
    except (RefusedError, UnusableError) as error:
        raise UnusableError(f"--to {_no_key(partner, error)}") from error
    return partner


def remember(node: Node, origins: Sequence[str]) -> None:
    """Seal for these partners from now on; raises as `require` does."""
    for origin in origins:
        require(node, origin)
    with node.database.write() as session:
        for origin in origins:
            sealed.add(session, origin, node.clock())


def any_sealed_for(node: Node) -> bool:
    """Say whether files are sealed for anybody: then the keys are needed to publish a folder."""
    with node.database.read() as session:
        return bool(sealed.partners(session))


class Sealed:
    """The sealed files of a folder, within one state of the database."""

    def __init__(self, node: Node, session: Session, folder: Path) -> None:
        """Look for whom there are any; raises UnusableError where the node's keys are closed."""
        self._session = session
        self._folder = folder / FOLDER
        found = (partners.get(session, origin) for origin in sealed.partners(session))
        believed = [each for each in found if each is not None and not each.refused]
        self.left_out: list[str] = []  # for whom nothing can be sealed, and why: nobody else waits
        self._recipients: list[Recipient] = []
        if believed:
            self._find(node, believed)

    def _find(self, node: Node, believed: Sequence[Partner]) -> None:
        own = node.keys.seals[0]  # outside the loop: closed keys are nobody's fault but ours
        for each in believed:
            try:
                to = VerifierKey.parse(each.seal_key)
                pair = Pair.of(own, to, issuer=node.origin, recipient=each.origin)
            except (RefusedError, UnusableError) as error:
                self.left_out.append(f"nothing is sealed for {_no_key(each, error)}")
                continue
            rights = access.of_partner(self._session, node, each.origin)
            self._recipients.append(Recipient(to=to, pair=pair, rights=rights))

    def place(self, *sizes: int) -> int:
        """Write what is current under any of these sizes of the log; return how many files."""
        return sum(self._write(*each) for each in self._files(sizes))

    def tidy(self, size: int) -> int:
        """Take away what nobody is to see under this size of the log; return how many are left."""
        expected = {recipient.pair.name(product) for recipient, product, _ in self._files([size])}
        for path in self._there():
            if path.name not in expected:
                path.unlink()
        return len(expected)

    def _there(self) -> list[Path]:
        if not self._folder.exists():
            return []
        return [path for path in self._folder.iterdir() if _OURS.fullmatch(path.name)]

    def _files(self, sizes: Sequence[int]) -> Iterator[tuple[Recipient, str, list[Item]]]:
        """Yield for whom a file is, about what, and what belongs in it."""
        hidden = sealed.products(self._session) if self._recipients else []
        for first in range(0, len(hidden), statements.PAGE):
            page = hidden[first : first + statements.PAGE]
            for product, found in self._current(page, sizes).items():
                for each in self._recipients:
                    items = [_item(own) for own in found if each.rights.sees(own)]
                    if items:
                        yield each, product, items

    def _current(
        self, products: Sequence[str], sizes: Sequence[int]
    ) -> dict[str, list[OwnStatement]]:
        """Return what is not public of each product, by index."""
        found = {
            own.commitment: own
            for size in sizes
            for own in statements.current(self._session, products, size)
            if own.sharing != "public"
        }
        by_product: dict[str, list[OwnStatement]] = {}
        for own in sorted(found.values(), key=lambda own: own.index):
            by_product.setdefault(own.product, []).append(own)
        return by_product

    def _write(self, recipient: Recipient, product: str, items: Sequence[Item]) -> int:
        """Write one file, unless it holds just this already: sealed anew, it would be another."""
        path = self._folder / recipient.pair.name(product)
        if path.exists() and sealing.is_of(path.read_bytes(), recipient.pair, product, items):
            return 0
        return int(write_changed(path, sealing.seal(recipient.pair, recipient.to, product, items)))


def _no_key(partner: Partner, error: Exception) -> str:
    return f"{partner.origin}: {error}: it has to say another seal key, so ask it"


def _require_believed(partner: Partner) -> None:
    if partner.refused:
        raise UnusableError(
            f"--to {partner.origin}: its keys are not believed: {partner.refused}; "
            f"`bcca partners show {partner.origin}` says more"
        )


def _item(own: OwnStatement) -> Item:
    return Item(commitment=own.commitment, index=own.index, envelope=own.envelope)
