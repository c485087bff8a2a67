"""All an auditor needs, in one file: `*.bcca.jsonl` (SPEC 10).

One JSON object a line, each in its one form: a header, the rules, a recipe if it is secret, every
log with its checkpoint and all its entries, every statement, what was withheld, and a last line
with the number of lines before it, the SHA-256 of their bytes and the maker's signature.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Self

import msgspec

from bcca_protocol import rules, wire
from bcca_protocol.errors import LimitError, MalformedError, SignatureError
from bcca_protocol.history import History
from bcca_protocol.inventory import Vkey
from bcca_protocol.keys import Role, Signer
from bcca_protocol.limits import MAX_BUNDLE_LINE_BYTES
from bcca_protocol.note import Note
from bcca_protocol.recipe import Recipe
from bcca_protocol.wire import HexDigest, Origin, Record, Text, Time, Urn

FORMAT: Final = "bcca/v1 bundle"
Count = Annotated[str, msgspec.Meta(pattern=r"\A(0|[1-9][0-9]{0,18})\Z")]
Base64 = Annotated[str, msgspec.Meta(min_length=4)]
EntryText = Annotated[str, msgspec.Meta(min_length=1)]


class Header(Record, frozen=True, tag_field="type", tag="header"):
    """Who made the bundle, about which roll-up, and for whom (None: for anybody)."""

    format: Annotated[str, msgspec.Meta(pattern=r"\Abcca/v1 bundle\Z")]
    maker: Origin
    product: Urn
    roll_up: HexDigest
    made: Time
    recipient: Origin | None = None


class RuleSet(Record, frozen=True, tag_field="type", tag="rules"):
    """The text of rules that a roll-up names, a line an item."""

    name: Text
    lines: tuple[str, ...]

    @classmethod
    def of(cls, followed: rules.RuleSet) -> Self:
        """Return a text as a bundle carries it."""
        return cls(name=followed.name, lines=tuple(followed.text.split("\n")))

    @property
    def text(self) -> str:
        """The text that was split."""
        return "\n".join(self.lines)


class RecipeLine(Record, frozen=True, tag_field="type", tag="recipe"):
    """The secret recipe of a roll-up, for who was handed this file."""

    roll_up: HexDigest
    recipe: Recipe


class LogLine(Record, frozen=True, tag_field="type", tag="log"):
    """A whole log under a quorum's checkpoint; the note's lines are items, as are the entries."""

    origin: Origin
    key: Vkey
    checkpoint: tuple[str, ...]
    entries: tuple[EntryText, ...]


class StatementLine(Record, frozen=True, tag_field="type", tag="statement"):
    """A statement's envelope, and where its issuer's log holds it."""

    origin: Origin
    index: Count
    envelope: Base64


class Withheld(Record, frozen=True, tag_field="type", tag="withheld"):
    """A statement that was used and may not be shown to the recipient.

    `index` is its entry in the log of `origin`, if that log is in the bundle. Why it is not shown
    is the maker's word.
    """

    commitment: HexDigest
    origin: Origin
    reason: Text
    index: Count | None = None


class End(Record, frozen=True, tag_field="type", tag="end"):
    """The seal: how many lines came before, their digest, and the maker's signature."""

    lines: Count
    sha256: HexDigest
    key: Count
    signature: Base64


