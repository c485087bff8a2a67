"""`bcca keys`: rotate, retire, compromised and end, as an owner types them."""

import json
import os
import pty
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import delete

from bcca_node.ledger.node import Node, init
from bcca_node.settings import Settings
from bcca_node.storage import logs
from bcca_node.storage.tables import WitnessedRow
from bcca_protocol.ending import EndNote
from bcca_protocol.entry import Genesis, Predecessor, parse_entry
from bcca_protocol.wire import b64, unb64

ORIGIN = "owner.example/bcca"


@dataclass
class Owner:
    """A node made by `bcca init`, believed by five witnesses, its recovery words on paper."""

    desk: Any
    data: Path
    words: str

    def bcca(self, *arguments: object) -> Any:
        return self.desk.bcca(*arguments, data=self.data)

    def keys(self) -> dict[int, dict[str, Any]]:
        return {each["index"]: each for each in self.bcca("keys", "list", "--json").json}

    def lines(self) -> list[str]:
        with closing(Node.open(Settings.load(self.data))) as node, node.database.read() as session:
            return [line.decode() for line in logs.entries(session, 0, logs.size(session))]


@pytest.fixture
def owner(desk: Any, witnesses: list[Node], policy_of: Callable[..., str], tmp_path: Path) -> Owner:
    settings = Settings(data=tmp_path / "owner", origin=ORIGIN, name="Owner")
    words = init(settings, os.environ["BCCA_PASSPHRASE"], scrypt_n=2**4)
    with closing(Node.open(settings)) as node:
        policy = policy_of([node], witnesses, 4)
    for folder in (settings.data, *(each.settings.data for each in witnesses)):
        (folder / "policy.txt").write_text(policy, encoding="utf-8")
    for each in witnesses:
        with each.database.write() as session:
            session.exec(delete(WitnessedRow))
    return Owner(desk, settings.data, words)


def test_a_statement_key_is_rotated_and_the_head_cosigned(owner: Owner) -> None:
    ran = owner.bcca("keys", "rotate", "statement", "--json")

    assert ran.status == 0
    assert ran.json["state"] == "published"
    assert [each["index"] for each in ran.json["added"]] == [7]
    assert owner.lines()[6] == "bcca/v1 key retire 2"
    states = {index: each["state"] for index, each in owner.keys().items()}
    assert (states[2], states[7], states[1]) == ("retired at entry 6", "good", "good")


def test_what_was_done_is_shown_and_what_is_to_be_done(owner: Owner) -> None:
    ran = owner.bcca("keys", "rotate", "log")

    line = owner.bcca("keys", "list", "--policy-line").out.strip()
    assert ran.status == 0
    assert f"For the policies of those who read this log: {line}" in ran.err
    assert "Start `bcca serve` again" in ran.err
    assert "+" in ran.out


def test_a_log_key_is_rotated_while_everybody_still_names_the_old_one(
    owner: Owner, part: Any
) -> None:
    owner.bcca("keys", "rotate", "log")
    owner.bcca("import", owner.desk.written(part(ORIGIN)))
    published = owner.bcca("publish", "--json")

    early = owner.bcca("keys", "retire", "1").refusal
    old, new = (owner.keys()[index]["vkey"] for index in (1, 6))
    text = (owner.data / "policy.txt").read_text(encoding="utf-8")
    (owner.data / "policy.txt").write_text(text.replace(old, new), encoding="utf-8")

    assert (published.status, published.json["state"]) == (0, "published")
    assert "policy.txt still names it" in early
    assert owner.bcca("keys", "retire", "1", "--json").json["ended"][0]["index"] == 1
    assert owner.bcca("publish").status == 3  # the witnesses still name it


def test_without_a_policy_a_change_is_pending(owner: Owner) -> None:
    (owner.data / "policy.txt").unlink()
    ran = owner.bcca("keys", "rotate", "request", "--json")

    assert (ran.status, ran.json["state"]) == (3, "pending")
    assert "there is no policy" in ran.json["why"]
    assert len(owner.lines()) == 8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rotate", "recovery"), "the recovery key"),
        (("rotate", "master"), "master"),
        (("retire", "1"), "rotate log"),
        (("retire", "0"), "adds no key"),
        (("compromised", "2"), "--last-good"),
        (("compromised", "2", "--last-good", "3"), "the recovery words are missing"),
        (("end", "--size", "99"), "is not 1 to 6"),
        (("end", "--size", "0"), "--size"),
        (("end", "--size", "6", "--successor", "x"), "recovery words|--successor"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    owner: Owner, arguments: tuple[str, ...], said: str
) -> None:
    before = owner.desk.snapshot(owner.data)
    ran = owner.bcca("keys", *arguments)

    assert ran.status == 2
    assert any(each in ran.refusal for each in said.split("|"))
    assert owner.desk.snapshot(owner.data) == before


