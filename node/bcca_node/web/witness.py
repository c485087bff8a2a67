"""This node as a witness (c2sp.org/tlog-witness)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from bcca_node.ledger import witness
from bcca_node.storage import witnessed
from bcca_node.web.parts import JSON, TEXT, Described, NodeDep, NotHereError, answers, asked, body
from bcca_node.web.resource import METHODS, SECONDS, resource
from bcca_protocol.limits import MAX_ADD_CHECKPOINT_BYTES

_REFUSALS: Described = {  # c2sp.org/tlog-witness; those of every route are JSON
    status: {"content": {TEXT: {"schema": {"type": "string"}}}} for status in (403, 404, 422)
}
_REFUSALS[400] = _REFUSALS[503] = {
    "content": {media: {"schema": {}} for media in (TEXT, JSON)},
}
_REFUSALS[409] = {"content": {"text/x.tlog.size": {"schema": {"type": "string"}}}}

router = APIRouter(prefix="/witness")


@router.post(
    "/add-checkpoint",
    responses={**answers(TEXT), **_REFUSALS},
    openapi_extra=asked(TEXT),
)
def post_add_checkpoint(
    node: NodeDep, asked: Annotated[bytes, Depends(body(MAX_ADD_CHECKPOINT_BYTES))]
) -> Response:
    """Answer with a cosignature, or why there is none."""
    answer = witness.add_checkpoint(node, asked)
    headers = {"content-type": answer.content_type}  # exactly, without a charset added
    return Response(answer.body, status_code=answer.status, headers=headers)


@router.api_route("/{hashed}/checkpoint", methods=METHODS, responses=answers(TEXT, 404))
def get_checkpoint(request: Request, hashed: str, node: NodeDep) -> Response:
    """Answer the last head of a log that this witness cosigned."""
    with node.database.read() as session:
        note = witnessed.note(session, hashed)
    if note is None:
        raise NotHereError
    return resource(request, note.encode(), "text/plain", SECONDS)
