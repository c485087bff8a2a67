"""Keys of a node over time: rotated, retired, stolen; the file of keys and the log go together."""

import dataclasses
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bcca_node.ledger import identity, keylines, keys, keystore
from bcca_node.ledger.keystore import Keystore
from bcca_node.ledger.node import Node, found, init
from bcca_node.ledger.publish import Published, publish
from bcca_node.ledger.turn import turn
from bcca_node.settings import Settings
from bcca_node.storage import logs, statements
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import Genesis, KeyAdd, Predecessor, parse_entry
from bcca_protocol.errors import AuthorshipError, MalformedError, PolicyError, UnusableError
from bcca_protocol.history import History
from bcca_protocol.keys import Role, Signer
from bcca_protocol.note import Note, verify_note

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
OLD = {Role.LOG: 1, Role.STATEMENT: 2, Role.REQUEST: 3, Role.WITNESS: 4, Role.SEAL: 5}


@dataclasses.dataclass
class Owned:
    """A node, and its recovery words on paper."""

    node: Node
    words: str

    @property
    def recovery(self) -> Signer:
        return self.node.keystore.recovery(self.words)


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Owned]:
    settings = Settings(data=tmp_path / "n", origin="cathode.example/bcca", name="Cathode")
    words = init(settings, PASSPHRASE, scrypt_n=2**4)
    node = Node.open(settings, PASSPHRASE)
    node.clearance.grant(6)
    yield Owned(node, words)
    node.close()


@pytest.fixture
def opened() -> Iterator[Callable[[Node], Node]]:
    """Open the same data folder as another process would, cleared to append."""
    nodes: list[Node] = []

    def again(node: Node) -> Node:
        nodes.append(Node.open(node.settings, PASSPHRASE))
        with nodes[-1].database.read() as session:
            nodes[-1].clearance.grant(logs.size(session))
        return nodes[-1]

    yield again
    for node in nodes:
        node.close()


def lines(node: Node) -> list[bytes]:
    with node.database.read() as session:
        return logs.entries(session, 0, logs.size(session))


def history(node: Node) -> History:
    """Read the log as everybody does, with the newest log key."""
    return History.read(node.origin, node.log_key, lines(node))


def last_note(node: Node) -> Note:
    with node.database.read() as session:
        head = logs.last_head(session)
    assert head is not None
    return Note.parse(head.note)


def valid_key(node: Node, done: Published, role: Role = Role.STATEMENT) -> int:
    """Return the key by which a statement was entered, valid where it stands."""
    record = history(node).statements[bytes.fromhex(done.commitment)]
    history(node).key_at(record.key, record.index, role)
    return record.key


@pytest.mark.parametrize("role", [Role.STATEMENT, Role.REQUEST, Role.WITNESS, Role.SEAL])
def test_a_key_is_rotated_in_one_step(owned: Owned, opened: Any, role: Role) -> None:
    changed = keys.rotate(owned.node, role, PASSPHRASE)

    (added,), (ended,) = changed.added, changed.ended
    again = opened(owned.node)
    assert [line.decode() for line in lines(again)[6:]] == [
        f"bcca/v1 key retire {OLD[role]}",
        KeyAdd(role=role, key=added.key).encode(),
    ]
    assert (added.index, ended.index, ended.state) == (7, OLD[role], "retired at entry 6")
    assert again.keystore.record(role) == changed.node.keystore.record(role) == added
    assert [each.key for each in again.keystore.good(role)] == [added.key]
    assert len(again.keystore.keys) == 6
    if role is not Role.SEAL:
        assert again.keys.signer(role).key == added.key


def test_what_is_published_after_a_rotation_is_by_the_new_key(
    owned: Owned, part: Any, opened: Any
) -> None:
    (before,) = publish(owned.node, [part(owned.node.origin)])
    node = keys.rotate(owned.node, Role.STATEMENT, PASSPHRASE).node
    (after,) = publish(node, [part(node.origin, "P2")])
    (again,) = publish(opened(node), [part(node.origin, "P1")])

    assert (valid_key(node, before), valid_key(node, after)) == (2, 8)
    assert again == before


