"""`bcca serve` as a process: it says where it listens, answers, and stops when it is told to."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bcca_node.cli import main
from bcca_node.ledger.node import Node


@pytest.fixture
def serving(desk: Any, new_node: Callable[..., Node]) -> Iterator[Callable[..., Any]]:
    """Start `bcca serve`; return the process, what it said first, and its base URL."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], str, str]:
        node = new_node(url="http://cathode.example", port=0)
        started.append(desk.process("serve", *arguments, "--data", node.settings.data))
        said = started[0].stderr.readline() if started[0].stderr else ""
        return started[0], said, said.split(" listens on ")[1].split(",")[0]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def routes(journal: str) -> list[str]:
    """Return the routes that were asked, refuse a line of any other kind."""
    lines = [json.loads(line) for line in journal.splitlines()]
    assert all((line["level"], line["what"]) == ("info", "request") for line in lines), journal
    return [line["route"] for line in lines]


def test_it_says_where_it_listens_answers_and_stops_cleanly(serving: Callable[..., Any]) -> None:
    running, said, url = serving()
    descriptor = httpx.get(f"{url}/.well-known/bcca.json", trust_env=False).json()
    health = httpx.get(f"{url}/healthz", trust_env=False).status_code
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as stream:
        stream.sendall(b"\x16\x03\x01\r\n\r\n")  # whoever speaks TLS here
        stream.recv(65_536)
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=30)
    *asked, no_request = err.splitlines()

    assert said.startswith("cathode.example/bcca listens on http://127.0.0.1:")
    assert "for others http://cathode.example" in said
    assert descriptor["origin"] == "cathode.example/bcca"
    assert descriptor["witness"] == "http://cathode.example/witness"
    assert health == 200
    assert (running.returncode, out) == (0, "")
    assert routes("\n".join(asked)) == ["/.well-known/bcca.json", "/healthz"]
    assert json.loads(no_request)["what"] == "Invalid HTTP request received."


def test_without_keys_it_witnesses_nobody_and_ctrl_c_is_quiet(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BCCA_PASSPHRASE")
    running, _, url = serving("--without-keys")
    descriptor = httpx.get(f"{url}/.well-known/bcca.json", trust_env=False).json()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)

    assert "witness" not in descriptor
    assert (running.returncode, out) == (130, "")
    assert routes(err) == ["/.well-known/bcca.json"]


def test_a_port_that_is_taken_is_one_sentence(
    desk: Any, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("BCCA_PORT", str(taken.getsockname()[1]))
        ran = desk.bcca("serve", data=node)

    assert ran.status == 1
    assert "cannot listen there" in ran.refusal


@pytest.mark.parametrize(
    ("variable", "value", "status", "said"),
    [
        ("BCCA_PORT", "70000", 2, "not between"),
        ("BCCA_PORT", "http", 2, "port"),
        ("BCCA_HOST", "no such host", 1, "cannot listen there"),
        ("BCCA_HOST", "192.0.2.1", 1, "cannot listen there"),
        ("BCCA_URL", "cathode", 2, "http://"),
        ("BCCA_ORIGIN", "other.example", 2, "other.example"),
        ("BCCA_DATABASE", "mysql://x", 2, "database"),
        ("BCCA_DATABASE", "sqlite:////nowhere/node.db", 2, "is not there"),
        ("BCCA_PASSPHRASE", "guessed", 2, "does not open it"),
    ],
)
def test_bad_settings_are_one_sentence(  # noqa: PLR0913, PLR0917 - a table of four columns
    desk: Any,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    status: int,
    said: str,
) -> None:
    monkeypatch.setenv(variable, value)
    before = desk.snapshot(node)
    ran = desk.bcca("serve", data=node)

    assert ran.status == status
    assert said in ran.refusal
    assert desk.snapshot(node) == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "origin"),
        ("origin = 1", "origin"),
        ("= nonsense", "settings.toml"),
        ("\xff", "settings.toml"),
        ('origin = "a.example"\nname = "A"\ncolour = "red"', "colour"),
    ],
)
def test_damaged_settings_are_one_sentence_to_every_command(
    desk: Any, node: Node, content: str, said: str
) -> None:
    (node.settings.data / "settings.toml").write_bytes(content.encode("latin-1"))
    for command in EVERY_COMMAND:
        ran = desk.bcca(*command, data=node)

        assert ran.status == 2
        assert said in ran.refusal


def test_a_damaged_database_is_one_sentence_to_every_command(desk: Any, node: Node) -> None:
    node.close()
    for name in ("node.db-wal", "node.db-shm"):
        (node.settings.data / name).unlink(missing_ok=True)
    (node.settings.data / "node.db").write_bytes(b"not a database" * 1000)
    for command in EVERY_COMMAND:
        ran = desk.bcca(*command, data=node)

        assert ran.status == 2
        assert "node.db" in ran.refusal


def test_a_data_folder_that_is_not_there_is_not_made(desk: Any, tmp_path: Path) -> None:
    for command in (*EVERY_COMMAND, ("keys", "list"), ("doctor",)):
        assert desk.bcca(*command, data=tmp_path / "n").status == 2
        assert desk.bcca(*command).refusal.count("--data") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_data_folder_may_come_from_the_environment(
    desk: Any, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCCA_DATA", str(node.settings.data))

    assert desk.bcca("keys", "list").status == 0


def test_a_reader_that_leaves_early_is_no_error(
    desk: Any, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", encoding="utf-8") as left:
        monkeypatch.setattr(sys, "stdout", left)
        status = main(["keys", "list", "--json", "--data", str(node.settings.data)])
        monkeypatch.undo()

    assert status == 1
    assert desk.capsys.readouterr().err == ""


EVERY_COMMAND = (
    ("import", Path(__file__)),
    ("publish",),
    ("serve",),
    ("aggregate", "P1"),
    ("explain",),
    ("chase",),
    ("bundle", "P1", "-o", "never-written.jsonl"),
    ("log", "export", "never-written"),
)
