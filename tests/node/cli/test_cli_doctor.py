"""`bcca doctor`: what is wrong, in words; exit status 0 only when nothing is."""

import asyncio
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.node.certificates import Authority

from bcca_node.app import create_server
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.network.tls import server_context
from bcca_node.storage import pactsending
from bcca_node.storage.pactsending import Letter, Sent


@pytest.fixture
def well(desk: Any, chain: Any) -> Any:
    """A supplier with whom all is well."""
    desk.published(chain.supplier, desk.part(chain.supplier.origin))
    return chain.supplier


def test_a_node_with_whom_all_is_well(desk: Any, well: Any) -> None:
    ran = desk.bcca("doctor", data=well)

    assert ran.status == 0
    assert "WRONG" not in ran.out
    assert all(
        f" {about}: " in ran.out
        for about in ("settings", "keys", "policy", "database", "log", "witness w4", "clock")
    )
    assert "survives 2 lying" in ran.out
    assert "log pack.example/bcca: " in ran.out


def test_a_new_node_has_no_policy_and_a_pending_log(desk: Any, node: Node) -> None:
    ran = desk.bcca("doctor", "--json", data=node)

    wrong = {each["about"]: each["text"] for each in ran.json["findings"] if each["wrong"]}
    assert ran.status == 1
    assert not ran.json["well"]
    assert sorted(wrong) == ["log", "policy"]
    assert "run `bcca publish`" in wrong["log"]


def test_pending_statements_and_drafts_are_told(desk: Any, well: Any) -> None:
    desk.bcca("import", desk.written(desk.part(well.origin, "C2")), data=well)
    waiting = desk.bcca("doctor", data=well)
    publish(well, [desk.part(well.origin, "C2")])
    pending = desk.bcca("doctor", data=well)

    assert waiting.status == 0
    assert "drafts: 1 wait for `bcca publish`" in waiting.out
    assert pending.status == 1
    assert "pending statements, of urn:bcca:case:t:C2" in pending.out


