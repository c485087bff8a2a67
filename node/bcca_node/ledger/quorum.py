"""Many witnesses asked at once, until a quorum has answered (SPEC 6.1.1)."""

import asyncio
from collections.abc import Coroutine, Mapping

from bcca_protocol.errors import BccaError
from bcca_protocol.note import NoteSignature
from bcca_protocol.policy import Policy

GRACE_SECONDS = 1.0  # a quorum is enough: who is hardly slower may still join it


async def collect(
    policy: Policy,
    asked: Mapping[str, Coroutine[object, object, NoteSignature]],
    *,
    grace: float = GRACE_SECONDS,
) -> tuple[dict[str, NoteSignature], dict[str, str]]:
    """Return who cosigned, and why every other did not, in the order of `asked`.

    Once they are a quorum, nobody is waited for who is more than `grace` seconds slower.
    """
    names = {asyncio.create_task(asking): name for name, asking in asked.items()}
    found: dict[str, NoteSignature] = {}
    refused: dict[str, str] = {}
    waiting = set(names)
    try:
        while waiting:
            done, waiting = await asyncio.wait(
                waiting,
                timeout=grace if policy.is_quorum(found) else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                break
            for task in done:
                try:
                    found[names[task]] = task.result()
                except BccaError as error:
                    refused[names[task]] = str(error)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    refused |= {names[task]: "had not answered when the quorum was complete" for task in waiting}
    # Who answers first is chance.
    return (
        {name: found[name] for name in asked if name in found},
        {name: refused[name] for name in asked if name in refused},
    )
