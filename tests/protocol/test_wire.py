import re
from typing import Any

import msgspec
import pytest

from bcca_protocol import statement, wire
from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.limits import MAX_NUMBER_CHARS, MAX_STATEMENT_BYTES, MAX_TEXT_CHARS
from bcca_protocol.wire import Number, Record, Text

STATEMENT = (
    b'{"_type":"https://in-toto.io/Statement/v1",'
    b'"predicate":{'
    b'"activities":[],'
    b'"declaredUnit":{"amount":"1","unit":"kg"},'
    b'"footprint":{},'
    b'"inputs":[],'
    b'"issuer":"maker.example",'
    b'"method":{"electricity":"market","gwp":"AR6","recycling":"cutOff","standards":[]},'
    b'"nonce":"AAAAAAAAAAAAAAAAAAAAAA==",'
    b'"output":{"amount":"2.50","unit":"kg"},'
    b'"period":{"end":"2026-01-01T00:00:00Z","start":"2025-01-01T00:00:00Z"},'
    b'"producer":{"name":"Maker"},'
    b'"product":{"id":"urn:test:cell","name":"cell"},'
    b'"sharing":"public"},'
    b'"predicateType":"urn:bcca:partial-footprint:v1",'
    b'"subject":[{"digest":{"sha256":"'
    b"0000000000000000000000000000000000000000000000000000000000000000"
    b'"},"name":"urn:test:cell"}]}'
)

CONTROLS = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff",
]
SHOWN = ["é", "电池", "🔋", '"', "\\", "\\\\", "\\n", "\\u001b", "a/b", "<b>", "\u200d", " "]

FULLWIDTH_ONE, ARABIC_ONE, MINUS = "\uff11", "\u0661", "\u2212"

NUMBERS = [
    "0", "1", "-1", "10", "1.0", "0.0", "0.10", "-0.5", "-0.01", "123456.789000", "9" * 34,
    "0." + "3" * 34, "1" + "0" * (MAX_NUMBER_CHARS - 1),
]  # fmt: skip
NO_NUMBERS = [
    "1E-7", "1e-7", "1E5", "1e+5", "0E0", "-0", "-0.0", "-0.000", "1\n", "\n1", "1\r", " 1", "1 ",
    "", "-", "+", ".", "+1", "--1", "1-", "01", "00", "-01", "00.1", "1.", ".5", "-.5", "1..2",
    "1,5", "1_000", "1'000", "0x10", "0b1", "½", "²", "१२", "๑", "߁", FULLWIDTH_ONE, ARABIC_ONE,
    f"1.{ARABIC_ONE}", "1\u066b5", f"{MINUS}1", "NaN", "nan", "sNaN", "inf", "Infinity",
    "-Infinity", "None", "true", "1/2", "1kg", "1" + "0" * MAX_NUMBER_CHARS,
    "0." + "0" * MAX_NUMBER_CHARS + "1",
]  # fmt: skip
NO_WHOLE_NUMBERS = [
    "", "-1", "+1", "01", "00", "1.0", "1e3", " 1", "1\n", "1_0", "²", ARABIC_ONE, FULLWIDTH_ONE,
    "1" * 20,
]  # fmt: skip
NO_BASE64 = [
    "AA", "AA=", "AA===", "A", "AB==", "AAB=", "AA==\n", " AA==", "AA ==", "A-==", "A_A=", "=AA=",
    "AA==AA==", "AAAA====", "é", "\uff21\uff21==", "\x00AA=",
]  # fmt: skip


class Thing(Record, frozen=True):
    """Something to write."""

    name: Text
    amount: Number = "1"
    a_note: Text | None = None
    joint: bool = False


THING = msgspec.json.Decoder(Thing)


def decode(data: bytes) -> Thing:
    return wire.decode(data, THING, what="thing", limit=10_000)


def changed(old: bytes, new: bytes) -> bytes:
    assert STATEMENT.count(old) == 1, f"{old!r} does not stand there once"
    return STATEMENT.replace(old, new)


def quoted(text: str) -> bytes:
    """Return how the encoder writes a text."""
    return msgspec.json.encode(text)


