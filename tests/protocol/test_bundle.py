import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, bundle, wire
from bcca_protocol.bundle import End, Header, Withheld
from bcca_protocol.entry import KeyRetire
from bcca_protocol.errors import (
    AuthorshipError,
    BccaError,
    LimitError,
    MalformedError,
    RefusedError,
    SignatureError,
)
from bcca_protocol.limits import MAX_BUNDLE_LINE_BYTES
from bcca_protocol.policy import Policy

Lines = list[bytes]
WITHHELD = (
    b'{"commitment":"' + b"ab" * 32 + b'","index":"3","origin":"o.example","reason":"x",'
    b'"type":"withheld"}\n'
)


@pytest.fixture
def lines(chain: Any) -> Lines:
    """The bundle of a cell made of ore, whose log has one entry more than was needed."""
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "3"))
    found: Lines = chain.bundle("cell")
    return found


@pytest.fixture
def trusted(chain: Any, lines: Lines) -> Policy:
    """A policy that knows every company of `lines`."""
    found: Policy = chain.policy
    return found


def kinds(lines: Lines) -> list[str]:
    return [msgspec.json.decode(line)["type"] for line in lines]


def resealed(lines: Lines) -> Lines:
    """Return lines whose end line counts and hashes them anew, under its old signature."""
    *body, last = lines
    end = msgspec.json.decode(last, type=End)
    digest = hashlib.sha256(b"".join(body)).hexdigest()
    return [
        *body,
        wire.encode(msgspec.structs.replace(end, lines=str(len(body)), sha256=digest)) + b"\n",
    ]


def test_a_bundle_has_a_header_the_rules_logs_statements_and_an_end(lines: Lines) -> None:
    assert kinds(lines) == ["header", "rules", "log", "log", *["statement"] * 3, "end"]


def test_what_was_written_is_read_again(lines: Lines) -> None:
    found = bundle.read(lines)

    assert found.contents.header.format == bundle.FORMAT
    assert [log.origin for log in found.contents.logs] == ["cell.example", "ore.example"]
    assert len(found.contents.statements) == 3
    assert found.end.lines == "7"
    assert found.end.sha256 == hashlib.sha256(b"".join(lines[:-1])).hexdigest()


def test_reading_and_writing_again_gives_the_same_bytes(chain: Any, lines: Lines) -> None:
    found = bundle.read(lines).contents
    body = [*found.rules, *found.logs, *found.statements, *found.withheld]

    assert chain.sealed(found.header, body) == lines


def test_a_bundle_is_read_a_line_at_a_time(lines: Lines) -> None:
    asked = 0

    def one_by_one() -> Any:
        nonlocal asked
        for line in [*lines, b"behind the end\n", b"never asked for\n"]:
            asked += 1
            yield line

    with pytest.raises(MalformedError):
        bundle.read(one_by_one())
    assert asked == len(lines) + 1


def replaced(lines: Lines, at: int, *instead: bytes) -> Lines:
    return [*lines[:at], *instead, *lines[at + 1 :]]


