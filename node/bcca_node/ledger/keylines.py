"""What the lines of this node's own log say of its keys (SPEC 5.4): which are good, which not.

The log is read by its owner: what in it would be refused makes nothing good.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bcca_protocol.entry import KeyAdd, KeyCompromised, KeyRetire, parse_entry
from bcca_protocol.errors import RefusedError
from bcca_protocol.keys import Role, VerifierKey

BEGINNING = "bcca/v1 key "


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """The public part of a key, and the log entry that added it.

    `ended` is the entry that retired or voided it; a stolen one was good up to `good_until`.
    """

    role: Role
    key: VerifierKey
    index: int
    ended: int | None = None
    good_until: int | None = None

    @property
    def state(self) -> str:
        """What became of it, in a word or two."""
        if self.ended is None:
            return "good"
        if self.good_until is None:
            return f"retired at entry {self.ended}"
        if self.good_until < self.index:
            return f"void since entry {self.ended}"
        return f"stolen, good up to entry {self.good_until}"


def read(lines: Iterable[tuple[int, str]]) -> dict[int, KeyRecord]:
    """Return the keys that these lines of one log added, by index; behind a broken one, none."""
    keys: dict[int, KeyRecord] = {}
    for index, line in lines:
        try:
            entry = parse_entry(line)
        except RefusedError:
            break
        match entry:
            case KeyAdd(role=role, key=key):
                keys[index] = KeyRecord(role=role, key=key, index=index)
            case KeyRetire(add=add) if add in keys and keys[add].ended is None:
                keys[add] = replace(keys[add], ended=index)
            case KeyCompromised() if entry.add in keys:
                keys |= _voided(keys, entry, index)
    return keys


def is_stolen_earlier(known: KeyRecord, last_good: int) -> bool:
    """Say whether a notice with this last good index changes nothing: an earlier one counts."""
    return known.good_until is not None and known.good_until <= last_good


def lost_to(keys: Iterable[KeyRecord], add: int, last_good: int) -> list[KeyRecord]:
    """Return the keys that a notice voids: the stolen one, and all added behind the last good."""
    return [each for each in keys if each.index == add or each.index > last_good]


def _voided(keys: dict[int, KeyRecord], notice: KeyCompromised, index: int) -> dict[int, KeyRecord]:
    if is_stolen_earlier(keys[notice.add], notice.last_good):
        return {}
    return {
        each.index: replace(
            each,
            ended=index if each.ended is None else each.ended,
            good_until=notice.last_good,
        )
        for each in lost_to(keys.values(), notice.add, notice.last_good)
    }
