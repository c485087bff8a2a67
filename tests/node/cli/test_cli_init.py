"""`bcca init` and `bcca keys`: keys by role, a log, settings; nothing half-made when refused."""

import os
import pty
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bcca_node.cli import main
from bcca_node.ledger.keystore import Keystore
from bcca_node.ledger.node import Node
from bcca_node.ledger.words import from_words
from bcca_node.settings import Settings
from bcca_protocol.entry import Genesis, parse_entry
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.policy import Policy

INIT = ("init", "--origin", "cathode.example/bcca", "--name", "Cathode AG")
COMMANDS = (
    ("init",),
    ("import",),
    ("publish",),
    ("status", "show"),
    ("status", "revoke"),
    ("status", "correct"),
    ("status", "supersede"),
    ("serve",),
    ("aggregate",),
    ("explain",),
    ("chase",),
    ("bundle",),
    ("rules",),
    ("log", "export"),
    ("log", "prove"),
    ("log", "recover"),
    ("log", "status"),
    ("audit", "log"),
    ("backup",),
    ("restore",),
    ("keys", "list"),
    ("keys", "rotate"),
    ("keys", "retire"),
    ("keys", "compromised"),
    ("keys", "end"),
    ("doctor",),
    ("demo",),
)
ROLES = ["log", "statement", "request", "witness", "seal"]


@pytest.fixture
def policy(chain: Any, tmp_path: Path) -> Path:
    path = tmp_path / "given.txt"
    path.write_text(chain.policy, encoding="utf-8")
    return path


def test_init_makes_keys_by_role_and_prints_the_lines_for_the_policies_of_others(
    desk: Any, tmp_path: Path
) -> None:
    ran = desk.bcca(*INIT, "--port", 8123, data=tmp_path / "n")

    said = [line for line in ran.out.splitlines() if line.startswith(("log ", "witness "))]
    read = Policy.parse("\n".join([*said, *others(), "group g 3 a b c", "quorum g"]))
    keys = Keystore.read(tmp_path / "n")
    assert ran.status == 0
    assert [each.role.value for each in keys.keys] == ROLES
    assert read.logs["cathode.example/bcca"].key == keys.record(Role.LOG).key
    assert read.logs["cathode.example/bcca"].url == "http://127.0.0.1:8123/log"
    assert read.witnesses["cathode.example/bcca"].key == keys.record(Role.WITNESS).key
    assert read.witnesses["cathode.example/bcca"].url == "http://127.0.0.1:8123/witness"


def test_the_lines_for_the_policies_of_others_are_shown_again_when_asked_for(
    desk: Any, tmp_path: Path
) -> None:
    ran = desk.bcca(*INIT, "--port", 8123, data=tmp_path / "n")
    log, witness = (e for e in ran.out.splitlines() if e.startswith(("log ", "witness ")))
    command = ran.out.rpartition("To see them again: `bcca ")[2].removesuffix("`.\n")

    assert desk.bcca(*command.split()).out == f"{log}\n{witness}\n"
    assert desk.bcca("keys", "list", "--policy-line", data=tmp_path / "n").out == f"{log}\n"
    assert desk.bcca("keys", "list", "--witness-line", data=tmp_path / "n").out == f"{witness}\n"


def test_the_recovery_key_is_shown_once_and_stored_nowhere(desk: Any, tmp_path: Path) -> None:
    words = desk.bcca(*INIT, "--json", data=tmp_path / "n").json["recovery"]

    seed = from_words(words)
    public = SeedSigner(name="x", algorithm=Algorithm.ED25519, seed=seed).key.public
    genesis = parse_entry(Keystore.read(tmp_path / "n").entries()[0])
    stored = b"".join(path.read_bytes() for path in (tmp_path / "n").iterdir())
    assert isinstance(genesis, Genesis)
    assert genesis.recovery_hash == sha256(public).digest()
    assert seed not in stored
    assert words.split()[0].encode() not in stored


