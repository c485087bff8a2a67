"""`bcca partners` for partners whose systems speak PACT: credentials in, credentials out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcca_node.ledger.node import Node
from bcca_node.pact import clients, secrets, tokens
from bcca_node.storage import grants, pactclients, partners
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.partners import PartState
from bcca_protocol.errors import UnusableError

URL = ("--url", "https://pact.buyer.example/")
THEIRS = "their-own-s3cret/+="


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.touch(mode=0o600)
    path.write_text(THEIRS + "\n", encoding="ascii")
    return path


@pytest.fixture
def added(desk: Any, node: Node, secret_file: Path) -> dict[str, str]:
    """Add a partner that has issued credentials, too; return what was printed."""
    given = ("--client-id", "node7", "--client-secret-file", secret_file)
    told: dict[str, str] = desk.bcca(
        "partners", "add", "--pact", "buyer", *URL, *given, "--json", data=node
    ).json
    return told


def partner(node: Node) -> PactPartner:
    with node.database.read() as session:
        found = pactclients.get(session, "buyer")
    assert found is not None
    return found


def test_adding_one_prints_its_credentials_once(desk: Any, node: Node) -> None:
    ran = desk.bcca("partners", "add", "--pact", "buyer", *URL, "--days", 90, data=node)
    told = dict(line.rsplit(maxsplit=1) for line in ran.out.splitlines() if line.startswith("   "))
    names = {name.strip(): value for name, value in told.items()}
    again = desk.bcca("partners", "show", "pact:buyer", data=node)

    assert ran.status == 0
    assert names["base URL"] == node.settings.url
    assert tokens.verify(node, names["client id"], names["client secret"])
    assert "`bcca partners update buyer` takes the client id and secret" in ran.err
    assert names["client id"] in again.out
    assert names["client secret"] not in again.out
    assert "asked by this node not yet: it has issued nothing" in again.out


def test_what_it_issued_is_sealed_and_opens_with_the_keys_alone(
    node: Node, added: dict[str, str]
) -> None:
    folder = node.settings.data
    held = b"".join(each.read_bytes() for each in folder.iterdir() if each.is_file())

    assert secrets.open(node, partner(node)) == THEIRS
    assert THEIRS.encode() not in held
    assert added["clientSecret"].encode() not in held
    assert THEIRS not in str(partner(node))
    with pytest.raises(UnusableError, match="its keys are closed"):
        secrets.open(replace(node, keyring=None), partner(node))


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "https://attacker.example"},
        {"auth_url": "https://attacker.example"},
        {"name": "another"},
        {"client_id": "another"},
    ],
)
def test_a_row_that_was_changed_in_the_database_takes_the_secret_nowhere(
    node: Node, added: dict[str, str], changed: dict[str, Any]
) -> None:
    with pytest.raises(UnusableError, match="was not sealed for") as refused:
        secrets.open(node, replace(partner(node), **changed))

    assert THEIRS not in str(refused.value)


def test_a_secret_is_replaced_without_anything_standing_still(
    desk: Any, node: Node, added: dict[str, str]
) -> None:
    new = desk.bcca("partners", "secret", "buyer", "--json", data=node).json
    both = [tokens.verify(node, e["clientId"], e["clientSecret"]) for e in (added, new)]
    ran = desk.bcca("partners", "revoke-secret", "pact:buyer", added["clientId"], data=node)
    after = [tokens.verify(node, e["clientId"], e["clientSecret"]) for e in (added, new)]
    shown = desk.bcca("partners", "show", "pact:buyer", data=node).out

    assert (both, after) == ([True, True], [False, True])
    assert f"that are: {new['clientId']}" in ran.out
    assert f"{added['clientId']}, revoked " in shown
    twice = desk.bcca("partners", "revoke-secret", "buyer", added["clientId"], data=node)
    assert "is no client id of pact:buyer that is good" in twice.refusal


def test_too_many_secrets_are_one_sentence(desk: Any, node: Node, added: dict[str, str]) -> None:
    for _ in range(clients.MAX_CLIENTS - 1):
        assert desk.bcca("partners", "secret", "buyer", data=node).status == 0

    assert "revoke-secret buyer" in desk.bcca("partners", "secret", "buyer", data=node).refusal


def test_another_url_takes_the_secret_again(
    desk: Any, node: Node, added: dict[str, str], secret_file: Path
) -> None:
    elsewhere = ("partners", "update", "buyer", "--url", "https://new.example")
    refused = desk.bcca(*elsewhere, data=node).refusal
    given = ("--client-id", "node8", "--client-secret-file", secret_file)
    ran = desk.bcca(*elsewhere, *given, data=node)

    assert "its secret was given for https://pact.buyer.example" in refused
    assert "asked at https://new.example, tokens at https://new.example, as node8" in ran.out
    assert secrets.open(node, partner(node)) == THEIRS
    assert "say what changes" in desk.bcca("partners", "update", "buyer", data=node).refusal


def test_it_is_granted_shown_listed_and_ended_like_every_partner(
    desk: Any, node: Node, added: dict[str, str]
) -> None:
    granted = desk.bcca("partners", "grant", "pact:buyer", "--all", data=node)
    with node.database.read() as session:
        live = grants.live(session, "pact:buyer", node.clock())
    shown = desk.bcca("partners", "show", "pact:buyer", "--json", data=node).json
    listed = desk.bcca("partners", data=node).out
    ended = desk.bcca("partners", "end", "pact:buyer", data=node)
    again = desk.bcca("partners", "add", "--pact", "buyer", *URL, data=node)
    with node.database.read() as session:
        left = grants.live(session, "pact:buyer", node.clock())

    assert "pact:buyer may see all" in granted.out
    assert [(scope, about) for scope, about in live] == [("all", "")]
    assert shown["clients"][0]["clientId"] == added["clientId"]
    assert "clientSecret" not in str(shown)
    assert "pact:buyer" in listed
    assert "client ids: 1, until 20" in listed
    assert "its credentials and tokens are good no more; dropped: grants 1" in ended.out
    assert again.status == 0
    assert left == []
    assert not tokens.verify(node, added["clientId"], added["clientSecret"])
    assert partner(node).sealed == ""


def test_pairs_of_part_numbers_are_confirmed_by_the_operator_alone(
    desk: Any, node: Node, added: dict[str, str], tmp_path: Path
) -> None:
    sheet = tmp_path / "parts.csv"
    sheet.write_text("theirs,ours\n4711,urn:bcca:case:t:cell\n", encoding="utf-8")
    ran = desk.bcca("partners", "parts", "pact:buyer", "--import", sheet, data=node)
    proposed = desk.bcca("partners", "parts", "pact:buyer", "--propose", data=node)
    confirmed = desk.bcca("partners", "parts", "pact:buyer", "--confirm", "4711", data=node)
    with node.database.read() as session:
        found = partners.confirmed(session, "pact:buyer", "4711")
    desk.bcca("partners", "parts", "pact:buyer", "--refuse", "4711", data=node)
    with node.database.read() as session:
        pairs = partners.parts(session, "pact:buyer")

    assert "1 of 1 pair is new" in ran.out
    assert "is told of no part numbers" in proposed.refusal
    assert "confirmed: 1" in confirmed.out
    assert found == ["urn:bcca:case:t:cell"]
    assert [each.state for each in pairs] == [PartState.REFUSED]


ADD = ("partners", "add", "--pact", "buyer")
REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "capital letters": (("partners", "add", "--pact", "Buyer", *URL), "write 1 to 63 small"),
    "a colon": (("partners", "add", "--pact", "a:b", *URL), "write 1 to 63 small"),
    "a line feed": (("partners", "add", "--pact", "a\nb", *URL), "write 1 to 63 small"),
    "plain http": ((*ADD, "--url", "http://buyer.example"), "spoken over https alone"),
    "another scheme": ((*ADD, "--url", "file:///etc/passwd"), "--url:"),
    "a password in it": ((*ADD, "--url", "https://a:b@buyer.example"), "--url:"),
    "a query in it": ((*ADD, "--url", "https://buyer.example?a=b"), "--url:"),
    "plain tokens": ((*ADD, *URL, "--auth-url", "http://id.example"), "--auth-url"),
    "no day": ((*ADD, *URL, "--days", "0"), "--days 0: write 1 to"),
    "for ever": ((*ADD, *URL, "--days", "99999"), "write 1 to 1095"),
    "half of it": ((*ADD, *URL, "--client-id", "x"), "go together"),
    "nobody's secret": (("partners", "secret", "nobody"), "there is nobody"),
    "nobody's end": (("partners", "end", "pact:nobody"), "is no PACT partner"),
    "a proof": (("partners", "prove", "pact:nobody"), "speaks PACT: it has no keys"),
}


@pytest.mark.parametrize(("command", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_one_sentence_and_changes_nothing(
    desk: Any, node: Node, command: tuple[str, ...], said: str
) -> None:
    refusal = desk.bcca(*command, data=node).refusal
    with node.database.read() as session:
        everybody = pactclients.every(session)

    assert said in refusal
    assert everybody == []


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (THEIRS.encode(), 0o604, "its mode is 0604, so everybody on this machine"),
        (b"", 0o600, "write one line of 1 to 4096"),
        (b"a\nb\n", 0o600, "write one line of 1 to 4096"),
        (b"x" * 5_000, 0o600, "write one line of 1 to 4096"),
        ("schlüssel".encode(), 0o600, "printable ASCII characters, which are A-Z, a-z, 0-9, the"),
        (b"\xff\xfe" + THEIRS.encode(), 0o600, "it is not UTF-8"),
        (None, 0o600, "cannot be read: No such file"),
    ],
)
def test_a_secret_file_that_is_none_is_one_sentence_without_the_secret(
    desk: Any, new_node: Callable[..., Node], content: bytes | None, mode: int, said: str
) -> None:
    path = desk.folder / "given.txt"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    given = ("--client-id", "node7", "--client-secret-file", path)
    refusal = desk.bcca(*ADD, *URL, *given, data=new_node()).refusal

    assert said in refusal
    assert THEIRS not in refusal
    assert "schl" not in refusal


def test_the_same_name_twice_is_refused(desk: Any, node: Node, added: dict[str, str]) -> None:
    assert "is a partner already" in desk.bcca(*ADD, *URL, data=node).refusal


def test_a_restored_node_takes_no_token_from_before(
    desk: Any, new_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = new_node()
    told = desk.bcca(*ADD, *URL, "--json", data=node).json
    issued = tokens.issue(node, told["clientId"])
    assert issued is not None
    backup = tmp_path / "node.bak"
    assert desk.bcca("backup", backup, data=node).status == 0
    folder = tmp_path / "again"
    assert desk.bcca("restore", backup, data=folder).status == 0
    settings = node.settings
    opened = Node.open(type(settings).load(folder, {}))
    with pytest.raises(tokens.NoTokenError):
        tokens.holder(opened, issued.token)
    is_good = tokens.verify(opened, told["clientId"], told["clientSecret"])
    opened.close()

    assert is_good
    assert tokens.holder(node, issued.token).origin == "pact:buyer"