def test_a_stolen_key_is_declared_with_the_words_of_a_file(
    owner: Owner, part: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    owner.bcca("import", owner.desk.written(part(ORIGIN, "P1"), part(ORIGIN, "P2")))
    first, second = owner.bcca("publish", "--json").json["statements"]
    (tmp_path / "words").write_text(f"{owner.words.upper()}\n", encoding="utf-8")
    monkeypatch.setenv("BCCA_RECOVERY_FILE", str(tmp_path / "words"))
    told = owner.bcca("keys", "compromised", "2", "--last-good", first["index"])

    assert told.status == 0
    assert "to be issued anew" in told.out
    assert second["commitment"] in told.out
    assert first["commitment"] not in told.out
    owner.bcca("import", owner.desk.written(part(ORIGIN, "P2")))
    (anew,) = owner.bcca("publish", "--json").json["statements"]
    assert anew["commitment"] != second["commitment"]
    assert anew["state"] == "published"


@pytest.mark.parametrize("words", ["", "lusab babad", "lusab " * 17])
def test_words_that_are_none_change_nothing(
    owner: Owner, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = owner.desk.snapshot(owner.data)
    monkeypatch.setenv("BCCA_RECOVERY", words)
    ran = owner.bcca("keys", "compromised", "2", "--last-good", "3")

    assert ran.status == 2
    assert "recovery" in ran.refusal
    assert owner.desk.snapshot(owner.data) == before


def test_a_stolen_log_key_ends_the_log_and_another_goes_on(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: Any
) -> None:
    head = owner.bcca("keys", "end", "--size", "6", "--json").json
    line = owner.bcca("keys", "end", "--size", "6")
    heir = tmp_path / "heir"
    told = ("--origin", "owner-two.example", "--name", "Two", "--json")
    made = owner.desk.bcca("init", *told, "--continues", *line.out.split(), data=heir).json
    successor = made["log"].split()[1]
    monkeypatch.setenv("BCCA_RECOVERY", owner.words)

    unsure = owner.bcca("keys", "end", "--size", "6", "--successor", successor)
    ended = owner.bcca("keys", "end", "--size", "6", "--successor", successor, "--yes")
    again = owner.bcca("keys", "end", "--size", "6", "--successor", successor, "--yes")

    assert unsure.status == 2
    assert f"bcca init --continues {line.out.strip()}`, add --yes" in unsure.refusal
    assert again.out == ended.out
    note = EndNote.parse(ended.out)
    with closing(Node.open(Settings.load(heir))) as node, node.database.read() as session:
        genesis = parse_entry(logs.entries(session, 0, 1)[0].decode())
    assert "bcca init --continues" in line.err
    assert head == {"origin": ORIGIN, "size": 6, "root": b64(note.root)}
    assert isinstance(genesis, Genesis)
    assert genesis.predecessor == Predecessor(origin=ORIGIN, size=6, root=unb64(head["root"], ""))
    assert [path.read_text(encoding="utf-8") for path in (owner.data / "ended").iterdir()] == [
        ended.out
    ]
    assert "ended by its owner behind 6 entries" in owner.bcca("log", "status").out
    owner.bcca("import", owner.desk.written(part(ORIGIN)))
    assert "its owner ended it" in owner.bcca("publish").err


@pytest.mark.parametrize(
    "continues",
    [
        ("owner.example", "x", "AAAA"),
        ("owner.example", "3", "AAAA"),
        ("two words", "3", "A" * 43 + "="),
        ("new.example", "3", "A" * 43 + "="),
    ],
)
def test_a_head_that_is_none_is_not_continued(
    desk: Any, tmp_path: Path, continues: tuple[str, ...]
) -> None:
    told = ("--origin", "new.example", "--name", "New", "--continues", *continues)
    ran = desk.bcca("init", *told, data=tmp_path / "n")

    assert ran.status == 2
    assert "continues" in ran.refusal
    assert not (tmp_path / "n").exists()


def test_a_stranger_s_key_is_shown_by_list_and_doctor(owner: Owner, part: Any) -> None:
    told = json.loads((owner.data / "keys.json").read_text(encoding="utf-8"))
    owner.bcca("keys", "rotate", "request")
    (owner.data / "keys.json").write_text(json.dumps(told), encoding="utf-8")

    listed = owner.bcca("keys", "list").out
    doctor = owner.bcca("doctor")

    assert "NOT THIS NODE'S" in listed
    assert owner.keys()[7]["stranger"] is True
    assert doctor.status == 1
    assert "bcca keys compromised 7 --last-good 6" in doctor.out


def test_at_a_terminal_the_words_are_asked_for_and_not_shown(
    owner: Owner,
) -> None:
    keyboard, terminal = pty.openpty()
    told = ("keys", "compromised", "3", "--last-good", "4", "--data", owner.data)
    running = owner.desk.process(*told, stdin=terminal, start_new_session=True)
    said = ""
    while not said.endswith("Recovery words: "):
        read = running.stderr.read(1)
        assert read, said
        said += read
    os.write(keyboard, f"{owner.words}\n".encode())
    out, err = running.communicate(timeout=60)
    os.close(keyboard)
    os.close(terminal)

    assert running.returncode == 0, err
    assert owner.words.split()[0] not in said + out + err
    assert "stolen, good up to entry 4" in out
