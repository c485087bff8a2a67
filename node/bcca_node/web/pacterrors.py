"""Refusals as PACT writes them, under /3/ alone: `{"code": ..., "message": ...}` (SPEC 16.3)."""

from http import HTTPStatus

BASE = "/3/"  # what is below it is PACT's
BAD_REQUEST, ACCESS_DENIED, NOT_FOUND = "BadRequest", "AccessDenied", "NotFound"
TOKEN_EXPIRED, INTERNAL_ERROR, NOT_IMPLEMENTED = "TokenExpired", "InternalError", "NotImplemented"

_CODES = {
    HTTPStatus.FORBIDDEN: ACCESS_DENIED,
    HTTPStatus.NOT_FOUND: NOT_FOUND,
    HTTPStatus.NOT_IMPLEMENTED: NOT_IMPLEMENTED,
}


def told(path: str, status: int, sentence: str) -> dict[str, str]:
    """Return the body of a refusal with `status`: PACT's under /3/, this node's elsewhere."""
    if not path.startswith(BASE):
        return {"error": sentence}
    return {"code": code_of(status), "message": sentence}


def code_of(status: int) -> str:
    """Return the code that PACT has for a status; whose fault it is decides of those it has not."""
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return _CODES.get(HTTPStatus(status), INTERNAL_ERROR if is_ours else BAD_REQUEST)
