"""What a node remembers of calls: the nonces of signed ones (SPEC 13.7), and who fetched what.

No signature is taken twice, whatever the clocks do, because of one invariant: every nonce that was
taken and created after the *horizon* is in the store; what was created up to it is not taken. To
forget nonces, the horizon is first raised, in the same transaction, to the newest of their times.

- A process that is killed loses nothing: each nonce is committed before the call is answered.
- A clock that is set back changes neither the horizon nor what is in the store.
- A power cut may take the last commits, and a copy or a new store lacks those of others. Such a
  store is recognised (another boot, another file, no horizon) and raises its horizon to a minute
  ahead: what was signed until then is to be signed again. `init` begins a store that has missed
  nothing, since there was no node yet.

What is left: a file rolled back under a running machine, such as a snapshot of its disk within a
minute, and a clock that is behind itself after a start.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import groupby
from operator import attrgetter

import msgspec
from sqlalchemy import Connection

from bcca_node.storage import callsql as sql
from bcca_node.storage.callstore import Store
from bcca_node.storage.calltrim import ON_BEHALF, trim
from bcca_node.storage.callwrite import On, Transaction, direct
from bcca_node.storage.engines import QUICK_SECONDS
from bcca_protocol.errors import UnavailableError

Pair = tuple[str, str]  # a statement, and the origin that holds it

MAX_NONCES = 200_000  # of callers known here: 1,000 calls a second, each kept three minutes
MAX_STRANGER_NONCES = 50_000  # of all others: who makes keys by the thousand stops no partner
MAX_FETCHES = 1_000_000  # rows of who fetched what on a day: some 250 MB
KEEP_SECONDS = 120  # a clock may be set back by a minute, and no call has to be signed again

_SWEEP_SECONDS = 5  # between two rounds of forgetting
_FORGOTTEN_AT_ONCE = 10_000  # of one round: 50 ms, in which nobody else takes a nonce
_HELD_SECONDS = 60  # another process may have forgotten a partner, and it come again
_MAX_HELD = 50_000  # pairs of statement and holder known to be written: 20 MB
_TRIM_EVERY = 10_000  # rows noted between two looks at how many there are
_NOTED_AT_ONCE = 500  # rows in one turn: 15 ms, in which nobody else takes a nonce
_DAY_SECONDS = 86_400

_OF_ALL = attrgetter("at", "origin", "caller", "how")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much is remembered."""

    nonces: int = MAX_NONCES
    stranger_nonces: int = MAX_STRANGER_NONCES
    fetches: int = MAX_FETCHES


class Fetch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """That somebody was shown a statement: `origin` of who is known, the label of its key.

    `how` is the route, such as `statement`, `stream` or `evidence`.
    """

    origin: str
    caller: str
    commitment: str
    product: str
    how: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """How often somebody fetched a statement on one day, and when first and last."""

    origin: str
    caller: str
    commitment: str
    product: str
    how: str
    first: int
    last: int
    times: int