def test_while_a_log_key_gives_way_both_sign_and_either_verifies(
    owned: Owned, part: Any, opened: Any
) -> None:
    old = owned.node.log_key
    keys.rotate(owned.node, Role.LOG, PASSPHRASE)
    node = opened(owned.node)
    publish(node, [part(node.origin)])

    assert node.log_key != old
    assert verify_note(last_note(node), (old,)) == (old,)
    assert verify_note(last_note(node), (node.log_key,)) == (node.log_key,)
    assert History.read(node.origin, old, lines(node)).size == 8
    assert node.log_keys == (old, node.log_key)
    assert [each.role for each in identity.descriptor(node, {}).keys].count(Role.LOG) == 2


def test_a_retired_log_key_signs_nothing_more(owned: Owned, opened: Any, part: Any) -> None:
    old = owned.node.log_key
    node = keys.rotate(owned.node, Role.LOG, PASSPHRASE).node
    node = keys.retire(node, 1, PASSPHRASE).node
    publish(node, [part(node.origin)])

    assert verify_note(last_note(node), (old, node.log_key)) == (node.log_key,)
    assert history(opened(node)).size == 9
    with pytest.raises(AuthorshipError, match="retired at entry 7"):
        History.read(node.origin, old, lines(node))


def test_an_old_head_is_still_known_as_one_of_this_log(owned: Owned) -> None:
    head = last_note(owned.node).encode()
    old = owned.node.log_key
    node = keys.rotate(owned.node, Role.LOG, PASSPHRASE).node

    assert node.key_of(head) == old
    assert node.key_of(last_note(node).encode()) == node.log_key != old


@pytest.mark.parametrize("index", list(OLD.values()))
def test_the_newest_key_of_a_role_is_not_retired(owned: Owned, index: int) -> None:
    before = lines(owned.node)

    with pytest.raises(UnusableError, match="run `bcca keys rotate"):
        keys.retire(owned.node, index, PASSPHRASE)
    assert lines(owned.node) == before


def test_what_adds_no_key_or_is_retired_already_is_not_retired(owned: Owned) -> None:
    node = keys.rotate(owned.node, Role.REQUEST, PASSPHRASE).node

    for index, why in ((0, "adds no key"), (99, "adds no key"), (3, "retired at entry 6")):
        with pytest.raises(UnusableError, match=why):
            keys.retire(node, index, PASSPHRASE)


def test_the_recovery_key_is_not_rotated(owned: Owned) -> None:
    with pytest.raises(UnusableError, match="the recovery key"):
        keys.rotate(owned.node, Role.RECOVERY, PASSPHRASE)


def test_another_passphrase_rotates_nothing(owned: Owned) -> None:
    before = (owned.node.settings.data / "keys.json").read_bytes(), lines(owned.node)

    with pytest.raises(UnusableError, match="does not open it"):
        keys.rotate(owned.node, Role.STATEMENT, "open sesame")
    assert ((owned.node.settings.data / "keys.json").read_bytes(), lines(owned.node)) == before


def test_a_process_whose_keys_were_rotated_by_another_enters_nothing(
    owned: Owned, opened: Any, part: Any
) -> None:
    serving = opened(owned.node)
    keys.rotate(owned.node, Role.STATEMENT, PASSPHRASE)
    before = lines(serving)

    with pytest.raises(UnusableError, match="start it again"):
        publish(serving, [part(serving.origin)])
    with pytest.raises(UnusableError, match="start it again"):
        keys.rotate(serving, Role.STATEMENT, PASSPHRASE)
    assert lines(serving) == before


def test_a_process_that_began_between_file_and_log_enters_nothing(
    owned: Owned, opened: Any, part: Any
) -> None:
    with turn(owned.node, for_keys=True) as held:
        change = keys._Change(owned.node, PASSPHRASE)  # noqa: SLF001 - stopped half-way
        change.begin(held)
        change.done([Role.STATEMENT])
        between = Node.open(owned.node.settings, PASSPHRASE)
    between.clearance.grant(7)

    with closing(between), pytest.raises(UnusableError, match="start it again"):
        publish(between, [part(between.origin)])
    assert publish(opened(owned.node), [part(between.origin)])[0].index == 7


