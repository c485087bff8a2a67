"""Files sealed to one recipient: what opens them, what tells nothing, and keeping them up to date.

The cathode maker publishes a folder. The cell maker is its customer, the rival another.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import structs
from tests.node.conftest import PASSPHRASE

from bcca_node.demo.sharing import partner_of
from bcca_node.ledger import keys
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.network.lines import Item
from bcca_node.sharing import sealing, static
from bcca_node.sharing.sealing import MIN_PADDED_BYTES, Pair
from bcca_node.storage import grants, logs, partners
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.partners import Partner
from bcca_protocol import wire
from bcca_protocol.errors import LimitError, MalformedError, SignatureError, UnusableError
from bcca_protocol.keys import Algorithm, Role, VerifierKey
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.wire import b64

Part = Callable[..., PartialFootprint]

CATHODE, FOIL = "urn:bcca:case:t:cathode", "urn:bcca:case:t:foil"
ITEM = Item(commitment="c0" * 32, index=7, envelope=b'{"payload":"e30="}')


@pytest.fixture
def maker(new_node: Callable[..., Node]) -> Node:
    return new_node("cathode.example", url="https://files.example/cathode")


@pytest.fixture
def cell(new_node: Callable[..., Node]) -> Node:
    return new_node("cell.example")


@pytest.fixture
def rival(new_node: Callable[..., Node]) -> Node:
    return new_node("rival.example")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "public"


def seal_key(node: Node) -> VerifierKey:
    return node.keystore.record(Role.SEAL).key


def from_maker(maker: Node, to: Node) -> Pair:
    """Return what the maker computes of itself and a recipient."""
    own = maker.keys.seals[0]
    return Pair.of(own, seal_key(to), issuer=maker.origin, recipient=to.origin)


def at_recipient(maker: Node, to: Node) -> Pair:
    """Return what a recipient computes of itself and the maker."""
    own = to.keys.seals[0]
    return Pair.of(own, seal_key(maker), issuer=maker.origin, recipient=to.origin)


def sealed(maker: Node, to: Node, product: str = CATHODE, *items: Item) -> bytes:
    return sealing.seal(from_maker(maker, to), seal_key(to), product, items or (ITEM,))


def opened(file: bytes, maker: Node, to: Node, product: str = CATHODE) -> list[Item]:
    return sealing.open_sealed(file, at_recipient(maker, to), product, to.keys.seals)


def published(node: Node, *predicates: PartialFootprint) -> list[str]:
    """Publish, as if a quorum had cosigned; return the commitments."""
    done = publish(node, predicates)
    with node.database.write() as session:
        head = logs.last_head(session)
        assert head is not None
        logs.put_head(session, replace(head, published=True))
    return [each.commitment for each in done]


def know(node: Node, other: Node, *products: str, until: int | None = None) -> Partner:
    """Make another node a partner that is granted products."""
    partner = partner_of(other)
    with node.database.write() as session:
        partners.put(session, partner)
        for product in products:
            given = Grant(
                partner=other.origin,
                scope=Scope.PRODUCT,
                about=product,
                given=node.clock(),
                until=until,
            )
            grants.put(session, given)
    return partner


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "sealed").glob("*"))}


def test_the_recipient_finds_and_opens_what_the_maker_sealed(maker: Node, cell: Node) -> None:
    assert from_maker(maker, cell).name(CATHODE) == at_recipient(maker, cell).name(CATHODE)
    assert opened(sealed(maker, cell), maker, cell) == [ITEM]


def test_a_sealed_file_for_somebody_else_is_refused(maker: Node, cell: Node, rival: Node) -> None:
    with pytest.raises(SignatureError, match=r"none of the 1 seal keys of rival.example opens it"):
        opened(sealed(maker, cell), maker, rival)


def test_a_file_that_was_swapped_for_one_about_another_product_is_refused(
    maker: Node, cell: Node
) -> None:
    with pytest.raises(SignatureError, match="about something else, or has changed"):
        opened(sealed(maker, cell, FOIL), maker, cell, CATHODE)


def test_a_file_that_was_swapped_for_one_of_another_maker_is_refused(
    maker: Node, cell: Node, rival: Node
) -> None:
    with pytest.raises(SignatureError, match=r"sealed file of cathode.example about .*:cathode"):
        opened(sealed(rival, cell), maker, cell)


def test_a_file_that_somebody_made_up_with_the_public_key_of_the_recipient_is_refused(
    maker: Node, cell: Node
) -> None:
    """The host knows every public key and name, and binds its file to all that it should be."""
    pair = at_recipient(maker, cell)
    forged = replace(pair, _tags=bytes(32))
    file = sealing.seal(forged, seal_key(cell), CATHODE, [ITEM])

    with pytest.raises(SignatureError, match="somebody else sealed it"):
        opened(file, maker, cell)


@pytest.mark.parametrize(
    "file",
    [b"", b"<html>", b"{}", b'{"format":"bcca/v1 sealed"}', b"\xff" * 1000],
    ids=["empty", "html", "no fields", "one field", "bytes"],
)
def test_garbage_is_refused(maker: Node, cell: Node, file: bytes) -> None:
    with pytest.raises(MalformedError):
        opened(file, maker, cell)


def test_a_changed_file_is_refused_whatever_was_changed(maker: Node, cell: Node) -> None:
    file = sealed(maker, cell)
    at = file.index(b'"sealed":"') + 60
    other = b"A" if file[at : at + 1] != b"A" else b"B"

    for changed in (file[:at] + other + file[at + 1 :], file + b" ", file[:-1]):
        with pytest.raises((SignatureError, MalformedError)):
            opened(changed, maker, cell)


def test_a_huge_file_is_refused_unread(
    maker: Node, cell: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "MAX_SEALED_BYTES", 40_000)

    with pytest.raises(LimitError, match="bytes, where at most 40000 are read"):
        opened(b"x" * 40_001, maker, cell)


def test_more_than_a_reader_takes_is_not_sealed(
    maker: Node, cell: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "MAX_SEALED_BYTES", 40_000)

    with pytest.raises(LimitError, match="where readers take 40000"):
        sealed(maker, cell)


def test_a_file_sealed_before_the_recipient_rotated_its_key_still_opens(
    maker: Node, cell: Node
) -> None:
    file, before = sealed(maker, cell), from_maker(maker, cell)

    keys.rotate(cell, Role.SEAL, PASSPHRASE)
    now = Node.open(cell.settings, PASSPHRASE)
    ring = now.keys.seals
    now.close()

    assert len(ring) == 2
    own = [
        Pair.of(each, seal_key(maker), issuer=maker.origin, recipient=cell.origin) for each in ring
    ]
    assert [each.name(CATHODE) == before.name(CATHODE) for each in own] == [False, True]
    assert sealing.open_sealed(file, own[1], CATHODE, ring) == [ITEM]


def test_a_seal_key_of_low_order_is_no_key_to_seal_to(maker: Node) -> None:
    everybodys = VerifierKey(name="cell.example", algorithm=Algorithm.X25519, public=bytes(32))

    with pytest.raises(UnusableError, match="of low order"):
        Pair.of(maker.keys.seals[0], everybodys, issuer=maker.origin, recipient="cell.example")


def test_guessing_names_finds_nothing(maker: Node, cell: Node, rival: Node) -> None:
    """Whoever knows all that is public, and a key of its own, computes other names."""
    name = from_maker(maker, cell).name(CATHODE)
    own = X25519PrivateKey.generate()
    guesses = [
        hashlib.sha256(CATHODE.encode()).hexdigest(),
        at_recipient(maker, rival).name(CATHODE),
        from_maker(maker, cell).name(FOIL),
    ]
    guesses += [
        Pair.of(own, key, issuer=maker.origin, recipient=cell.origin).name(CATHODE)
        for key in (seal_key(maker), seal_key(cell))
    ]

    assert len(name) == 64
    assert name not in guesses


def test_a_name_is_of_one_direction(maker: Node, cell: Node) -> None:
    back = Pair.of(cell.keys.seals[0], seal_key(maker), issuer=cell.origin, recipient=maker.origin)

    assert back.name(CATHODE) != from_maker(maker, cell).name(CATHODE)


def test_lengths_tell_little(maker: Node, cell: Node) -> None:
    short, long = (structs.replace(ITEM, envelope=b"x" * size) for size in (10, 20_000))

    lengths = {len(sealed(maker, cell, CATHODE, each)) for each in (short, long)}
    more = len(sealed(maker, cell, CATHODE, short, structs.replace(long, envelope=b"x" * 30_000)))

    assert len(lengths) == 1
    assert more - lengths.pop() == pytest.approx(MIN_PADDED_BYTES * 4 / 3, abs=4)


def test_a_padding_that_is_not_ours_is_refused(maker: Node, cell: Node) -> None:
    pair, content = from_maker(maker, cell), sealing.content_of([ITEM])
    suite, to = sealing._suite(), sealing._public(seal_key(cell))  # noqa: SLF001
    file = wire.encode(
        sealing._File(  # noqa: SLF001
            format="bcca/v1 sealed",
            suite="DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305",
            sealed=b64(suite.encrypt(content + b"\0", to, info=pair.info(CATHODE))),
            tag=pair.tag(CATHODE, content),
        )
    )

    with pytest.raises(MalformedError, match="are not how"):
        opened(file, maker, cell)


def test_a_folder_holds_for_a_partner_what_it_was_granted_and_nothing_else(
    maker: Node, cell: Node, folder: Path, part: Part
) -> None:
    [secret, _, _] = published(
        maker,
        part(maker.origin, "cathode", sharing="direct"),
        part(maker.origin, "foil", sharing="direct"),
        part(maker.origin, "open"),
    )
    know(maker, cell, CATHODE, "urn:bcca:case:t:open")

    placed = static.place(maker, folder, to=[cell.origin])

    [(name, file)] = files_in(folder).items()
    assert (placed.sealed, placed.statements) == (1, 1)
    assert name == at_recipient(maker, cell).name(CATHODE)
    assert [each.commitment for each in opened(file, maker, cell)] == [secret]
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert cell.origin.encode() not in everything


def test_what_is_sealed_already_is_not_sealed_again(
    maker: Node, cell: Node, folder: Path, part: Part
) -> None:
    published(maker, part(maker.origin, "cathode", sharing="direct"))
    know(maker, cell, CATHODE)
    static.place(maker, folder, to=[cell.origin])
    before = files_in(folder)

    again = static.place(maker, folder)

    assert again.written == 0
    assert files_in(folder) == before


def test_what_is_published_later_is_sealed_for_those_of_before(
    maker: Node, cell: Node, folder: Path, part: Part
) -> None:
    published(maker, part(maker.origin, "cathode", sharing="direct"))
    know(maker, cell, CATHODE)
    static.place(maker, folder, to=[cell.origin])
    published(maker, part(maker.origin, "cathode", sharing="direct", year=2024))

    static.place(maker, folder)

    [file] = files_in(folder).values()
    assert len(opened(file, maker, cell)) == 2


def test_a_second_folder_is_sealed_whole(
    maker: Node, cell: Node, folder: Path, tmp_path: Path, part: Part
) -> None:
    published(maker, part(maker.origin, "cathode", sharing="direct"))
    know(maker, cell, CATHODE)
    static.place(maker, folder, to=[cell.origin])

    static.place(maker, tmp_path / "other")

    assert files_in(tmp_path / "other").keys() == files_in(folder).keys()


def test_a_grant_that_is_taken_back_takes_the_file_away_and_a_new_one_brings_it_back(
    maker: Node, cell: Node, folder: Path, part: Part
) -> None:
    published(maker, part(maker.origin, "cathode", sharing="direct"))
    know(maker, cell, CATHODE)
    static.place(maker, folder, to=[cell.origin])
    (folder / "sealed" / "notes.txt").write_text("somebody else's")
    with maker.database.write() as session:
        grants.drop(session, cell.origin, Scope.PRODUCT, CATHODE, at=0)

    static.place(maker, folder)

    assert files_in(folder).keys() == {"notes.txt"}
    know(maker, cell, CATHODE)
    assert static.place(maker, folder).sealed == 1


def test_a_grant_that_has_expired_takes_the_file_away(
    maker: Node, cell: Node, folder: Path, part: Part
) -> None:
    published(maker, part(maker.origin, "cathode", sharing="direct"))
    know(maker, cell, CATHODE, until=maker.clock() + 60)
    static.place(maker, folder, to=[cell.origin])

    static.place(replace(maker, clock=lambda: maker.clock() + 61), folder)

    assert files_in(folder) == {}


def test_a_partner_whose_keys_are_not_believed_any_more_gets_nothing(
    maker: Node, cell: Node, folder: Path, part: Part
) -> None:
    published(maker, part(maker.origin, "cathode", sharing="direct"))
    partner = know(maker, cell, CATHODE)
    static.place(maker, folder, to=[cell.origin])
    with maker.database.write() as session:
        partners.put(session, replace(partner, refused="its log does not hold them"))

    static.place(maker, folder)

    assert files_in(folder) == {}
    with pytest.raises(UnusableError, match="not believed: its log does not hold them"):
        static.place(maker, folder, to=[cell.origin])


def test_whoever_is_granted_nothing_is_refused_with_the_command_that_grants(
    maker: Node, cell: Node, folder: Path, part: Part
) -> None:
    published(maker, part(maker.origin, "cathode", sharing="direct"))
    know(maker, cell)

    with pytest.raises(UnusableError, match=r"`bcca partners grant cell.example --product URN`"):
        static.place(maker, folder, to=[cell.origin])
    with pytest.raises(UnusableError, match=r"no partner of cathode.example"):
        static.place(maker, folder, to=["nobody.example"])


def test_with_closed_keys_nothing_is_sealed_and_that_is_said(
    maker: Node, cell: Node, folder: Path, part: Part
) -> None:
    published(maker, part(maker.origin, "cathode", sharing="direct"))
    know(maker, cell, CATHODE)

    with pytest.raises(UnusableError, match="its keys are closed, give the passphrase"):
        static.place(replace(maker, keyring=None), folder, to=[cell.origin])


def test_one_recipient_with_a_key_that_everybody_could_read_holds_up_nobody_else(
    maker: Node, cell: Node, rival: Node, part: Part, folder: Path
) -> None:
    hidden = structs.replace(part(maker.origin, "cathode"), sharing="direct")
    published(maker, hidden)
    know(maker, cell, hidden.product.id)
    bad = know(maker, rival, hidden.product.id)
    both = static.place(maker, folder, to=[cell.origin, rival.origin])
    everybodys = VerifierKey(name=rival.origin, algorithm=Algorithm.X25519, public=bytes(32))
    for unusable in (everybodys.encode(), maker.log_key.encode(), "no key"):
        with maker.database.write() as session:
            partners.put(session, replace(bad, seal_key=unusable))
        placed = static.place(maker, folder)

        assert (both.sealed, placed.sealed) == (2, 1)
        [sentence] = placed.left_out
        assert sentence.startswith("nothing is sealed for rival.example: ")
        assert sentence.endswith("so ask it")
        assert [*files_in(folder)] == [from_maker(maker, cell).name(hidden.product.id)]
        with pytest.raises(UnusableError, match=r"--to rival\.example: .*, so ask it"):
            static.place(maker, folder, to=[rival.origin])


def test_closed_keys_are_no_recipients_fault(
    maker: Node, cell: Node, part: Part, folder: Path
) -> None:
    hidden = structs.replace(part(maker.origin, "cathode"), sharing="direct")
    published(maker, hidden)
    know(maker, cell, hidden.product.id)
    static.place(maker, folder, to=[cell.origin])

    with pytest.raises(UnusableError, match="its keys are closed"):
        static.place(replace(maker, keyring=None), folder)