CHANGES: dict[str, Callable[[Lines, int], Lines]] = {
    "dropped": replaced,
    "doubled": lambda lines, i: replaced(lines, i, lines[i], lines[i]),
    "the first one missing": lambda lines, i: lines[:i],
    "moved before the header": lambda lines, i: [lines[i], *replaced(lines, i)],
    "moved behind the end": lambda lines, i: [*replaced(lines, i), lines[i]],
    "swapped with the next": lambda lines, i: [
        *lines[:i], *reversed(lines[i : i + 2]), *lines[i + 2 :]
    ],
    "cut in the middle": lambda lines, i: replaced(lines, i, lines[i][: len(lines[i]) // 2]),
    "without its line feed": lambda lines, i: replaced(lines, i, lines[i][:-1]),
    "joined to the next": lambda lines, i: [
        *lines[:i], b"".join([lines[i][:-1], *lines[i + 1 : i + 2]]), *lines[i + 2 :]
    ],
    "with a space in front": lambda lines, i: replaced(lines, i, b" " + lines[i]),
    "with a carriage return": lambda lines, i: replaced(lines, i, lines[i][:-1] + b"\r\n"),
    "with an empty line behind": lambda lines, i: replaced(lines, i, lines[i], b"\n"),
    "emptied": lambda lines, i: replaced(lines, i, b"{}\n"),
}  # fmt: skip


def changes(lines: Lines, how: str) -> list[Lines]:
    """Return what becomes of a bundle if one line is changed, for each of its lines."""
    changed = [CHANGES[how](lines, i) for i in range(len(lines))]
    return [each for each in changed if each != lines]


@pytest.mark.parametrize("how", CHANGES)
def test_every_line_counts_and_is_refused_if_it_is(lines: Lines, how: str) -> None:
    for changed in changes(lines, how):
        with pytest.raises(MalformedError):
            bundle.read(changed)


@pytest.mark.parametrize("how", ["dropped", "doubled", "swapped with the next"])
def test_a_bundle_counted_anew_is_refused_under_its_old_signature(
    lines: Lines, trusted: Policy, how: str
) -> None:
    for changed in changes(lines, how):
        if kinds(changed)[0] == "header" and kinds(changed)[-2:] == ["statement", "end"]:
            with pytest.raises(RefusedError):
                audit.audit(resealed(changed), trusted)


def test_an_honest_bundle_counted_anew_is_the_same(lines: Lines, trusted: Policy) -> None:
    assert resealed(lines) == lines
    assert audit.audit(lines, trusted).total == 7


@pytest.fixture
def small(chain: Any) -> bytes:
    """The bundle of a cell that is made of nothing."""
    chain.sells("cell", "1")
    return b"".join(chain.bundle("cell"))


def require_refused(changed: bytes, trusted: Policy) -> None:
    with pytest.raises(RefusedError):
        audit.audit(changed.splitlines(keepends=True), trusted)


@pytest.mark.parametrize("flip", [0x01, 0x20])
def test_any_changed_byte_is_refused(chain: Any, small: bytes, flip: int) -> None:
    trusted = chain.policy
    for at in range(len(small)):
        require_refused(small[:at] + bytes([small[at] ^ flip]) + small[at + 1 :], trusted)


def test_any_byte_more_or_less_is_refused(chain: Any, small: bytes) -> None:
    trusted = chain.policy
    for at in [*range(0, len(small), 5), *range(len(small) - 300, len(small))]:
        require_refused(small[:at], trusted)
        require_refused(small[:at] + small[at + 1 :], trusted)
        require_refused(small[:at] + b" " + small[at:], trusted)


@pytest.mark.parametrize("behind", [b"\n", b" ", b"\0", b"{}", b"{}\n"])
def test_something_behind_the_end_is_refused(lines: Lines, behind: bytes) -> None:
    with pytest.raises(MalformedError, match=r"bundle line 9: |bundle line 8: "):
        bundle.read(b"".join([*lines, behind]).splitlines(keepends=True))


def test_a_second_end_is_refused(lines: Lines) -> None:
    with pytest.raises(MalformedError, match="bundle line 9: something stands behind the end"):
        bundle.read([*lines, lines[-1]])


def test_a_second_header_is_refused(chain: Any, lines: Lines) -> None:
    found = bundle.read(lines).contents

    with pytest.raises(MalformedError, match="bundle line 2: a second header"):
        bundle.read(chain.sealed(found.header, [found.header, *found.logs]))


def test_what_does_not_begin_with_its_header_is_refused(lines: Lines) -> None:
    for first in range(1, len(lines)):
        with pytest.raises(MalformedError, match="bundle: does not begin with its header"):
            bundle.read(lines[first:])


def test_nothing_is_no_bundle() -> None:
    with pytest.raises(MalformedError, match="bundle: does not begin with its header"):
        bundle.read([])


def test_a_cut_bundle_says_where_it_ends(lines: Lines) -> None:
    with pytest.raises(MalformedError, match="cut off after line 5: its end line is missing"):
        bundle.read(lines[:5])


def test_another_count_than_the_end_has_is_refused_with_both(lines: Lines) -> None:
    with pytest.raises(MalformedError, match="bundle: 6 lines, its end line counts 7"):
        bundle.read(lines[:3] + lines[4:])


def test_another_digest_than_the_end_has_is_refused_with_both(lines: Lines) -> None:
    changed = [lines[0], *lines[2:4], lines[1], *lines[4:]]
    digest = hashlib.sha256(b"".join(changed[:-1])).hexdigest()

    with pytest.raises(MalformedError, match=f"hash to {digest}, its end line has [0-9a-f]{{64}}"):
        bundle.read(changed)


def test_a_line_over_the_limit_is_refused_before_it_is_read() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return MAX_BUNDLE_LINE_BYTES + 1

    with pytest.raises(LimitError, match=f"bundle line 1: over {MAX_BUNDLE_LINE_BYTES} bytes"):
        bundle.read([Long(b"{}\n")])


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"note"}\n',
        b'{"type":"header"}\n',
        b'{"commitment":"ab","origin":"o.example","reason":"x","type":"withheld"}\n',
        b'{"commitment":"' + b"ab" * 32 + b'","reason":"x","type":"withheld"}\n',  # of nobody
        b"[]\n",
        b"null\n",
        b"[" * 10_000 + b"\n",
        WITHHELD.replace(b'"index":"3",', b"").replace(b"}", b',"index":"3"}'),  # not sorted
        WITHHELD.replace(b'"x"', b'""'),
        WITHHELD.replace(b'"x"', b'"\\u001b[2J"'),
        WITHHELD.replace(b'"origin"', b'"more":"1","origin"'),
        WITHHELD.replace(b'"3"', b"3"),
        WITHHELD.replace(b'"3"', b'"03"'),
        WITHHELD.replace(b'"3"', b'"-1"'),
        WITHHELD.replace(b'"3"', b"null"),
        WITHHELD.replace(b"o.example", b"O.example"),
        WITHHELD.replace(b"o.example", b"https://o.example"),
    ],
)
def test_a_line_that_is_of_no_kind_or_not_in_its_one_form_is_refused_with_its_number(
    lines: Lines, line: bytes
) -> None:
    with pytest.raises(MalformedError, match="bundle line 2: "):
        bundle.read([lines[0], line, *lines[1:]])


