"""A node that follows other logs: only what is new is fetched, and no log goes back on itself."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from bcca_node.ledger import heads, log, mirror
from bcca_node.ledger.copied import LOG, Address
from bcca_node.ledger.copying import Reader
from bcca_node.ledger.node import Node
from bcca_node.ledger.witnessing import witness
from bcca_node.network import tlog
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.storage import copies, logs, witnessed
from bcca_node.storage.copies import Copy
from bcca_protocol import checkpoint, merkle, tiles
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import StatementEntry
from bcca_protocol.errors import (
    BccaError,
    ConflictError,
    LimitError,
    ProofError,
    QuorumError,
    UnavailableError,
)
from bcca_protocol.keys import Role
from bcca_protocol.misbehaviour import verify_misbehaviour
from bcca_protocol.note import Note
from bcca_protocol.tiles import Tile, tiles_for

T = TypeVar("T")
Answers = dict[str, list[bytes | None]]


class Listening(Fetcher):
    """A fetcher that remembers what it asked for, and may hear some of it wrongly."""

    def __init__(self, *told: Any) -> None:
        super().__init__(*told)
        self.asked: list[str] = []
        self.answers: Answers = {}

    async def find(self, url: str, *, limit: int, audience: str | None = None) -> bytes | None:
        path = url.partition("/log/")[2]
        self.asked.append(path)
        if self.answers.get(path):
            return self.answers[path].pop(0)
        return await super().find(url, limit=limit, audience=audience)


@dataclass
class Pair:
    """An author with witnesses, and a node that follows its log."""

    author: Node
    follower: Node
    witnesses: list[Node]
    asked: list[str] = field(default_factory=list)

    def address(self, **other: Any) -> Address:
        url = f"{self.author.settings.url}{LOG}"
        told = Address(
            origin=self.author.origin, key=self.author.log_key, url=url, introduced_by=None
        )
        return replace(told, **other)

    def grow(self, count: int) -> int:
        """Enter so many entries, have their head cosigned; return how many there are."""
        with self.author.database.write() as session:
            first = logs.size(session)
            log.append(session, [entry(index) for index in range(first, first + count)])
            log.sign(session, self.author.keys.log_signers)
        assert self.ask(lambda fetcher: witness(self.author, fetcher)).published
        return first + count

    def ask(
        self, work: Callable[[Fetcher], Coroutine[Any, Any, T]], answers: Answers | None = None
    ) -> T:
        async def run() -> T:
            async with Listening(hosts_of(self.follower.trust.required())) as fetcher:
                fetcher.answers = answers or {}
                try:
                    return await work(fetcher)
                finally:
                    self.asked = fetcher.asked

        return asyncio.run(run())

    def follow(self, answers: Answers | None = None) -> int:
        """Bring the follower's copy up to date; return its size."""

        async def run(fetcher: Fetcher) -> int:
            node = self.follower
            reader = Reader(
                node=node, fetcher=fetcher, trusted=node.trust.required(), at=node.clock()
            )
            return (await reader.follow(self.address())).checkpoint.size

        return self.ask(run, answers)

    def copy(self) -> Copy:
        with self.follower.database.read() as session:
            found = copies.get(session, self.author.origin, self.author.log_key.encode())
        assert found is not None
        return found

    def entries(self) -> list[bytes]:
        with self.author.database.read() as session:
            return logs.entries(session, 0, logs.size(session))

    def signed(self, lines: Sequence[bytes], cosigners: int = 3) -> bytes:
        """Return a checkpoint over any entries that the author and so many witnesses signed."""
        root = merkle.Tree(map(merkle.leaf_hash, lines)).root()
        head = Checkpoint(origin=self.author.origin, size=len(lines), root=root)
        note = checkpoint.sign_checkpoint(head, self.author.keys.log_signers)
        cosigned = [
            checkpoint.cosign(note.text, each.keys.signer(Role.WITNESS), at=each.clock())
            for each in self.witnesses[:cosigners]
        ]
        return note.with_signatures(cosigned).encode().encode()

    def proofs(self) -> list[bytes]:
        with self.follower.database.read() as session:
            return [each.evidence for each in heads.proofs(session, self.author.origin)]


def entry(index: int) -> str:
    digest = hashlib.sha256(b"%d" % index).digest()
    return StatementEntry(commitment=digest, key=2, signature_hash=digest).encode()


@pytest.fixture
def pair(network: list[Node]) -> Pair:
    """n0 is the author, n1 follows, n1 to n4 witness."""
    return Pair(network[0], network[1], network[1:])


