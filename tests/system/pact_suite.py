"""The 41 cases of PACT 3.0 in their order, asked of any host by a foreign tester.

As the official suite does: everything is built from the first footprint of the list, one token
serves the whole run, query values are sent as they are, and callbacks have 30 seconds.
"""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
from tests.system import pact_schema as schema
from tests.system.pact_schema import CREATED, FULFILLED, PLACES, PUBLISHED, REJECTED
from tests.system.pact_tester import CALLBACK_SECONDS, FORM, Foreigner

SECONDS = 5.0  # for each request
BAD = "not-a-token-of-this-node"
NOBODY = "00000000-0000-0000-0000-000000000000"
DAY = timedelta(days=1)
Case = tuple[str, str, Callable[["Suite"], None]]


class FailedError(Exception):
    """A case did not pass."""


def require(holds: object, what: object = "") -> None:
    if not holds:
        raise FailedError(str(what))


@dataclass(kw_only=True)
class Suite:
    """One run against one host: what it asks with, and what it knows of the host."""

    tester: Foreigner
    run: str = field(default_factory=lambda: str(uuid4()))
    listed: list[Any] = field(default_factory=list)
    links: httpx.Response | None = None
    warnings: list[str] = field(default_factory=list)
    sent: float = 0.0

    @property
    def first(self) -> Mapping[str, Any]:
        footprint: Mapping[str, Any] = self.listed[0]
        return footprint

    @property
    def product(self) -> str:
        return str(self.first["productIds"][0])

    @property
    def company(self) -> str:
        return str(self.first["companyIds"][0])

    def prepare(self) -> None:
        """Get the token of the run and look at what there is, before the first case."""
        answer = self.get("")
        require(answer.status_code == 200, answer.text)
        self.listed = answer.json()["data"]
        require(self.listed, "a host without footprints cannot be tested")
        self.links = self.get("?limit=1")

    # How it asks.

    def get(self, query: str, bearer: str | None = None, base: str = "") -> httpx.Response:
        url = f"{base or self.tester.base}/3/footprints{query}"
        return self.tester.get(url, bearer=bearer, timeout=SECONDS)

    def data(self, query: str) -> list[Any]:
        answer = self.get(query)
        require(answer.status_code == 200, f"{query}: {answer.status_code} {answer.text}")
        data = answer.json()["data"]
        require(isinstance(data, list), data)
        return list(data)

    def every(self, query: str, holds: Callable[[Any], object]) -> None:
        found = self.data(query)
        require(found, f"{query}: none")
        require(all(map(holds, found)), f"{query}: one that does not fit")

    def none(self, query: str) -> None:
        require(self.data(query) == [], f"{query}: not empty")

    def send(self, number: str, kind: str, data: Mapping[str, Any], **how: Any) -> httpx.Response:
        event = self.tester.event(kind, data, id=f"{self.run}/{number}")
        return self.tester.post(event, **how)

    def refused(self, answer: httpx.Response) -> None:
        """Require a refusal of a bad bearer, and note a code that is not as it ideally is."""
        require(answer.status_code in (400, 401), answer.status_code)
        try:
            code = answer.json().get("code")
        except ValueError:
            code = None
        if code != "BadRequest":
            self.warnings.append(f"{answer.request.url}: {code}")

    def plain(self, ask: Callable[[str], httpx.Response]) -> None:
        """Require that a request over http comes to nothing."""
        try:
            answer = ask(self.tester.base.replace("https://", "http://"))
        except httpx.TransportError:
            return
        require(not answer.is_success, f"answered over http: {answer.status_code}")

    def token_at(self, url: str, *, good: bool) -> httpx.Response:
        if good:
            return self.tester.ask_for_token(url=url)
        return httpx.post(
            url,
            data={"grant_type": "client_credentials"},
            headers={**FORM, "authorization": f"Basic {base64.b64encode(b'no:body').decode()}"},
            verify=self.tester.trusting,
            trust_env=False,
            timeout=SECONDS,
        )

    def called_back(self, number: str) -> Any:
        """Return what came back to the request of a case, while there is time."""
        name, listener = f"{self.run}/{number}", self.tester.listener
        left = CALLBACK_SECONDS - (time.monotonic() - self.sent)
        require(listener.wait(lambda: bool(listener.about(name)), left), "no callback")
        require(len(listener.about(name)) == 1, "more than one callback")
        heard = next(each for each in listener.events if each.event in listener.about(name))
        require(heard.path == "/3/events", heard.path)
        event = heard.event
        require(not schema.event_shape(event), schema.event_shape(event))
        return event

    # The cases.

    def case_1(self) -> None:
        answer = self.token_at(f"{self.tester.base}/auth/token", good=True)
        require(answer.status_code == 200, answer.text)

    def case_2(self) -> None:
        answer = self.token_at(f"{self.tester.base}/auth/token", good=False)
        require(answer.status_code in (400, 401), answer.status_code)

    def case_3(self) -> None:
        answer = self.get(f"/{self.first['id']}")
        require(answer.status_code == 200, answer.text)
        data = answer.json()["data"]
        require(not schema.shape(data), schema.shape(data))
        require(data["id"] == self.first["id"], data["id"])

    def case_4(self) -> None:
        answer = self.get("")
        require(answer.status_code in (200, 202), answer.status_code)
        data = answer.json()["data"]
        require(len(data) == len(self.listed), len(data))
        for each in data:
            require(not schema.shape(each), schema.shape(each))

    def case_5(self) -> None:
        url = "" if self.links is None else str(self.links.links.get("next", {}).get("url", ""))
        require(url, "no Link")
        answer = self.tester.get(url, timeout=SECONDS)
        require(answer.status_code == 200, answer.status_code)
        require(answer.json()["data"][0]["id"], "no item")

    def case_6(self) -> None:
        self.refused(self.get("", bearer=BAD))

    def case_7(self) -> None:
        self.refused(self.get(f"/{self.first['id']}", bearer=BAD))

    def case_8(self) -> None:
        answer = self.get(f"/{NOBODY}")
        require(answer.status_code in (400, 404), answer.status_code)
        require(answer.json()["code"] in ("NotFound", "BadRequest"), answer.text)

    def case_9(self) -> None:
        self.plain(lambda base: self.tester.ask_for_token(url=f"{base}/auth/token"))

    def case_10(self) -> None:
        self.plain(lambda base: self.get("", base=base))

    def case_11(self) -> None:
        self.plain(lambda base: self.get(f"/{self.first['id']}", base=base))

    def case_12(self) -> None:
        self.sent = time.monotonic()
        answer = self.send("12", CREATED, {"productId": self.first["productIds"]})
        require(answer.status_code == 200, answer.text)

    def case_13(self) -> None:
        event = self.called_back("12")
        require(event["type"] == FULFILLED, event["type"])
        names = {name for each in event["data"]["pfs"] for name in each["productIds"]}
        require(names & set(self.first["productIds"]), names)

    def case_14a(self) -> None:
        self.sent = time.monotonic()
        answer = self.send("14.A", CREATED, {"productId": ["urn:pact:null"]})
        require(answer.status_code == 200, answer.text)

    def case_14b(self) -> None:
        event = self.called_back("14.A")
        require(event["type"] == REJECTED, event["type"])
        error = event["data"]["error"]
        require(error["code"] and error["message"], error)

    def case_15(self) -> None:
        answer = self.send("15", PUBLISHED, {"pfIds": [str(uuid4())]})
        require(answer.status_code == 200, answer.text)

    def case_16(self) -> None:
        self.refused(self.send("16", PUBLISHED, {"pfIds": [str(uuid4())]}, bearer=BAD))

    def case_17(self) -> None:
        data = {"pfIds": [str(uuid4())]}
        self.plain(lambda base: self.send("17", PUBLISHED, data, base=base))

    def case_18(self) -> None:
        answer = self.token_at(self._openid(), good=True)
        require(answer.status_code == 200, answer.text)

    def case_19(self) -> None:
        answer = self.token_at(self._openid(), good=False)
        require(answer.status_code in (400, 401), answer.status_code)

    def _openid(self) -> str:
        url = f"{self.tester.base}/.well-known/openid-configuration"
        answer = self.tester.get(url, bearer="", timeout=SECONDS)
        require(answer.status_code == 200, answer.status_code)
        return str(answer.json()["token_endpoint"])

    def case_20(self) -> None:
        self.every(f"?productId={self.product}", lambda each: self.product in each["productIds"])

    def case_21(self) -> None:
        self.every(f"?companyId={self.company}", lambda each: self.company in each["companyIds"])

    def case_22(self) -> None:
        pcf = self.first["pcf"]
        order = (PLACES[0], PLACES[1], PLACES[2])
        place = next((pcf[each] for each in order if each in pcf), None)
        if place is None:
            require(len(self.data("?geography=")) == len(self.listed), "not all")
            return
        self.every(
            f"?geography={place}", lambda each: place in [each["pcf"].get(name) for name in PLACES]
        )

    def case_23(self) -> None:
        names = self.first.get("productClassifications")
        if not names:
            require(len(self.data("?classification=")) == len(self.listed), "not all")
            return
        self.every(
            f"?classification={names[0]}",
            lambda each: names[0] in each.get("productClassifications", ()),
        )

    def case_24(self) -> None:
        text = self.first.get("validityPeriodStart", self.first["pcf"]["referencePeriodEnd"])
        moment = schema.at(text.replace(" ", "+"))
        self.every(
            f"?validOn={text}",
            lambda each: schema.valid(each)[0] <= moment <= schema.valid(each)[1],
        )

    def case_25(self) -> None:
        moment = schema.valid(self.first)[0] - DAY
        self.every(
            f"?validAfter={schema.written(moment)}", lambda each: schema.valid(each)[0] > moment
        )

    def case_26(self) -> None:
        moment = schema.valid(self.first)[1] + DAY
        self.every(
            f"?validBefore={schema.written(moment)}", lambda each: schema.valid(each)[1] < moment
        )

    def case_27(self) -> None:
        status = self.first["status"]
        self.every(f"?status={status}", lambda each: each["status"] == status)

    def case_28(self) -> None:
        status = self.first["status"]
        self.every(
            f"?status={status}&productId={self.product}",
            lambda each: each["status"] == status and self.product in each["productIds"],
        )

    def case_29(self) -> None:
        junk = "&companyId=urn:bogus:company:1&companyId=urn:bogus:company:2"
        require(self.data(f"?companyId={self.company}{junk}"), "none")

    def case_30(self) -> None:
        self.none("?productId=urn:bogus:product:xyz")

    def case_31(self) -> None:
        self.none("?companyId=urn:bogus:company:xyz")

    def case_32(self) -> None:
        self.none("?geography=XX")

    def case_33(self) -> None:
        self.none("?classification=urn:bogus:classification:xyz")

    def case_34(self) -> None:
        self.none("?validOn=1900-01-01T00:00:00Z")

    def case_35(self) -> None:
        self.none("?validAfter=2099-12-31T23:59:59Z")

    def case_36(self) -> None:
        self.none("?validBefore=1900-01-01T00:00:00Z")

    def case_37(self) -> None:
        self.none("?status=BogusStatusXyz")

    def case_38(self) -> None:
        self.none("?companyId=urn:bogus:company:xyz&productId=urn:bogus:product:xyz")

    def case_39(self) -> None:
        self.none("?" + "&".join(f"companyId=urn:bogus:company:{each}" for each in "123"))

    def case_40(self) -> None:
        answer = self.send("40", PUBLISHED, {"pfIds": ["urn:gtin:4712345060507"]})
        require(answer.status_code == 400, answer.status_code)