def test_keys_that_a_crash_kept_out_of_the_log_count_for_nothing(
    owned: Owned, opened: Any, part: Any
) -> None:
    """The file is written, the log is not: what a kill between the two leaves behind."""
    node = owned.node
    box = node.keystore.unlock(PASSPHRASE)
    roles = [Role.LOG, Role.STATEMENT]
    forged = [box.forge(node.origin, role, index) for index, role in enumerate(roles, 6)]
    known = {each.index: each for each in node.keystore.keys}
    node.keystore.changed(6, forged, known, "").save(node.settings.data)

    after = opened(node)
    (done,) = publish(after, [part(node.origin)])
    changed = keys.rotate(after, Role.LOG, PASSPHRASE)
    last = opened(node)

    assert [each.index for each in after.keystore.keys] == [1, 2, 3, 4, 5]
    assert [each.index for each in after.keystore.unconfirmed] == [6, 7]
    assert valid_key(after, done) == 2
    assert [each.index for each in changed.added] == [7]
    assert [each.index for each in last.keystore.keys] == [1, 2, 3, 4, 5, 7]
    assert last.keystore.unconfirmed == ()
    assert verify_note(last_note(last), last.log_keys) == last.log_keys


def rotate_and_be_killed(settings: Settings, seconds: float) -> None:
    """Rotate the statement key in a process of its own, killed so long after it began."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            node = Node.open(settings, PASSPHRASE)
            node.clearance.grant(0)
            os.write(tell, b".")
            keys.rotate(node, Role.STATEMENT, PASSPHRASE)
        finally:
            os._exit(0)
    os.read(ready, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready)
    os.close(tell)


def test_a_process_killed_at_any_instant_of_a_rotation_leaves_keys_that_work(
    owned: Owned, opened: Any, part: Any
) -> None:
    moments = Random(6)  # noqa: S311 - when, not what
    for count in range(12):
        rotate_and_be_killed(owned.node.settings, moments.uniform(0, 0.1))
        node = opened(owned.node)
        (done,) = publish(node, [part(node.origin, f"K{count}")])

        assert valid_key(node, done) == node.keystore.record(Role.STATEMENT).index
        assert keys.strangers(node) == []
    keys.rotate(opened(owned.node), Role.LOG, PASSPHRASE)
    assert [each.name for each in owned.node.settings.data.glob(".*")] == []


def test_an_older_database_goes_on_with_the_keys_it_had(
    owned: Owned, opened: Any, tmp_path: Path
) -> None:
    before = owned.node.settings.data / "node.db"
    with (
        closing(sqlite3.connect(before)) as source,
        closing(sqlite3.connect(tmp_path / "old.db")) as target,
    ):
        source.backup(target)
    keys.rotate(owned.node, Role.STATEMENT, PASSPHRASE)
    settings = owned.node.settings
    old = Settings(
        data=settings.data,
        origin=settings.origin,
        name=settings.name,
        database=f"sqlite:///{tmp_path / 'old.db'}",
    )

    with closing(Node.open(old, PASSPHRASE)) as node:
        assert node.keystore.record(Role.STATEMENT).index == 2
        assert node.keys.signer(Role.STATEMENT).key == node.keystore.record(Role.STATEMENT).key


def test_a_key_file_of_the_first_version_is_read(owned: Owned) -> None:
    told = json.loads((owned.node.settings.data / "keys.json").read_text(encoding="utf-8"))

    assert set(told) == {"version", "origin", "scrypt", "recoveryHash", "keys", "secret"}
    assert Keystore.read(owned.node.settings.data).keys == owned.node.keystore.keys


def test_a_stolen_statement_key_is_void_behind_the_last_good_entry(
    owned: Owned, part: Any, opened: Any
) -> None:
    origin = owned.node.origin
    good, bad = publish(owned.node, [part(origin, "P1"), part(origin, "P2")])
    changed = keys.compromise(owned.node, 2, good.index, owned.recovery, PASSPHRASE)
    (again,) = publish(changed.node, [part(origin, "P2")])

    node = opened(owned.node)
    assert [own.commitment for own in changed.void] == [bad.commitment]
    assert valid_key(node, good) == 2
    with pytest.raises(AuthorshipError, match="compromised after entry 6"):
        valid_key(node, bad)
    assert again.commitment != bad.commitment
    assert valid_key(node, again) == changed.added[0].index == 9
    with node.database.read() as session:
        products = [part(origin, name).product.id for name in ("P1", "P2")]
        current = statements.current(session, products, 100)
    assert [own.commitment for own in current] == [good.commitment, again.commitment]


def test_a_thief_who_adds_keys_loses_them_with_the_one_that_was_stolen(
    owned: Owned, part: Any, opened: Any
) -> None:
    """The thief sat at the machine: it rotated keys with the file of keys itself."""
    thief = keys.rotate(owned.node, Role.STATEMENT, PASSPHRASE).node
    thief = keys.rotate(thief, Role.WITNESS, PASSPHRASE).node
    (false,) = publish(thief, [part(thief.origin, "P9", kg=1)])

    changed = keys.compromise(thief, 2, 5, owned.recovery, PASSPHRASE)

    node = opened(owned.node)
    roles = [(each.role, each.index) for each in changed.added]
    assert roles == [(Role.STATEMENT, 12), (Role.WITNESS, 13)]
    assert [own.commitment for own in changed.void] == [false.commitment]
    with pytest.raises(AuthorshipError, match="void, added by whoever held a stolen key"):
        valid_key(node, false)
    assert {each.state for each in node.keystore.keys if each.index in (7, 9)} == {
        "void since entry 11"
    }
    assert {role: node.keystore.record(role).index for role in OLD} == {
        **OLD,
        Role.STATEMENT: 12,
        Role.WITNESS: 13,
    }


def test_a_key_that_a_thief_of_the_log_put_there_is_told_and_can_be_retired(
    owned: Owned, opened: Any, tmp_path: Path
) -> None:
    theirs = found(
        Settings(data=tmp_path / "thief", origin=owned.node.origin, name="Thief"),
        PASSPHRASE,
        scrypt_n=2**4,
    )
    key = theirs.keystore.record(Role.STATEMENT).key
    with turn(owned.node) as held:
        held.enter([KeyAdd(role=Role.STATEMENT, key=key).encode()])
    theirs.close()
    node = opened(owned.node)

    (stranger,) = keys.strangers(node)
    ours = node.keystore.record(Role.STATEMENT)
    keys.retire(node, stranger.index, PASSPHRASE)

    assert (stranger.key, stranger.index, ours.index) == (key, 6, 2)
    (after,) = keys.strangers(opened(node))
    assert after.state == "retired at entry 7"


def test_only_the_recovery_words_of_this_log_declare_a_theft(owned: Owned, tmp_path: Path) -> None:
    other = Settings(data=tmp_path / "other", origin=owned.node.origin, name="Other")
    words = init(other, PASSPHRASE, scrypt_n=2**4)

    with pytest.raises(UnusableError, match="they are of another node"):
        owned.node.keystore.recovery(words)


def test_a_stolen_log_key_is_nothing_that_a_notice_helps_against(owned: Owned) -> None:
    before = lines(owned.node)

    with pytest.raises(UnusableError, match="run `bcca keys end`"):
        keys.compromise(owned.node, 1, 5, owned.recovery, PASSPHRASE)
    with pytest.raises(UnusableError, match="run `bcca keys end`"):
        keys.compromise(owned.node, 2, 0, owned.recovery, PASSPHRASE)
    assert lines(owned.node) == before


def test_an_old_log_key_stolen_after_the_new_one_came_is_declared(owned: Owned) -> None:
    node = keys.rotate(owned.node, Role.LOG, PASSPHRASE).node

    node = keys.compromise(node, 1, 6, owned.recovery, PASSPHRASE).node

    assert verify_note(last_note(node), node.log_keys) == (node.log_key,)
    assert history(node).broken is None
    assert node.keystore.good(Role.LOG)[0].index == 6


@pytest.mark.parametrize(
    ("index", "last_good", "why"),
    [(2, 6, "is not 0 to 5"), (0, 1, "adds no key"), (2, -1, "is not 0 to 5")],
)
def test_a_notice_that_would_break_the_log_is_refused(
    owned: Owned, index: int, last_good: int, why: str
) -> None:
    before = lines(owned.node)

    with pytest.raises(UnusableError, match=why):
        keys.compromise(owned.node, index, last_good, owned.recovery, PASSPHRASE)
    assert lines(owned.node) == before


def test_a_notice_that_changes_nothing_is_refused(owned: Owned) -> None:
    node = keys.compromise(owned.node, 3, 4, owned.recovery, PASSPHRASE).node

    with pytest.raises(UnusableError, match="changes nothing"):
        keys.compromise(node, 3, 5, owned.recovery, PASSPHRASE)
    assert keys.compromise(node, 3, 3, owned.recovery, PASSPHRASE).added


def test_without_a_good_key_nothing_is_published_until_one_is_made(
    owned: Owned, opened: Any, part: Any
) -> None:
    """A thief retired the owner's key: its entry came back with the log."""
    with turn(owned.node) as held:
        held.enter(["bcca/v1 key retire 2"])
    node = opened(owned.node)

    with pytest.raises(UnusableError, match="run `bcca keys rotate statement`"):
        publish(node, [part(node.origin)])
    node = keys.rotate(node, Role.STATEMENT, PASSPHRASE).node
    assert valid_key(node, publish(node, [part(node.origin)])[0]) == 7