def test_a_withheld_line_in_its_one_form_is_read(chain: Any, lines: Lines) -> None:
    found = bundle.read(lines).contents
    line = msgspec.json.decode(WITHHELD, type=Withheld)

    assert WITHHELD in chain.sealed(found.header, [line])
    assert (
        b"index" not in chain.sealed(found.header, [msgspec.structs.replace(line, index=None)])[1]
    )


def test_a_bundle_of_another_version_is_refused(lines: Lines) -> None:
    with pytest.raises(MalformedError, match="bundle line 1: "):
        bundle.read([lines[0].replace(b"bcca/v1 bundle", b"bcca/v2 bundle"), *lines[1:]])


def test_what_was_withheld_is_read_as_written(chain: Any, lines: Lines) -> None:
    found = bundle.read(lines).contents
    hidden = Withheld(commitment="ab" * 32, origin="ore.example", reason="for its customer alone")
    entered = msgspec.structs.replace(hidden, commitment="cd" * 32, index="3")

    again = bundle.read(chain.sealed(found.header, [*found.logs, hidden, entered])).contents

    assert again.withheld == (hidden, entered)


def test_the_seal_of_the_maker_holds(chain: Any, lines: Lines) -> None:
    maker = chain.log(chain.maker("cell")).history

    bundle.verify_seal(bundle.read(lines), maker)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"lines": "8"}, SignatureError),
        ({"sha256": "ab" * 32}, SignatureError),
        ({"signature": wire.b64(bytes(64))}, SignatureError),
        ({"signature": wire.b64(bytes(63))}, SignatureError),
        ({"signature": "AAAA"}, SignatureError),
        ({"signature": "no base64"}, MalformedError),
        ({"key": "0"}, AuthorshipError),
        ({"key": "1"}, AuthorshipError),
        ({"key": "3"}, AuthorshipError),
        ({"key": "9223372036854775807"}, AuthorshipError),
    ],
)
def test_a_seal_with_anything_else_in_it_is_refused(
    chain: Any, lines: Lines, changed: dict[str, str], error: type[BccaError]
) -> None:
    found = bundle.read(lines)
    false = dataclasses.replace(found, end=msgspec.structs.replace(found.end, **changed))

    with pytest.raises(error):
        bundle.verify_seal(false, chain.log(chain.maker("cell")).history)


def test_the_seal_of_somebody_else_is_refused_naming_the_maker(chain: Any, lines: Lines) -> None:
    found = bundle.read(lines).contents
    other = list(bundle.write(found.header, found.logs, chain.maker("ore").statement_key, 2))

    with pytest.raises(SignatureError, match=r"bundle of cell\.example: not signed by cell\.exam"):
        bundle.verify_seal(bundle.read(other), chain.log(chain.maker("cell")).history)


def test_a_seal_by_the_makers_log_key_is_refused(chain: Any, lines: Lines) -> None:
    found = bundle.read(lines).contents
    other = list(bundle.write(found.header, found.logs, chain.maker("cell").log_key, 1))

    with pytest.raises(AuthorshipError, match="a log key, where a statement key belongs"):
        bundle.verify_seal(bundle.read(other), chain.log(chain.maker("cell")).history)


def test_a_seal_by_a_key_retired_since_is_refused(
    chain: Any, lines: Lines, trusted: Policy
) -> None:
    found = bundle.read(lines).contents
    chain.maker("cell").enter(KeyRetire(add=2).encode())
    logs = [chain.log_line(log.origin) for log in found.logs]
    sealed = chain.sealed(found.header, [*found.rules, *logs, *found.statements])

    with pytest.raises(AuthorshipError, match="entry 6 by key 2: retired at entry 5"):
        audit.audit(sealed, trusted)


def test_an_old_signature_over_another_bundle_is_refused(
    chain: Any, lines: Lines, trusted: Policy
) -> None:
    header = msgspec.json.decode(lines[0], type=Header)
    other = msgspec.structs.replace(header, recipient="auditor.example")
    changed = resealed([wire.encode(other) + b"\n", *lines[1:]])

    with pytest.raises(SignatureError, match=r"bundle of cell\.example: not signed by"):
        audit.audit(changed, trusted)