def test_what_is_wrong_with_a_policy_is_told(desk: Any, well: Any, chain: Any) -> None:
    for old, new, said in (
        ("log cathode.", "# log cathode.", "own log is not in it"),
        ("group g 4", "group g 2", "liars are survived"),
        ("quorum g", "quorum h", "policy.txt"),
        ("/log\n", "\n", "ends in /log"),
    ):
        policy = chain.policy.replace(old, new)
        (well.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
        ran = desk.bcca("doctor", data=well)

        assert ran.status == 1
        assert said in ran.out


def test_a_policy_that_names_this_log_with_another_key_is_told(desk: Any, chain: Any) -> None:
    wrong = [line for line in chain.policy.splitlines() if not line.startswith("log ")]
    seen = chain.pack.log_key
    renamed = type(seen)(
        name=chain.supplier.origin, algorithm=seen.algorithm, public=seen.public
    ).encode()
    policy = "\n".join([f"log {renamed} {chain.supplier.settings.url}/log", *wrong])
    (chain.supplier.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    ran = desk.bcca("doctor", data=chain.supplier)

    assert ran.status == 1
    assert f"names cathode.example/bcca with key {renamed}" in ran.out


def test_a_witness_and_a_supplier_that_are_down_are_named(desk: Any, well: Any, chain: Any) -> None:
    policy = chain.policy
    for url in (f"{chain.witnesses[3].settings.url}/witness", f"{chain.pack.settings.url}/log"):
        policy = policy.replace(url, f"http://127.0.0.1:9/{url.rpartition('/')[2]}")
    (well.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    ran = desk.bcca("doctor", data=well)

    lines = [line for line in ran.out.splitlines() if line.startswith("WRONG")]
    assert ran.status == 1
    assert [line.split(": ")[0] for line in lines] == [
        "WRONG witness w3",
        "WRONG log pack.example/bcca",
    ]


def test_an_old_copy_is_told_and_left_as_it_is(desk: Any, well: Any) -> None:
    older = desk.backed_up(well)
    desk.published(well, desk.part(well.origin, "C2"))
    before = desk.snapshot(older)
    ran = desk.bcca("doctor", data=older)

    assert ran.status == 1
    assert "have seen 8 entries, here are 7: this is an old copy" in ran.out
    assert desk.snapshot(older) == before


def test_somebody_else_at_the_address_of_a_supplier_is_told(
    desk: Any, well: Any, chain: Any
) -> None:
    urls = chain.pack.settings.url, chain.witnesses[0].settings.url
    policy = chain.policy.replace(f"{urls[0]}/log", f"{urls[1]}/log")
    (well.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    ran = desk.bcca("doctor", data=well)

    assert ran.status == 1
    assert "describes itself as w0.example, where pack.example/bcca belongs" in ran.out


def test_no_witness_where_the_policy_says_one_is_told(desk: Any, well: Any, chain: Any) -> None:
    url = chain.witnesses[0].settings.url
    policy = chain.policy.replace(f"{url}/witness", f"{url}/nowhere")
    (well.settings.data / "policy.txt").write_text(policy, encoding="utf-8")

    assert "answers 404, no witness is there" in desk.bcca("doctor", data=well).out


def test_a_clock_that_is_wrong_is_told(desk: Any, well: Any, chain: Any, loop: Any) -> None:
    async def yesterday(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 400 Bad Request\r\ndate: Sun, 01 Feb 2026 12:00:00 GMT\r\n"
            b"content-length: 0\r\nconnection: close\r\n\r\n"
        )
        await writer.drain()
        writer.close()

    url = loop.serve_raw(yesterday)
    policy = chain.policy
    for each in chain.witnesses[:3]:
        policy = policy.replace(f"{each.settings.url}/witness", f"{url}/witness")
    (well.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    ran = desk.bcca("doctor", data=well)

    assert ran.status == 1
    assert "s ahead of that of 5 witnesses: set it right" in ran.out


def test_keys_that_others_may_read_and_another_passphrase_are_told(
    desk: Any, well: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCCA_PASSPHRASE", "guessed")
    (well.settings.data / "keys.json").chmod(0o644)
    ran = desk.bcca("doctor", data=well)

    assert ran.status == 1
    assert "run chmod 600" in ran.out
    assert "this passphrase does not open it" in ran.out


def test_a_database_that_was_changed_is_told(desk: Any, well: Any) -> None:
    for change, said in (
        ("update entry set line = line || 'x' where [index] = 6", "entry 6"),
        ("update tile set hashes = zeroblob(32 * 7) where level = 0", "tile/0/000.p/7"),
        ("update checkpoint set root = zeroblob(32) where size = 7", "the head of 7 entries"),
        ("update statement set envelope = zeroblob(9)", "entry 6 of the log is not about it"),
        ("delete from entry where [index] = 6", "entries were lost"),
        ("delete from entry where [index] = 3", "the log has 6 entries"),
        ("delete from entry", "the log is empty"),
        ("update entry set line = 'x' where [index] = 0", "the keys of keys.json"),
        ("update schema_version set version = 99", "have version 99"),
    ):
        copy = desk.backed_up(well)
        with closing(sqlite3.connect(copy / "node.db")) as database:
            database.execute(change)
            database.commit()
        ran = desk.bcca("doctor", data=copy)

        assert ran.status == 1
        assert said in ran.out


def test_a_database_that_is_lost_is_told_and_not_made_anew(
    desk: Any, new_node: Callable[..., Node]
) -> None:
    node = new_node()
    node.close()
    for path in node.settings.data.glob("node.db*"):
        path.unlink()
    ran = desk.bcca("doctor", data=node)

    assert ran.status == 1
    assert "is not there" in ran.out
    assert not (node.settings.data / "node.db").exists()


def test_damaged_settings_are_told_with_all_else_that_is_wrong(desk: Any, node: Node) -> None:
    (node.settings.data / "settings.toml").write_text("= nonsense", encoding="utf-8")
    (node.settings.data / "keys.json").write_text("{}", encoding="utf-8")
    ran = desk.bcca("doctor", "--json", data=node)

    wrong = {each["about"] for each in ran.json["findings"] if each["wrong"]}
    assert ran.status == 1
    assert wrong == {"settings", "keys", "policy"}


def test_doctor_changes_nothing(desk: Any, node: Node) -> None:
    before = desk.snapshot(node)
    desk.bcca("doctor", data=node)

    assert desk.snapshot(node) == before


@pytest.fixture
def answering(
    loop: Any, new_node: Callable[..., Node], acquaint: Callable[..., None], tmp_path: Path
) -> Callable[..., Node]:
    """Serve a node whose URL is https, by TLS or not, and let it have a policy."""

    def serve(*, tls: bool) -> Node:
        listener = socket.create_server(("127.0.0.1", 0))
        node = new_node(url=f"https://127.0.0.1:{listener.getsockname()[1]}")
        acquaint(node)
        files = Authority(tmp_path).issue("127.0.0.1")
        context = server_context(*files, at=int(time.time())) if tls else None
        loop.serve(create_server(node, tls=context), listener)
        return node

    return serve


@pytest.mark.parametrize(
    ("tls", "said", "to_do"),
    [
        pytest.param(
            False,
            ": https is expected there, and plain",
            "start `bcca serve` with --tls-cert and --tls-key, or a proxy that",
            id="plain http",
        ),
        pytest.param(
            True,
            "/.well-known/bcca.json: its certificate",
            "SSL_CERT_FILE",
            id="a certificate that nobody believes",
        ),
    ],
)
def test_what_others_cannot_ask_by_https_is_wrong_and_told_with_what_to_do(
    desk: Any, answering: Callable[..., Node], tls: bool, said: str, to_do: str
) -> None:
    node = answering(tls=tls)
    ran = desk.bcca("doctor", data=node)

    [line] = [each for each in ran.out.splitlines() if " url: " in each]
    assert ran.status == 1
    assert line.startswith(f"WRONG url: {node.settings.url}{said}")
    assert to_do in line


class Another(BaseHTTPRequestHandler):
    """Some other service: 404 to everything, but a page of its own below /page."""

    def do_GET(self) -> None:
        body = b"<h1>welcome</h1>" if self.path.startswith("/page") else b""
        self.send_response(200 if body else 502 if self.path.startswith("/down") else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_somebody_else_at_its_own_url_is_wrong_and_nobody_at_all_is_not(
    desk: Any,
    new_node: Callable[..., Node],
    acquaint: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Another) as server:
        threading.Thread(target=server.serve_forever).start()
        base = f"http://127.0.0.1:{server.server_port}"
        node = new_node(url=base)
        acquaint(node)

        def line(url: str) -> str:
            monkeypatch.setenv("BCCA_URL", url)
            ran = desk.bcca("doctor", data=node)
            [found] = [each for each in ran.out.splitlines() if " url: " in each]
            return str(found)

        other, lost, page = line(base), line(f"{base}/bcca"), line(f"{base}/page")
        down = line(f"{base}/down")  # a proxy whose node is not started
        server.shutdown()
    nobody = line(base)

    assert other.startswith(f"WRONG url: {base}/.well-known/bcca.json: answered 404, where 200")
    assert "so whoever answers there is not this node: another service has that address" in other
    assert lost.startswith("WRONG url: ")
    assert "the proxy does not take /bcca away before it passes a call on, or another" in lost
    assert page.startswith("WRONG url: ")
    assert down.startswith("ok    url: nobody answers there, start `bcca serve`: ")
    assert nobody.startswith("ok    url: nobody answers there, start `bcca serve`: ")


def test_what_was_given_up_for_a_pact_partner_is_told(desk: Any, node: Node) -> None:
    letter = Letter(partner="pact:buyer", event="e1", what="request", body=b"{}")
    with node.database.write() as session:
        number = pactsending.send(session, letter, node.clock())
        pactsending.settle(session, number, Sent.DEAD, "answered 400: no", refused=True)
    ran = desk.bcca("doctor", data=node)

    assert "1 events were given up, to pact:buyer: see `bcca pact deliveries`" in ran.out
