"""A walk upstream once more: only logs that have grown are read, only what changed is followed.

It leads exactly where a walk from the roots would lead, or says that it cannot tell. It can where
nothing was amiss before, the same was asked in the same way, and each statement that feeds
something now asks for the same products of the same suppliers as the one in whose place it came.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from bcca_node.packmaker.choices import stands_as
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.told import Told
from bcca_node.packmaker.walk import Walk
from bcca_protocol.choosing import About
from bcca_protocol.partial import Part


async def follow_again(walk: Walk, before: Walk, roots: Sequence[Held]) -> bool:
    """Let `walk`, which knows what the one `before` knew, reach what is upstream of `roots` now.

    Return whether it did; else what it has reached is nothing, and a walk has to begin anew.
    """
    walk.roots = roots
    if not _is_the_same(walk, before, roots):
        return False
    told = await _told(walk, before)
    if any(each.troubles or each.absent for each in told.values()):
        return False
    renewed = {about for origin, each in told.items() for about in _renewed(walk, origin, each)}
    if not walk.is_clean:
        return False
    try:
        walk.reached, walk.changed = _reached(walk, before, renewed)
    except _OtherwiseError:
        return False
    return True


class _OtherwiseError(Exception):
    """It leads elsewhere than before."""


def _is_the_same(walk: Walk, before: Walk, roots: Sequence[Held]) -> bool:
    """Say whether the walk before was clean, and asked the same in the same way."""
    now, then = walk.plan, before.plan
    asked = (now.period, now.rules, now.stand_ins, walk.trusted, walk.circle.keys())
    before_asked = (then.period, then.rules, then.stand_ins, before.trusted, before.circle.keys())
    known = {each.part.commitment: each for each in before.roots}
    return (
        before.is_clean
        and not now.is_offline
        and asked == before_asked
        and known.keys() == {each.part.commitment for each in roots}
        and all(stands_as(each, known[each.part.commitment]) for each in roots)
    )


async def _told(walk: Walk, before: Walk) -> dict[str, Told]:
    """Return what suppliers tell that was not told before, by origin."""
    origins = sorted(walk.ground.asked)
    found = await asyncio.gather(*(walk.ask_again(origin, before) for origin in origins))
    return {o: told for o, told in zip(origins, found, strict=True) if told is not None}


def _renewed(walk: Walk, origin: str, told: Told) -> Iterator[About]:
    """Yield the products of which a supplier tells otherwise than before."""
    by_product: dict[str, list[Held]] = {ask.product: [] for ask in walk.ground.asked[origin]}
    for each in told.found:
        by_product[each.part.product].append(each)
    for product in sorted(by_product):
        if walk.choices.renew((origin, product), by_product[product]):
            yield origin, product


def _reached(
    walk: Walk, before: Walk, renewed: set[About]
) -> tuple[dict[str, Held], frozenset[str]]:
    """Return what is reached now, and of it what is not as it was, or fed otherwise.

    Raises _OtherwiseError where that leads elsewhere.
    """
    known = walk.choices.known
    fed = _fed(walk, before, renewed)
    feeding = {now for swaps in fed.values() for _, now in swaps}
    gone = {old for swaps in fed.values() for old, _ in swaps} - feeding
    come = feeding - before.reached.keys()
    stay = {name: known[name] for name in before.reached if name not in gone}
    found = stay | {name: known[name] for name in sorted(come)}
    fed_otherwise = {n for n, swaps in fed.items() if any(old != now for old, now in swaps)}
    restated = {n for n, each in stay.items() if each is not before.reached[n]}
    changed = (fed_otherwise | restated | come) & found.keys()
    _require_fed(walk, [found[name].part for name in come], found)
    walk.choices.feeding([found[name] for name in sorted(changed)])
    return found, frozenset(changed)


def _fed(walk: Walk, before: Walk, renewed: set[About]) -> dict[str, list[tuple[str, str]]]:
    """Return what fed, and now feeds, inputs of products of which something else is told."""
    found: dict[str, list[tuple[str, str]]] = {}
    if not renewed:
        return found
    for name, (_, part, _) in before.reached.items():
        for bought in part.bought:
            if (bought.origin, bought.product) in renewed:
                old = before.choices.plain(part, bought)
                now = walk.choices.plain(part, bought)
                if old is None or now is None:
                    raise _OtherwiseError
                if old != now:
                    _require_shape(walk.choices.known[now].part, before.reached[old].part)
                found.setdefault(name, []).append((old, now))
    return found


def _require_shape(part: Part, before: Part) -> None:
    """Refuse a statement that does not ask for what the one before it asked for."""
    if _asks(part) != _asks(before):
        raise _OtherwiseError


def _asks(part: Part) -> list[tuple[object, ...]]:
    return [(b.origin, b.key, b.product, b.site, b.pinned, b.acquired) for b in part.bought]


def _require_fed(walk: Walk, parts: Sequence[Part], reached: Mapping[str, Held]) -> None:
    """Refuse new statements of which an input is not fed by what was reached."""
    for part in parts:
        for bought in part.bought:
            if walk.choices.plain(part, bought) not in reached:
                raise _OtherwiseError
