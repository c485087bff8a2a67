"""`bcca log status`, and what `serve` and `doctor` say of alarms, lag and proofs."""

from collections.abc import Callable
from typing import Any

import pytest

from bcca_node.ledger import heads
from bcca_node.ledger.publish import publish
from bcca_node.storage import alarms, logs
from bcca_node.storage.alarms import Alarm
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint
from bcca_protocol.keys import Role

WHAT = "w0 has seen 9 entries, here are 7: this is an old copy"


@pytest.fixture
def published(desk: Any, chain: Any) -> Any:
    """A supplier with one statement that a quorum has seen."""
    desk.published(chain.supplier, desk.part(chain.supplier.origin))
    return chain.supplier


def alarm(node: Any) -> None:
    with node.database.write() as session:
        alarms.put(session, Alarm(id="a", raised_at=1_800_000_000, what=WHAT))


def accuse(node: Any, liar: Any) -> None:
    """Let `node` meet two trees of one size that `liar` signed."""
    with node.database.write() as session:
        for root in (bytes(32), bytes([1]) * 32):
            checkpoint = Checkpoint(origin=liar.origin, size=9, root=root)
            note = sign_checkpoint(checkpoint, (liar.keys.signer(Role.LOG),))
            heads.meet(session, liar.log_key, note, at=1_800_000_000)


def test_a_published_log_and_its_witnesses(
    desk: Any, published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BCCA_PASSPHRASE")
    ran = desk.bcca("log", "status", data=published)
    told = desk.bcca("log", "status", "--json", data=published).json

    assert ran.status == 0
    assert "cathode.example/bcca: 7 of 7 entries published, seen by a quorum at 20" in ran.out
    assert (told["size"], told["published"], told["pendingStatements"]) == (7, 7, 0)
    assert [each["witness"] for each in told["witnesses"]] == ["w0", "w1", "w2", "w3", "w4"]
    assert sum(each["lag"] == 0 for each in told["witnesses"]) >= 4
    assert told["alarms"] == told["misbehaviour"] == told["copies"] == []
    assert told["time"].startswith("20")
    assert not told["restored"]


def test_what_is_pending_and_why_each_witness_lags(
    desk: Any, published: Any, chain: Any, part: Callable[..., Any]
) -> None:
    policy = chain.policy
    for each in chain.witnesses[:2]:
        policy = policy.replace(each.settings.url, "http://127.0.0.1:9")
    (published.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    publish(published, [part(published.origin, "C2"), part(published.origin, "C3")])
    desk.bcca("publish", data=published)
    ran = desk.bcca("log", "status", data=published)
    told = desk.bcca("log", "status", "--json", data=published)

    assert (ran.status, told.status) == (3, 3)
    assert "7 of 9 entries published" in ran.out
    assert "pending: 2 statements; run `bcca publish`" in ran.out
    assert told.json["pendingStatements"] == 2
    assert told.json["witnesses"][0]["lag"] >= 2
    assert "127.0.0.1:9" in told.json["witnesses"][0]["refused"]


def test_a_new_node_has_published_nothing(desk: Any, node: Any) -> None:
    ran = desk.bcca("log", "status", data=node)

    assert ran.status == 3
    assert "0 of 6 entries published, nothing is published yet" in ran.out


def test_an_alarm_stands_first_everywhere(desk: Any, published: Any) -> None:
    alarm(published)
    ran = desk.bcca("log", "status", data=published)
    doctored = desk.bcca("doctor", data=published)
    desk.bcca("import", desk.written(desk.part(published.origin, "C2")), data=published)
    refused = desk.bcca("publish", data=published)

    assert ran.status == 1
    assert ran.out.startswith(f"ALARM since 2027-01-15T08:00:00Z, nothing is entered: {WHAT}")
    assert doctored.status == 1
    assert f"WRONG ALARM: since 2027-01-15T08:00:00Z: {WHAT}" in doctored.out
    assert refused.status == 1
    assert f"nothing is entered since the alarm of 2027-01-15T08:00:00Z: {WHAT}" in refused.refusal


def test_a_proof_that_a_log_lied_is_named_and_who_believes_it_is_warned(
    desk: Any, published: Any, chain: Any, new_node: Callable[..., Any]
) -> None:
    accuse(published, new_node("stranger.example"))
    harmless = desk.bcca("doctor", data=published)
    accuse(published, chain.pack)
    ran = desk.bcca("log", "status", data=published)
    told = desk.bcca("log", "status", "--json", data=published).json
    doctored = desk.bcca("doctor", data=published)

    assert harmless.status == 0
    assert "misbehaviour: log stranger.example signed two trees" in harmless.out
    assert [each["origin"] for each in told["misbehaviour"]] == [
        "pack.example/bcca",
        "stranger.example",
    ] or [each["origin"] for each in told["misbehaviour"]] == [
        "stranger.example",
        "pack.example/bcca",
    ]
    assert f"proof {told['misbehaviour'][0]['proof']}" in ran.out
    assert doctored.status == 1
    assert "log pack.example/bcca signed two trees" in doctored.out
    assert "take it out of policy.txt" in doctored.out


def test_a_restored_database_is_told(desk: Any, published: Any) -> None:
    with published.database.write() as session:
        logs.set_restored(session, True)

    assert "restored from a backup" in desk.bcca("log", "status", data=published).out
    assert "restored from a backup" in desk.bcca("doctor", data=published).out


def test_names_of_strangers_are_shown_and_not_obeyed(desk: Any, published: Any) -> None:
    with published.database.write() as session:
        alarms.put(session, Alarm(id="a", raised_at=1, what="\x1b]0;owned\x07"))
    ran = desk.bcca("log", "status", data=published)

    assert "\x1b" not in ran.out
    assert "\\u001b" in ran.out


def test_serve_says_of_an_alarm_before_all_else(
    desk: Any, published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarm(published)
    monkeypatch.setenv("BCCA_PORT", "0")
    serving = desk.process("serve", "--data", published.settings.data)
    said = [serving.stderr.readline() for _ in range(2)]
    serving.terminate()
    serving.communicate(timeout=30)

    assert " listens on " in said[0]
    assert said[1] == f"ALARM since 2027-01-15T08:00:00Z, nothing is entered: {WHAT}\n"
    assert serving.returncode == 0
