"""The token endpoint of PACT clients, and the document that names it (SPEC 16.3).

OAuth 2.0 client credentials (RFC 6749, 4.4), by HTTP Basic or in the body, and refusals as that
writes them (5.2).
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from bcca_node.ledger.node import Node
from bcca_node.pact import tokens
from bcca_node.pact.tokens import MAX_CREDENTIAL_CHARS
from bcca_node.web import pactauth
from bcca_node.web.limits import Limits
from bcca_node.web.parts import CALLER, JSON, NodeDep, body
from bcca_node.web.resource import METHODS

TOKEN_PATH = "/auth/token"  # noqa: S105 - where tokens are issued
OPENID_PATH = "/.well-known/openid-configuration"
MAX_FORM_BYTES = 8 * 1024  # a grant, an id and a secret, and scopes that nobody reads
MAX_FIELDS = 20  # of a form: RFC 6749 and its extensions know ten
TOKENS_A_SECOND = 5  # of one client, 200 at once: each is written to the disk

_FORM = "application/x-www-form-urlencoded"
_GRANT = "client_credentials"
_STORED_NOWHERE = {"cache-control": "no-store", "pragma": "no-cache"}  # RFC 6749, 5.1
_MANY = frozenset({"audience", "resource", "scope"})  # may come more than once (RFC 8707, 2)
_UNKNOWN = "the client id or the secret is not known, has expired or was revoked"

router = APIRouter(include_in_schema=False)


class OAuthError(Exception):
    """A token that is not issued: status and code as RFC 6749 has them, and a sentence."""

    def __init__(self, code: str, message: str, *, status: int = 400, basic: bool = False) -> None:
        """Answer so; `basic` where the client tried HTTP Basic."""
        super().__init__(message)
        self.code, self.status, self.basic = code, status, basic


def add(app: FastAPI) -> None:
    """Add the routes to `app`, and how they refuse."""
    node: Node = app.state.node
    app.state.tokens = Limits(min(TOKENS_A_SECOND, node.settings.rate))
    app.router.routes.extend(router.routes)
    app.add_exception_handler(OAuthError, _refusal)


@router.api_route(OPENID_PATH, methods=METHODS)
def get_configuration(request: Request, node: NodeDep) -> Response:
    """Answer where tokens are issued, and how."""
    pactauth.require_https(request, node)
    told = {
        "issuer": node.settings.url,
        "token_endpoint": node.settings.url + TOKEN_PATH,
        "grant_types_supported": [_GRANT],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }
    return JSONResponse(told, headers={"cache-control": "public, max-age=60"})


@router.post(TOKEN_PATH)
async def post_token(
    request: Request,
    node: NodeDep,
    form: Annotated[bytes, Depends(body(MAX_FORM_BYTES))],
) -> Response:
    """Issue a token for a client id and its secret."""
    if not pactauth.is_private(node, request):
        raise OAuthError("invalid_request", str(pactauth.PlainHttpError()))
    pactauth.admit(request)
    fields = _fields(request, form)
    client_id, secret, is_basic = _credentials(request, fields)
    _require_grant(fields)
    good = await run_in_threadpool(tokens.verify, node, client_id, secret)
    if good:
        limits: Limits = request.app.state.tokens
        limits.spend(client_id)  # now that it is its own: nobody else uses up its share
    issued = await run_in_threadpool(tokens.issue, node, client_id) if good else None
    if issued is None:
        pactauth.failed(request)
        raise OAuthError("invalid_client", _UNKNOWN, status=401, basic=is_basic)
    request.scope[CALLER] = issued.partner.origin
    told = {
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_in": issued.seconds,
    }
    return JSONResponse(told, headers=_STORED_NOWHERE)


def _fields(request: Request, form: bytes) -> Mapping[str, str]:
    """Return the fields of a form; raises OAuthError."""
    if pactauth.IN_QUERY & request.query_params.keys():
        raise OAuthError(
            "invalid_request",
            "a secret in a URL is written down by whoever passes it on: send it in the "
            "Authorization header or in the body, and have this one replaced",
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise OAuthError("invalid_request", f"the body is no {_FORM}: send it as one")
    try:
        pairs = parse_qsl(
            form.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise OAuthError("invalid_request", "the form cannot be read: write it anew") from error
    names = [name for name, value in pairs if value and name not in _MANY]
    if len(names) != len(set(names)):
        raise OAuthError("invalid_request", "a field comes twice, where each comes once")
    return {name: value for name, value in pairs if value}


def _credentials(request: Request, fields: Mapping[str, str]) -> tuple[str, str, bool]:
    """Return client id and secret, and whether they came by Basic; raises OAuthError."""
    sent = request.headers.getlist("authorization")
    if not sent:
        client_id, secret = fields.get("client_id", ""), fields.get("client_secret", "")
        return *_required(client_id, secret, is_basic=False), False
    client_id, secret = _basic(sent)
    if "client_secret" in fields or fields.get("client_id", client_id) != client_id:
        raise OAuthError(
            "invalid_request", "there are credentials in header and body: send them in one of them"
        )
    return *_required(client_id, secret, is_basic=True), True


def _basic(sent: list[str]) -> tuple[str, str]:
    """Return what stands in an Authorization header (RFC 6749, 2.3.1); raises OAuthError."""
    scheme, _, encoded = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    try:
        if scheme.lower() == "basic":
            text = base64.b64decode(encoded.strip(), validate=True).decode()
            client_id, _, secret = text.partition(":")
            return unquote_plus(client_id), unquote_plus(secret)
    except (binascii.Error, ValueError):
        pass  # it is refused as what is no Basic at all
    raise OAuthError(
        "invalid_client",
        "the Authorization header is not Basic with an id and a secret in base64: write one such",
        status=401,
        basic=True,
    )


def _required(client_id: str, secret: str, *, is_basic: bool) -> tuple[str, str]:
    """Return both where both are there, and of a length that ours may have."""
    lengths = sorted((len(client_id), len(secret)))
    is_plain = client_id.isascii() and client_id.isprintable()
    if is_plain and lengths[0] > 0 and lengths[1] <= MAX_CREDENTIAL_CHARS:
        return client_id, secret
    raise OAuthError("invalid_client", _UNKNOWN, status=401, basic=is_basic)


def _require_grant(fields: Mapping[str, str]) -> None:
    grant = fields.get("grant_type", "")
    if grant == _GRANT:
        return
    code = "unsupported_grant_type" if grant else "invalid_request"
    raise OAuthError(code, f"grant_type has to be {_GRANT}, the only one that is known here")


def _refusal(_: Request, error: Exception) -> Response:
    if not isinstance(error, OAuthError):
        raise TypeError("only what is refused is answered so") from error
    headers = dict(_STORED_NOWHERE)
    if error.status == 401 and error.basic:  # noqa: PLR2004 - RFC 6749, 5.2
        headers["www-authenticate"] = 'Basic realm="pact", charset="UTF-8"'
    told = {"error": error.code, "error_description": str(error)}
    return JSONResponse(told, status_code=error.status, headers=headers, media_type=JSON)