def test_a_policy_is_copied_as_it_is(desk: Any, policy: Path, tmp_path: Path) -> None:
    ran = desk.bcca(*INIT, "--policy", policy, data=tmp_path / "n")

    assert ran.status == 0
    assert (tmp_path / "n" / "policy.txt").read_bytes() == policy.read_bytes()


def test_settings_of_the_environment_are_kept(
    desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCCA_URL", "https://cathode.example")
    monkeypatch.setenv("BCCA_PORT", "9000")
    desk.bcca(*INIT, data=tmp_path / "n")
    monkeypatch.delenv("BCCA_URL")
    monkeypatch.delenv("BCCA_PORT")

    read = Settings.load(tmp_path / "n")

    assert (read.url, read.port) == ("https://cathode.example", 9000)


def test_a_second_init_is_refused_and_changes_nothing(desk: Any, node: Node) -> None:
    before = desk.snapshot(node.settings.data)
    ran = desk.bcca(*INIT, data=node)

    assert ran.status == 2
    assert "is there already" in ran.refusal
    assert desk.snapshot(node.settings.data) == before


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (("--origin", "https://x.example"), "write a host"),
        (("--name", "two\nlines"), "one line of plain text"),
        (("--url", "ftp://x.example"), "http:// or https://"),
        (("--url", "http://x.example/"), "no slash at the end"),
        (("--port", "70000"), "not between"),
        (("--port", "many"), "--port"),
        (("--host", "0.0.0.0"), "add --url"),  # noqa: S104 - what is refused
        (("--policy", "nowhere.txt"), "cannot be read"),
        (("--colour", "red"), "--colour"),
    ],
)
def test_bad_input_to_init_is_one_sentence_and_leaves_nothing(
    desk: Any, tmp_path: Path, told: tuple[str, str], said: str
) -> None:
    ran = desk.bcca(*INIT, *told, data=tmp_path / "n")

    assert ran.status == 2
    assert said in ran.refusal
    assert list(tmp_path.iterdir()) == []


def test_a_policy_is_copied_though_whoever_reads_leaves_early(
    desk: Any, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", encoding="utf-8") as left:
        monkeypatch.setattr(sys, "stdout", left)
        with pytest.raises(SystemExit, match="1"):  # as Click has it where a pipe is closed
            main([*INIT, "--policy", str(policy), "--data", str(tmp_path / "n")])
        monkeypatch.undo()

    assert (tmp_path / "n" / "policy.txt").read_bytes() == policy.read_bytes()


@pytest.mark.parametrize("text", ["quorum none\n", "log nonsense\n", "\x1b[31m\n", "\xff"])
def test_a_policy_that_cannot_be_used_is_refused_before_anything_is_made(
    desk: Any, tmp_path: Path, text: str
) -> None:
    (tmp_path / "bad.txt").write_bytes(text.encode("latin-1"))
    ran = desk.bcca(*INIT, "--policy", tmp_path / "bad.txt", data=tmp_path / "n")

    assert ran.status == 2
    assert "bad.txt" in ran.refusal
    assert not (tmp_path / "n").exists()


def test_settings_that_cannot_be_written_leave_no_keys(desk: Any, tmp_path: Path) -> None:
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "settings.toml").symlink_to(tmp_path / "nowhere" / "settings.toml")
    ran = desk.bcca(*INIT, data=tmp_path / "n")

    assert ran.status == 2
    assert "settings.toml" in ran.refusal
    assert not (tmp_path / "n" / "keys.json").exists()


