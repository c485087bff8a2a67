"""The restore guard: an old copy never signs a second tree of one size, whoever is up or down."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations, product

import pytest

from bcca_node.cli import reach
from bcca_node.ledger import alarm, guard, heads
from bcca_node.ledger.guard import TooFewError
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import State, publish
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.storage import alarms, logs
from bcca_node.storage import heads as met
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint
from bcca_protocol.errors import BccaError, ConflictError, UnusableError
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.misbehaviour import verify_misbehaviour
from bcca_protocol.note import Note
from bcca_protocol.policy import Policy
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.witness import AddCheckpoint

Part = Callable[..., PartialFootprint]
PolicyOf = Callable[..., str]

NOWHERE = "http://127.0.0.1:1"


def clear(node: Node) -> None:
    async def run() -> None:
        policy = node.trust.policy()
        async with Fetcher(() if policy is None else hosts_of(policy)) as fetcher:
            await guard.clear(node, fetcher)

    asyncio.run(run())


def submit(node: Node) -> Witnessed:
    async def run() -> Witnessed:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            return await witness(node, fetcher)

    return asyncio.run(run())


def refusal(node: Node) -> BccaError:
    """Return why a node may not append; neither clearing nor publishing enters anything."""
    before = size(node)
    with pytest.raises(BccaError) as refused:
        clear(node)
    assert not node.clearance.is_granted
    assert size(node) == before
    return refused.value


def size(node: Node) -> int:
    with node.database.read() as session:
        return logs.size(session)


def standing(node: Node) -> list[str]:
    with node.database.read() as session:
        return [each.what for each in alarms.standing(session)]


def set_policy(node: Node, text: str) -> None:
    (node.settings.data / "policy.txt").write_text(text, encoding="utf-8")


def without(policy: str, *gone: Node) -> str:
    """Return the policy with some witnesses where nobody listens."""
    for each in gone:
        policy = policy.replace(f"{each.settings.url}/witness", f"{NOWHERE}/witness")
    return policy


@pytest.fixture
def policy(network: list[Node], policy_of: PolicyOf) -> str:
    return policy_of(network, network[1:], 3)


@pytest.fixture
def old(network: list[Node], part: Part, restored: Callable[[Node], Node]) -> Node:
    """The publisher as it was before its last two statements, which a quorum has seen."""
    node = network[0]
    publish(node, [part(node.origin, "P0")])
    assert submit(node).published
    copy = restored(node)
    publish(node, [part(node.origin, "P1"), part(node.origin, "P2")])
    assert submit(node).published
    return copy


def test_the_newest_copy_may_append(network: list[Node], restored: Callable[[Node], Node]) -> None:
    assert submit(network[0]).published
    same = restored(network[0])

    clear(same)

    assert same.clearance.is_confirmed
    assert standing(same) == []


def test_nothing_is_entered_before_the_witnesses_were_asked(old: Node, part: Part) -> None:
    with pytest.raises(UnusableError, match="nobody has confirmed yet that these 7 entries"):
        publish(old, [part(old.origin, "P3")])

    assert size(old) == 7


def test_attack_an_old_backup_appends_nothing_while_witnesses_are_up(old: Node, part: Part) -> None:
    error = refusal(old)

    assert isinstance(error, ConflictError)
    assert "have seen 9 entries, here are 7" in str(error)
    assert "run `bcca log recover`" in str(error)
    assert len(standing(old)) == 1
    with pytest.raises(ConflictError, match="nothing is entered since the alarm of 20"):
        publish(old, [part(old.origin, "P3")])


def test_attack_an_old_backup_appends_nothing_while_witnesses_are_down(
    network: list[Node], old: Node, policy: str
) -> None:
    set_policy(old, without(policy, *network[1:]))
    error = refusal(old)

    assert isinstance(error, TooFewError)
    assert "only 0 witnesses said what they have seen of it" in str(error)
    assert set(error.silent) == {"w0", "w1", "w2", "w3"}
    assert standing(old) == []


def test_attack_a_lying_witness_that_hides_the_newest_head_does_not_help_an_old_backup(
    network: list[Node], old: Node, policy: str, raw_server: Callable[..., str]
) -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()

    lying = policy.replace(network[1].settings.url, raw_server(nothing))
    for gone in network[2:]:
        set_policy(old, without(lying, gone))

        assert isinstance(refusal(old), ConflictError)


def test_a_head_that_another_key_signed_is_no_alarm_and_no_answer(
    network: list[Node], old: Node, policy: str, raw_server: Callable[..., str]
) -> None:
    forger = SeedSigner(name=old.origin, algorithm=Algorithm.ED25519, seed=bytes(32))
    forged = sign_checkpoint(
        Checkpoint(origin=old.origin, size=10**18, root=bytes(32)), (forger,)
    ).encode()

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(forged.encode())}\r\n\r\n"
        writer.write(head.encode() + forged.encode())
        await writer.drain()

    lying = raw_server(lie)
    for each in network[1:]:
        policy = policy.replace(each.settings.url, lying)
    set_policy(old, policy)
    error = refusal(old)

    assert isinstance(error, TooFewError)
    assert "signed by none of the 1 known keys" in str(error)
    assert standing(old) == []


def test_as_few_witnesses_as_a_quorum_are_enough_to_be_sure(
    network: list[Node], restored: Callable[[Node], Node], policy: str
) -> None:
    assert submit(network[0]).published
    one, other = restored(network[0]), restored(network[0])
    set_policy(one, without(policy, network[1]))
    set_policy(other, without(policy, *network[1:3]))

    clear(one)

    assert one.clearance.is_granted
    assert isinstance(refusal(other), TooFewError)


def test_a_process_that_was_cleared_is_not_asked_again(network: list[Node], policy: str) -> None:
    node = network[0]
    clear(node)
    set_policy(node, without(policy, *network[1:]))

    clear(node)

    assert node.clearance.is_confirmed


def policies(names: list[str]) -> Iterator[str]:
    """Yield quorums over witnesses: k of them, and groups of groups."""
    for k in range(1, len(names) + 1):
        yield f"group g {k} {' '.join(names)}\nquorum g\n"
    left, right = names[: len(names) // 2], names[len(names) // 2 :]
    for i, j in product(range(1, len(left) + 1), range(1, len(right) + 1)):
        groups = f"group l {i} {' '.join(left)}\ngroup r {j} {' '.join(right)}\n"
        yield f"{groups}group g all l r\nquorum g\n"


def sets(names: list[str]) -> Iterator[set[str]]:
    return (set(each) for n in range(len(names) + 1) for each in combinations(names, n))


@pytest.mark.parametrize("count", range(2, 7))
def test_sure_hits_are_the_fewest_that_any_quorum_has_among_those_who_answered(count: int) -> None:
    names = [f"w{each}" for each in range(count)]
    lines = "".join(
        f"witness {name} {witness_key(number)} http://{name}.example\n"
        for number, name in enumerate(names)
    )
    for quorum in policies(names):
        try:
            policy = Policy.parse(lines + quorum)
        except BccaError:
            continue  # it survives no liar
        quorums = [each for each in sets(names) if policy.is_quorum(each)]
        for answered in sets(names):
            fewest = min(len(each & answered) for each in quorums)

            assert guard.sure_hits(policy, answered) == fewest


def witness_key(number: int) -> str:
    algorithm = Algorithm.ED25519_COSIGNATURE
    return SeedSigner(
        name=f"w{number}.example", algorithm=algorithm, seed=bytes([number + 1]) * 32
    ).key.encode()


# A witness that shows less than it cosigned is not there, or has forgotten.


def answering(body: str | None) -> Callable[..., object]:
    """Answer whatever is asked with this text, or that there is nothing, as a proxy may."""
    status, content = ("404 Not Found", b"") if body is None else ("200 OK", body.encode())

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()

    return answer


def behind(policy: str, witnesses: list[Node], url: str) -> str:
    """Return the policy with something else in the place of these witnesses."""
    for each in witnesses:
        policy = policy.replace(f"{each.settings.url}/witness", f"{url}/witness")
    return policy


@pytest.mark.parametrize("is_restored", [False, True])
def test_attack_a_proxy_that_answers_404_for_the_witnesses_does_not_help_an_old_backup(
    network: list[Node],
    old: Node,
    policy: str,
    raw_server: Callable[..., str],
    is_restored: bool,
) -> None:
    with old.database.write() as session:
        logs.set_restored(session, is_restored)
    set_policy(old, behind(policy, network[1:], raw_server(answering(None))))
    error = refusal(old)

    assert isinstance(error, TooFewError)
    assert "w3: it shows 0 entries of this log, and has cosigned 7" in str(error)
    with old.database.read() as session:
        assert logs.restored(session) is is_restored


def test_attack_a_404_for_one_witness_does_not_help_a_restored_backup(
    network: list[Node],
    restored: Callable[[Node], Node],
    policy: str,
    raw_server: Callable[..., str],
) -> None:
    assert submit(network[0]).published
    copy = restored(network[0])
    mark_restored(copy)
    set_policy(copy, behind(policy, network[1:2], raw_server(answering(None))))
    error = refusal(copy)

    assert "it was restored from a backup, so every witness has to say" in str(error)
    assert "w0: it shows 0 entries" in str(error)


def test_attack_witnesses_set_back_to_an_older_head_do_not_help_an_old_backup(
    network: list[Node],
    restored: Callable[[Node], Node],
    part: Part,
    policy: str,
    raw_server: Callable[..., str],
) -> None:
    node = network[0]
    assert submit(node).published
    with node.database.read() as session:
        first = logs.published_head(session)
    publish(node, [part(node.origin)])
    assert submit(node).published
    copy = restored(node)
    publish(node, [part(node.origin, "P2")])
    assert submit(node).published
    assert first is not None
    set_policy(copy, behind(policy, network[1:], raw_server(answering(first.note))))
    error = refusal(copy)

    assert isinstance(error, TooFewError)
    assert "it shows 6 entries of this log, and has cosigned 7" in str(error)


def test_attack_a_404_is_not_believed_of_a_witness_whose_cosignature_is_under_the_head(
    network: list[Node], old: Node, policy: str, raw_server: Callable[..., str]
) -> None:
    with old.database.write() as session:
        session.connection().exec_driver_sql("delete from cosigned")
    set_policy(old, behind(policy, network[1:], raw_server(answering(None))))

    assert "and has cosigned 7" in str(refusal(old))


def test_doctor_names_a_witness_that_has_forgotten_what_it_cosigned(
    network: list[Node], policy: str
) -> None:
    node = network[0]
    assert submit(node).published
    with network[1].database.write() as session:
        session.connection().exec_driver_sql("delete from witnessed")
    found = {each.about: each for each in reach.look(node, Policy.parse(policy))}

    assert found["witness w0"].wrong
    assert "takes requests, but it shows 0 entries of this log" in found["witness w0"].text
    assert not found["witness w1"].wrong


def test_a_cosignature_that_does_not_verify_is_no_promise_of_its_witness(
    network: list[Node], restored: Callable[[Node], Node], policy: str
) -> None:
    node = network[0]
    assert submit(node).published
    copy = restored(node)
    with copy.database.write() as session:
        session.connection().exec_driver_sql("delete from cosigned")
        head = logs.published_head(session)
        assert head is not None
        told = Note.parse(head.note)
        lines = [
            line if line.name == node.origin else replace(line, blob=bytes(72))
            for line in told.signatures
        ]
        forged = Note(text=told.text, signatures=tuple(lines)).encode()
        logs.put_head(session, replace(head, note=forged))
    for each in network[1:]:
        with each.database.write() as session:
            session.connection().exec_driver_sql("delete from witnessed")

    clear(copy)

    assert copy.clearance.is_confirmed


# After a restore the newest head may be one that only few have seen.


def mark_restored(node: Node) -> None:
    with node.database.write() as session:
        logs.set_restored(session, True)


def test_after_a_restore_every_witness_has_to_answer_once(
    network: list[Node], restored: Callable[[Node], Node], policy: str
) -> None:
    assert submit(network[0]).published
    copy = restored(network[0])
    mark_restored(copy)
    set_policy(copy, without(policy, network[1]))
    error = refusal(copy)
    set_policy(copy, policy)
    clear(copy)

    assert "it was restored from a backup, so every witness has to say" in str(error)
    assert "w0: " in str(error)
    assert copy.clearance.is_confirmed
    with copy.database.read() as session:
        assert not logs.restored(session)


def test_attack_a_restored_backup_is_refused_for_a_head_that_one_witness_alone_has_seen(
    network: list[Node], restored: Callable[[Node], Node], policy: str, part: Part
) -> None:
    node = network[0]
    assert submit(node).published
    copy = restored(node)
    mark_restored(copy)
    publish(node, [part(node.origin)])
    set_policy(node, without(policy, *network[2:]))
    assert submit(node).cosigned == ("w0",)
    set_policy(copy, without(policy, network[1]))

    assert isinstance(refusal(copy), TooFewError)

    set_policy(copy, policy)

    assert "w0 has seen 7 entries, here are 6" in str(refusal(copy))


# A log that nobody was ever shown.


def test_without_a_policy_a_log_that_nobody_has_seen_may_grow(
    new_node: Callable[..., Node], restored: Callable[[Node], Node], part: Part
) -> None:
    node = restored(new_node())
    clear(node)

    assert publish(node, [part(node.origin)])[0].state is State.PENDING
    assert not node.clearance.is_confirmed


def test_without_a_policy_a_log_that_was_seen_does_not_grow(
    network: list[Node], restored: Callable[[Node], Node]
) -> None:
    assert submit(network[0]).published
    copy = restored(network[0])
    (copy.settings.data / "policy.txt").unlink()

    assert "policy.txt is not there" in str(refusal(copy))


def test_attack_what_an_old_copy_entered_without_a_policy_is_shown_to_nobody(
    network: list[Node], restored: Callable[[Node], Node], part: Part, policy: str
) -> None:
    node = network[0]
    copy = restored(node)
    (copy.settings.data / "policy.txt").unlink()
    publish(node, [part(node.origin, "P1")])
    assert submit(node).published
    clear(copy)
    publish(copy, [part(node.origin, "P2")])
    set_policy(copy, policy)

    with pytest.raises(ConflictError, match=r"of its first 7 entries .* ha(s|ve) seen root"):
        submit(copy)

    for each in network[1:]:
        with each.database.read() as session:
            assert [head.size for head in met.every(session, node.origin)] == [7]


# A thief of the log key.


def thieves_head(node: Node, root: bytes, at: int) -> str:
    checkpoint = Checkpoint(origin=node.origin, size=at, root=root)
    return sign_checkpoint(checkpoint, (node.keys.signer(Role.LOG),)).encode()


def show(network: list[Node], ask: Callable[..., object], leaves: int) -> None:
    """Let a thief of the log key of the first node show its witnesses `leaves` entries more."""
    node = network[0]
    with node.database.read() as session:
        hashes = [merkle.leaf_hash(each) for each in logs.entries(session, 0, size(node))]
    more = [merkle.leaf_hash(b"the thief's %d" % each) for each in range(leaves)]
    tree = merkle.Tree([*hashes, *more])
    proof = merkle.prove_consistency(len(hashes), len(hashes) + leaves, tree.subtree)
    note = thieves_head(node, tree.root(), len(hashes) + leaves)
    request = AddCheckpoint(old=len(hashes), proof=proof, note=note).encode()
    for each in network[1:]:
        ask(each, "/witness/add-checkpoint", body=request)


def test_attack_entries_of_a_thief_of_the_log_key_alarm_the_owner_and_stop_it(
    network: list[Node], restored: Callable[[Node], Node], ask: Callable[..., object], part: Part
) -> None:
    node = network[0]
    assert submit(node).published
    show(network, ask, 3)

    async def look() -> None:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            await guard.watch(node, fetcher)

    with pytest.raises(ConflictError, match="have seen 9 entries, here are 6"):
        asyncio.run(look())
    with pytest.raises(ConflictError, match="somebody else holds the log key"):
        publish(node, [part(node.origin)])
    assert isinstance(refusal(restored(node)), ConflictError)
    assert size(node) == 6


def test_attack_a_thiefs_other_tree_is_kept_as_a_proof(
    network: list[Node], restored: Callable[[Node], Node], ask: Callable[..., object], part: Part
) -> None:
    node = network[0]
    assert submit(node).published
    show(network, ask, 1)
    publish(node, [part(node.origin)])
    copy = restored(node)
    error = refusal(copy)

    assert "of its first 7 entries w0" in str(error)
    with copy.database.read() as session:
        [proof] = heads.proofs(session, node.origin)
    assert verify_misbehaviour(proof.evidence).key == node.log_key


def test_an_alarm_stands_until_it_is_put_out_and_comes_back_with_its_cause(
    old: Node, part: Part
) -> None:
    refusal(old)
    refusal(old)
    first = standing(old)
    with old.database.write() as session:
        alarms.clear(session, old.clock())
    between = standing(old)
    with old.database.read() as session:
        alarm.require_none(session, old.origin)
    refusal(old)

    assert (len(first), between) == (1, [])
    assert standing(old) == first


def test_attack_a_head_of_its_own_log_that_is_shown_to_a_node_is_an_alarm(
    network: list[Node], ask: Callable[..., object]
) -> None:
    node = network[0]
    note = thieves_head(node, bytes(32), 6)
    body = AddCheckpoint(old=0, proof=(), note=note).encode()
    answer = ask(node, "/witness/add-checkpoint", body=body)

    assert getattr(answer, "status_code", None) == 403
    assert "whoever asked this node to cosign has seen root" in standing(node)[0]
    with node.database.read() as session:
        [proof] = heads.proofs(session, node.origin)
    assert verify_misbehaviour(proof.evidence).key == node.log_key


def test_a_database_that_is_put_back_under_a_running_process_is_not_appended_to(
    network: list[Node], old: Node, part: Part
) -> None:
    node = network[0]
    with node.database.write() as session:
        for table in ("entry", "checkpoint"):
            column = {"entry": '"index" >= 7', "checkpoint": "size > 7"}[table]
            session.connection().exec_driver_sql(f"delete from {table} where {column}")  # noqa: S608

    with pytest.raises(UnusableError, match="was put back while it was in use"):
        publish(node, [part(node.origin, "P3")])
