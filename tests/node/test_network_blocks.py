"""Lines of statements put together as bytes are those that an encoder of JSON writes."""

import base64
import json
from collections.abc import Sequence

import pytest

from bcca_node.network.lines import Item, decode_lines, encode_blocks, encode_lines

ITEMS = [
    Item(commitment=f"{number:064x}", index=number * 10**15, envelope=bytes(range(number % 256)))
    for number in range(300)
] + [Item(commitment="f" * 64, index=7, envelope=b"{}", origin="mine.example/bcca")]


def as_json(items: Sequence[Item]) -> list[bytes]:
    lines: list[dict[str, str]] = []
    for item in items:
        envelope = base64.b64encode(item.envelope).decode()
        line = {"commitment": item.commitment, "envelope": envelope, "index": str(item.index)}
        lines.append(line if item.origin is None else {**line, "origin": item.origin})
    lines.append({"count": str(len(items))})
    return [
        json.dumps(line, separators=(",", ":"), sort_keys=True).encode() + b"\n" for line in lines
    ]


@pytest.mark.parametrize("items", [[], ITEMS[:1], ITEMS])
def test_each_line_is_what_an_encoder_of_json_writes(items: list[Item]) -> None:
    assert list(encode_lines(items)) == as_json(items)
    assert decode_lines(b"".join(encode_lines(items))) == items


@pytest.mark.parametrize("size", [1, 500, 4_096, 10**6])
def test_blocks_of_any_size_hold_whole_lines_and_nothing_else(size: int) -> None:
    blocks = list(encode_blocks(ITEMS, size))
    assert b"".join(blocks) == b"".join(as_json(ITEMS))
    assert all(block.endswith(b"\n") for block in blocks)
