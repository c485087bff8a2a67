"""Invitations, for whoever was given their link (SPEC 13.10).

One that was used, withdrawn or has expired answers like one that never was.
"""

import re

from fastapi import APIRouter, Request
from fastapi.responses import Response

from bcca_node.partners.invitation import PATH
from bcca_node.storage import partners
from bcca_node.web.parts import TEXT, NodeDep, NotHereError, answers
from bcca_node.web.resource import METHODS, resource

router = APIRouter()

_ID = re.compile(r"[0-9a-f]{32}")
_UNSTORED = "no-store"  # open today, used tomorrow


@router.api_route(PATH + "{name}", methods=METHODS, responses=answers(TEXT, 404))
def get_invitation(request: Request, node: NodeDep, name: str) -> Response:
    """Answer an invitation that is open, as its signed note."""
    if not _ID.fullmatch(name):
        raise NotHereError
    with node.database.read() as session:
        found = partners.invitation(session, name)
    if found is None or not found.is_open(node.clock()):
        raise NotHereError
    return resource(request, found.note.encode(), TEXT, _UNSTORED)
