"""`bcca serve --tls-cert FILE --tls-key FILE`: as a process, and what it refuses."""

import signal
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.node.certificates import Authority

from bcca_node.ledger.node import Node

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "tls"
    folder.mkdir()
    return Authority(folder)


def tls(cert: Path, key: Path) -> tuple[str, ...]:
    return ("--tls-cert", str(cert), "--tls-key", str(key))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def token_of(url: str, auth: tuple[str, str], trust: ssl.SSLContext) -> str:
    """Return a token, and try what nobody should: secrets in URLs, and guesses."""
    with httpx.Client(verify=trust, trust_env=False) as http:
        found = http.get(f"{url}/.well-known/openid-configuration").json()["token_endpoint"]
        token = str(http.post(found, auth=auth, data=GRANT).json()["access_token"])
        http.post(f"{found}?client_secret={auth[1]}", auth=auth, data=GRANT)
        http.post(found, auth=(auth[0], "guess-work"), data=GRANT)
        http.get(f"{url}/3/nothing?access_token={token}")
    return token


def test_it_serves_by_https_alone_and_writes_no_secret_down(
    desk: Any, new_node: Callable[..., Node], authority: Authority
) -> None:
    port = free_port()
    url = f"https://localhost:{port}"
    node = new_node(url=url, port=port)
    add = ("partners", "add", "--pact", "buyer", "--url", "https://buyer.example", "--json")
    made = desk.bcca(*add, data=node).json
    running: subprocess.Popen[str] = desk.process(
        "serve", *tls(*authority.issue("localhost")), "--data", node.settings.data
    )
    said = running.stderr.readline() if running.stderr else ""
    auth = (made["clientId"], made["clientSecret"])
    try:
        token = token_of(url, auth, ssl.create_default_context(cafile=str(authority.path)))
        with pytest.raises(httpx.HTTPError):
            httpx.post(f"http://localhost:{port}/auth/token", auth=auth, data=GRANT)
    finally:
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=30)

    assert f"listens on https://127.0.0.1:{port}, for others {url}" in said
    assert (running.returncode, out) == (0, "")
    assert '"route":"/auth/token"' in err
    assert '"caller":"pact:buyer"' in err
    for secret in (auth[1], token, "guess-work", "access_token", "client_secret"):
        assert secret not in err + said


def refused(desk: Any, node: Node, *arguments: str) -> str:
    said: str = desk.bcca("serve", *arguments, data=node).refusal
    return said


def test_a_url_of_http_is_refused_with_what_to_do(
    desk: Any, new_node: Callable[..., Node], authority: Authority
) -> None:
    node = new_node(url="http://cathode.example", port=0)
    said = refused(desk, node, *tls(*authority.issue("cathode.example")))

    assert "url http://cathode.example" in said
    assert "write https:// in settings.toml, or set BCCA_URL" in said


def test_a_url_with_a_path_is_refused_before_anything_listens_unless_a_proxy_takes_it_away(
    desk: Any, new_node: Callable[..., Node], authority: Authority
) -> None:
    port = free_port()
    node = new_node(url="https://cathode.example/bcca", port=port)
    with socket.create_server(("127.0.0.1", port)):  # else it would say that it cannot listen
        said = refused(desk, node, *tls(*authority.issue("cathode.example")))
    named = new_node("named.example", url=node.settings.url, port=0, proxies="127.0.0.1")
    over = refused(desk, named, *tls(*authority.issue("cathode.example", first=-9, last=-1)))

    assert "url https://cathode.example/bcca: with --tls-cert no proxy takes /bcca away" in said
    assert "leave /bcca out of url in settings.toml (BCCA_URL), or leave --tls-cert out" in said
    assert "the certificate ended on" in over


def test_half_of_it_an_ended_certificate_and_a_key_for_everybody_are_one_sentence(
    desk: Any, new_node: Callable[..., Node], authority: Authority
) -> None:
    node = new_node(url="https://cathode.example", port=0)
    cert, key = authority.issue("cathode.example")
    over = authority.issue("cathode.example", first=-9, last=-1)

    assert "name the file of --tls-key too" in refused(desk, node, "--tls-cert", str(cert))
    assert "name the file of --tls-cert too" in refused(desk, node, "--tls-key", str(key))
    assert "the certificate ended on" in refused(desk, node, *tls(*over))
    key.chmod(0o644)
    assert "everybody on this machine may have it" in refused(desk, node, *tls(cert, key))
