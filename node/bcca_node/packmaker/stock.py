"""What a pack maker keeps of its suppliers' statements: each once, by its commitment, for ever.

What was verified is not verified again. What can change about it is looked at in every run: that
the log has its entry, that its key is still good for it, and its status (`verify.stand`).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from threading import Lock

from sqlmodel import Session

from bcca_node.packmaker import facts, heavy, held
from bcca_node.packmaker.facts import Said
from bcca_node.packmaker.hands import Hands
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.source import ReadLog
from bcca_node.storage import seen, segments
from bcca_node.storage.database import Database
from bcca_node.storage.pages import WIDTH
from bcca_node.storage.segments import Segment
from bcca_protocol import verify
from bcca_protocol.errors import BccaError
from bcca_protocol.verify import VerifiedLog

MAX_AT_HAND = 1_024  # segments: 200 MB of what 250,000 statements say
MAX_SORTED = 4_096  # segments of whole logs beside them: 0.8 GB of what a million say
MAX_AT_ONCE = 1_000  # products that are looked up while everybody waits: 10 ms
STRANGER = ""  # as whom statements are asked for without a signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms suppliers are asked: what is kept, who does the work, the seconds of each.

    `is_offline`: nobody is asked, and what is kept is all there is.
    """

    stock: "Stock"
    hands: Hands
    seconds: float
    is_offline: bool = False