Body = RuleSet | RecipeLine | LogLine | StatementLine | Withheld
_DECODER: msgspec.json.Decoder[Header | Body | End] = msgspec.json.Decoder(Header | Body | End)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a bundle says, nothing of it verified: that is `audit`'s to do."""

    header: Header
    rules: tuple[RuleSet, ...]
    recipes: tuple[RecipeLine, ...]
    logs: tuple[LogLine, ...]
    statements: tuple[StatementLine, ...]
    withheld: tuple[Withheld, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A file whose lines are whole: what it says, and its seal."""

    contents: Contents
    end: End


def contents(header: Header, body: Iterable[Body]) -> Contents:
    """Return what a bundle of `header` and `body` says."""
    items = tuple(body)
    return Contents(
        header=header,
        rules=tuple(item for item in items if isinstance(item, RuleSet)),
        recipes=tuple(item for item in items if isinstance(item, RecipeLine)),
        logs=tuple(item for item in items if isinstance(item, LogLine)),
        statements=tuple(item for item in items if isinstance(item, StatementLine)),
        withheld=tuple(item for item in items if isinstance(item, Withheld)),
    )


def write(header: Header, body: Iterable[Body], signer: Signer, key_index: int) -> Iterator[bytes]:
    """Yield the lines of a bundle, sealed by the maker's statement key added at `key_index`."""
    digest, count = hashlib.sha256(), 0
    for item in (header, *body):
        line = wire.encode(item) + b"\n"
        digest.update(line)
        count += 1
        yield line
    end = End(
        lines=str(count),
        sha256=digest.hexdigest(),
        key=str(key_index),
        signature=wire.b64(signer.sign(_sealed(count, digest.hexdigest()))),
    )
    yield wire.encode(end) + b"\n"


def read(lines: Iterable[bytes]) -> Bundle:
    """Return the bundle in `lines`, each with its line feed (SPEC 10.2).

    Raises MalformedError for a line not in its one form, a missing or early end, or another count
    or digest than the end states; LimitError for a line that is too long.
    """
    digest, count = hashlib.sha256(), 0
    header: Header | None = None
    end: End | None = None
    body: list[Body] = []
    for number, line in enumerate(lines, 1):
        item = _item(number, line)
        if end is not None:
            raise MalformedError(f"bundle line {number}: something stands behind the end")
        match item:
            case Header() if header is None and number == 1:
                header = item
            case End():
                end = item
                continue
            case Header():
                raise MalformedError(f"bundle line {number}: a second header")
            case _:
                body.append(item)
        digest.update(line)
        count += 1
    if header is None:
        raise MalformedError("bundle: does not begin with its header")
    if end is None:
        raise MalformedError(f"bundle: cut off after line {count}: its end line is missing")
    _check_end(end, count, digest.hexdigest())
    return Bundle(contents=contents(header, body), end=end)


def verify_seal(bundle: Bundle, maker: History) -> None:
    """Return if the maker sealed the bundle with a statement key still valid, else raise.

    Raises AuthorshipError for a key not valid at the end of the maker's log, SignatureError.
    """
    key = maker.key_at(int(bundle.end.key), maker.size, Role.STATEMENT)
    signature = wire.unb64(bundle.end.signature, "bundle: signature")
    try:
        key.verify(signature, _sealed(int(bundle.end.lines), bundle.end.sha256))
    except SignatureError as error:
        raise SignatureError(f"bundle of {bundle.contents.header.maker}: {error}") from error


def log_line(origin: str, key: str, note: Note, entries: Iterable[bytes]) -> LogLine:
    """Return a log as a bundle carries it."""
    return LogLine(
        origin=origin,
        key=key,
        checkpoint=tuple(note.encode().split("\n")),
        entries=tuple(entry.decode() for entry in entries),
    )


def _item(number: int, line: bytes) -> Header | Body | End:
    if len(line) > MAX_BUNDLE_LINE_BYTES:
        raise LimitError(f"bundle line {number}: over {MAX_BUNDLE_LINE_BYTES} bytes")
    if not line.endswith(b"\n"):
        raise MalformedError(f"bundle line {number}: cut off, it does not end in a line feed")
    what = f"bundle line {number}"
    return wire.decode(line[:-1], _DECODER, what=what, limit=MAX_BUNDLE_LINE_BYTES)


def _check_end(end: End, count: int, digest: str) -> None:
    if int(end.lines) != count:
        raise MalformedError(f"bundle: {count} lines, its end line counts {end.lines}")
    if end.sha256 != digest:
        raise MalformedError(f"bundle: its lines hash to {digest}, its end line has {end.sha256}")


def _sealed(count: int, digest: str) -> bytes:
    return f"{FORMAT}\n{count}\n{digest}\n".encode()
