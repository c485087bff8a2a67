"""Every format accepts only what it would write back identically, whatever is done to its bytes.

Valid texts are made up, then bent: bits, lines, digits, base64 and letters that look alike. What
is done to one of them is either refused, with an error of this project, or it is another valid
text: one that is written back to the very same bytes.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from bcca_node.network import lines
from bcca_node.network.lines import Item
from bcca_protocol import bundle, checkpoint, issue, own, statement, tiles, wire
from bcca_protocol.bundle import Header, RuleSet, StatementLine, Withheld
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.ending import EndNote, sign_end
from bcca_protocol.entry import (
    Genesis,
    KeyAdd,
    KeyCompromised,
    KeyRetire,
    Predecessor,
    StatementEntry,
    Status,
    StatusEntry,
    parse_entry,
)
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Interval, Supplier
from bcca_protocol.keys import Algorithm, Role, SeedSigner, VerifierKey
from bcca_protocol.misbehaviour import Misbehaviour
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.proof import TlogProof
from bcca_protocol.statement import Method, PartialFootprint, Producer, Product
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH, Tile
from bcca_protocol.witness import AddCheckpoint

Bent = Callable[[SearchStrategy[bytes]], SearchStrategy[list[bytes]]]

few = settings(max_examples=20, deadline=None, derandomize=True, database=None)
many = settings(few, max_examples=60, suppress_health_check=list(HealthCheck))


# Valid texts, format by format.


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a format is read from bytes and written to them, and texts of it."""

    read: Callable[[bytes], object]
    write: Callable[[object], bytes]
    texts: SearchStrategy[bytes]


def text_of(data: bytes) -> str:
    """Return text, with what is no UTF-8 as lone surrogates: readers of text must refuse those."""
    return data.decode(errors="surrogateescape")


@cache
def signer(number: int, name: str, algorithm: Algorithm = Algorithm.ED25519) -> SeedSigner:
    return SeedSigner(name=name, algorithm=algorithm, seed=hashlib.sha256(b"%d" % number).digest())


sizes = st.one_of(st.integers(0, 300), st.sampled_from([2**31, 10**18, 2**63 - 1]))
hashes = st.integers(0, 20).map(lambda number: hashlib.sha256(b"%d" % number).digest())
proofs = st.lists(hashes, max_size=6) | st.integers(7, 63).map(lambda n: [bytes([n] * 32)] * n)
names = st.sampled_from(
    ["cathode.example/bcca", "w", "grüße.example", "山.example/bcca", "a/b=c_-"]
)
algorithms = st.sampled_from([Algorithm.ED25519, Algorithm.ED25519_COSIGNATURE])
signers = st.builds(signer, st.integers(0, 9), names, algorithms)
vkeys = signers.map(lambda each: each.key) | st.builds(
    lambda name, public: VerifierKey(name=name, algorithm=Algorithm.X25519, public=public),
    names,
    st.binary(min_size=32, max_size=32),
)
showable = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Zl", "Zp"]), min_size=1
)
notable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)
signatures = st.builds(
    lambda key, blob: NoteSignature(name=key.name, key_id=key.id, blob=blob),
    vkeys,
    st.binary(min_size=1, max_size=80),
)
note_texts = st.lists(notable, min_size=1, max_size=5).map(lambda each: "\n".join(each) + "\n")
notes = st.builds(Note, text=note_texts, signatures=st.lists(signatures, min_size=1).map(tuple))
checkpoints = st.builds(
    Checkpoint,
    origin=names,
    size=sizes,
    root=hashes,
    extensions=st.lists(notable.filter(bool), max_size=2).map(tuple),
)


@st.composite
def cosigned(draw: DrawFn) -> str:
    """Return a checkpoint signed by its log and cosigned by some witnesses."""
    head = draw(checkpoints)
    signed = checkpoint.sign_checkpoint(head, [signer(draw(st.integers(0, 9)), head.origin)])
    ats = draw(st.lists(st.integers(1, 2**63 - 1), max_size=3))
    cosigners = [
        signer(number, "w.example", Algorithm.ED25519_COSIGNATURE) for number in range(len(ats))
    ]
    return signed.with_signatures(
        checkpoint.cosign(head.encode(), each, at=at)
        for each, at in zip(cosigners, ats, strict=True)
    ).encode()


