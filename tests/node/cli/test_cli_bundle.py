"""`bcca bundle --for`: what each reader is shown, and what is said of the rest."""

import json
from pathlib import Path
from typing import Any

import pytest

from bcca_node.storage import grants, partners
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.partners import Partner
from bcca_protocol.__main__ import main as bcca_verify
from bcca_protocol.keys import Algorithm, SeedSigner

CUSTOMER, NAME = "customer.example", "The Customer"


@pytest.fixture
def secret(desk: Any, chain: Any) -> Any:
    """A pack that not everybody may see, made of a cathode that everybody may, added up."""
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C1", kg=4))
    buys = (desk.bought("C1", chain.supplier),)
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1", buys=buys, sharing="direct"))
    desk.bcca("aggregate", "P1", data=chain.pack)
    return chain


def befriend(node: Any, *, grant: bool) -> None:
    seed = b"customer".ljust(32)
    vkey = SeedSigner(name=CUSTOMER, algorithm=Algorithm.ED25519, seed=seed).key.encode()
    with node.database.write() as session:
        partners.put(
            session,
            Partner(
                origin=CUSTOMER, name=NAME, url="https://customer.example", log_key=vkey,
                request_key=vkey, seal_key=vkey, roles=frozenset(), since=node.clock(),
            ),
        )  # fmt: skip
        if grant:
            given = node.clock()
            grants.put(session, Grant(partner=CUSTOMER, scope=Scope.ALL, about="", given=given))


def told(path: Path, node: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what the auditor's command says of a file."""
    capsys.readouterr()
    bcca_verify([str(path), "--policy", str(node.settings.data / "policy.txt"), "--json"])
    return json.loads(capsys.readouterr().out)


def test_for_nobody_named_what_is_not_public_is_no_bundle_and_says_how_to_name_somebody(
    desk: Any, secret: Any, tmp_path: Path
) -> None:
    ran = desk.bcca("bundle", "P1", "-o", tmp_path / "b", data=secret.pack)

    assert ran.status == 2
    assert "is not public: say for whom the bundle is, with --for ORIGIN" in ran.refusal
    assert not (tmp_path / "b").exists()


def test_for_self_everything_is_in_it_and_the_exit_status_is_0(
    desk: Any, secret: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = desk.bcca("bundle", "P1", "-o", tmp_path / "b", "--for", "self", data=secret.pack)
    checked = told(tmp_path / "b", secret.pack, capsys)

    assert (ran.status, "withheld" in ran.err) == (0, False)
    assert (checked["verdict"], checked["recipient"]) == ("holds", secret.pack.origin)
    assert checked["recomputed"]["total"] == checked["total"] == "18"


@pytest.mark.parametrize("named", [CUSTOMER, NAME])
def test_for_a_partner_by_origin_or_name_what_was_granted_is_in_it(
    desk: Any, secret: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], named: str
) -> None:
    befriend(secret.pack, grant=True)
    ran = desk.bcca("bundle", "P1", "-o", tmp_path / "b", "--for", named, data=secret.pack)
    checked = told(tmp_path / "b", secret.pack, capsys)

    assert ran.status == 0
    assert (checked["verdict"], checked["recipient"]) == ("holds", CUSTOMER)


def test_what_is_withheld_is_said_in_one_sentence_with_the_command_that_would_show_it_and_exits_3(
    desk: Any, secret: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    befriend(secret.pack, grant=False)
    ran = desk.bcca("bundle", "P1", "-o", tmp_path / "b", "--for", CUSTOMER, data=secret.pack)
    checked = told(tmp_path / "b", secret.pack, capsys)
    first = ran.err.splitlines()[0]

    assert ran.status == 3
    assert first.startswith("withheld: 2 of the statements that it was made from")
    assert f"`bcca partners grant {CUSTOMER} --product " in first
    assert checked["verdict"] == "incomplete"
    assert checked["recomputed"]["total"] == "0"
    assert (checked["claimed"]["total"], checked["total"]) == ("18", "18")


def test_for_whoever_what_only_some_may_see_is_withheld_and_for_self_would_include_it(
    desk: Any, chain: Any, tmp_path: Path
) -> None:
    """The cathode is public when it is collected, and then shared with fewer."""
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C1", kg=4))
    buys = (desk.bought("C1", chain.supplier),)
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1", buys=buys))
    desk.bcca("aggregate", "P1", data=chain.pack)
    with chain.pack.database.write() as session:
        session.connection().exec_driver_sql("update fetched set sharing = 'direct'")
    ran = desk.bcca("bundle", "P1", "-o", tmp_path / "b", data=chain.pack)
    again = desk.bcca("bundle", "P1", "-o", tmp_path / "c", "--for", "self", data=chain.pack)

    assert (ran.status, again.status) == (3, 0)
    assert "withheld: 1 of the statements" in ran.err.splitlines()[0]
    assert "`--for self` everything" in ran.err.splitlines()[0]


def test_for_nobody_who_is_known_here_there_is_no_bundle_and_no_file(
    desk: Any, secret: Any, tmp_path: Path
) -> None:
    for named in ("nobody.example", "", "../self"):
        ran = desk.bcca("bundle", "P1", "-o", tmp_path / "b", "--for", named, data=secret.pack)

        assert ran.status == 2
        assert "neither a partner" in ran.refusal
    assert not (tmp_path / "b").exists()
