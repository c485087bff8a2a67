"""Attacks on what is hidden: each of them learns what somebody learns for whom there is nothing."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from bcca_node.network.lines import encode_batch
from bcca_node.sharing.caller import Kind
from bcca_node.sharing.identify import identify
from bcca_node.storage import feed, grants, listed, logs, partners
from bcca_node.storage.calls import Fetched
from bcca_node.storage.grants import Scope
from bcca_protocol.entry import StatementEntry, parse_entry
from bcca_protocol.keys import Algorithm, Role, SeedSigner

Shop = Any
URN = "urn:bcca:case:t:"
SECRET = (Scope.PRODUCT, f"{URN}secret")
TAILS = ("", "/proof", "/evidence")
LONG_AGO = 2  # POSIX seconds


def sees(shop: Shop, who: object, name: str) -> bool:
    """Say whether a statement is shown by its commitment, in a batch and in the stream alike."""
    is_own = name in ("open", "secret", "closed", "pending")
    base = "/statements" if is_own else f"{shop.copy}/statements"
    status = shop.ask(who, f"{base}/{shop.names[name]}").status_code
    listed = shop.listed(who, f"{base}?{shop.of(name)}")
    assert listed == ({name} if status == 200 else set())
    return bool(status == 200)


def test_attack_every_commitment_of_the_public_log_is_tried(shop: Shop) -> None:
    with shop.node.database.read() as session:
        head = logs.published_head(session)
        assert head is not None
        entries = map(bytes.decode, logs.entries(session, 0, head.size))
        parsed = [parse_entry(each) for each in entries]
    found = [each.commitment.hex() for each in parsed if isinstance(each, StatementEntry)]
    assert len(found) == 3

    for tail in TAILS:
        absent = shop.seen("stranger", f"/statements/{'0' * 64}{tail}")
        for commitment in set(found) - {shop.names["open"]}:
            assert shop.seen("stranger", f"/statements/{commitment}{tail}") == absent


@pytest.mark.parametrize("name", ["secret", "pending", "absent", "salt"])
@pytest.mark.parametrize(
    "headers",
    [
        {"if_none_match": "*"},
        {"if_none_match": '"00000000000000000000000000000000"'},
        {"range": "bytes=0-9"},
        {"range": "bytes=0-9", "if_range": '"x"'},
        {"accept_encoding": "gzip"},
        {"accept": "text/html"},
        {"cache_control": "only-if-cached"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_attack_a_condition_or_a_range_on_what_is_hidden_tells_nothing(
    shop: Shop, name: str, headers: dict[str, str], method: str
) -> None:
    for base in ("/statements", f"{shop.copy}/statements"):
        asked = f"{base}/{shop.commitment(name)}"

        told = shop.seen("stranger", asked, method=method, **headers)

        assert told == shop.seen("stranger", f"{base}/{'0' * 64}", method=method)
        assert told[0] == 404


def test_attack_the_tag_of_a_hidden_envelope_is_guessed(shop: Shop) -> None:
    asked = f"/statements/{shop.names['secret']}"
    tag = shop.ask("customer", asked).headers["etag"]

    told = shop.seen("stranger", asked, if_none_match=tag)

    assert told == shop.seen("stranger", f"/statements/{'0' * 64}")
    assert shop.ask("customer", asked, if_none_match=tag).status_code == 304


@pytest.mark.parametrize("path", ["/statements?since=0", "/statements/batch"])
def test_attack_the_count_and_size_of_an_answer_are_those_of_what_is_shown(
    shop: Shop, path: str
) -> None:
    everything = encode_batch([*shop.names.values(), "0" * 64])
    shown = encode_batch([shop.names["open"]])
    if path.endswith("batch"):
        told, alone = (
            shop.seen("stranger", path, method="POST", body=body) for body in (everything, shown)
        )
    else:
        with shop.node.database.read() as session:
            [own] = listed.find(session, [shop.names["open"]])
        told, alone = (shop.seen("stranger", at) for at in (path, f"/statements?since={own.index}"))

    assert told == alone


def test_attack_a_downstream_statement_is_asked_for_behind_a_direct_one(shop: Shop) -> None:
    assert sees(shop, "customer", "salt")
    assert not sees(shop, "customer", "deep")  # it feeds `acid` alone, which is direct
    assert sees(shop, "own auditor", "deep")


def test_attack_a_downstream_statement_is_asked_for_by_who_may_not_see_what_it_feeds(
    shop: Shop,
) -> None:
    other = shop.meet("other-product", (Scope.PRODUCT, f"{URN}closed"))

    assert sees(shop, other, "rare")
    assert not sees(shop, other, "salt")


@pytest.mark.parametrize("scope", [SECRET, (Scope.ALL, "")], ids=["product", "all"])
def test_attack_a_grant_that_has_expired_is_used(shop: Shop, scope: tuple[Scope, str]) -> None:
    late = shop.meet(f"late-{scope[0]}", scope, until=LONG_AGO)
    soon = shop.meet(f"soon-{scope[0]}", scope, until=shop.node.clock() + 3600)

    assert not sees(shop, late, "secret")
    assert not sees(shop, late, "salt")
    assert sees(shop, soon, "secret")
    assert sees(shop, soon, "salt")


def test_attack_a_grant_that_was_taken_back_is_used(shop: Shop) -> None:
    former = shop.meet("former", SECRET)
    assert sees(shop, former, "secret")

    with shop.node.database.write() as session:
        assert grants.drop(session, "former.example", *SECRET, at=shop.node.clock())

    assert not sees(shop, former, "secret")


def test_attack_a_grant_of_one_statement_is_stretched_to_others_of_its_product(
    shop: Shop,
) -> None:
    one = shop.meet("one", (Scope.STATEMENT, shop.names["closed"]))

    assert sees(shop, one, "closed")
    assert not sees(shop, one, "secret")


def test_attack_a_grant_of_one_partner_is_used_by_another_that_calls_itself_so(
    shop: Shop,
) -> None:
    seed = sha256(b"another").digest()
    thief = SeedSigner(name="customer.example", algorithm=Algorithm.ED25519, seed=seed)

    assert identify(shop.node, thief.key).kind is Kind.STRANGER
    assert not sees(shop, thief, "secret")
    assert not sees(shop, "partner", "secret")


def test_attack_an_auditor_asks_beyond_its_product(shop: Shop) -> None:
    shop.meet("all-seeing", (Scope.ALL, ""))
    bound = shop.appoint("bound", by="all-seeing.example", product=f"{URN}closed")
    ours = shop.appoint("ours-bound", by=shop.node.origin, product=f"{URN}closed")

    for each in (bound, ours):
        assert sees(shop, each, "closed")
        assert not sees(shop, each, "secret")
        assert not sees(shop, each, "salt")


def test_attack_an_auditor_bound_to_a_product_uses_a_grant_of_another_statement(
    shop: Shop,
) -> None:
    shop.meet("two", (Scope.STATEMENT, shop.names["secret"]))
    bound = shop.appoint("two-auditor", by="two.example", product=f"{URN}closed")
    right = shop.appoint("two-auditor-2", by="two.example", product=f"{URN}secret")

    assert not sees(shop, bound, "secret")
    assert sees(shop, right, "secret")


def test_attack_an_auditor_that_was_dismissed_asks_again(shop: Shop) -> None:
    shop.meet("employer", SECRET)
    auditor = shop.appoint("dismissed", by="employer.example")
    assert sees(shop, auditor, "secret")

    with shop.node.database.write() as session:
        assert grants.dismiss(session, "employer.example", "dismissed.example")

    assert not sees(shop, auditor, "secret")
    assert identify(shop.node, auditor.key).kind is Kind.STRANGER


def test_attack_an_auditor_outlives_its_appointment_or_the_grant_of_its_recipient(
    shop: Shop,
) -> None:
    shop.meet("employer-2", SECRET)
    shop.meet("employer-3", SECRET, until=LONG_AGO)
    late = shop.appoint("late-auditor", by="employer-2.example", until=LONG_AGO)
    without = shop.appoint("without", by="employer-3.example")

    assert not sees(shop, late, "secret")
    assert not sees(shop, without, "secret")


def test_attack_an_auditor_is_appointed_by_who_is_no_partner_or_is_not_believed(
    shop: Shop,
) -> None:
    by_nobody = shop.appoint("by-nobody", by="nobody.example")
    fallen = shop.meet("fallen", SECRET)
    by_fallen = shop.appoint("by-fallen", by="fallen.example")
    with shop.node.database.write() as session:
        grants.put(
            session,
            grants.Grant(partner="nobody.example", scope=Scope.ALL, about="", given=1),
        )
        found = partners.get(session, "fallen.example")
        assert found is not None
        partners.put(session, replace(found, refused="its log holds other keys"))

    for each in (by_nobody, fallen, by_fallen):
        assert not sees(shop, each, "secret")
        assert not sees(shop, each, "salt")


def test_who_is_partner_and_auditor_sees_what_both_see(shop: Shop) -> None:
    both = shop.meet("both", (Scope.PRODUCT, f"{URN}closed"))
    shop.appoint("both", by="customer.example")

    assert identify(shop.node, both.key).kind is Kind.PARTNER
    assert {name for name in shop.names if sees(shop, both, name)} == {
        *("open", "secret", "closed"),
        *("ore", "brine", "salt", "rare"),
    }


def test_attack_suppliers_that_feed_each_other_keep_nobody_busy(shop: Shop) -> None:
    rare, deep = shop.names["rare"], "cd" * 32
    with shop.node.database.write() as session:
        feed.put(session, [(rare, rare), (rare, deep), (deep, rare), (rare, deep)])

    assert not sees(shop, "customer", "rare")
    assert sees(shop, "operator", "rare")


def test_a_statement_that_no_quorum_has_seen_is_shown_to_nobody(shop: Shop) -> None:
    assert not sees(shop, "operator", "pending")


def fetched(shop: Shop, **wanted: Any) -> list[Fetched]:
    """Return what the owner reads of who was shown what."""
    found: list[Fetched] = shop.node.calls.fetched(now=shop.node.clock(), **wanted)
    return found


def test_the_owner_reads_who_fetched_what_and_when(shop: Shop) -> None:
    reader = shop.meet("reader", SECRET)
    began = shop.node.clock()
    secret, salt = shop.names["secret"], shop.names["salt"]

    shop.ask(reader, f"/statements/{secret}")
    shop.ask(reader, f"/statements/{secret}")
    shop.ask(reader, f"/statements?{shop.of('secret')}")
    shop.ask(reader, "/statements?since=0")
    shop.ask(reader, "/statements/batch", method="POST", body=encode_batch([secret]))
    shop.ask(reader, f"/statements/{secret}/evidence")
    shop.ask(reader, f"{shop.copy}/statements/{salt}")
    shop.ask(reader, f"{shop.copy}/statements?{shop.of('salt')}")
    shop.ask(reader, f"/statements/{shop.names['closed']}")

    found = fetched(shop, origin="reader.example", since=began)
    assert sorted((each.how, each.commitment, each.times) for each in found) == sorted(
        [
            ("batch", secret, 1),
            ("copies", salt, 1),
            ("copy", salt, 1),
            ("evidence", salt, 1),
            ("evidence", secret, 1),
            ("product", secret, 1),
            ("statement", secret, 2),
            ("stream", shop.names["open"], 1),
            ("stream", secret, 1),
        ]
    )
    assert all(began <= each.first <= each.last for each in found)
    assert {each.caller for each in found} == {reader.key.label}
    assert {each.product for each in fetched(shop, product=f"{URN}secret")} == {f"{URN}secret"}


def test_attack_an_auditor_is_given_the_name_of_somebody_else_and_the_log_tells_by_whom(
    shop: Shop,
) -> None:
    shop.meet("blamer", SECRET)
    auditor = shop.appoint("innocent", by="blamer.example")

    shop.ask(auditor, f"/statements/{shop.names['secret']}")

    found = fetched(shop, commitment=shop.names["secret"])
    assert "innocent.example for blamer.example" in {each.origin for each in found}
    assert not fetched(shop, origin="innocent.example")


def test_of_who_does_not_sign_nothing_is_kept(shop: Shop) -> None:
    before = fetched(shop, commitment=shop.names["open"])

    shop.ask("nobody", f"/statements/{shop.names['open']}")

    assert fetched(shop, commitment=shop.names["open"]) == before


def test_only_a_request_key_gives_a_name(shop: Shop) -> None:
    own, mine = (each.keystore.record(Role.REQUEST).key for each in (shop.node, shop.mine))

    assert identify(shop.node, own).kind is Kind.OPERATOR
    assert identify(shop.node, mine).origin == shop.mine.origin
    for key in (shop.node.log_key, shop.mine.log_key):
        assert identify(shop.node, key).kind is Kind.STRANGER