def test_a_data_folder_below_a_file_is_refused(desk: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    assert desk.bcca(*INIT, data=tmp_path / "file").status == 2
    assert desk.bcca(*INIT, data=tmp_path / "file" / "n").refusal
    assert (tmp_path / "file").read_bytes() == b""


def test_without_a_passphrase_and_without_a_terminal_it_says_so(
    desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BCCA_PASSPHRASE")
    ran = desk.bcca(*INIT, data=tmp_path / "n")

    assert ran.status == 2
    assert "BCCA_PASSPHRASE_FILE" in ran.refusal
    assert not (tmp_path / "n").exists()


def test_a_passphrase_file_may_end_in_a_line_feed(
    desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("open sesame\n", encoding="utf-8")
    monkeypatch.delenv("BCCA_PASSPHRASE")
    monkeypatch.setenv("BCCA_PASSPHRASE_FILE", str(tmp_path / "secret"))
    ran = desk.bcca(*INIT, data=tmp_path / "n")

    assert ran.status == 0
    Keystore.read(tmp_path / "n").open("open sesame")
    with pytest.raises(UnusableError):
        Keystore.read(tmp_path / "n").open("open sesame\n")


def test_a_passphrase_file_that_is_not_there_is_one_sentence(
    desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BCCA_PASSPHRASE")
    monkeypatch.setenv("BCCA_PASSPHRASE_FILE", str(tmp_path / "nowhere"))

    assert "nowhere" in desk.bcca(*INIT, data=tmp_path / "n").refusal
    assert list(tmp_path.iterdir()) == []


def test_at_a_terminal_the_passphrase_is_asked_twice_and_not_shown(
    desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BCCA_PASSPHRASE")
    same, other = (Terminal(desk, tmp_path / name) for name in ("same", "other"))
    for each in (same, other):
        each.answer("Passphrase: ", "open sesame")
    same.answer("again: ", "open sesame")
    other.answer("again: ", "open barley")

    assert (same.end(), other.end()) == (0, 2)
    assert "sesame" not in same.said + other.said
    assert Keystore.read(tmp_path / "same").open("open sesame").secret
    assert not (tmp_path / "other").exists()


def test_keys_are_listed_without_a_passphrase(
    desk: Any, new_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = new_node(url="https://cathode.example")
    monkeypatch.delenv("BCCA_PASSPHRASE")
    listed = desk.bcca("keys", "list", "--json", data=node).json
    line = desk.bcca("keys", "list", "--policy-line", data=node).out
    table = desk.bcca("keys", "list", data=node).out

    assert [(each["role"], each["index"]) for each in listed] == [
        *zip(ROLES, range(1, 6), strict=True)
    ]
    assert [each["vkey"] for each in listed] == [e.key.encode() for e in node.keystore.keys]
    assert line == f"log {node.log_key.encode()} https://cathode.example/log\n"
    assert all(each["vkey"] in table for each in listed)


@pytest.mark.parametrize("content", ["", "{}", "[1]", "\x00", '{"version":"1"}'])
def test_damaged_keys_are_one_sentence(desk: Any, node: Node, content: str) -> None:
    (node.settings.data / "keys.json").write_text(content, encoding="utf-8")
    ran = desk.bcca("keys", "list", data=node)

    assert ran.status == 2
    assert "keys.json" in ran.refusal


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(desk: Any, command: tuple[str, ...]) -> None:
    ran = desk.bcca(*command, "--help")

    assert ran.status == 0
    assert f"Example: bcca {' '.join(command)}" in " ".join(ran.out.split()).replace(
        "BCCA_PASSPHRASE_FILE=/run/secrets/passphrase ", ""
    )


def others() -> list[str]:
    keys = [
        SeedSigner(name=name, algorithm=Algorithm.ED25519_COSIGNATURE, seed=bytes([at]) * 32).key
        for at, name in enumerate("abc", 1)
    ]
    return [f"witness {key.name} {key.encode()}" for key in keys]


class Terminal:
    """`bcca init` as a process with somebody at its keyboard; `said` is all that is shown."""

    def __init__(self, desk: Any, data: Path) -> None:
        self._keyboard, self._terminal = pty.openpty()
        told = {"stdin": self._terminal, "start_new_session": True}
        self._running = desk.process(*INIT, "--data", data, **told)
        self.said = ""

    def answer(self, prompt: str, typed: str) -> None:
        while not self.said.endswith(prompt):
            read = self._running.stderr.read(1)
            assert read, self.said
            self.said += read
        os.write(self._keyboard, f"{typed}\n".encode())

    def end(self) -> int:
        out, err = self._running.communicate(timeout=60)
        self.said += out + err
        os.close(self._keyboard)
        os.close(self._terminal)
        return int(self._running.returncode)