def test_only_the_bundles_that_are_new_are_fetched(pair: Pair) -> None:
    size = pair.grow(600)
    assert pair.follow() == size
    first = pair.asked
    assert pair.follow() == size
    again = pair.asked
    grown = pair.grow(300)
    assert pair.follow() == grown

    assert first == ["checkpoint"] + [
        tile.encode() for tile in tiles_for(size) if tile.level == tiles.ENTRIES
    ]
    assert again == ["checkpoint"]
    assert pair.asked == ["checkpoint", "tile/entries/002", f"tile/entries/003.p/{grown - 768}"]


def test_a_copy_has_byte_for_byte_the_resources_of_the_log(pair: Pair, ask: Any) -> None:
    size = 0
    for count in (3, 300, 1, 252, 700):
        pair.grow(count)
        size = pair.follow()
    mirrored = f"/mirror/{witnessed.origin_hash(pair.author.origin)}"

    for path in ("checkpoint", *(tile.encode() for tile in tiles_for(size))):
        theirs, ours = ask(pair.author, f"/log/{path}"), ask(pair.follower, f"{mirrored}/{path}")
        assert (ours.status_code, ours.content) == (200, theirs.content)
        for header in ("content-type", "cache-control"):
            assert ours.headers[header] == theirs.headers[header]


def test_partial_tiles_of_every_earlier_size_are_shown_and_none_of_a_later_one(
    pair: Pair, ask: Any
) -> None:
    size = pair.grow(300)
    pair.follow()
    mirrored = f"/mirror/{witnessed.origin_hash(pair.author.origin)}"
    entries = pair.entries()
    tree = merkle.Tree(map(merkle.leaf_hash, entries))

    for width in range(1, size - 256 + 1):
        tile = Tile(level=0, index=1, width=width)
        bundle = Tile(level=tiles.ENTRIES, index=1, width=width)
        told = ask(pair.follower, f"{mirrored}/{tile.encode()}").content
        assert told == tiles.encode_tile(tile, tree.subtree)
        told = ask(pair.follower, f"{mirrored}/{bundle.encode()}").content
        assert told == tiles.encode_entries(entries[256 : 256 + width])
    for path in (
        f"tile/0/001.p/{size - 256 + 1}",
        f"tile/entries/001.p/{size - 256 + 1}",
        "tile/0/001",
        "tile/0/002.p/1",
        "tile/1/000.p/2",
        "tile/2/000.p/1",
        "tile/63/000",
        "tile/64/000",
        "tile/0/1",
        "tile/entries/../checkpoint",
    ):
        assert ask(pair.follower, f"{mirrored}/{path}").status_code == 404


def test_what_is_not_mirrored_answers_like_what_does_not_exist(pair: Pair, ask: Any) -> None:
    pair.grow(3)
    known = witnessed.origin_hash(pair.author.origin)
    unknown = witnessed.origin_hash("nobody.example")
    nothing = {"error": "there is nothing here"}

    for path in (
        f"{known}/checkpoint",
        f"{unknown}/checkpoint",
        f"{unknown}/tile/0/000",
        f"{unknown}/tile/entries/000",
        f"{unknown}/statements?product=urn:x",
        f"{unknown}/statements/{'ab' * 32}",
        "x/checkpoint",
        "/checkpoint",
    ):
        answer = ask(pair.follower, f"/mirror/{path}")
        assert (answer.status_code, answer.json()) == (404, nothing)


def test_every_log_of_the_policy_is_followed_and_one_that_lies_or_is_down_stops_no_other(
    pair: Pair,
) -> None:
    size = pair.grow(5)
    path = pair.follower.settings.data / "policy.txt"
    liar, down = pair.witnesses[1], pair.witnesses[2]
    policy = path.read_text("utf-8")
    policy = policy.replace(f"{liar.settings.url}/log", f"{pair.author.settings.url}/log")
    policy = policy.replace(f"{down.settings.url}/log", "http://127.0.0.1:9/log")
    path.write_text(policy, "utf-8")

    found = pair.ask(lambda fetcher: mirror.follow_all(pair.follower, fetcher))

    told = {each.origin: each for each in found}
    assert pair.follower.origin not in told
    assert told[pair.author.origin].size == size
    assert "not of" in str(told[liar.origin].refused)
    assert "nobody listens" in str(told[down.origin].refused)


def test_garbage_of_a_host_is_no_second_tree(pair: Pair) -> None:
    pair.grow(10)
    pair.follow()
    before = pair.copy()
    size = pair.grow(3)
    true = pair.entries()
    garbage = tiles.encode_entries([*true[:-1], b"garbage"])
    path = f"tile/entries/000.p/{size}"

    with pytest.raises(ProofError, match="its entries hash to"):
        pair.follow({path: [garbage, garbage]})

    assert pair.copy() == before
    assert pair.proofs() == []
    assert pair.follow() == size


