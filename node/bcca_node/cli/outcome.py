"""What `bcca aggregate` tells of a run, for people."""

from bcca_node.cli import assured, battery, offline, ruled, substitutes
from bcca_node.cli.missing import Gap, copied_in, troubles_beside
from bcca_node.cli.screen import listed, say, tell
from bcca_node.packmaker.run import Run
from bcca_protocol import footprint
from bcca_protocol.quantity import plain

AGAIN = "run this again when they answer"


def print_run(run: Run, gaps: list[Gap], advice: str = AGAIN) -> None:
    """Print what is missing first, then what was used, the total, and what became of it.

    `advice` is what to do where nothing was entered.
    """
    _print_missing(run, gaps)
    substitutes.print_stood_in(run)
    if run.outdated:
        say(f"No longer current, and used by the last roll-up {run.outdated[0].used_by}:")
    for old in run.outdated:
        say(f"  {old.product} from {old.supplier}, statement {old.commitment}: {old.reason}")
    offline.print_cached(run)
    if run.sum.collected.copied:
        say("Read from copies, as their own nodes did not answer:")
    for each in copied_in(run):
        urls = listed(each.urls)
        say(f"  {each.supplier}, current as of {each.as_of}: {urls}", f"    {each.reason}")
    for origin, by in sorted(run.sum.collected.handed_on.items()):
        say(f"Handed on, as it shows its customers alone: {origin}, by {listed(sorted(by))}")
    _print_total(run)
    battery.print_battery(run)
    assured.print_assured(run)
    ruled.print_ruled(run)
    if run.published is None:
        say("not entered in the log")
        tell(f"{run.unentered}; {advice}")
    else:
        say(f"{run.published.state} {run.published.commitment}")
    if run.witnessed is not None and not run.witnessed.published:
        tell(f"{run.witnessed}; run `bcca publish` when they are there")


def _print_missing(run: Run, gaps: list[Gap]) -> None:
    if gaps:
        say("Missing, and not in the total:")
    for gap in gaps:
        needed = listed([f"{each.name} of {each.issuer}" for each in gap.dependents])
        say(
            f"  {gap.amount} {gap.unit} of {gap.product} from {gap.supplier}: {gap.reason}",
            f"    bought for {gap.consumer.name} of {gap.consumer.issuer}; needed by {needed}",
        )
    beside = troubles_beside(run, gaps)
    if beside:
        say("Refused or not answered, and told here for that alone:")
        say(*(f"  {product} from {origin}: {why}" for (origin, product), why in beside.items()))


def _print_total(run: Run) -> None:
    stated = run.statement
    declared = stated.declared_unit
    say(f"{stated.product.name} ({stated.product.id}), {declared.amount} {declared.unit}:")
    rolled = footprint.decode(stated.footprint)
    for stage, kg in footprint.by_stage(rolled).items():
        say(f"  {stage:<13} {plain(kg)} kg CO2e")
    without = ", INCOMPLETE: without what is missing" if stated.incomplete else ""
    say(f"  {'total':<13} {plain(footprint.total(rolled))} kg CO2e, excluding uptake{without}")
    if footprint.has_uptake(rolled):
        including = footprint.total(rolled, footprint.INCLUDING_UPTAKE)
        say(f"  {'':<13} {plain(including)} kg CO2e, including uptake{without}")
