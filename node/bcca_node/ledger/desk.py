"""Publishing through the desk of the process that serves this node, which has the keys open."""

from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import msgspec

from bcca_node.ledger.batch import Published
from bcca_node.network import desk
from bcca_node.network.client import Answer
from bcca_protocol import wire
from bcca_protocol.errors import BccaError, ConflictError, UnavailableError, UnusableError
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.wire import showable

_PUBLISHED = msgspec.json.Decoder(list[Published])
_ERROR = msgspec.json.Decoder(dict[str, str])


def publish(data: Path, predicates: Sequence[PartialFootprint]) -> list[Published]:
    """Have `predicates` entered, all or none; return where each stands, in their order.

    Raises UnusableError for what is refused, ConflictError while an alarm stands,
    UnavailableError where nobody serves the desk of `data`, or too few witnesses answered.
    """
    answer = desk.ask(data, "/publish", encode(predicates))
    if answer.status != HTTPStatus.OK:
        raise _refusal(answer)
    done = wire.read(answer.body, _PUBLISHED, what="answer of the serving node")
    if len(done) != len(predicates):
        raise UnavailableError(
            f"the serving node answered {len(done)} statements for {len(predicates)} drafts"
        )
    return done


def encode(predicates: Sequence[PartialFootprint]) -> bytes:
    """Return what is sent to the desk: what the node writes itself is left out."""
    drafts = [msgspec.to_builtins(each) for each in predicates]
    for each in drafts:
        del each["issuer"], each["nonce"]
    return msgspec.json.encode(drafts)


def _refusal(answer: Answer) -> BccaError:
    try:
        why = _ERROR.decode(answer.body)["error"]
    except (msgspec.MsgspecError, KeyError):
        why = f"the serving node answered {answer.status}: {showable(repr(answer.body[:200]))}"
    if answer.status == HTTPStatus.CONFLICT:
        return ConflictError(why)
    kind = UnavailableError if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else UnusableError
    return kind(why)