def test_a_host_that_answers_garbage_once_is_asked_for_the_whole_log(pair: Pair) -> None:
    pair.grow(600)
    pair.follow()
    size = pair.grow(3)
    true = pair.entries()
    index = size // 256
    garbage = tiles.encode_entries([*true[256 * index : -1], b"garbage"])

    found = pair.follow({f"tile/entries/00{index}.p/{size % 256}": [garbage]})

    assert found == size
    assert "tile/entries/000" in pair.asked


def test_two_trees_of_one_size_are_refused_and_the_proof_names_the_log(pair: Pair) -> None:
    pair.grow(10)
    pair.follow()
    before = pair.copy()
    other = [*pair.entries()[:-1], b"other"]

    with pytest.raises(ConflictError, match="shows two trees of size"):
        pair.follow({"checkpoint": [pair.signed(other)]})

    [evidence] = pair.proofs()
    assert verify_misbehaviour(evidence).origin == pair.author.origin
    assert pair.copy() == before


def test_a_larger_tree_that_begins_otherwise_is_refused_and_the_proof_names_the_log(
    pair: Pair,
) -> None:
    pair.grow(10)
    pair.follow()
    before = pair.copy()
    true = pair.entries()
    other = [*true[:3], b"other", *true[4:], b"more"]
    bundle = tiles.encode_entries(other)

    with pytest.raises(ConflictError, match=f"two trees of size {len(true)}"):
        pair.follow(
            {
                "checkpoint": [pair.signed(other)],
                f"tile/entries/000.p/{len(other)}": [bundle, bundle],
            }
        )

    [evidence] = pair.proofs()
    assert verify_misbehaviour(evidence).origin == pair.author.origin
    assert pair.copy() == before


def test_another_tree_whose_changed_entry_lies_far_behind_is_found_by_reading_it_whole(
    pair: Pair,
) -> None:
    pair.grow(600)
    pair.follow()
    true = pair.entries()
    other = [*true[:3], b"other", *true[4:], b"more"]
    answers: Answers = {"checkpoint": [pair.signed(other)]}
    for tile in tiles_for(len(other)):
        if tile.level == tiles.ENTRIES:
            bundle = tiles.encode_entries(other[tile.index * 256 :][: tile.width])
            answers[tile.encode()] = [bundle, bundle]

    with pytest.raises(ConflictError, match=f"two trees of size {len(true)}"):
        pair.follow(answers)

    assert len(pair.proofs()) == 1


def test_a_log_that_is_rolled_back_is_refused_and_that_is_no_proof_of_a_lie(pair: Pair) -> None:
    pair.grow(10)
    earlier = pair.signed(pair.entries())
    size = pair.grow(3)
    pair.follow()

    with pytest.raises(ConflictError, match=f"was rolled back: it shows {size - 3} entries"):
        pair.follow({"checkpoint": [earlier]})

    assert pair.proofs() == []


def test_a_smaller_head_of_another_tree_is_a_proof(pair: Pair) -> None:
    pair.grow(10)
    pair.follow()
    other = [*pair.entries()[:5], b"other"]

    with pytest.raises(ConflictError, match="two trees of size 6"):
        pair.follow({"checkpoint": [pair.signed(other)]})

    assert len(pair.proofs()) == 1


def test_a_head_below_a_quorum_is_believed_by_nobody_and_kept_as_evidence(pair: Pair) -> None:
    pair.grow(10)
    pair.follow()
    before = pair.copy()
    other = [*pair.entries()[:-1], b"other"]

    with pytest.raises(QuorumError):
        pair.follow({"checkpoint": [pair.signed(other, cosigners=2)]})

    assert len(pair.proofs()) == 1
    assert pair.copy() == before


def test_the_same_head_seen_later_by_its_witnesses_takes_the_place_of_the_one_before(
    pair: Pair,
) -> None:
    pair.grow(3)
    old = Note.parse(pair.signed(pair.entries()).decode())
    late = [
        checkpoint.cosign(old.text, each.keys.signer(Role.WITNESS), at=each.clock() + 30)
        for each in pair.witnesses
    ]
    later = Note(text=old.text, signatures=(old.signatures[0], *late)).encode()

    pair.follow({"checkpoint": [later.encode()]})
    pair.follow()

    assert pair.copy().note == later


