"""A PACT host as another implementor would write it, with oddities that a test turns on.

It numbers its pages, names its token endpoint in an OpenID configuration, and writes what it lists
as text that it was given: nothing of ours is in it.
"""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse

ID = "9f0f2d0e-6d0c-4d3d-9f3e-0c7c3f0a9b{:02d}"
CLIENT, SECRET = "node-7", "a secret/with+signs=and %41"
JSON_TYPE = "application/json"


def footprint(number: int = 1, pcf: dict[str, Any] | None = None, **told: Any) -> dict[str, Any]:
    """Return a sound footprint; what is told goes into its place, None takes a field out."""
    carbon = {
        "declaredUnitOfMeasurement": "kilogram",
        "declaredUnitAmount": "1",
        "productMassPerDeclaredUnit": "1",
        "referencePeriodStart": "2025-01-01T00:00:00Z",
        "referencePeriodEnd": "2026-01-01T00:00:00Z",
        "geographyCountry": "FI",
        "pcfExcludingBiogenicUptake": "14.20",
        "pcfIncludingBiogenicUptake": "13.70",
        "fossilGhgEmissions": "14.00",
        "biogenicNonCO2Emissions": "0.20",
        "biogenicCO2Uptake": "-0.50",
        "fossilCarbonContent": "0.11",
        "ipccCharacterizationFactors": ["AR6"],
        "crossSectoralStandards": ["PACT-3.0", "ISO14067"],
        "exemptedEmissionsPercent": "0.5",
        "primaryDataShare": "56.12",
        **(pcf or {}),
    }
    whole = {
        "id": ID.format(number),
        "specVersion": "3.0.3",
        "created": "2026-02-01T08:00:00+00:00",
        "status": "Active",
        "companyName": "Mill Oy",
        "companyIds": ["urn:lei:5493001KJTIIGC8Y1R12"],
        "productDescription": "",
        "productIds": [f"urn:gtin:47123450605{number:02d}"],
        "productNameCompany": f"Foil {number}",
        "pcf": {name: value for name, value in carbon.items() if value is not ...},
        **told,
    }
    return {name: value for name, value in whole.items() if value is not ...}


@dataclass
class ForeignHost:
    """What it lists as JSON text, what odd things it does, and what it was asked."""

    texts: list[str] = field(default_factory=list)
    per_page: int = 2
    url: str = ""
    token_path: str = "/oauth2/v1/token"  # noqa: S105 - a path
    discovery: str | None = None
    reads_basic: bool = True
    seconds: int | str | None = 3600
    media: str = JSON_TYPE
    body: bytes | None = None
    link: str | None = None
    status: int = 200
    redirect: str | None = None
    drips: bool = False
    live: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def lists(self, *footprints: dict[str, Any] | str) -> None:
        """List these from now on."""
        self.texts = [each if isinstance(each, str) else json.dumps(each) for each in footprints]

    def begin(self) -> None:
        """Forget what was asked, and do nothing odd any more."""
        vars(self).update(vars(ForeignHost(url=self.url)))

    def asked_for(self, path: str) -> list[tuple[str, str, dict[str, str], bytes]]:
        """Return the calls of a path."""
        return [each for each in self.asked if each[1].startswith(path)]

    def app(self) -> FastAPI:
        """Return the server."""
        app = FastAPI(openapi_url=None)
        app.middleware("http")(self._note)
        app.get("/.well-known/openid-configuration")(self._configuration)
        app.post("/{path:path}token")(self._token)
        app.get("/pact/3/footprints")(self._list)
        app.get("/pact/3/footprints/{name}")(self._one)
        app.post("/pact/3/events")(self._event)
        return app

    async def _note(self, request: Request, call_next: Any) -> Response:
        body = await request.body()
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.asked.append((request.method, path, dict(request.headers), body))
        found: Response = await call_next(request)
        return found

    async def _configuration(self) -> Response:
        if self.discovery == "":
            return PlainTextResponse("no such thing", status_code=404)
        endpoint = self.discovery or f"{self.url}{self.token_path}"
        return JSONResponse({"issuer": self.url, "token_endpoint": endpoint})

    async def _token(self, request: Request) -> Response:
        form = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        given = (form.get("client_id", ""), form.get("client_secret", ""))
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        if self.reads_basic and kind == "Basic":
            name, _, secret = base64.b64decode(pair).decode().partition(":")
            given = (name, secret)
        if form.get("grant_type") != "client_credentials" or given != (CLIENT, SECRET):
            wrong = f"{given[0]} with {given[1]} is unknown"
            return JSONResponse(
                {"error": "invalid_client", "error_description": wrong}, status_code=401
            )
        token = secrets.token_hex(16)
        self.live.add(token)
        told: dict[str, Any] = {"access_token": token, "token_type": "bearer"}
        return JSONResponse(told | ({"expires_in": self.seconds} if self.seconds else {}))

    def _refused(self, request: Request) -> Response | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.live:
            return JSONResponse(
                {"code": "BadRequest", "message": f"token {token}"}, status_code=401
            )
        if self.redirect is not None:
            return RedirectResponse(self.redirect, status_code=302)
        if self.status != 200:
            return JSONResponse({"code": "InternalError", "message": "oh"}, status_code=self.status)
        if self.drips:
            return StreamingResponse(_drops(), media_type=JSON_TYPE)
        if self.body is not None:
            return Response(self.body, media_type=self.media)
        return None

    async def _list(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        page = int(request.query_params.get("page", "1"))
        found = self._chosen(request.query_params.getlist("productId"))
        first = (page - 1) * self.per_page
        texts = found[first : first + self.per_page]
        answer = Response(f'{{ "data" : [{", ".join(texts)}] }}', media_type=self.media)
        if self.link is not None:
            answer.headers["link"] = self.link.format(page=page + 1)
        elif first + self.per_page < len(found):
            kept = [f"{n}={v}" for n, v in request.query_params.multi_items() if n != "page"]
            target = f"{self.url}/pact/3/footprints?{'&'.join([*kept, f'page={page + 1}'])}"
            answer.headers["link"] = f'<{self.url}/first>; rel="first", <{target}>; rel="next"'
        return answer

    def _chosen(self, products: list[str]) -> list[str]:
        if not products:
            return self.texts
        return [each for each in self.texts if any(name in each for name in products)]

    async def _one(self, request: Request, name: str) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        found = next((each for each in self.texts if f'"id": "{name}"' in each), None)
        if found is None:
            return JSONResponse({"code": "NotFound", "message": "?"}, status_code=404)
        return Response(f'{{"data": {found}}}', media_type=self.media)

    async def _event(self, request: Request) -> Response:
        return self._refused(request) or Response(status_code=200)


async def _drops() -> AsyncIterator[bytes]:
    """Yield a list, one byte in a while."""
    for byte in b'{"data": [' + b" " * 10_000 + b"]}":
        yield bytes([byte])
        await asyncio.sleep(0.05)