def test_a_statement_reads_back_what_it_writes() -> None:
    assert wire.encode(statement.decode(STATEMENT)) == STATEMENT


def test_names_are_camel_case_sorted_and_defaults_are_left_out() -> None:
    assert wire.encode(Thing(name="n")) == b'{"name":"n"}'
    assert wire.encode(Thing(name="n", amount="2", a_note="x", joint=True)) == (
        b'{"aNote":"x","amount":"2","joint":true,"name":"n"}'
    )


ATTACKS: dict[str, tuple[bytes, bytes]] = {
    "a duplicate key": (b'"activities":[]', b'"activities":[],"activities":[]'),
    "a duplicate key with another value": (b'"sharing"', b'"sharing":"direct","sharing"'),
    "a duplicate key in a nested object": (b'{"end"', b'{"end":"2025-06-01T00:00:00Z","end"'),
    "a duplicate key spelt with an escape": (b'"sharing"', b'"shar\\u0069ng":"direct","sharing"'),
    "a whole JSON number": (b'"amount":"1"', b'"amount":1'),
    "a JSON number with a fraction": (b'"amount":"2.50"', b'"amount":2.5'),
    "a boolean for a text": (b'"name":"Maker"', b'"name":true'),
    "null for an optional field": (b'"sharing"', b'"massKg":null,"sharing"'),
    "null for a required field": (b'"name":"Maker"', b'"name":null'),
    "a missing field": (b'"sharing":"public"', b'"site":{"id":"s"}'),
    "an unknown field": (b'"sharing"', b'"secret":"1","sharing"'),
    "an unknown nested field": (b'"name":"Maker"', b'"name":"Maker","vat":"1"'),
    "a field in snake case": (b'"declaredUnit"', b'"declared_unit"'),
    "a default written out": (b'"gwp":"AR6"', b'"gwp":"AR6","massBalance":false'),
    "another order": (b'"amount":"1","unit":"kg"', b'"unit":"kg","amount":"1"'),
    "a space after a colon": (b'"inputs":', b'"inputs": '),
    "a line break between fields": (b',"inputs"', b',\n"inputs"'),
    "an escape that is not needed": (b'"Maker"', b'"\\u004daker"'),
    "an escaped slash": (b"https://in-toto", b"https:\\/\\/in-toto"),
    "an escaped letter beyond ASCII": (b'"Maker"', b'"Mak\\u00e9r"'),
    "upper case in an escape": (b'"Maker"', b'"Maker\\u001B"'),
    "a lone surrogate": (b'"Maker"', b'"Mak\\ud800er"'),
    "a lone surrogate as bytes": (b'"Maker"', b'"Mak\xed\xa0\x80er"'),
    "an overlong encoding": (b'"Maker"', b'"Mak\xc0\xafer"'),
    "Latin-1": (b'"Maker"', b'"Mak\xe9r"'),
    "an unescaped line break in a text": (b'"Maker"', b'"Mak\ner"'),
    "an unescaped NUL in a text": (b'"Maker"', b'"Mak\x00er"'),
    "an empty text": (b'"Maker"', b'""'),
    "a list for an object": (b'"footprint":{}', b'"footprint":[]'),
    "another tag": (b"urn:bcca:partial-footprint:v1", b"urn:bcca:partial-footprint:v2"),
    "another in-toto version": (b"Statement/v1", b"Statement/v0.1"),
    "two subjects": (b'"subject":[', b'"subject":[{"digest":{},"name":"urn:test:x"},'),
    "a unit that is not in the table": (b'"unit":"kg"},"footprint"', b'"unit":"KG"},"footprint"'),
    "an alias of a unit": (b'"unit":"kg"},"footprint"', b'"unit":"kilogram"},"footprint"'),
    "an issuer in capitals": (b"maker.example", b"Maker.example"),
    "an issuer with a line break": (b"maker.example", b"maker.example\\n"),
    "a URN in capitals": (b'"id":"urn:test', b'"id":"URN:test'),
    "a URN with a space": (b'"id":"urn:test:cell"', b'"id":"urn:test:a cell"'),
    "a time without a zone": (b"2026-01-01T00:00:00Z", b"2026-01-01T00:00:00"),
    "a time with an offset": (b"2026-01-01T00:00:00Z", b"2026-01-01T00:00:00+00:00"),
    "a time with fractions": (b"2026-01-01T00:00:00Z", b"2026-01-01T00:00:00.0Z"),
    "a nonce with spare bits": (b"AAAAAAAAAAAAAAAAAAAAAA==", b"AAAAAAAAAAAAAAAAAAAAAB=="),
    "a nonce of 15 bytes": (b"AAAAAAAAAAAAAAAAAAAAAA==", b"AAAAAAAAAAAAAAAAAAAA"),
    "a digest in capitals": (b'"sha256":"0', b'"sha256":"A'),
}