CASES: tuple[Case, ...] = (
    ("1", "good credentials get a token", Suite.case_1),
    ("2", "bad credentials get none", Suite.case_2),
    ("3", "a footprint is found by its id", Suite.case_3),
    ("4", "all footprints are listed, in the schema", Suite.case_4),
    ("5", "the link to the next page leads to it", Suite.case_5),
    ("6", "a bad token lists nothing", Suite.case_6),
    ("7", "a bad token reads nothing", Suite.case_7),
    ("8", "a footprint that is not there is not found", Suite.case_8),
    ("9", "no token over http", Suite.case_9),
    ("10", "no list over http", Suite.case_10),
    ("11", "no footprint over http", Suite.case_11),
    ("12", "a request for a product is taken", Suite.case_12),
    ("13", "and fulfilled by a callback", Suite.case_13),
    ("14.A", "a request for nothing there is is taken", Suite.case_14a),
    ("14.B", "and rejected by a callback", Suite.case_14b),
    ("15", "news of a foreign footprint is taken", Suite.case_15),
    ("16", "news with a bad token is not", Suite.case_16),
    ("17", "nor news over http", Suite.case_17),
    ("18", "the token endpoint of the OpenID document gives a token", Suite.case_18),
    ("19", "and none for bad credentials", Suite.case_19),
    ("20", "by product", Suite.case_20),
    ("21", "by company", Suite.case_21),
    ("22", "by geography", Suite.case_22),
    ("23", "by classification", Suite.case_23),
    ("24", "valid on a day", Suite.case_24),
    ("25", "valid after a day", Suite.case_25),
    ("26", "valid before a day", Suite.case_26),
    ("27", "by status", Suite.case_27),
    ("28", "by status and product", Suite.case_28),
    ("29", "by one company or another", Suite.case_29),
    ("30", "none of an unknown product", Suite.case_30),
    ("31", "none of an unknown company", Suite.case_31),
    ("32", "none of an unknown geography", Suite.case_32),
    ("33", "none of an unknown classification", Suite.case_33),
    ("34", "none valid long ago", Suite.case_34),
    ("35", "none valid after all", Suite.case_35),
    ("36", "none valid before all", Suite.case_36),
    ("37", "none of an unknown status", Suite.case_37),
    ("38", "none of an unknown company and product", Suite.case_38),
    ("39", "none of three unknown companies", Suite.case_39),
    ("40", "malformed news is refused", Suite.case_40),
)


def verdicts(suite: Suite) -> Iterator[tuple[str, str]]:
    """Yield each case and why it failed, empty where it passed."""
    suite.prepare()
    for number, _, ask in CASES:
        try:
            ask(suite)
        except (FailedError, httpx.HTTPError, ValueError, KeyError, LookupError) as error:
            yield number, f"{type(error).__name__}: {error}"
        else:
            yield number, ""