@pytest.mark.parametrize(
    ("size", "said"), [(10**18, "a log of 1000000000000000000 entries"), (2**63 - 1, "over")]
)
def test_a_log_of_a_size_that_nobody_can_read_is_refused_before_anything_is_fetched(
    pair: Pair, size: int, said: str
) -> None:
    pair.grow(3)
    head = Checkpoint(origin=pair.author.origin, size=size, root=bytes(32))
    note = checkpoint.sign_checkpoint(head, pair.author.keys.log_signers)
    cosigned = [
        checkpoint.cosign(note.text, each.keys.signer(Role.WITNESS), at=each.clock())
        for each in pair.witnesses
    ]

    with pytest.raises(BccaError, match=said):
        pair.follow({"checkpoint": [note.with_signatures(cosigned).encode().encode()]})

    assert pair.asked == ["checkpoint"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "bundle of"),
        (b"\xff\xff", "bundle of"),
        (b"\x00\x01x" * 12, "bundle of"),
        (b"\x00\x00" * 13, "its entries hash to"),
    ],
    ids=["nothing", "cut", "too few", "other entries"],
)
def test_a_cut_or_changed_bundle_is_refused_with_where_it_came_from(
    pair: Pair, body: bytes, said: str
) -> None:
    size = pair.grow(7)
    assert size == 13

    with pytest.raises(BccaError, match=said):
        pair.follow({"tile/entries/000.p/13": [body]})


def test_a_partial_bundle_that_gave_way_to_the_full_one_is_taken_from_that(pair: Pair) -> None:
    size = pair.grow(20)
    earlier = pair.signed(pair.entries())
    pair.grow(300)

    found = pair.follow({"checkpoint": [earlier], f"tile/entries/000.p/{size}": [None]})

    assert found == size
    assert pair.asked[-1] == "tile/entries/000"


def test_a_copy_that_ends_before_what_is_held_is_of_no_use_and_no_lie(
    pair: Pair, network: list[Node]
) -> None:
    other = Pair(pair.author, network[2], pair.witnesses)
    pair.grow(5)
    other.follow()
    pair.grow(5)
    pair.follow()
    via = mirror.url_of(network[2].settings.url, pair.author.origin)

    async def run(fetcher: Fetcher) -> object:
        node = pair.follower
        reader = Reader(node=node, fetcher=fetcher, trusted=node.trust.required(), at=node.clock())
        return await reader.read(pair.address(via=via))

    with pytest.raises(UnavailableError, match="its copy has 11 entries, 16 are held here"):
        pair.ask(run)


def test_the_copy_under_the_key_of_the_policy_is_shown_and_not_that_under_a_false_one(
    pair: Pair, ask: Any
) -> None:
    size = pair.grow(5)
    pair.follow()
    false = replace(pair.copy(), vkey="0", size=size + 100, note="false")
    with pair.follower.database.write() as session:
        copies.put(session, false, before=None)

    told = ask(
        pair.follower, f"/mirror/{witnessed.origin_hash(pair.author.origin)}/checkpoint"
    ).text

    assert told == pair.copy().note


def test_two_who_follow_one_log_at_once_end_at_the_same_copy(pair: Pair) -> None:
    size = pair.grow(700)

    async def run(fetcher: Fetcher) -> list[int]:
        node = pair.follower
        reader = Reader(node=node, fetcher=fetcher, trusted=node.trust.required(), at=node.clock())
        found = await asyncio.gather(*(reader.follow(pair.address()) for _ in range(4)))
        return [each.checkpoint.size for each in found]

    assert pair.ask(run) == [size] * 4
    with pair.follower.database.read() as session:
        assert copies.entries(session, pair.copy()) == pair.entries()


@dataclass
class Slow:
    """A host that shows the author's log, so many bundles of it; on the next one it hangs."""

    author: Node
    allowed: int
    asked: list[str] = field(default_factory=list)
    false: dict[str, bytes] = field(default_factory=dict)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()[1:]
        if path != "checkpoint":
            self.asked.append(path)
            if len(self.asked) > self.allowed:
                await reader.read()  # until the other side has had enough
        body = self.false.pop(path, None) or self.body(path)
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n".encode())
        writer.write(b"connection: close\r\n\r\n" + body)
        await writer.drain()

    def body(self, path: str) -> bytes:
        with self.author.database.read() as session:
            head = logs.published_head(session)
            assert head is not None
            if path == "checkpoint":
                return head.note.encode()
            return log.content(session, Tile.parse(path), head.size) or b""