@pytest.mark.parametrize(("old", "new"), ATTACKS.values(), ids=ATTACKS)
def test_a_statement_in_any_other_form_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(MalformedError, match=r"^statement: "):
        statement.decode(changed(old, new))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b" " + STATEMENT,
        STATEMENT + b"\n",
        STATEMENT + b"{}",
        b"\xef\xbb\xbf" + STATEMENT,
        STATEMENT[:-1],
        STATEMENT.decode().encode("utf-16"),
    ],
)
def test_what_is_not_exactly_one_statement_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"^statement: "):
        statement.decode(data)


def test_every_byte_changed_is_refused_or_read_back_as_it_is() -> None:
    for at in range(len(STATEMENT)):
        data = STATEMENT[:at] + bytes([STATEMENT[at] ^ 1]) + STATEMENT[at + 1 :]
        try:
            found = statement.decode(data)
        except MalformedError:
            continue

        assert wire.encode(found) == data


@pytest.mark.parametrize("text", NUMBERS)
def test_a_plain_decimal_is_a_number_and_stays_as_it_was_written(text: str) -> None:
    data = b'{"amount":"' + text.encode() + b'","name":"n"}'
    if text == "1":
        data = b'{"name":"n"}'

    assert decode(data).amount == text
    assert wire.encode(decode(data)) == data


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_nothing_else_is_a_number(text: str) -> None:
    data = b'{"amount":' + quoted(text) + b',"name":"n"}'

    with pytest.raises(MalformedError, match=r"^thing: "):
        decode(data)


@pytest.mark.parametrize("control", CONTROLS, ids=[f"U+{ord(c):04X}" for c in CONTROLS])
def test_what_a_terminal_or_a_page_would_obey_is_refused_and_not_repeated(control: str) -> None:
    data = changed(b'"name":"cell"', b'"name":' + quoted(f"cell{control}[31m"))

    with pytest.raises(MalformedError) as refused:
        statement.decode(data)

    assert control not in str(refused.value)


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_only_shown_is_read(text: str) -> None:
    data = changed(b'"name":"cell"', b'"name":' + quoted(f"cell{text}"))

    assert statement.decode(data).predicate.product.name == f"cell{text}"


def test_an_escaped_backslash_does_not_hide_a_control_character() -> None:
    for slashes in range(1, 6):
        text = "\\" * slashes
        assert decode(b'{"name":' + quoted(text + "n") + b"}").name == text + "n"
        with pytest.raises(MalformedError, match="control characters"):
            decode(b'{"name":' + quoted(text + "\n") + b"}")


def test_ten_megabytes_are_refused_before_they_are_read() -> None:
    data = changed(b'"Maker"', b'"' + b"M" * 10_000_000 + b'"')

    with pytest.raises(
        LimitError, match=rf"{len(data)} bytes, where at most {MAX_STATEMENT_BYTES}"
    ):
        statement.decode(data)


@pytest.mark.parametrize("depth", [10_000, 100_000])
@pytest.mark.parametrize(
    ("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'{"predicate":', b"}")]
)
def test_json_ten_thousand_deep_is_refused(opening: bytes, closing: bytes, depth: int) -> None:
    deep = opening * depth + b"1" + closing * depth
    for data in (deep, changed(b'"footprint":{}', b'"footprint":' + deep), opening * depth):
        if len(data) <= MAX_STATEMENT_BYTES:
            with pytest.raises(MalformedError):
                statement.decode(data)


