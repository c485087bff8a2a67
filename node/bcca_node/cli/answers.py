"""`bcca request read`: the statement that answers a request, verified, and what it says."""

import asyncio
from pathlib import Path

from bcca_node.cli.given import hosts, open_node
from bcca_node.cli.screen import listed, put_json, say, show_table
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.packmaker.answer import Answer, read_answer
from bcca_node.partners import requests
from bcca_node.storage.requests import Request
from bcca_protocol import footprint, period
from bcca_protocol.footprint import Footprint
from bcca_protocol.keys import Role
from bcca_protocol.partial import Part
from bcca_protocol.quantity import number, plain
from bcca_protocol.rollup import RollUp
from bcca_protocol.standing import standing


def show(data: Path, request: str, *, as_json: bool) -> None:
    """Fetch what answers a request, verify and keep it, and print what it says."""
    with open_node(data, keys=True) as node:
        with node.database.read() as session:
            found = requests.called(session, request, incoming=False)
        answer = asyncio.run(_read(node, found))
        shown = _shown(answer, period.text_at(node.clock()))
    if as_json:
        put_json(shown)
        return
    show_table(("", ""), [(name, _text(value)) for name, value in shown.items() if value])
    say(_said(answer))


async def _read(node: Node, request: Request) -> Answer:
    signer = node.keys.signer(Role.REQUEST)
    async with Fetcher(hosts(node.trust.required()), signer=signer, clock=node.clock) as fetcher:
        return await read_answer(node, fetcher, request)


def _shown(answer: Answer, at: str) -> dict[str, object]:
    """Return what the statement says, in the words of its fields, for people and programs."""
    fact = answer.fact
    found = _footprint(fact)
    return {
        "statement": fact.commitment,
        "product": fact.product,
        "issuer": fact.issuer,
        "kind": "own contribution" if isinstance(fact, Part) else "with everything upstream",
        "per": _per(fact),
        "kgCO2e": plain(footprint.total(found)),
        "stages": {stage: plain(kg) for stage, kg in footprint.by_stage(found).items() if kg},
        "inputs": _inputs(fact),
        "period": f"{fact.period.start} to {fact.period.end}",
        "validUntil": fact.validity.end,
        "standing": standing(answer.signed, at=at).words,
        "entry": str(answer.signed.index),
        "asOf": period.text_at(answer.head.time),
    }


def _footprint(fact: Part | RollUp) -> Footprint:
    return fact.own if isinstance(fact, Part) else fact.footprint


def _per(fact: Part | RollUp) -> str:
    if isinstance(fact, Part):
        return f"{plain(fact.declared)} {fact.unit}"
    unit = fact.statement.declared_unit
    return f"{plain(number(unit.amount))} {unit.unit}"


def _inputs(fact: Part | RollUp) -> list[str]:
    """Return what is bought for it, and has to be added."""
    if isinstance(fact, RollUp):
        return []
    made = f"{plain(fact.output)} {fact.unit}"
    return [
        f"{plain(each.amount)} {each.unit} of {each.product} by {each.origin} for {made}"
        for each in fact.bought
    ]


def _text(value: object) -> str:
    match value:
        case dict():
            return listed([f"{name} {amount}" for name, amount in value.items()])
        case list():
            return listed([str(each) for each in value])
        case _:
            return str(value)


def _said(answer: Answer) -> str:
    fact = answer.fact
    if isinstance(fact, RollUp):
        return "Its signature and its entry are verified; the total is its issuer's claim."
    if fact.bought:
        return "Verified and recomputed; what it buys comes on top (`bcca aggregate`)."
    return "Verified and recomputed; it buys nothing that is counted."