class Calls:
    """What is remembered of the calls to the node whose database is at `url`; any thread may ask.

    All processes of a node share it. It is opened when it is first used, or by `prepare`. Raises
    UnavailableError where it cannot be read or written.
    """

    def __init__(self, url: str, room: Room | None = None) -> None:
        """Remember so much."""
        self._store = Store(url)
        self._room = room or Room()
        self._swept: tuple[Connection | None, int] = (None, 0)  # on which connection, and when
        self._kept = {True: 0, False: 0}
        self._noted = 0
        self._held: set[Pair] = set()
        self._held_on: Connection | None = None
        self._held_at = 0

    def begin(self) -> None:
        """Begin the store of a node that is only set up now: it has missed no call."""
        self._store.begin()

    def prepare(self, now: int) -> None:
        """Open the store; what a new one may have missed is over a minute later."""
        self._store.turn(now, lambda _: None, QUICK_SECONDS)

    def once(  # noqa: PLR0913 - a call, when it is, and how long it may take
        self,
        key_id: str,
        nonce: str,
        created: int,
        now: int,
        *,
        is_known: bool = True,
        shown: Sequence[Fetch] = (),
        patience: float = QUICK_SECONDS,
    ) -> bool:
        """Say whether a nonce of a verified signature is new, and remember it.

        `key_id` is the whole text of its key; what its call is `shown` is noted in the same commit.
        Raises UnavailableError where there is no room, and for a signature that is older than what
        this store knows for certain; BusyError where others write for longer than the `patience`,
        in seconds.
        """
        mark = sha256(f"{key_id} {nonce}".encode()).digest()[:16]
        told = {"mark": mark, "created": created, "known": int(is_known)}

        def taken(connection: Connection) -> bool:
            swept_on, swept_at = self._swept
            if swept_on is not connection or abs(now - swept_at) >= _SWEEP_SECONDS:
                self._sweep(connection, now)
            self._require_room(connection, now, is_known=is_known)
            if self._enter(connection, told, shown):
                self._kept[is_known] += 1
                return True
            horizon = connection.execute(sql.HORIZON).scalar_one_or_none()
            if horizon is None:  # a server that crashed has emptied its tables
                horizon = self._store.settle(connection, now)
            if created <= horizon:
                raise UnavailableError(
                    f"signature: created at {created}, and calls until {horizon} may have been "
                    "forgotten here: sign it again, later"
                )
            return False

        return self._store.turn(now, taken, patience)

    def note(self, fetches: Iterable[Fetch], *, now: int, patience: float = QUICK_SECONDS) -> None:
        """Remember who was shown what; each is counted by the day.

        Raises BusyError where others write for longer than the `patience`, in seconds: the first
        so many are then remembered, and the rest is not.
        """
        shown = list(fetches)
        for first in range(0, len(shown), _NOTED_AT_ONCE):
            some = shown[first : first + _NOTED_AT_ONCE]
            self._store.turn(now, partial(self._note, some), patience)
            if self._noted >= min(_TRIM_EVERY, self._room.fetches):
                self._store.turn(now, self._trim, QUICK_SECONDS)

    def fetched(  # noqa: PLR0913 - each is a way to ask
        self,
        *,
        now: int,
        origin: str = "",
        product: str = "",
        commitment: str = "",
        since: int = 0,
        limit: int = 1_000,
    ) -> list[Fetched]:
        """Return who was shown what, the newest first; an empty text stands for whatever."""
        told = {"origin": origin, "product": product, "commitment": commitment}
        with self._store.reading(now) as connection:
            rows = connection.execute(sql.FETCHED, {**told, "since": since, "limit": limit})
            return [Fetched(**row) for row in rows.mappings()]

    def holders(self, commitment: str, *, now: int) -> list[str]:
        """Return the origins of all that were ever shown a statement, however long ago."""
        with self._store.reading(now) as connection:
            return list(connection.execute(sql.HOLDERS, {"commitment": commitment}).scalars())

    def forget(self, origin: str, *, now: int) -> None:
        """Forget that an origin was ever shown anything; the access log still tells its owner."""
        self._store.turn(now, partial(self._forget, origin), QUICK_SECONDS)

    def close(self) -> None:
        """Close every connection; whoever asks again opens another."""
        self._store.close()

    def _sweep(self, connection: Connection, now: int) -> None:
        """Forget nonces of calls that are too old anyway, and count those that are kept."""
        with Transaction(connection):
            told = {"before": now - KEEP_SECONDS, "most": _FORGOTTEN_AT_ONCE}
            newest = connection.execute(sql.NEWEST, told).scalar_one()
            if newest is not None:
                connection.execute(sql.RAISE, {"newest": newest})
                connection.execute(sql.FORGET, {"newest": newest})
        counted = {bool(known): count for known, count in connection.execute(sql.COUNT)}
        self._kept = {True: 0, False: 0, **counted}
        self._swept = (connection, now)

    def _require_room(self, connection: Connection, now: int, *, is_known: bool) -> None:
        """Return if a nonce has room; others may have entered some since the last count."""
        room = self._room.nonces if is_known else self._room.stranger_nonces
        if self._kept[is_known] >= room and self._swept[1] != now:
            self._sweep(connection, now)
        if self._kept[is_known] >= room:
            whose = "callers known here" if is_known else "strangers"
            raise UnavailableError(
                f"signed calls: {room} of {whose} within {KEEP_SECONDS} s, and no more are "
                "remembered: ask again, later"
            )

    def _enter(
        self, connection: Connection, told: Mapping[str, object], shown: Sequence[Fetch]
    ) -> bool:
        """Write a nonce down, and with it what its call is shown; say whether it is new."""
        if not shown:
            return bool(sql.INSERT(direct(connection), told))
        with Transaction(connection) as on:
            is_new = bool(sql.INSERT(on, told))
            pairs = self._write(connection, on, shown) if is_new else set()
        if is_new:
            self._noted_were(shown, pairs)
        return is_new

    def _note(self, shown: Sequence[Fetch], connection: Connection) -> None:
        with Transaction(connection) as on:
            pairs = self._write(connection, on, shown)
        self._noted_were(shown, pairs)

    def _write(self, connection: Connection, on: On, shown: Sequence[Fetch]) -> set[Pair]:
        """Write down who was shown what, and who holds it; return what was not known to be held."""
        pairs = self._new_pairs(connection, shown)
        if pairs:
            told = [{"commitment": commitment, "origin": origin} for commitment, origin in pairs]
            connection.execute(sql.HOLD, told)
        for common, some in _alike(shown):
            sql.NOTE.each(on, common, [(each.commitment, each.product) for each in some])
        return pairs

    def _noted_were(self, shown: Sequence[Fetch], pairs: set[Pair]) -> None:
        """Know what was committed."""
        self._noted += len(shown)
        self._held |= pairs

    def _new_pairs(self, connection: Connection, shown: Sequence[Fetch]) -> set[Pair]:
        """Return who holds what that is not known to be written.

        Of partners alone, who are told of endings: auditors of others have names without end.
        """
        at = shown[0].at
        is_old = abs(at - self._held_at) > _HELD_SECONDS or len(self._held) > _MAX_HELD
        if self._held_on is not connection or is_old:
            self._held, self._held_at, self._held_on = set(), at, connection
        return {
            pair
            for each in shown
            if (pair := (each.commitment, each.origin)) not in self._held
            and each.origin
            and ON_BEHALF not in each.origin
        }

    def _forget(self, origin: str, connection: Connection) -> None:
        self._held.clear()
        with Transaction(connection):
            connection.execute(sql.UNHOLD, {"origin": origin})

    def _trim(self, connection: Connection) -> None:
        """Keep as many rows as there is room for."""
        self._noted = 0
        trim(connection, self._room.fetches)


def _alike(shown: Iterable[Fetch]) -> Iterator[tuple[dict[str, str | int], Sequence[Fetch]]]:
    """Yield what parts of a list have in common as parameters of sql.NOTE, and the part."""
    for (at, origin, caller, how), some in groupby(shown, key=_OF_ALL):
        told = {"day": at // _DAY_SECONDS, "at": at, "origin": origin, "caller": caller, "how": how}
        yield told, list(some)