@pytest.fixture
def slow(pair: Pair, raw_server: Callable[..., str]) -> Slow:
    """The author's log behind a host that is slow, by the follower's policy."""
    host = Slow(pair.author, allowed=0)
    path = pair.follower.settings.data / "policy.txt"
    text = path.read_text("utf-8").replace(f"{pair.author.settings.url}/log", raw_server(host))
    path.write_text(text, "utf-8")
    return host


def follow_all(pair: Pair, seconds: float) -> dict[str, mirror.Followed]:
    found = pair.ask(lambda fetcher: mirror.follow_all(pair.follower, fetcher, seconds=seconds))
    return {each.origin: each for each in found}


def test_attack_a_log_that_comes_slowly_stops_no_other_and_is_gone_on_with_next_time(
    pair: Pair, slow: Slow, ask: Any
) -> None:
    size = pair.grow(9_000)
    honest = Pair(pair.witnesses[1], pair.follower, pair.witnesses)
    there = honest.grow(5)
    mirrored = f"/mirror/{witnessed.origin_hash(pair.author.origin)}"
    begun = time.monotonic()

    for wave in (1, 2):
        slow.allowed = len(slow.asked) + tlog.BUNDLES_AT_ONCE
        told = follow_all(pair, 1.5)
        assert f"{wave * 4096} of {size} entries were there" in str(
            told[pair.author.origin].refused
        )
        assert told[honest.author.origin].size == there
        for path in ("checkpoint", "tile/entries/000", "tile/-2/000"):
            assert ask(pair.follower, f"{mirrored}/{path}").status_code == 404
    assert time.monotonic() - begun < 30
    first = slow.asked[: tlog.BUNDLES_AT_ONCE]
    slow.allowed = 10**6
    assert follow_all(pair, 30.0)[pair.author.origin].size == size

    assert not set(first) & set(slow.asked[tlog.BUNDLES_AT_ONCE :])
    with pair.follower.database.read() as session:
        assert copies.entries(session, pair.copy()) == pair.entries()
        assert copies.parked(session, pair.author.origin, pair.copy().vkey, 0, size) == (0, [])


def test_attack_false_entries_that_came_before_the_time_was_up_are_dropped(
    pair: Pair, slow: Slow
) -> None:
    size = pair.grow(5_000)
    slow.allowed = tlog.BUNDLES_AT_ONCE
    slow.false = {"tile/entries/003": tiles.encode_entries([b"false"] * 256)}
    assert "4096 of" in str(follow_all(pair, 3.0)[pair.author.origin].refused)
    slow.allowed = 10**6

    assert follow_all(pair, 30.0)[pair.author.origin].size == size
    assert pair.proofs() == []
    with pair.follower.database.read() as session:
        assert copies.entries(session, pair.copy()) == pair.entries()


def test_attack_another_tree_that_comes_slowly_is_proven_all_the_same(
    pair: Pair, slow: Slow, restored: Callable[..., Node]
) -> None:
    false = restored(pair.author)
    size = pair.grow(300)
    slow.allowed = 10**6
    assert follow_all(pair, 30.0)[pair.author.origin].size == size
    with false.database.write() as session:
        log.append(session, [entry(index) for index in range(20_000, 25_000)])
        log.sign(session, false.keys.log_signers)
    with false.database.read() as session:
        head = logs.last_head(session)
        assert head is not None
        lines = logs.entries(session, 0, head.size)
    # Only a witness that forgets cosigns that; a reader believes it up to the entries.
    note = Note.parse(pair.signed(lines).decode()).encode()
    with false.database.write() as session:
        logs.put_head(session, replace(head, note=note, published=True))
    slow.author = false

    bundles = -(-len(lines) // 256)
    slow.allowed = len(slow.asked) + (bundles - 1) + tlog.BUNDLES_AT_ONCE  # what is new, then all
    assert "4096 of" in str(follow_all(pair, 1.5)[pair.author.origin].refused)
    slow.allowed = len(slow.asked) + bundles - tlog.BUNDLES_AT_ONCE
    told = str(follow_all(pair, 1.5)[pair.author.origin].refused)

    assert f"shows two trees of size {size}" in told
    assert len(pair.proofs()) == 1


def test_attack_a_log_that_grows_in_small_steps_is_held_to_the_bytes_of_a_whole_one(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (300, 7, 400):
        pair.grow(count)
        pair.follow()
    pair.grow(300)
    total = sum(map(len, pair.entries()))

    monkeypatch.setattr(tlog, "MAX_LOG_BYTES", total - 1)
    with pytest.raises(LimitError, match=f"entries of over {total - 1} bytes"):
        pair.follow()
    monkeypatch.setattr(tlog, "MAX_LOG_BYTES", total)
    pair.follow()

    assert pair.copy().size == len(pair.entries())
