"""`bcca log recover`: what an old database lacks, from whoever still has it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from bcca_node.cli.given import DataOption, JsonOption, hosts, open_node
from bcca_node.cli.screen import put_json, say, tell
from bcca_node.ledger.node import Node
from bcca_node.ledger.recover import Recovered, recover
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import host_of
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.wire import showable

EXAMPLE = "Example: bcca log recover --from https://customer.example/mirror/9f86d0... --data node"
DONE, INCOMPLETE = 0, 3


def recover_log(
    data: DataOption,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from", metavar="URL", help="Of a copy of this log, beside those of the policy."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Fetch the entries that witnesses have seen and this node lacks, after an old backup.

    They come from mirrors, and are kept if they continue the log up to a head that it signed. No
    passphrase is needed. What statements said that were entered after the backup comes back where
    a customer keeps a copy; what does not is named.
    """
    with open_node(data) as node:
        found, witnessed = asyncio.run(_recover(node, sources or []))
    if as_json:
        put_json(_as_json(found, witnessed))
    else:
        say(*(f"lost {each.commitment} {each.index}" for each in found.lost))
        tell(*_told(found, witnessed))
    is_done = found.is_whole and witnessed is not None and witnessed.published
    return DONE if is_done else INCOMPLETE


async def _recover(node: Node, sources: Sequence[str]) -> tuple[Recovered, Witnessed | None]:
    """Recover, and have the head cosigned if it is the newest.

    Whoever names a URL may name a host of a private network.
    """
    named = {*hosts(node.trust.required()), *map(_host, sources)}
    async with Fetcher(named) as fetcher:
        found = await recover(node, fetcher, sources)
        return found, await witness(node, fetcher) if found.size >= found.seen else None


def _host(url: str) -> str:
    try:
        return host_of(url)
    except RefusedError as error:
        raise UnusableError(f"--from {showable(url[:200])}: {error}") from error


def _told(found: Recovered, witnessed: Witnessed | None) -> list[str]:
    entries = f"{found.size - found.before} entries came back"
    lines = [f"{entries} from {found.via}" if found.via else "No entries came back"]
    lines[0] += f": here were {found.before}, now there are {found.size}."
    if found.found:
        lines.append(f"{found.found} statements came back from copies of others.")
    if found.lost:
        lines.append(
            f"{len(found.lost)} statements are in the log, and what they said is lost. Import what "
            "they were made of and publish it again: each finds its own entry. One that you did "
            "not make, somebody else entered: see `bcca keys`."
        )
    if found.seen > found.size:
        reasons = "; ".join(
            why if why.startswith(name) else f"{name}: {why}" for name, why in found.refused.items()
        )
        lines.append(
            f"{found.seen} entries were seen by others, so {found.seen - found.size} are still "
            f"missing and nothing may be entered: name a copy with --from ({reasons})."
        )
    return lines if witnessed is None else [*lines, str(witnessed)]


def _as_json(found: Recovered, witnessed: Witnessed | None) -> dict[str, object]:
    return {
        "before": found.before,
        "size": found.size,
        "seen": found.seen,
        "via": found.via,
        "found": found.found,
        "lost": [{"commitment": each.commitment, "index": each.index} for each in found.lost],
        "refused": dict(found.refused),
        "published": witnessed is not None and witnessed.published,
        "whole": found.is_whole,
    }
