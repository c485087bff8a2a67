"""What of the access log gives way where there is no more room: a flood costs its own maker's rows.

An auditor that somebody has appointed counts for that one, who may appoint as many as it likes.
"""

from collections import Counter

from sqlalchemy import Connection, text

ON_BEHALF = " for "  # in the name of an auditor: who has appointed it stands behind

_STRANGERS = text("DELETE FROM call_fetch WHERE origin = ''")
_COUNTS = text("SELECT origin, day, COUNT(*) FROM call_fetch GROUP BY origin, day")
_DROP = text("DELETE FROM call_fetch WHERE origin = :origin AND day = :day")


def owner(origin: str) -> str:
    """Return for whom a caller counts: itself, or who has appointed it."""
    return origin.rpartition(ON_BEHALF)[2]


def trim(connection: Connection, room: int) -> None:
    """Keep at most `room` rows: strangers' go first, then the oldest days of who has the most."""
    counts = {(origin, day): many for origin, day, many in connection.execute(_COUNTS)}
    if sum(counts.values()) <= room:
        return
    connection.execute(_STRANGERS)
    days = {place: many for place, many in counts.items() if place[0]}
    left = sum(days.values())
    of = Counter[str]()
    for (origin, _), many in days.items():
        of[owner(origin)] += many
    while left > room:
        largest = max(of, key=lambda name: (of[name], name))
        origin, day = min(
            (place for place in days if owner(place[0]) == largest),
            key=lambda place: (place[1], place[0]),
        )
        many = days.pop((origin, day))
        connection.execute(_DROP, {"origin": origin, "day": day})
        of[largest] -= many
        left -= many
