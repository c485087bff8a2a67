"""The document of a node's routes (OpenAPI 3.1), from which a client can be made."""

import copy
import json
import warnings
from collections.abc import Iterator
from functools import cached_property
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts

from bcca_node.web.parts import JSON, answers
from bcca_node.web.resource import METHODS, SECONDS, resource

PATH = "/openapi.json"
VERSION = "1"  # of the interface, bcca/v1; that of the program is told to nobody
TITLE = "A node of the battery carbon chain"

router = APIRouter()

_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}
_ALWAYS = ("400", "429", "431", "500", "503")  # can come from any route: 431 and 429 of the gate
_SIGNATURE = {
    "signature": "the signature itself",
    "signature-input": 'what it covers (RFC 9421), tag="bcca-v1"',
    "bcca-audience": "the origin of the node that is asked",
}


class Document:
    """The document of an app, made when it is first asked for."""

    def __init__(self, app: FastAPI) -> None:
        """Describe `app`."""
        self._app = app

    @cached_property
    def encoded(self) -> bytes:
        """The document as JSON."""
        return json.dumps(described(self._app), ensure_ascii=False).encode()


@router.api_route(PATH, methods=METHODS, responses=answers(JSON, shape=dict[str, Any]))
def get_document(request: Request) -> Response:
    """Answer this document."""
    document: Document = request.app.state.document
    return resource(request, document.encoded, JSON, SECONDS)


def described(app: FastAPI) -> dict[str, Any]:
    """Return the document of an app's routes."""
    contexts = [each for each in iter_route_contexts(app.routes) if each.include_in_schema]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GET and HEAD of one route have one name until below
        document = get_openapi(title=TITLE, version=VERSION, routes=contexts)
    named: dict[str, Any] = {"Error": _ERROR}
    names = {(each.path_format, method): each for each in contexts for method in each.methods or ()}
    paths = document["paths"]
    for path, method, operation in _operations(document):
        context = names[path, method.upper()]
        module, function = context.endpoint.__module__, str(context.name)
        operation["operationId"] = _name(method, module.rpartition(".")[2], function)
        operation["summary"] = (context.endpoint.__doc__ or "").partition("\n")[0]
        if "requestBody" in operation:
            operation["responses"] |= {"408": {}, "413": {}}
        operation["responses"] = _responses(operation["responses"], method)
        if "401" in operation["responses"]:
            operation["security"] = [{}, {name: [] for name in _SIGNATURE}]
    document["paths"] = {path: dict(sorted(each.items())) for path, each in paths.items()}
    _hoist(document, named)
    document["components"] = {
        "schemas": dict(sorted(named.items())),
        "securitySchemes": {
            name: {"type": "apiKey", "in": "header", "name": name, "description": what}
            for name, what in _SIGNATURE.items()
        },
    }
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _name(method: str, module: str, function: str) -> str:
    """Return the name of an operation: `log_get_tile`, and `log_head_tile` beside it."""
    verb, _, what = function.partition("_")
    return f"{module}_{method if method == 'head' else verb}_{what}"


def _responses(found: dict[str, Any], method: str) -> dict[str, Any]:
    """Return every answer of an operation, refusals in the one form that all have."""
    responses = {}
    for status in sorted({*found, *_ALWAYS} - {"422"}):
        response = copy.deepcopy(found.get(status, {}))
        if int(status) >= HTTPStatus.BAD_REQUEST:
            response["description"] = HTTPStatus(int(status)).phrase.lower()
            response.setdefault(
                "content", {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
            )
        elif len(response["content"]) > 1:
            response["content"] = {
                media: each for media, each in response["content"].items() if each["schema"]
            }
        if status == "429":
            response["headers"] = {"retry-after": {"schema": {"type": "integer"}, "required": True}}
        if method == "head":
            response.pop("content", None)
        responses[status] = response
    return responses


def _hoist(part: Any, named: dict[str, Any]) -> None:
    """Take the shapes that `answers` has left in the document to `named`."""
    match part:
        case dict():
            shapes = part.pop("x-named", {})
            named.update(shapes)
            for each in (*part.values(), *shapes.values()):
                _hoist(each, named)
        case list():
            for each in part:
                _hoist(each, named)
        case _:
            pass