def test_the_end_of_a_log_is_a_note_and_nothing_is_entered_any_more(
    owned: Owned, new_node: Any, part: Any
) -> None:
    heir = new_node("cathode-two.example")
    publish(owned.node, [part(owned.node.origin)])

    note = keys.end(owned.node, 7, heir.log_key, owned.recovery)

    genesis = parse_entry(lines(owned.node)[0].decode())
    assert isinstance(genesis, Genesis)
    note.require_by(genesis)
    assert owned.node.trust.ends() == {owned.node.origin: note}
    assert note.root == Checkpoint.parse(last_note(owned.node).text).root
    with pytest.raises(UnusableError, match="publish as cathode-two"):
        publish(owned.node, [part(owned.node.origin, "P2")])
    with pytest.raises(UnusableError, match="has ended with 7 entries"):
        keys.end(owned.node, 6, heir.log_key, owned.recovery)


def test_a_log_ends_with_entries_that_it_has(owned: Owned, new_node: Any) -> None:
    heir = new_node("cathode-two.example")

    for size in (0, 7):
        with pytest.raises(UnusableError, match="is not 1 to 6"):
            keys.end(owned.node, size, heir.log_key, owned.recovery)
    with pytest.raises(MalformedError, match="another origin"):
        keys.end(owned.node, 6, owned.node.log_key, owned.recovery)