tile_paths = st.builds(
    Tile,
    level=st.integers(ENTRIES, 63),
    index=st.integers(0, 3_000_000) | st.just((2**63 - 1) // TILE_WIDTH),
    width=st.integers(1, TILE_WIDTH),
)
entry_bundles = st.lists(st.binary(max_size=20), min_size=4, max_size=4)
tlog_proofs = st.builds(
    TlogProof,
    index=sizes.filter(lambda size: size < 2**63 - 1),
    path=proofs.map(tuple),
    checkpoint=cosigned(),
    extra=st.none() | st.binary(max_size=20),
)
add_checkpoints = st.builds(AddCheckpoint, old=sizes, proof=proofs.map(tuple), note=cosigned())
misbehaviours = st.builds(
    Misbehaviour,
    key=vkeys,
    older=notes,
    newer=notes | cosigned().map(Note.parse),
    path=st.none() | proofs.map(tuple),
)
end_notes = st.builds(
    lambda owner, size, root, successor: sign_end(owner.key.name, size, root, successor, owner),
    owner=st.builds(signer, st.integers(0, 9), st.sampled_from(["old.example", "größer.example"])),
    size=sizes.filter(bool),
    root=hashes,
    successor=st.builds(signer, st.integers(10, 19), names).map(lambda each: each.key),
)
key_adds = st.sampled_from(
    [
        KeyAdd(role=role, key=signer(number, "cathode.example/bcca", algorithm).key)
        for number, role in enumerate([Role.LOG, Role.STATEMENT, Role.REQUEST, Role.WITNESS])
        for algorithm in [
            Algorithm.ED25519_COSIGNATURE if role is Role.WITNESS else Algorithm.ED25519
        ]
    ]
)
predecessors = st.builds(Predecessor, origin=names, size=sizes, root=hashes)
entries = st.one_of(
    st.builds(Genesis, recovery_hash=hashes, predecessor=st.none() | predecessors),
    key_adds,
    st.builds(KeyRetire, add=sizes),
    st.builds(
        KeyCompromised,
        add=sizes,
        last_good=sizes,
        recovery_key=hashes,
        signature=st.binary(min_size=64, max_size=64),
    ),
    st.builds(StatementEntry, commitment=hashes, key=sizes, signature_hash=hashes),
    st.builds(
        StatusEntry, handle=hashes, status=st.sampled_from(Status), successor=st.none() | hashes
    ),
)


@cache
def made(number: int) -> Envelope:
    """Return an issued statement with two lines, an input and texts that are not ASCII."""
    factor = Factor(
        kind="secondary", source="é", dataset='"', geography="CN", unit="kg", gas="co2e",
        values=Components(fossil=f"0.{number}1", land_use_change="-2"),
    )  # fmt: skip
    line = Activity(
        id="1", name="山\\", stage="production", kind="material", amount="1.50", unit="kg",
        amount_kind="measured", factor=factor,
    )  # fmt: skip
    supplier = Supplier(origin="mine.example", key=signer(1, "mine.example").key.encode())
    bought = Input(
        id="2", product="urn:test:ore", amount="3", unit="t", supplier=supplier, stages="keep"
    )
    predicate = PartialFootprint(
        issuer="cathode.example/bcca", nonce=issue.UNSET_NONCE,
        product=Product(id=f"urn:test:p{number}", name="p"), producer=Producer(name="Cathode"),
        period=Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z"),
        sharing="public", declared_unit=Amount("1", "kg"), output=Amount("1", "kg"),
        method=Method(standards=(), gwp="AR6", recycling="cutOff", electricity="market"),
        activities=(line,), inputs=(bought,), footprint=Stages(),
    )  # fmt: skip
    return issue.issue(own.with_footprint(predicate), signer(2, "cathode.example/bcca"), b"secret")


origins = st.sampled_from(["cathode.example/bcca", "a", "x-1.example", "m.example/A/~b._-"])
envelopes = st.integers(0, 5).map(lambda number: made(number).encode())
items = st.builds(
    Item,
    commitment=hashes.map(bytes.hex),
    index=sizes,
    envelope=st.binary(min_size=1, max_size=40),
    origin=st.none() | origins,
)


header = Header(
    format=bundle.FORMAT, maker="a.example", product="urn:test:p", roll_up="ab" * 32,
    made="2026-11-21T00:00:00Z",
)  # fmt: skip


@st.composite
def bundle_lines(draw: DrawFn) -> bytes:
    """Return a line of a bundle, without its line feed."""
    key = signer(1, "cathode.example/bcca").key
    line = draw(
        st.one_of(
            st.builds(RuleSet, name=showable, lines=st.lists(showable, max_size=3).map(tuple)),
            st.builds(
                lambda text, entry: bundle.log_line(
                    key.name, key.encode(), Note.parse(text), [entry.encode().encode()]
                ),
                cosigned(),
                entries,
            ),
            st.builds(
                StatementLine,
                origin=origins,
                index=sizes.map(str),
                envelope=envelopes.map(wire.b64),
            ),
            st.builds(Withheld, commitment=hashes.map(bytes.hex), reason=showable),
        )
    )
    return wire.encode(line)


def read_bundle_line(data: bytes) -> msgspec.Struct:
    """Return the one line between the header and an end that seals whatever stands there."""
    sealed = [wire.encode(header) + b"\n", data + b"\n"]
    end = bundle.End(
        lines="2", sha256=hashlib.sha256(b"".join(sealed)).hexdigest(), key="2", signature="AAAA"
    )
    found = bundle.read([*sealed, wire.encode(end) + b"\n"]).contents
    body: list[msgspec.Struct] = []
    for each in (found.rules, found.logs, found.statements, found.withheld):
        body.extend(each)
    (line,) = body
    return line


def of_text(
    read: Callable[[str], object], write: Callable[..., str], texts: SearchStrategy[str]
) -> Format:
    """Return a format of text as one of bytes."""
    return Format(
        read=lambda data: read(text_of(data)),
        write=lambda found: write(found).encode(errors="surrogateescape"),
        texts=texts.map(str.encode),
    )


def as_object(write: Callable[..., bytes]) -> Callable[[object], bytes]:
    return write


FORMATS = {
    "verifier key": of_text(VerifierKey.parse, VerifierKey.encode, vkeys.map(VerifierKey.encode)),
    "signature line": of_text(
        NoteSignature.parse, NoteSignature.encode, signatures.map(NoteSignature.encode)
    ),
    "note": of_text(Note.parse, Note.encode, notes.map(Note.encode)),
    "cosigned checkpoint": of_text(Note.parse, Note.encode, cosigned()),
    "checkpoint": of_text(Checkpoint.parse, Checkpoint.encode, checkpoints.map(Checkpoint.encode)),
    "tile path": of_text(Tile.parse, Tile.encode, tile_paths.map(Tile.encode)),
    "entry bundle": Format(
        read=lambda data: tiles.decode_entries(data, 4),
        write=as_object(tiles.encode_entries),
        texts=entry_bundles.map(tiles.encode_entries),
    ),
    "tlog-proof": of_text(TlogProof.parse, TlogProof.encode, tlog_proofs.map(TlogProof.encode)),
    "add-checkpoint": Format(
        read=AddCheckpoint.parse,
        write=as_object(AddCheckpoint.encode),
        texts=add_checkpoints.map(AddCheckpoint.encode),
    ),
    "misbehaviour": Format(
        read=Misbehaviour.parse,
        write=as_object(Misbehaviour.encode),
        texts=misbehaviours.map(Misbehaviour.encode),
    ),
    "end note": of_text(EndNote.parse, EndNote.encode, end_notes.map(EndNote.encode)),
    "log entry": of_text(
        parse_entry, lambda entry: str(entry.encode()), entries.map(lambda each: each.encode())
    ),
    "lines of statements": Format(
        read=lines.decode_lines,
        write=as_object(lambda found: b"".join(lines.encode_lines(found))),
        texts=st.lists(items, max_size=3).map(lambda each: b"".join(lines.encode_lines(each))),
    ),
    "batch": Format(
        read=lines.decode_batch,
        write=as_object(lines.encode_batch),
        texts=st.lists(hashes.map(bytes.hex), max_size=3).map(lines.encode_batch),
    ),
    "bundle line": Format(
        read=read_bundle_line, write=as_object(wire.encode), texts=bundle_lines()
    ),
    "statement": Format(
        read=statement.decode,
        write=as_object(wire.encode),
        texts=st.integers(0, 5).map(lambda number: made(number).payload),
    ),
}
every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)


# What must hold.


@every_format
def test_what_is_written_reads_back(form: Format) -> None:
    @few
    @given(form.texts)
    def check(text: bytes) -> None:
        assert form.write(form.read(text)) == text

    check()


@every_format
def test_only_what_would_be_written_is_read(form: Format, bent: Bent) -> None:
    @many
    @given(bent(form.texts))
    def check(texts: list[bytes]) -> None:
        for text in texts:
            try:
                found = form.read(text)
            except (RefusedError, UnusableError) as error:
                assert wire.showable(str(error)) == str(error)
                continue
            assert form.write(found) == text

    check()


@every_format
def test_noise_is_refused_or_is_valid(form: Format, noise: SearchStrategy[bytes]) -> None:
    @many
    @given(noise)
    def check(text: bytes) -> None:
        try:
            found = form.read(text)
        except (RefusedError, UnusableError) as error:
            assert wire.showable(str(error)) == str(error)
            return
        assert form.write(found) == text

    check()
