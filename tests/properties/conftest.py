"""How valid texts are bent: bits, lines, digits, base64, and letters that look alike."""

import re
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

BENT_AT_ONCE = 5  # texts bent from one valid text
Bend = Callable[[bytes, int, int], bytes]
"""(text, a number, another) -> the text bent somewhere that the numbers choose."""

NASTY = tuple(
    text.encode(errors="surrogatepass")
    for text in (
        "\n", "\n\n", "\r", "\r\n", "\t", " ", "\x00", "\x0b", "\x1b[2J", "\x7f", "\x85",
        "\u2028", "\u2029", "\ufeff", "\u200b", "\u202e", "\u00a0", "\u0130", "\ud800",
        "\u0661", "\uff11", "\u0430", "e\u0301", "\u00e9", "\u212a", "— ", "-", "+", "=", "==",
        "A", "0", "00", "1", "-0", "1_0", "1e3", "9" * 18, "1000000000000000000",
        "9223372036854775808", "18446744073709551616", "9" * 400, "\\u0041", "\\n", '"', "{}", ",",
    )
)  # fmt: skip
RAW = (*NASTY, b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5", b"\xe2\x80")
SIXTYFOUR = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
LOOKALIKE = {b"a": "\u0430", b"e": "\u0435", b"o": "\u043e", b"1": "\u0661", b"0": "\uff10",
             b" ": "\u00a0", b"-": "\u2010", b"/": "\u2044", b".": "\u3002"}  # fmt: skip


def flip(data: bytes, a: int, b: int) -> bytes:
    at = a % len(data)
    return data[:at] + bytes([data[at] ^ (1 << b % 8)]) + data[at + 1 :]


def insert(data: bytes, a: int, b: int) -> bytes:
    at = a % (len(data) + 1)
    return data[:at] + RAW[b % len(RAW)] + data[at:]


def overwrite(data: bytes, a: int, b: int) -> bytes:
    at = a % len(data)
    return data[:at] + RAW[b % len(RAW)] + data[at + 1 :]


def cut(data: bytes, a: int, b: int) -> bytes:
    start = a % len(data)
    return data[:start] + data[start + 1 + b % 8 :]


def cut_off(data: bytes, a: int, b: int) -> bytes:
    return data[: a % (len(data) + 1)]


def repeat(data: bytes, a: int, b: int) -> bytes:
    start = a % len(data)
    return data[:start] + data[start : start + 1 + b % 50] * 2 + data[start + 1 + b % 50 :]


def drop_line(data: bytes, a: int, b: int) -> bytes:
    parts = data.split(b"\n")
    del parts[a % len(parts)]
    return b"\n".join(parts)


def repeat_line(data: bytes, a: int, b: int) -> bytes:
    parts = data.split(b"\n")
    parts.insert(a % (len(parts) + 1), parts[b % len(parts)])
    return b"\n".join(parts)


def swap_lines(data: bytes, a: int, b: int) -> bytes:
    parts = data.split(b"\n")
    a, b = a % len(parts), b % len(parts)
    parts[a], parts[b] = parts[b], parts[a]
    return b"\n".join(parts)


def other_line_ends(data: bytes, a: int, b: int) -> bytes:
    return data.replace(b"\n", (b"\r\n", b"\r", b"\x0b", "\u2028".encode(), b"\n\n")[b % 5])


def respell_number(data: bytes, a: int, b: int) -> bytes:
    """Write one number in another way, or another number."""
    found = list(re.finditer(rb"[0-9]+", data))
    if not found:
        return data
    one = found[a % len(found)]
    digits = one[0]
    ways = (b"0" + digits, b"+" + digits, digits + b".0", digits + b"_0", b" " + digits, b"-1",
            b"1" + b"0" * 18, b"9223372036854775808", b"9" * 30, b"1e3", b"", b"0x1",
            "".join(chr(0x660 + each - 48) for each in digits).encode())  # fmt: skip
    return data[: one.start()] + ways[b % len(ways)] + data[one.end() :]


def respell_base64(data: bytes, a: int, b: int) -> bytes:
    """Write one base64 text in another way: trailing bits, padding, the other alphabet."""
    found = list(re.finditer(rb"[A-Za-z0-9+/]{7,}={0,2}", data))
    if not found:
        return data
    one = found[a % len(found)]
    body, padding = one[0].rstrip(b"="), one[0][len(one[0].rstrip(b"=")) :]
    last = SIXTYFOUR.index(body[-1:])
    ways = (body[:-1] + SIXTYFOUR[last ^ 1 : (last ^ 1) + 1] + padding, body, one[0] + b"=",
            one[0].translate(bytes.maketrans(b"+/", b"-_")), body[:4] + b"\n" + body[4:] + padding,
            body[:4] + b" " + body[4:] + padding, body + b"=" + body, one[0] + b"AAAA",
            body[:4] + b"=" + body[4:] + padding)  # fmt: skip
    return data[: one.start()] + ways[b % len(ways)] + data[one.end() :]


def respell_letter(data: bytes, a: int, b: int) -> bytes:
    """Put a letter that looks alike, or the other case."""
    at = a % len(data)
    one = data[at : at + 1]
    other = LOOKALIKE.get(one, "").encode() if b % 2 else one.swapcase()
    return data[:at] + (other or one.swapcase()) + data[at + 1 :]


def escape_letter(data: bytes, a: int, b: int) -> bytes:
    at = a % len(data)
    return data[:at] + b"\\u%04x" % data[at] + data[at + 1 :]


def reverse_members(data: bytes, a: int, b: int) -> bytes:
    """Reverse what stands between commas somewhere: JSON in another order."""
    parts = data.split(b",")
    a, b = sorted((a % len(parts), b % len(parts)))
    return b",".join(parts[:a] + parts[a : b + 1][::-1] + parts[b + 1 :])


BENDS: tuple[Bend, ...] = (
    flip, insert, overwrite, cut, cut_off, repeat, drop_line, repeat_line, swap_lines,
    other_line_ends, respell_number, respell_base64, respell_letter, escape_letter,
    reverse_members,
)  # fmt: skip
numbers = st.integers(0, 100_000)


@st.composite
def _bent(draw: DrawFn, texts: SearchStrategy[bytes]) -> list[bytes]:
    """Return texts made from one valid text by one bend, or two after another."""
    valid = draw(texts)
    found = []
    for _ in range(BENT_AT_ONCE):
        text = valid
        for each in draw(st.lists(st.sampled_from(BENDS), min_size=1, max_size=2)):
            if text:
                text = each(text, draw(numbers), draw(numbers))
        found.append(text)
    return found


@pytest.fixture(scope="session")
def bent() -> Callable[[SearchStrategy[bytes]], SearchStrategy[list[bytes]]]:
    """Return what makes bent texts of valid ones."""
    return _bent


@pytest.fixture(scope="session")
def noise() -> SearchStrategy[bytes]:
    """Return bytes, and marks that readers stumble over."""
    return st.binary(max_size=200) | st.lists(st.sampled_from(RAW)).map(b"".join)
