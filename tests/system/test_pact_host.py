"""What the official suite was seen to trip over, and what it does not notice: lists and footprints.

One node with public footprints and some that are not, and two partners: the buyer was granted
some, the rival nothing.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from msgspec.structs import replace
from tests.system import pact_schema as schema
from tests.system.pact_ground import LEI, UNSPSC, Ground, Side
from tests.system.pact_suite import NOBODY
from tests.system.pact_tester import Foreigner, next_of

from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Interval
from bcca_protocol.statement import Classification, Producer, Product, Site

OTHER_LEI = "urn:lei:506700GE1G29325QX363"
ECLASS = Classification(scheme="eclass", code="0173-1#01-AKG243#015")
PUBLIC = ("H1", "H2", "H3", "H4", "H5", "swede", "old")


@dataclass(frozen=True, kw_only=True)
class Host:
    """The node, and both partners."""

    side: Side
    buyer: Foreigner
    rival: Foreigner


@pytest.fixture(scope="module")
def host(pact: Ground) -> Iterator[Host]:
    side = pact.side("host")
    side.start()
    parts = [side.made(name, kg=kg) for kg, name in enumerate(PUBLIC[:5], 2)]
    swede = side.made(
        "swede",
        site=Site(id="gothenburg", country="SE", subdivision="SE-O"),
        producer=Producer(name="Svenska Celler", ids=(OTHER_LEI,)),
        product=Product(
            id="urn:bcca:case:t:swede", name="Cell & Söhne", classifications=(UNSPSC, ECLASS)
        ),
    )
    old = side.made("old", period=Interval("2022-01-01T00:00:00Z", "2023-01-01T00:00:00Z"))
    granted = [side.made(name, sharing="direct") for name in ("granted", "secret")]
    side.publish(*parts, swede, old, *granted)
    buyer, rival = pact.acquaint(side, "buyer"), pact.acquaint(side, "rival")
    side.bcca("partners", "grant", "pact:buyer", "--product", "urn:bcca:case:t:granted")
    yield Host(side=side, buyer=buyer, rival=rival)
    assert side.stop() == 0


def names(footprints: list[Any]) -> set[str]:
    return {each["productIds"][0].rpartition(":")[2] for each in footprints}


# Footprints.


def test_every_footprint_fits_the_schema_and_makes_sense(host: Host) -> None:
    listed = host.buyer.every()

    assert len(listed) >= len(PUBLIC) + 1
    for each in listed:
        assert schema.shape(each) == []
        assert schema.sense(each) == []
        assert each["specVersion"] == "3.0.3"


def test_times_end_in_z_and_ids_need_no_encoding(host: Host) -> None:
    for each in host.buyer.every():
        pcf = each["pcf"]
        for moment in (each["created"], pcf["referencePeriodStart"], pcf["referencePeriodEnd"]):
            assert moment.endswith("Z")
        for name in (*each["productIds"], *each.get("productClassifications", ())):
            assert not set("#+& ") & set(name)
    [swede] = host.buyer.every("?productId=urn:bcca:case:t:swede")
    for name in swede["productClassifications"]:
        assert "swede" in names(host.buyer.every(f"?classification={name}"))


def test_a_footprint_says_what_its_statement_says(host: Host) -> None:
    [swede] = host.buyer.every("?productId=urn:bcca:case:t:swede")

    assert swede["companyName"] == "Svenska Celler"
    assert OTHER_LEI in swede["companyIds"]
    assert swede["productNameCompany"] == "Cell & Söhne"
    assert swede["pcf"]["declaredUnitOfMeasurement"] == "kilogram"
    assert swede["pcf"]["fossilGhgEmissions"] == "6"
    assert swede["pcf"]["pcfExcludingBiogenicUptake"] == "6"
    assert swede["pcf"]["referencePeriodEnd"] == "2026-01-01T00:00:00Z"
    assert [each for each in schema.PLACES if each in swede["pcf"]] != []


def test_pcf_is_what_came_in_and_was_made_and_the_rest_is_told(host: Host) -> None:
    stages = Stages(
        raw_material=Components(fossil="1.10"),
        production=Components(fossil="6"),
        distribution=Components(fossil="0.50"),
        end_of_life=Components(fossil="0.25"),
    )
    activities = _lines(host.side, stages)
    host.side.sell("stages", footprint=stages, activities=activities)
    [found] = host.buyer.every("?productId=urn:bcca:case:t:stages")

    assert found["pcf"]["pcfExcludingBiogenicUptake"] == "7.1"
    assert found["pcf"]["outboundLogisticsGhgEmissions"] == "0.5"
    assert "0.25" in found["comment"]


def _lines(side: Side, stages: Stages) -> tuple[Any, ...]:
    """Return one own line for each stage, of so many kg at 1 kg CO2e."""
    [line] = side.made("any").activities
    assert line.factor is not None
    factor = replace(line.factor, values=Components(fossil="1"))
    told = {
        "rawMaterial": stages.raw_material,
        "production": stages.production,
        "distribution": stages.distribution,
        "endOfLife": stages.end_of_life,
    }
    return tuple(
        replace(line, id=stage, stage=stage, amount=values.fossil, factor=factor)
        for stage, values in told.items()
        if values is not None
    )


def test_the_statement_rides_along_and_is_where_the_extension_says(host: Host) -> None:
    [found] = host.buyer.every("?productId=urn:bcca:case:t:H1")
    [extension] = found["extensions"]

    assert extension["specVersion"] == "2.0.0"
    for url in (extension["dataSchema"], extension["documentation"]):
        assert url.startswith(f"{host.side.base}/")
        assert host.buyer.get(url, bearer="").status_code == 200
    assert extension["data"]["commitment"] in json.dumps(extension["data"])


def test_a_footprint_is_the_same_bytes_each_time_and_after_a_restart(host: Host) -> None:
    [found] = host.buyer.every("?productId=urn:bcca:case:t:H2")
    before = [host.buyer.get(f"/3/footprints/{found['id']}").content for _ in range(2)]
    host.side.kill()
    host.side.start()
    after = host.buyer.get(f"/3/footprints/{found['id']}").content

    assert before == [after, after]
    assert [found] == host.buyer.every("?productId=urn:bcca:case:t:H2")


# Lists.


def test_no_page_is_longer_than_asked_and_the_pages_are_all(host: Host) -> None:
    whole = [each["id"] for each in host.buyer.every()]
    paged, url, sizes = [], "/3/footprints?limit=2", []
    while url:
        answer = host.buyer.get(url)
        sizes.append(len(answer.json()["data"]))
        paged += [each["id"] for each in answer.json()["data"]]
        url = next_of(answer)

    assert max(sizes) <= 2
    assert sorted(paged) == sorted(whole)
    assert len(set(paged)) == len(paged)


def test_a_page_of_none_is_empty_and_not_null(host: Host) -> None:
    answer = host.buyer.get("/3/footprints?limit=0")

    assert (answer.status_code, answer.json()) == (200, {"data": []})


def test_the_link_is_absolute_at_the_host_that_was_asked_and_works_again(host: Host) -> None:
    answer = host.buyer.get("/3/footprints?limit=1")
    link = next_of(answer)
    first, again = (host.buyer.get(link) for _ in range(2))

    assert link.startswith(f"{host.side.base}/3/footprints?")
    assert urlsplit(link).netloc == answer.request.headers["host"]
    assert first.json() == again.json()
    assert len(first.json()["data"]) == 1
    assert first.json()["data"] != answer.json()["data"]


def test_the_filter_holds_on_every_page(host: Host) -> None:
    query = "?limit=1&geography=FI&status=Active&validOn=2027-03-01T00:00:00Z"
    found = host.buyer.every(query)

    assert {"H1", "H2", "H3", "H4", "H5"} <= names(found)
    assert not {"swede", "old"} & names(found)


def test_the_last_page_has_no_link(host: Host) -> None:
    answer = host.buyer.get("/3/footprints?productId=urn:bcca:case:t:H1&limit=1")

    assert len(answer.json()["data"]) == 1
    assert "link" not in answer.headers


@pytest.mark.parametrize(
    "query",
    [
        "productId=URN:BCCA:CASE:T:H1",
        "productId=urn:bcca:case:t:h1",
        f"companyId={LEI.lower()}",
        "geography=fi",
        "status=ACTIVE",
        "status=active&productId=urn:bcca:case:t:H1",
    ],
)
def test_case_makes_no_difference(host: Host, query: str) -> None:
    assert "H1" in names(host.buyer.every(f"?{query}"))


def test_a_classification_is_found_in_any_case(host: Host) -> None:
    [found] = host.buyer.every("?productId=urn:bcca:case:t:H1")
    [name] = found["productClassifications"]

    assert "H1" in names(host.buyer.every(f"?classification={name.upper()}"))


def test_one_value_or_another_and_all_parameters_hold(host: Host) -> None:
    either = "?productId=urn:bcca:case:t:H1&productId=urn:bcca:case:t:swede"

    assert names(host.buyer.every(either)) == {"H1", "swede"}
    assert names(host.buyer.every(f"{either}&geography=SE")) <= {"swede"}
    assert names(host.buyer.every(f"{either}&companyId={LEI}")) == {"H1"}
    assert names(host.buyer.every(f"{either}&companyId={LEI}&companyId={OTHER_LEI}")) == {
        "H1",
        "swede",
    }


@pytest.mark.parametrize(
    ("query", "is_there"),
    [
        ("validOn=2023-01-01T00:00:00Z", True),
        ("validOn=2022-12-31T23:59:59Z", False),
        ("validOn=2025-06-01T00:00:00Z", True),
        ("validOn=2027-01-01T00:00:00Z", False),
        ("validAfter=2022-12-31T23:59:59Z", True),
        ("validAfter=2023-01-01T00:00:00Z", False),
        ("validBefore=2026-01-02T00:00:00Z", True),
        ("validBefore=2025-12-30T00:00:00Z", False),
        (f"validOn={quote('2023-01-01T01:00:00+01:00')}", True),
        (f"validOn={quote('2023-01-01T00:59:59+01:00')}", False),
    ],
)
def test_the_validity_period_has_its_ends(host: Host, query: str, *, is_there: bool) -> None:
    found = host.buyer.every(f"?{query}&productId=urn:bcca:case:t:old")

    assert names(found) == ({"old"} if is_there else set())


def test_a_parameter_without_a_value_is_not_given(host: Host) -> None:
    parameters = (
        *("productId", "companyId", "geography", "classification", "status"),
        *("validOn", "validAfter", "validBefore"),
    )
    everything = names(host.buyer.every())

    assert names(host.buyer.every("?" + "&".join(f"{each}=" for each in parameters))) == everything


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=abc",
        "limit=1.5",
        "validOn=yesterday",
        "validAfter=2025-13-01T00:00:00Z",
        "validBefore=2025-01-01",
        "limit=1&limit=2",
    ],
)
def test_what_is_no_number_and_no_moment_is_a_bad_request(host: Host, query: str) -> None:
    answer = host.buyer.get(f"/3/footprints?{query}")

    assert answer.status_code == 400
    assert answer.json()["code"] == "BadRequest"
    assert answer.json()["message"]


def test_behind_a_proxy_links_are_where_the_caller_asked_and_plain_http_is_refused(
    pact: Ground,
) -> None:
    side = pact.side("proxied", proxies="127.0.0.1")
    side.start(is_plain=True)
    side.publish(side.made("X1"), side.made("X2"))
    caller = pact.acquaint(side, "buyer")
    caller.base = side.base.replace("https://", "http://")
    outside = {"host": "pact.example", "x-forwarded-for": "203.0.113.9"}
    https, http = ({**outside, "x-forwarded-proto": each} for each in ("https", "http"))
    form = {
        "grant_type": "client_credentials",
        "client_id": caller.client_id,
        "client_secret": caller.client_secret,
    }
    given = caller.send("POST", "/auth/token", bearer="", data=form, headers=https)
    refused = caller.send("POST", "/auth/token", bearer="", data=form, headers=http)
    token = given.json()["access_token"]
    shown = caller.get("/3/footprints?limit=1", bearer=token, headers=https)
    hidden = caller.get("/3/footprints?limit=1", bearer=token, headers=http)
    assert side.stop() == 0

    assert given.status_code == 200
    assert next_of(shown).startswith("https://pact.example/3/footprints?")
    assert 400 <= refused.status_code < 500
    assert 400 <= hidden.status_code < 500
    assert "access_token" not in refused.text
    assert "data" not in hidden.json()


# Who may see what.


def test_what_was_granted_is_seen_by_whom_it_was_granted_and_nobody_else(host: Host) -> None:
    mine, theirs = names(host.buyer.every()), names(host.rival.every())

    assert mine - theirs == {"granted"}
    assert not {"secret"} & (mine | theirs)


def test_attack_footprints_of_others_are_not_told_from_those_that_are_not_there(host: Host) -> None:
    [granted] = host.buyer.every("?productId=urn:bcca:case:t:granted")
    hidden, absent = (host.rival.get(f"/3/footprints/{name}") for name in (granted["id"], NOBODY))

    assert hidden.status_code == absent.status_code == 404
    assert hidden.content == absent.content
    assert _told(hidden) == _told(absent)
    assert hidden.json()["code"] == "NotFound"
    assert host.rival.every("?productId=urn:bcca:case:t:granted") == []


def _told(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "date"}


def test_attack_a_page_shows_nothing_of_what_is_hidden_between(host: Host) -> None:
    sizes, url = [], "/3/footprints?limit=1"
    while url:
        answer = host.rival.get(url)
        assert "granted" not in answer.text
        assert "secret" not in answer.text
        sizes.append(len(answer.json()["data"]))
        url = next_of(answer)

    assert set(sizes) == {1}


def test_attack_a_link_of_somebody_else_shows_what_the_caller_may_see(host: Host) -> None:
    url, theirs = "/3/footprints?limit=1", []
    while url:
        answer = host.buyer.get(url)
        url = next_of(answer)
        if url:
            theirs += host.rival.get(url).json()["data"]

    assert "granted" not in names(theirs)


def test_what_was_granted_is_hidden_once_it_is_taken_back(host: Host) -> None:
    host.side.sell("lent", sharing="direct")
    host.side.bcca("partners", "grant", "pact:rival", "--product", "urn:bcca:case:t:lent")
    [lent] = host.rival.every("?productId=urn:bcca:case:t:lent")
    host.side.bcca("partners", "revoke", "pact:rival", "--product", "urn:bcca:case:t:lent")

    assert host.rival.every("?productId=urn:bcca:case:t:lent") == []
    assert host.rival.get(f"/3/footprints/{lent['id']}").status_code == 404
    assert host.buyer.get(f"/3/footprints/{lent['id']}").status_code == 404


def test_what_a_pact_partner_fetches_is_in_the_access_log(host: Host) -> None:
    [granted] = host.buyer.every("?productId=urn:bcca:case:t:granted")
    host.buyer.one(granted["id"])

    def logged() -> bool:
        seen = host.side.bcca("partners", "log", "--partner", "pact:buyer", "--json").json
        return any(each["product"] == "urn:bcca:case:t:granted" for each in seen)

    host.side.ground.wait(logged)


# What becomes of a footprint.


def test_a_correction_is_another_footprint_and_the_old_one_stays_deprecated(host: Host) -> None:
    made = host.side.sell("wrong", kg=3)
    [old] = host.buyer.every("?productId=urn:bcca:case:t:wrong")
    host.side.correct(made, host.side.made("wrong", kg=4))
    host.side.ground.wait(lambda: len(host.buyer.every("?productId=urn:bcca:case:t:wrong")) > 1)
    [new] = host.buyer.every("?productId=urn:bcca:case:t:wrong&status=Active")
    [kept] = host.buyer.every("?productId=urn:bcca:case:t:wrong&status=Deprecated")

    assert kept == {**old, "status": "Deprecated"}
    assert new["id"] != old["id"]
    assert new["precedingPfIds"] == [old["id"]]
    assert "precedingPfIds" not in old
    assert (old["pcf"]["fossilGhgEmissions"], new["pcf"]["fossilGhgEmissions"]) == ("9", "12")
    assert host.buyer.one(old["id"]) == kept
    assert [schema.shape(each) for each in (old, kept, new)] == [[], [], []]


def test_a_chain_of_corrections_names_each_the_one_before(host: Host) -> None:
    made = host.side.sell("chain", kg=2)
    ids = [host.buyer.every("?productId=urn:bcca:case:t:chain&status=Active")[0]["id"]]
    for kg in (3, 4):
        host.side.correct(made, host.side.made("chain", kg=kg))
        host.side.ground.wait(lambda kg=kg: _kg(host, "chain") == 3 * kg)  # type: ignore[misc]
        [now] = host.buyer.every("?productId=urn:bcca:case:t:chain&status=Active")
        assert now["precedingPfIds"] == [ids[-1]]
        made = now["extensions"][0]["data"]["commitment"]
        ids.append(now["id"])

    deprecated = host.buyer.every("?productId=urn:bcca:case:t:chain&status=Deprecated")
    assert sorted(each["id"] for each in deprecated) == sorted(ids[:2])


def _kg(host: Host, product: str) -> int:
    found = host.buyer.every(f"?productId=urn:bcca:case:t:{product}&status=Active")
    return int(found[0]["pcf"]["fossilGhgEmissions"]) if len(found) == 1 else 0


def test_what_is_revoked_is_deprecated_and_nothing_else_of_it_changes(host: Host) -> None:
    made = host.side.sell("gone")
    [old] = host.buyer.every("?productId=urn:bcca:case:t:gone")
    host.side.revoke(made)
    host.side.ground.wait(
        lambda: host.buyer.every("?productId=urn:bcca:case:t:gone&status=Active") == []
    )

    assert host.buyer.one(old["id"]) == {**old, "status": "Deprecated"}


def test_both_are_told_of_what_is_new_changed_and_deprecated(host: Host) -> None:
    made = host.side.sell("told")
    [old] = host.buyer.every("?productId=urn:bcca:case:t:told")
    for each in (host.buyer, host.rival):
        assert each.listener.wait(lambda each=each: old["id"] in each.listener.published())  # type: ignore[misc]
    host.side.correct(made, host.side.made("told", kg=7))
    host.side.ground.wait(lambda: _kg(host, "told") == 21)
    [new] = host.buyer.every("?productId=urn:bcca:case:t:told&status=Active")

    for each in (host.buyer, host.rival):
        heard = each.listener.published
        assert each.listener.wait(
            lambda heard=heard: heard().count(old["id"]) == 2 and new["id"] in heard()  # type: ignore[misc]
        )


def test_nobody_is_told_of_what_it_may_not_see(host: Host) -> None:
    host.side.sell("whispered", sharing="direct")
    host.side.bcca("partners", "grant", "pact:buyer", "--product", "urn:bcca:case:t:whispered")
    [found] = host.buyer.every("?productId=urn:bcca:case:t:whispered")
    host.side.sell("loud")
    [loud] = host.rival.every("?productId=urn:bcca:case:t:loud")

    assert host.rival.listener.wait(lambda: loud["id"] in host.rival.listener.published())
    assert found["id"] not in host.rival.listener.published()
