"""What `bcca explain --why` shows: a number walked down to signed lines, with its arithmetic."""

from decimal import Decimal

from bcca_node.cli.screen import say
from bcca_node.packmaker.explain import share
from bcca_node.packmaker.recalled import Recalled
from bcca_node.packmaker.why import Input, Own, Taken, Why
from bcca_protocol.partial import Part
from bcca_protocol.quantity import plain

MOST_PARTS = 10  # statements that one line's name is in, for people
MOST_LINES = 30  # of one statement, for people: --json has all


def print_why(recalled: Recalled, found: list[Why]) -> None:
    """Print each product, how it is reached, and its lines, every number with its working."""
    for each in found[:MOST_PARTS]:
        _print(recalled, each)
    if len(found) > MOST_PARTS:
        say(f"and {len(found) - MOST_PARTS} more statements; --json lists each")


def as_json(recalled: Recalled, found: list[Why]) -> dict[str, object]:
    """Return the same for programs, numbers as decimal strings."""
    return {
        "product": recalled.report.product,
        "total": plain(recalled.total),
        "why": [_as_json(each) for each in found],
    }


def _print(recalled: Recalled, each: Why) -> None:
    part = each.part
    say(f"{part.name} ({part.product}) of {part.producer}, {part.issuer or 'signed by nobody'}")
    if each.stood_in is None:
        say(f"  statement {part.commitment}, entry {each.index} of {part.issuer}")
    else:
        factor = each.stood_in.factor
        say(f"  in a statement's place: {factor.dataset} of {factor.source}")
        say(f"  why: {each.stood_in.reason}")
    _print_needed(each)
    lines = [_own(line) for line in sorted(each.own, key=_size)]
    _print_listed("Its own lines:", lines)
    bought = [_bought(one) for one in each.bought]
    if bought:
        _print_listed("What it buys, with everything upstream:", bought)
    say("In the result:")
    say(f"  itself: {each.own_kg.tell()}")
    whole = share(each.kg.value, recalled.total)
    say(f"  with all upstream: {each.kg.tell()}, {whole} of {plain(recalled.total)}")


def _print_needed(each: Why) -> None:
    """Print how much of a product is needed: on the shortest way, and of all that buy it."""
    amount = f"{plain(each.amount)} {each.part.unit}"
    say("How much of it is needed:")
    if not each.chain:
        say(f"  {amount}: it is what was added up")
    for taken in each.chain:
        say(*_taken(taken))
    if len(each.asked) > 1 or each.in_loop:
        say("All that buy it:")
        for taken in each.asked:
            say(*_taken(taken))
        loop = ", solved together with what needs it: a loop" if each.in_loop else ""
        say(f"  in all {amount}{loop}")


def _print_listed(title: str, told: list[list[str]]) -> None:
    say(title)
    for lines in told[:MOST_LINES]:
        say(*lines)
    if len(told) > MOST_LINES:
        say(f"  and {len(told) - MOST_LINES} more; --json lists each")


def _size(line: Own) -> Decimal:
    return -abs(line.whole.value)


def _taken(taken: Taken) -> list[str]:
    where = f"line {taken.line} of {_name(taken.consumer)}"
    return [
        f"  {where} takes {taken.supplier.name}",
        *(f"    {each.tell()}" for each in taken.workings),
    ]


def _own(line: Own) -> list[str]:
    told = [f"  {line.name}"]
    if line.activity is not None:
        factor, activity = line.activity.factor, line.activity
        version = f", version {factor.version}" if factor.version else ""
        told = [
            f"  line {activity.id}, {activity.name}: {activity.kind}, {activity.stage}, "
            f"{factor.dataset} ({factor.source}{version})"
        ]
    return [*told, f"    {line.each.tell()}", f"    {line.whole.tell()}"]


def _bought(bought: Input) -> list[str]:
    what = f"  line {bought.bought.line}, {bought.bought.product} of {bought.bought.origin}"
    if bought.whole is None:
        return [f"{what}: {bought.fed_by}"]
    return [f"{what}, fed by {bought.fed_by}", f"    {bought.whole.tell()}"]


def _name(part: Part) -> str:
    return f"{part.name} of {part.producer}"


def _as_json(each: Why) -> dict[str, object]:
    return {
        "product": each.part.product,
        "name": each.part.name,
        "supplier": each.part.issuer,
        "statement": each.part.commitment if each.stood_in is None else None,
        "index": each.index,
        "substitute": None if each.stood_in is None else each.stood_in.reason,
        "needed": plain(each.amount),
        "unit": each.part.unit,
        "loop": each.in_loop,
        "chain": [_taken_json(taken) for taken in each.chain],
        "asked": [_taken_json(taken) for taken in each.asked],
        "own": [_own_json(line) for line in each.own],
        "bought": [_bought_json(bought) for bought in each.bought],
        "ownKg": each.own_kg.as_json(),
        "kg": each.kg.as_json(),
    }


def _taken_json(taken: Taken) -> dict[str, object]:
    return {
        "consumer": taken.consumer.commitment,
        "product": taken.consumer.product,
        "supplier": taken.consumer.issuer,
        "line": taken.line,
        "of": taken.supplier.product,
        "amount": plain(taken.amount),
        "workings": [each.as_json() for each in taken.workings],
    }


def _own_json(line: Own) -> dict[str, object]:
    activity, factor = line.activity, line.factor
    return {
        "line": None if activity is None else activity.id,
        "name": line.name,
        "kind": None if activity is None else activity.kind,
        "stage": None if activity is None else activity.stage,
        "dataset": None if factor is None else factor.dataset,
        "source": None if factor is None else factor.source,
        "version": None if factor is None else factor.version,
        "perDeclaredUnit": line.each.as_json(),
        "kg": line.whole.as_json(),
    }


def _bought_json(bought: Input) -> dict[str, object]:
    return {
        "line": bought.bought.line,
        "product": bought.bought.product,
        "supplier": bought.bought.origin,
        "fedBy": bought.fed_by,
        "kg": None if bought.whole is None else bought.whole.as_json(),
    }
