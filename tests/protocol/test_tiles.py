import pytest

from bcca_protocol import merkle, tiles
from bcca_protocol.errors import LimitError, MalformedError, ProofError
from bcca_protocol.merkle import Tree
from bcca_protocol.tiles import ENTRIES, Tile

# Around each size at which a log gets another tile, or another level of tiles.
SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 513, 700, 65_535, 65_536, 65_537, 65_793]


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(merkle.leaf_hash(index.to_bytes(4)) for index in range(SIZES[-1]))


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(level=0, index=0), "tile/0/000"),
        (Tile(level=0, index=0, width=1), "tile/0/000.p/1"),
        (Tile(level=1, index=7, width=255), "tile/1/007.p/255"),
        (Tile(level=63, index=999), "tile/63/999"),
        (Tile(level=2, index=1_000), "tile/2/x001/000"),
        (Tile(level=0, index=1_234_067), "tile/0/x001/x234/067"),
        (Tile(level=ENTRIES, index=1_234_067, width=9), "tile/entries/x001/x234/067.p/9"),
        (Tile(level=0, index=(2**63 - 1) // 256), "tile/0/x036/x028/x797/x018/x963/967"),
    ],
)
def test_a_tile_has_one_path(tile: Tile, path: str) -> None:
    assert tile.encode() == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/x000/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/8/0/000",
        "tile/0/000.p",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/1/",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "/tile/0/000",
        "tile/0/../000",
        "tile/entries/000.p/0",
        "tile/0/x001/x001/x001/x001/x001/x001/001",
    ],
)
def test_another_path_is_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        Tile.parse(path)


def test_a_tile_after_the_last_possible_entry_is_refused() -> None:
    with pytest.raises(LimitError, match="the last possible is 36028797018963967"):
        Tile.parse("tile/0/x036/x028/x797/x018/x963/968")


def test_a_log_of_70_000_has_the_tiles_of_the_specification() -> None:
    served = list(tiles.tiles_for(70_000))

    for level in (ENTRIES, 0):
        at_level = [tile for tile in served if tile.level == level]
        assert at_level == [
            *(Tile(level=level, index=index) for index in range(273)),
            Tile(level=level, index=273, width=112),
        ]
    assert [tile.encode() for tile in served if tile.level > 0] == [
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]


@pytest.mark.parametrize("size", SIZES)
def test_the_tiles_of_a_size_give_its_root_and_its_proofs(tree: Tree, size: int) -> None:
    served = set(tiles.tiles_for(size))

    def read(tile: Tile) -> bytes:
        assert tile in served
        return tiles.encode_tile(tile, tree.subtree)

    subtree = tiles.subtree_from(read, size)

    assert merkle.root_hash(size, subtree) == tree.root(size)
    for index in {0, size // 2, size - 1} if size else ():
        expected = merkle.prove_inclusion(index, size, tree.subtree)
        assert merkle.prove_inclusion(index, size, subtree) == expected
    for old in {1, size // 3, size - 1} if size > 3 else ():
        expected = merkle.prove_consistency(old, size, tree.subtree)
        assert merkle.prove_consistency(old, size, subtree) == expected


def test_every_subtree_computed_from_tiles_is_that_of_the_tree(tree: Tree) -> None:
    size = 700
    subtree = tiles.subtree_from(lambda tile: tiles.encode_tile(tile, tree.subtree), size)

    for level in range(size.bit_length()):
        for index in range(size >> level):
            assert subtree(level, index) == tree.subtree(level, index)


@pytest.mark.parametrize(("level", "index"), [(-1, 0), (0, -1), (0, 700), (8, 2), (10, 0)])
def test_a_subtree_outside_the_size_is_refused_before_a_tile_is_read(
    level: int, index: int
) -> None:
    def read(tile: Tile) -> bytes:
        raise AssertionError(tile)

    subtree = tiles.subtree_from(read, 700)

    with pytest.raises(ProofError, match="under 700 leaves"):
        subtree(level, index)


@pytest.mark.parametrize("length", [0, 1, 187 * 32, 188 * 32 - 1, 188 * 32 + 1, 256 * 32])
def test_a_tile_of_another_length_is_refused(length: int) -> None:
    subtree = tiles.subtree_from(lambda _: bytes(length), 700)

    with pytest.raises(ProofError, match=f"tile/0/002.p/188: {length} bytes, not 6016"):
        subtree(0, 699)


def test_a_changed_tile_gives_another_root(tree: Tree) -> None:
    def read(tile: Tile) -> bytes:
        content = tiles.encode_tile(tile, tree.subtree)
        return content[:-1] + bytes([content[-1] ^ 1])

    assert merkle.root_hash(700, tiles.subtree_from(read, 700)) != tree.root(700)


@pytest.mark.parametrize("entries", [(), (b"",), (b"one",), (b"", b"two", b"x" * 65_535)])
def test_a_bundle_reads_back_what_it_writes(entries: tuple[bytes, ...]) -> None:
    bundle = tiles.encode_entries(entries)

    assert tiles.decode_entries(bundle, len(entries)) == entries


@pytest.mark.parametrize("width", [0, 1, 3, 256])
def test_a_bundle_of_another_number_of_entries_is_refused(width: int) -> None:
    bundle = tiles.encode_entries([b"one", b"two"])

    with pytest.raises(MalformedError, match=f"bundle of {width} entries: 10 bytes"):
        tiles.decode_entries(bundle, width)


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_bundle_cut_short_is_refused(cut: int) -> None:
    bundle = tiles.encode_entries([b"one", b"two"])

    with pytest.raises(MalformedError):
        tiles.decode_entries(bundle[:-cut], 2)


def test_an_entry_over_65_535_bytes_has_no_place_in_a_bundle() -> None:
    with pytest.raises(LimitError, match="entry of 65536 bytes"):
        tiles.encode_entries([bytes(65_536)])
