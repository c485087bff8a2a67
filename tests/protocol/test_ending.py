"""End notes: what a stolen log key can still do once the log's owner has ended it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcca_protocol import (
    audit,
    checkpoint,
    ending,
    issue,
    merkle,
    note,
    policy,
    statement,
    succession,
    verify,
)
from bcca_protocol.__main__ import HOLDS, REFUSED, UNUSABLE, main
from bcca_protocol.ending import EndNote, sign_end
from bcca_protocol.entry import Genesis, KeyAdd, KeyRetire, Status, StatusEntry
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import (
    AuthorshipError,
    ConflictError,
    MalformedError,
    PolicyError,
    RefusedError,
    SignatureError,
    UnusableError,
)
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.limits import MAX_TREE_SIZE
from bcca_protocol.policy import Policy
from bcca_protocol.wire import b64

MINE, HEIR = "ore.example", "ore-two.example"


@pytest.fixture
def ended(chain: Any, signs: Any) -> Callable[..., EndNote]:
    """End the ore maker's log at a size, by its recovery key or by somebody else's."""

    def end(size: int | None = None, **other: Any) -> EndNote:
        company = chain.company(MINE)
        lines = company.lines[: len(company.lines) if size is None else size]
        told = {
            "origin": MINE,
            "size": len(lines),
            "root": merkle.Tree(map(merkle.leaf_hash, lines)).root(),
            "successor": signs(HEIR, "log").key,
            "signer": company.recovery_key,
        }
        return sign_end(**{**told, **other})

    return end


def log_of(chain: Any, end: EndNote | None) -> verify.VerifiedLog:
    company = chain.company(MINE)
    return verify.verify_log(chain.head(company), company.lines, end=end)


def genesis(chain: Any) -> Genesis:
    return ending.genesis_of(MINE, chain.company(MINE).lines)


def test_an_end_note_is_a_signed_note_of_six_lines(chain: Any, ended: Any, signs: Any) -> None:
    recovery = chain.company(MINE).recovery_key
    text = ended().encode()

    head, _, signatures = text.rpartition("\n\n")
    assert head.split("\n") == [
        "bcca/v1 end",
        MINE,
        "3",
        b64(chain.head(chain.company(MINE)).checkpoint.root),
        signs(HEIR, "log").key.encode(),
        b64(recovery.key.public),
    ]
    assert note.verify_note(note.Note.parse(text), [recovery.key]) == (recovery.key,)
    assert signatures.startswith(f"— {MINE} ")


def test_an_end_note_is_read_back_as_it_was_written(chain: Any, ended: Any) -> None:
    end = ended()

    assert EndNote.parse(end.encode()) == end
    EndNote.parse(end.encode()).require_by(genesis(chain))


def test_the_end_of_a_log_by_another_recovery_key_is_refused(
    chain: Any, ended: Any, signs: Any
) -> None:
    end = ended(signer=signs(MINE, "a thief's idea of a recovery key"))

    with pytest.raises(AuthorshipError, match="the log's genesis has"):
        EndNote.parse(end.encode()).require_by(genesis(chain))
    with pytest.raises(AuthorshipError, match="the log's genesis has"):
        log_of(chain, end)


def test_the_stolen_log_key_itself_cannot_end_its_log(chain: Any, ended: Any) -> None:
    end = ended(signer=chain.company(MINE).log_key)

    with pytest.raises(AuthorshipError, match="the log's genesis has"):
        log_of(chain, end)


def test_an_end_note_whose_successor_was_exchanged_is_refused(ended: Any, signs: Any) -> None:
    thief = signs("thief.example", "log").key.encode()
    text = ended().encode().replace(signs(HEIR, "log").key.encode(), thief)

    with pytest.raises(SignatureError, match="not signed by ore"):
        EndNote.parse(text)


def test_an_end_note_with_another_size_or_root_is_refused(ended: Any) -> None:
    end = ended()
    lines = end.encode().split("\n")

    for place, other in ((2, "2"), (3, b64(bytes(32)))):
        with pytest.raises(SignatureError):
            EndNote.parse("\n".join([*lines[:place], other, *lines[place + 1 :]]))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("bcca/v1 end", "bcca/v2 end"),
        lambda text: text.replace("\n3\n", "\n03\n"),
        lambda text: text.replace("\n3\n", "\n٣\n"),
        lambda text: text.replace("\n3\n", "\n3 \n"),
        lambda text: text.replace("bcca/v1 end\n", "bcca/v1 end\n\n"),
        lambda text: text + text.rsplit("\n", 2)[1] + "\n",
        lambda text: text.removesuffix("\n"),
        lambda text: "\n" + text,
        lambda text: "",
    ],
    ids=["version", "zero", "Arabic", "space", "empty", "two", "no end", "line feed", "nothing"],
)
def test_an_end_note_in_another_form_is_refused(ended: Any, change: Callable[[str], str]) -> None:
    with pytest.raises(MalformedError):
        EndNote.parse(change(ended().encode()))


def test_no_end_note_is_made_that_could_not_be_read(chain: Any, ended: Any, signs: Any) -> None:
    for size in (0, -1, MAX_TREE_SIZE + 1):
        with pytest.raises(MalformedError, match="size"):
            replace(ended(), size=size)
    for other in (
        chain.company(MINE).log_key.key,
        signs(HEIR, "witness", Algorithm.ED25519_COSIGNATURE).key,
        replace(chain.company(MINE).recovery_key.key, name=HEIR),
    ):
        with pytest.raises(MalformedError, match=r"successor|no key of a log"):
            ended(successor=other)
    with pytest.raises(MalformedError, match="root of 31 bytes"):
        ended(root=bytes(31))
    with pytest.raises(UnusableError, match="is not its recovery key"):
        ended(signer=signs("cell.example", "recovery"))


def test_a_thief_of_the_log_key_enters_statements_behind_the_end_and_they_do_not_count(
    chain: Any, ended: Any, signs: Any
) -> None:
    honest = chain.sells("ore", "2")
    end = ended()
    company, thief = chain.company(MINE), signs(MINE, "thief")
    added = company.enter(KeyAdd(role=Role.STATEMENT, key=thief.key).encode())
    company.enter(KeyRetire(add=2).encode())
    forged = issue.issue(predicate_in(company.envelopes[0]), thief, b"secret of a thief")
    company.enter_envelope(forged, added)

    before, after = log_of(chain, None), log_of(chain, end)

    assert verify.verify_in_bulk(company.envelopes[0], after).fact.commitment == honest
    assert verify.verify_in_bulk(company.envelopes[1], before).index == end.size + 2
    with pytest.raises(AuthorshipError, match="holds no entry"):
        verify.verify_in_bulk(company.envelopes[1], after)
    assert (after.has_ended, after.history.size) == (True, end.size)


def predicate_in(envelope: bytes) -> Any:
    return statement.decode(Envelope.parse(envelope).payload).predicate


def test_a_thief_of_the_log_key_cannot_revoke_what_stands_before_the_end(
    chain: Any, ended: Any
) -> None:
    commitment = chain.sells("ore", "2")
    end = ended()
    chain.status("ore", commitment, Status.REVOKED)
    (envelope,) = chain.company(MINE).envelopes

    assert not verify.verify_in_bulk(envelope, log_of(chain, None)).is_current
    assert verify.verify_in_bulk(envelope, log_of(chain, end)).is_current


def test_a_thief_of_the_log_key_cannot_break_the_log_behind_its_end(chain: Any, ended: Any) -> None:
    chain.sells("ore", "2")
    end = ended()
    chain.company(MINE).enter("bcca/v9 nonsense")

    assert log_of(chain, None).history.broken == end.size
    assert log_of(chain, end).history.broken is None


def test_a_log_that_shows_another_tree_than_its_end_note_is_refused(chain: Any, ended: Any) -> None:
    end = ended()
    other = type(chain)()
    other.company(MINE).lines[2] = (
        KeyAdd(role=Role.STATEMENT, key=other.company("thief.example").statement_key.key)
        .encode()
        .encode()
    )

    with pytest.raises(ConflictError, match="it ends with 3 entries of root"):
        log_of(other, end)


def test_a_head_from_before_the_end_says_what_it_always_did(chain: Any, ended: Any) -> None:
    chain.sells("ore", "2")
    end = ended()
    company = chain.company(MINE)
    text = company.note(3).encode()
    head = policy.verify_checkpoint(text, company.log_key.key, chain.policy)

    log = verify.verify_log(head, company.lines[:3], end=end)

    assert (log.has_ended, log.history.size) == (False, 3)


def test_the_successor_of_a_log_counts_as_a_log_of_the_policy(
    chain: Any, ended: Any, signs: Any
) -> None:
    end, third = ended(), signs("ore-three.example", "log").key
    heir = signs(HEIR, "recovery")
    again = sign_end(HEIR, 7, bytes(32), third, heir)

    found = succession.believed(chain.policy, [again, end])

    assert found.logs[HEIR].key == signs(HEIR, "log").key
    assert found.logs["ore-three.example"].key == third
    assert found.ends == {MINE: end, HEIR: again}
    assert (found.quorum, found.witnesses) == (chain.policy.quorum, chain.policy.witnesses)


def test_the_successor_of_a_log_that_nobody_knows_is_not_believed(chain: Any, ended: Any) -> None:
    end = ended()
    stranger = Policy.parse(chain.policy_text(logs=["cell.example"]))

    assert set(succession.believed(stranger, [end]).logs) == {"cell.example"}


def test_two_ends_of_one_log_are_refused(chain: Any, ended: Any) -> None:
    chain.sells("ore", "2")

    with pytest.raises(PolicyError, match="two end notes, at 3 entries"):
        succession.believed(chain.policy, [ended(3), ended(4)])


def test_a_successor_with_the_key_of_somebody_else_is_refused(
    chain: Any, ended: Any, signs: Any
) -> None:
    cell = chain.company("cell.example").log_key.key
    taken = ended(successor=replace(cell, name=HEIR))
    other = ended(successor=signs("cell.example", "x").key)

    with pytest.raises(PolicyError, match="has the public key of"):
        succession.believed(chain.policy, [taken])
    with pytest.raises(PolicyError, match=r"it names cell\.example with key"):
        succession.believed(chain.policy, [other])


def files(chain: Any, folder: Path, bundle: list[bytes]) -> list[str]:
    (folder / "b.jsonl").write_bytes(b"".join(bundle))
    (folder / "p.txt").write_text(chain.policy_text(), encoding="utf-8")
    return [str(folder / "b.jsonl"), "--policy", str(folder / "p.txt")]


def test_an_auditor_with_the_end_note_believes_nothing_of_a_thief(
    chain: Any, ended: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "3"))
    early, late = ended(3), ended(4)
    told = files(chain, tmp_path, chain.bundle("cell"))
    for name, end in (("early", early), ("late", late)):
        (tmp_path / name).write_text(end.encode(), encoding="utf-8")
    (tmp_path / "bad").write_text(late.encode()[:-1], encoding="utf-8")

    statuses = [
        main([*told, "--json", "--end", str(tmp_path / name)]) for name in ("early", "late", "bad")
    ]

    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert statuses == [REFUSED, HOLDS, UNUSABLE]
    assert "holds no entry" in said[0]["reason"]
    assert f"ended by their owners: {MINE}" in said[1]["steps"][1]["found"]
    assert "--end" in said[2]["reason"]


def test_how_long_ago_an_ended_log_was_seen_does_not_matter(chain: Any, ended: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "3"))
    lines = chain.bundle("cell")
    times = []
    for notes in ([], [ended()]):
        report = audit.audit(lines, succession.believed(chain.policy, notes))
        times.append(len(report.evidence.times()))

    assert times == [2, 1]


def test_a_log_that_two_keys_sign_is_audited_by_whoever_knows_either(
    chain: Any, signs: Any
) -> None:
    new = signs("ore.example", "the next log key")
    company = chain.company(MINE)
    company.enter(KeyAdd(role=Role.LOG, key=new.key).encode())
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "3"))
    plain = company.note
    company.note = lambda *a, **b: also_signed(plain(*a, **b), new)
    lines = chain.bundle("cell")
    old_key, new_key = company.log_key.key.encode(), new.key.encode()
    switched = Policy.parse(chain.policy_text().replace(old_key, new_key))

    assert audit.audit(lines, chain.policy).total == audit.audit(lines, switched).total


def also_signed(signed: note.Note, signer: SeedSigner) -> note.Note:
    (own,) = checkpoint.sign_checkpoint(
        checkpoint.Checkpoint.parse(signed.text), [signer]
    ).signatures
    return replace(signed, signatures=(own, *signed.signatures))


def test_every_refusal_of_an_end_note_is_one_of_ours(ended: Any) -> None:
    text = ended().encode()
    for at in range(0, len(text), 3):
        for other in ("", "A", "\n", "\x00", "é"):
            changed = text[:at] + other + text[at + 1 :]
            try:
                assert EndNote.parse(changed).encode() == changed
            except RefusedError:
                continue


def test_a_status_is_no_end(chain: Any) -> None:
    entry = StatusEntry(handle=bytes(32), status=Status.REVOKED, successor=None)

    with pytest.raises(AuthorshipError, match="commits to no recovery key"):
        ending.genesis_of(MINE, [entry.encode().encode()])
    with pytest.raises(AuthorshipError, match="commits to no recovery key"):
        ending.genesis_of(MINE, [])