class Stock:
    """The statements of others in one database."""

    def __init__(self, database: Database) -> None:
        """Look into `database`."""
        self._database = database
        self._proven: list[tuple[str, list[str]]] = []
        self._at_hand: dict[tuple[str, int], Sequence[facts.Line]] = {}
        self._firsts: dict[str, list[int]] = {}
        self._about: dict[str, Mapping[str, Sequence[facts.Line]]] = {}  # of whole logs, by product
        self._turn = Lock()  # suppliers are looked up in threads of their own

    def read_up_to(self, source: ReadLog, asked_as: str) -> int:
        """Return up to which entry the statements of a log were asked for as somebody."""
        with self._database.read() as session:
            return segments.read(session, source.address.key.encode(), asked_as)

    def count(self, source: ReadLog) -> int:
        """Return how many statements of a log are kept."""
        with self._database.read() as session:
            return segments.count(session, source.address.key.encode())

    def keep(self, source: ReadLog, checked: Sequence[Segment], read: Mapping[str, int]) -> None:
        """Keep what holds, and how far it was `read` as whom: both or none.

        The second of a run at which it was read stands beside it.
        """
        address, at = source.address, source.log.head.time
        vkey = address.key.encode()
        with self._database.write() as session:
            for each in checked:
                if each.lines:
                    segments.put(session, address.origin, vkey, each)
            for asked_as, size in read.items():
                segments.put_read(session, vkey, asked_as, size, at=at)
        with self._turn:  # not before others can read the new ones
            self._firsts.pop(vkey, None)
            self._about.pop(vkey, None)

    def at_hand(self, source: ReadLog, products: Sequence[str]) -> list[Held] | None:
        """Return what `find` does, at once; None where that would have to be read, or is much."""
        about = self._about.get(source.address.key.encode())
        if about is None or len(products) > MAX_AT_ONCE:
            return None
        return _found(about, products, source.log)

    def find(
        self, source: ReadLog, products: Sequence[str], *, even_alone: bool = False
    ) -> list[Held]:
        """Return what is kept of some products of a log, as it stands in that now, by entry.

        What came by itself, and through others perhaps, only if it is asked for.
        """
        vkey, log = source.address.key.encode(), source.log
        about = None if even_alone else self._about.get(vkey)
        if about is not None:  # every segment was read for an earlier tier
            return _found(about, products, log)
        found = self._read(vkey, log, products, even_alone=even_alone)
        return sorted(found, key=_by_entry)

    def _read(
        self, vkey: str, log: VerifiedLog, products: Sequence[str], *, even_alone: bool
    ) -> list[Held]:
        wanted = frozenset(products)
        found: list[Held] = []
        renewed: dict[int, bytes] = {}
        with self._database.read() as session:
            firsts = self._firsts.get(vkey) or segments.firsts(session, vkey)
            self._firsts[vkey] = firsts
            kept: Mapping[str, int] = {}
            if even_alone or len(products) * WIDTH < log.history.size:  # not one of each segment
                kept = segments.of_products(session, vkey, products)
                firsts = _holding(firsts, kept.values())
            for first in firsts:
                lines = self._lines(session, vkey, first, log, renewed)
                found += _standing(map(facts.said, _of(wanted, lines)), log)
            there = {each.part.commitment for each in found}
            for name in sorted(kept.keys() - there) if even_alone else ():
                alone = seen.of_log(session, vkey, name)
                found += () if alone is None else _held(alone.envelope, log)
        self._renew(vkey, renewed)
        self._sort(vkey)
        return found

    def _sort(self, vkey: str) -> None:
        """Have a log's statements at hand by their products, once all its segments were read."""
        firsts = self._firsts.get(vkey, [])
        with self._turn:  # others sort at the same time
            read = [self._at_hand.get((vkey, first)) for first in firsts]
            held = sum(len(self._firsts.get(each, ())) for each in self._about)
            if not firsts or None in read or held + len(firsts) > MAX_SORTED:
                return
            about: dict[str, list[facts.Line]] = {}
            for line in chain.from_iterable(filter(None, read)):
                about.setdefault(line.product, []).append(line)
            self._about[vkey] = about
            for first in firsts:
                self._at_hand.pop((vkey, first), None)

    def _lines(
        self, session: Session, vkey: str, first: int, log: VerifiedLog, renewed: dict[int, bytes]
    ) -> Sequence[facts.Line]:
        """Return what a segment says; it stays at hand for the tiers to come."""
        kept = self._at_hand.get((vkey, first))
        if kept is None:
            kept = facts.decode(segments.facts(session, vkey, first))
        if kept is None:  # as another program kept it
            content, _ = segments.content(session, vkey, first)
            renewed[first] = heavy.check_page(content, log).facts
            kept = facts.decode(renewed[first]) or []
        with self._turn:
            self._at_hand[vkey, first] = kept
            if len(self._at_hand) > MAX_AT_HAND:
                del self._at_hand[next(iter(self._at_hand))]
        return kept

    def _renew(self, vkey: str, renewed: Mapping[int, bytes]) -> None:
        """Keep what had to be read from its envelopes again."""
        if renewed:
            with self._database.write() as session:
                for first, content in renewed.items():
                    segments.put_facts(session, vkey, first, content)

    async def unproven(self, source: ReadLog, kept: Iterable[Held], hands: Hands) -> dict[str, str]:
        """Check the own signatures of what is kept (SPEC 6.3, step 8), each once, ever.

        Return which do not hold, and why not, by commitment.
        """
        vkey, log = source.address.key.encode(), source.log
        index = {each.part.commitment: each.signed.index for each in kept}
        refused: dict[str, str] = {}
        with self._database.read() as session:
            left = index.keys() - segments.proven(session, vkey, sorted(index))
            firsts = segments.firsts(session, vkey)
        order = sorted((index[name], name) for name in left)
        good: list[str] = []
        for at, few in groupby(order, key=lambda each: bisect_right(firsts, each[0]) - 1):
            some = list(few)
            with self._database.read() as session:
                content, lines = segments.content(session, vkey, firsts[at])
            places = [lines.index(each) for each, _ in some]
            why = await hands.do(heavy.check_signatures, content, places, log)
            refused |= {name: w for (_, name), w in zip(some, why, strict=True) if w}
            good += [name for (_, name), w in zip(some, why, strict=True) if not w]
        self._proven.append((vkey, good))
        return refused

    def remember(self) -> None:
        """Keep whose own signatures were checked."""
        if not any(names for _, names in self._proven):
            return
        with self._database.write() as session:
            for vkey, names in self._proven:
                segments.put_proven(session, vkey, names)
        self._proven.clear()


def _holding(firsts: Sequence[int], entries: Iterable[int]) -> list[int]:
    """Return the first entries of the segments that hold some entries."""
    at = {bisect_right(firsts, entry) - 1 for entry in entries}
    return [firsts[each] for each in sorted(at) if each >= 0]


def _of(products: frozenset[str], lines: Iterable[facts.Line]) -> Iterator[facts.Line]:
    return (each for each in lines if each.product in products)


def _found(
    about: Mapping[str, Sequence[facts.Line]], products: Iterable[str], log: VerifiedLog
) -> list[Held]:
    """Return some products of a log by entry."""
    lines = [line for each in products for line in about.get(each, ())]
    return sorted(_standing(map(facts.said, lines), log), key=_by_entry)


def _by_entry(held: Held) -> int:
    return held.signed.index


def _standing(said: Iterable[Said], log: VerifiedLog) -> Iterator[Held]:
    """Yield what was found before as it stands now, as far as the log still bears it out."""
    for each in said:
        try:
            now = verify.stand(each.fact, each.nonce, log)
            offer = held.as_offer(now, b"")
        except BccaError:
            continue
        if offer is not None:
            yield offer


def _held(envelope: bytes, log: VerifiedLog) -> list[Held]:
    try:
        found = held.hold(envelope, log)
    except BccaError:
        return []
    return [] if found is None else [found]
