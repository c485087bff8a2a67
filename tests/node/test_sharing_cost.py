"""What asking costs: nothing that tells of what is hidden, and nothing that holds a node up."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest
import sqlalchemy

from bcca_node.ledger.node import Node
from bcca_node.sharing import access, peers
from bcca_node.sharing.caller import NOBODY, Caller, Kind
from bcca_node.storage import feed, logs, statements
from bcca_node.storage.listed import Kept
from bcca_node.storage.logs import Head
from bcca_node.storage.statements import OwnStatement
from bcca_protocol.keys import Algorithm, Role, SeedSigner

HIDDEN = 2_000


@pytest.fixture
def node(new_node: Callable[..., Node]) -> Node:
    """A node with hidden statements that all name ten suppliers, and one that everybody sees."""
    node = new_node("shop.example")
    own = OwnStatement(
        commitment="public",
        index=0,
        kind="k",
        product="urn:bcca:case:t:p",
        site=None,
        batch=None,
        period_start="a",
        period_end="b",
        sharing="public",
        envelope=b"",
    )
    hidden = [
        replace(own, commitment=f"{index:x}", index=index, sharing="direct")
        for index in range(1, HIDDEN)
    ]
    secret = [f"s{number}.example" for number in range(10)]
    with node.database.write() as session:
        statements.add(session, [own, *hidden])
        feed.put_named(session, ((each.commitment, secret) for each in hidden))
        feed.put_named(session, [("public", ["open.example"])])
        logs.put_head(session, Head(size=HIDDEN, root=bytes(32), note="", published=True))
    names = (*secret, "open.example")
    lines = [f"log {key_of(name)} http://127.0.0.1:1/log" for name in names]
    cosigns = Algorithm.ED25519_COSIGNATURE
    lines += [f"witness w{each} {key_of(f'w{each}.example', cosigns)}" for each in range(3)]
    lines += ["group g 3 w0 w1 w2", "quorum g", ""]
    (node.settings.data / "policy.txt").write_text("\n".join(lines), encoding="utf-8")
    return node


def key_of(name: str, algorithm: Algorithm = Algorithm.ED25519) -> str:
    seed = sha256(name.encode()).digest()
    return SeedSigner(name=name, algorithm=algorithm, seed=seed).key.encode()


def asked(node: Node, kind: Kind, held: int) -> list[str]:
    """Return the queries for statements of others, of which `held` are here and hidden."""
    found: list[str] = []
    kept = [
        Kept(f"{index}", vkey="", origin="", index=0, product="", sharing="downstream")
        for index in range(held)
    ]
    caller = Caller(kind=kind, key=node.keys.signer(Role.REQUEST).key, origin="p.example")
    with node.database.read() as session:
        rights = access.rights(session, node, caller)
        sqlalchemy.event.listen(
            session.connection(), "before_cursor_execute", lambda *told: found.append(told[2])
        )
        rights.meet(session, kept)
        for each in kept:
            assert not rights.sees_fetched(session, each)
    return found


@pytest.mark.parametrize("kind", [Kind.NOBODY, Kind.STRANGER, Kind.AUDITOR, Kind.PARTNER])
def test_attack_time_tells_nobody_how_many_hidden_statements_are_held(
    node: Node, kind: Kind
) -> None:
    assert len({len(asked(node, kind, held)) for held in (0, 1, 12)}) == 1


def test_attack_the_descriptor_is_asked_for_without_end(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's question reads what is hidden, and it is read once until somebody commits."""

    def walked(*_: object) -> None:
        raise AssertionError("every statement that names a supplier is walked through")

    monkeypatch.setattr(feed, "own_naming", walked)
    monkeypatch.setattr(feed, "named_by", walked)
    still = replace(node, clock=lambda: 1_800_000_000)
    callers = [NOBODY, Caller(kind=Kind.STRANGER, key=node.keys.signer(Role.REQUEST).key)]
    before = [peers.describe(still, each).peers for each in callers * 3]
    monkeypatch.setattr(feed, "publicly_named", walked)
    kept = [peers.describe(still, each).peers for each in callers]
    monkeypatch.undo()
    with node.database.write() as session:
        feed.put_named(session, [("public", ["s1.example"])])
    after = peers.describe(still, NOBODY).peers

    assert all(each.keys() == {"open.example"} for each in (*before, *kept))
    assert after.keys() == {"open.example", "s1.example"}
