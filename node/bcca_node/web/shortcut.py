"""The route that is asked most, answered before a framework takes longer than the answer.

It is described, and answered to whoever asks the app itself, like every other route; what is
answered here is made by the same function, and refused by the same handlers.
"""

import re
from typing import cast

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from bcca_node.web.resource import METHODS
from bcca_node.web.statements import ONE, get_statement

_PATH = re.compile(r"/statements/(?P<commitment>[0-9a-f]{64})")


class Shortcut:
    """An app whose single statements are answered at once."""

    def __init__(self, app: FastAPI) -> None:
        """Let through to `app` whatever else is asked."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a statement, or let the app answer."""
        is_one = scope["type"] == "http" and scope["method"] in METHODS
        match = _PATH.fullmatch(scope["path"]) if is_one else None
        if match is None:
            await self._app(scope, receive, send)
            return
        scope["app"], scope["route"] = self._app, ONE
        request = Request(scope, receive)
        try:
            answer = await get_statement(request, match["commitment"])
        except Exception as error:
            answer = self._refusal(request, error)
            await answer(scope, receive, send)
            if _handled(self._app, error) is Exception:
                raise  # a fault, which the gate tells the journal
            return
        await answer(scope, receive, send)

    def _refusal(self, request: Request, error: Exception) -> Response:
        handler = self._app.exception_handlers[_handled(self._app, error)]
        return cast("Response", handler(request, error))  # ours are all plain functions


def _handled(app: FastAPI, error: Exception) -> type[Exception]:
    """Return as what an error is answered: the nearest of its kinds that the app knows."""
    return next(kind for kind in type(error).__mro__ if kind in app.exception_handlers)