def test_a_text_has_a_longest_length_in_characters() -> None:
    longest = "电" * MAX_TEXT_CHARS

    assert decode(b'{"name":' + quoted(longest) + b"}").name == longest
    with pytest.raises(MalformedError, match=f"length <= {MAX_TEXT_CHARS}"):
        decode(b'{"name":' + quoted(longest + "池") + b"}")


def test_a_refusal_shows_the_first_place_at_which_the_two_forms_differ() -> None:
    with pytest.raises(MalformedError, match=r"at byte 11 it has ' }', where '}' belongs"):
        decode(b'{"name":"n" }')


def test_a_refusal_of_many_unknown_bytes_is_short() -> None:
    with pytest.raises(MalformedError) as refused:
        decode(b'{"name":"n"}' + b" " * 5_000)

    assert len(str(refused.value)) < 300


def test_read_takes_any_form_and_still_only_the_type() -> None:
    assert wire.read(b'{ "name" : "\\u006e" }', THING, what="thing") == Thing(name="n")
    with pytest.raises(MalformedError, match="unknown field"):
        wire.read(b'{"name":"n","x":1}', THING, what="thing")


@pytest.mark.parametrize("size", range(70))
def test_base64_reads_back_what_it_writes(size: int) -> None:
    data = bytes(range(size))

    assert wire.unb64(wire.b64(data), "it") == data
    assert wire.unb64(wire.b64(data), "it", size) == data


# What nobody sees: of no width, fillers, tags, and joiners where nothing is joined.
HIDDEN = [
    *"\u00ad\u034f\u115f\u1160\u180e\u200b\u200c\u200d\u2060\u2061\u2064\u206f\u3164\uffa0",
    "\U000e0001",
    "\U000e0041",
]


@pytest.mark.parametrize("text", NO_BASE64)
def test_base64_in_any_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^it: "):
        wire.unb64(text, "it")


def test_base64_of_another_size_is_refused() -> None:
    with pytest.raises(MalformedError, match="it: 3 bytes, where 32 belong"):
        wire.unb64("AAAA", "it", 32)


def test_whole_numbers_read_back_what_they_write() -> None:
    for value in [*range(1_200), 2**63 - 1, 10**18]:
        assert wire.decimal_int(str(value), "it") == value


@pytest.mark.parametrize("text", NO_WHOLE_NUMBERS)
def test_nothing_else_is_a_whole_number(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^it: "):
        wire.decimal_int(text, "it")


def test_what_is_shown_of_a_stranger_holds_nothing_a_terminal_obeys() -> None:
    text = "".join(CONTROLS)

    assert wire.showable("cell \x1b[31m") == "cell \\u001b[31m"
    assert not re.search("|".join(map(re.escape, CONTROLS)), wire.showable(text))
    seen = "".join(SHOWN).replace("\u200d", "")  # a joiner that joins nothing
    assert wire.showable(seen) == seen


@pytest.mark.parametrize("hidden", HIDDEN)
def test_two_names_that_look_alike_are_not_shown_alike(hidden: str) -> None:
    assert wire.showable(f"oem{hidden}.example") != f"oem{hidden}.example"
    assert wire.showable(f"oem{hidden}.example").isascii()


@pytest.mark.parametrize(
    "text",
    [
        "正极材料\uff08杭州\uff09有限公司",
        "한국전지",
        "電池のメーカー\uff21\uff22",
        "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",
        "\u0915\u094d\u200d\u0937",
        "Öl & Co. \u2013 Werk",
    ],
)
def test_names_in_any_script_are_shown_as_they_are(text: str) -> None:
    assert wire.showable(text) == text


def test_a_statement_may_hold_what_is_not_seen() -> None:
    wire.refuse_controls('{"name":"a\u200bb\u00adc"}'.encode(), "it")


def test_values_are_frozen() -> None:
    thing: Any = Thing(name="n")

    with pytest.raises(AttributeError):
        thing.name = "other"