def test_the_successor_begins_with_the_head_at_which_the_log_ended(
    owned: Owned, tmp_path: Path
) -> None:
    before = Predecessor(origin=owned.node.origin, size=6, root=keys.head_at(owned.node, 6))
    settings = Settings(data=tmp_path / "heir", origin="two.example", name="Two")

    with closing(found(settings, PASSPHRASE, scrypt_n=2**4, continues=before)) as heir:
        first = parse_entry(lines(heir)[0].decode())
        assert [line.decode() for line in lines(heir)] == heir.keystore.entries()
    assert isinstance(first, Genesis)
    assert first.predecessor == before


def test_end_notes_beside_the_policy_count_as_soon_as_they_are_there(
    owned: Owned, new_node: Any, policy_of: Any
) -> None:
    reader = new_node("reader.example")
    witnesses = [new_node(f"w{n}.example") for n in range(4)]
    heir = new_node("cathode-two.example")
    folder = reader.settings.data
    text = policy_of([owned.node], witnesses, 3)
    (folder / "policy.txt").write_text(text, encoding="utf-8")
    before = set(reader.trust.required().logs)

    note = keys.end(owned.node, 6, heir.log_key, owned.recovery)
    (folder / "ended").mkdir()
    (folder / "ended" / "cathode.txt").write_text(note.encode(), encoding="utf-8")

    after = reader.trust.required()
    assert (before, set(after.logs)) == ({owned.node.origin}, {owned.node.origin, heir.origin})
    assert after.logs[heir.origin].key == heir.log_key
    assert after.ends == reader.trust.ends() == {owned.node.origin: note}
    (folder / "ended" / "cathode.txt").unlink()
    assert set(reader.trust.required().logs) == before


@pytest.mark.parametrize("content", [b"", b"\xff", b"bcca/v1 end\n", b"x" * 70_000])
def test_an_end_note_that_cannot_be_read_is_refused_by_its_name(
    node: Node, policy_of: Any, content: bytes
) -> None:
    (node.settings.data / "ended").mkdir()
    (node.settings.data / "ended" / "bad.txt").write_bytes(content)

    with pytest.raises(PolicyError, match=r"bad\.txt"):
        node.trust.ends()


def test_the_file_of_keys_is_never_open_to_others(owned: Owned) -> None:
    keys.rotate(owned.node, Role.LOG, PASSPHRASE)

    path = owned.node.settings.data / keystore.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(".")] == []


def test_lines_behind_a_broken_one_say_nothing_of_keys() -> None:
    signer = sha256(b"x").hexdigest()

    assert keylines.read([(1, "bcca/v1 key add log nonsense"), (2, signer)]) == {}
