"""This node as a witness of others: what it cosigned is stored before it is answered."""

from bcca_node.ledger.node import Node
from bcca_node.storage import witnessed
from bcca_protocol import witness
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import UnavailableError
from bcca_protocol.keys import Role, VerifierKey
from bcca_protocol.witness import Answer, WitnessState

_ATTEMPTS = 5  # each fails only because another request for the same log succeeded


def add_checkpoint(node: Node, request: bytes) -> Answer:
    """Return the answer to an add-checkpoint request.

    Raises UnusableError if the keys are closed, UnavailableError if others are always faster.
    """
    for _ in range(_ATTEMPTS):
        answer = _attempt(node, request)
        if answer is not None:
            return answer
    raise UnavailableError(f"witness {node.origin}: this log is being cosigned, ask again")


def _attempt(node: Node, request: bytes) -> Answer | None:
    """Return an answer and store what it says; None if another head came in between."""
    before: WitnessState | None = None

    def last(origin: str) -> WitnessState | None:
        nonlocal before
        with node.database.read() as session:
            before = witnessed.last(session, origin)
        return before

    signer = node.keys.signer(Role.WITNESS)
    answer = witness.answer(request, _logs(node), last, signer, node.clock())
    if answer.note is None:
        return answer
    shown, note = Checkpoint.parse(answer.note.text), answer.note.encode()
    with node.database.write() as session:
        witnessed.keep(session, shown, note)
        if answer.checkpoint is None or witnessed.replace(session, before, shown, note):
            return answer
    return None


def _logs(node: Node) -> dict[str, VerifierKey]:
    policy = node.trust.policy()
    trusted = {} if policy is None else {name: line.key for name, line in policy.logs.items()}
    return {**trusted, node.origin: node.log_key}
