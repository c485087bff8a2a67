"""A whole log as golang.org/x/mod writes it: keys, checkpoints, tiles and proofs, byte for byte."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bcca_protocol import merkle, tiles
from bcca_protocol.checkpoint import Checkpoint, cosign, sign_checkpoint, verify_cosignature
from bcca_protocol.keys import Algorithm, SeedSigner, VerifierKey
from bcca_protocol.merkle import Tree
from bcca_protocol.note import Note, verify_note
from bcca_protocol.proof import TlogProof
from bcca_protocol.tiles import Tile

SIZES = (0, 1, 2, 3, 5, 8, 255, 256, 257, 300)


def entry_of(index: int) -> bytes:
    """Return the entry that the rule in vectors.json gives."""
    digest = hashlib.sha256(f"entry {index}".encode()).digest()
    length = 0 if index % 17 == 3 else digest[0] + digest[1] % 48
    return (digest.hex() * 5)[:length].encode()


def hashes(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(base64.b64decode(each) for each in texts)


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "vectors/tlog-log-small"


@pytest.fixture(scope="module")
def vectors(folder: Path) -> Any:
    return json.loads((folder / "vectors.json").read_bytes())


@pytest.fixture(scope="module")
def entries() -> list[bytes]:
    return [entry_of(index) for index in range(SIZES[-1])]


@pytest.fixture(scope="module")
def tree(entries: list[bytes]) -> Tree:
    return Tree(map(merkle.leaf_hash, entries))


@pytest.fixture(scope="module")
def read(folder: Path) -> Callable[[Tile], bytes]:
    return lambda tile: (folder / tile.encode()).read_bytes()


@pytest.fixture(scope="module")
def signers(vectors: Any) -> tuple[SeedSigner, ...]:
    """The log, then its two witnesses."""
    cosigner = Algorithm.ED25519_COSIGNATURE
    return tuple(
        SeedSigner(
            name=vkey.split("+")[0],
            algorithm=algorithm,
            seed=bytes.fromhex(vectors[f"{who}SeedHex"]),
        )
        for who, algorithm, vkey in (
            ("log", Algorithm.ED25519, vectors["logVkey"]),
            ("w1", cosigner, vectors["witnessVkeys"][0]),
            ("w2", cosigner, vectors["witnessVkeys"][1]),
        )
    )


def test_the_seeds_make_the_verifier_keys(vectors: Any, signers: tuple[SeedSigner, ...]) -> None:
    made = [signer.key.encode() for signer in signers]

    assert made == [vectors["logVkey"], *vectors["witnessVkeys"]]


@pytest.mark.parametrize("size", SIZES)
def test_a_checkpoint_verifies_and_says_when_it_was_seen(
    folder: Path, vectors: Any, size: int
) -> None:
    text = (folder / f"checkpoints/{size}").read_text()
    note = Note.parse(text)
    keys = [VerifierKey.parse(each) for each in (vectors["logVkey"], *vectors["witnessVkeys"])]

    checkpoint = Checkpoint.parse(note.text)

    assert verify_note(note, keys) == tuple(keys)
    assert (checkpoint.origin, checkpoint.size) == (vectors["origin"], size)
    assert note.encode() == text
    for signature, key, who in zip(note.signatures[1:], keys[1:], ("w1", "w2"), strict=True):
        assert verify_cosignature(signature, note.text, key) == vectors[f"{who}Time"]


@pytest.mark.parametrize("size", SIZES)
def test_signing_and_cosigning_make_the_same_checkpoint(
    folder: Path, vectors: Any, tree: Tree, signers: tuple[SeedSigner, ...], size: int
) -> None:
    checkpoint = Checkpoint(origin=vectors["origin"], size=size, root=tree.root(size))
    log, w1, w2 = signers

    note = sign_checkpoint(checkpoint, [log])
    note = note.with_signatures(
        cosign(note.text, witness, at=at)
        for witness, at in ((w1, vectors["w1Time"]), (w2, vectors["w2Time"]))
    )

    assert note.encode() == (folder / f"checkpoints/{size}").read_text()


def test_the_tiles_of_all_sizes_are_the_files(
    folder: Path, entries: list[bytes], tree: Tree
) -> None:
    made = {}
    for tile in (tile for size in SIZES for tile in tiles.tiles_for(size)):
        first = tile.index * tiles.TILE_WIDTH
        made[tile.encode()] = (
            tiles.encode_entries(entries[first : first + tile.width])
            if tile.level == tiles.ENTRIES
            else tiles.encode_tile(tile, tree.subtree)
        )

    files = [file for file in (folder / "tile").rglob("*") if file.is_file()]

    assert made == {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize("size", SIZES)
def test_the_entries_of_a_size_hash_to_its_root(
    vectors: Any, read: Callable[[Tile], bytes], entries: list[bytes], size: int
) -> None:
    bundles = (tile for tile in tiles.tiles_for(size) if tile.level == tiles.ENTRIES)

    found = [entry for tile in bundles for entry in tiles.decode_entries(read(tile), tile.width)]

    roots = {each["size"]: each["root"] for each in vectors["checkpoints"]}
    assert found == entries[:size]
    assert Tree(map(merkle.leaf_hash, found)).root() == base64.b64decode(roots[size])


@pytest.mark.parametrize("size", SIZES)
def test_the_tiles_of_a_size_hash_to_its_root(
    vectors: Any, read: Callable[[Tile], bytes], size: int
) -> None:
    roots = {each["size"]: each["root"] for each in vectors["checkpoints"]}

    root = merkle.root_hash(size, tiles.subtree_from(read, size))

    assert root == base64.b64decode(roots[size])


def test_inclusion_is_proven_from_tiles_as_it_is_written(
    vectors: Any, tree: Tree, read: Callable[[Tile], bytes]
) -> None:
    for case in vectors["inclusion"]:
        index, size, path = case["index"], case["size"], hashes(case["proof"])
        leaf = base64.b64decode(case["leafHash"])

        merkle.verify_inclusion(leaf, index, size, path, tree.root(size))

        assert merkle.prove_inclusion(index, size, tree.subtree) == path
        assert merkle.prove_inclusion(index, size, tiles.subtree_from(read, size)) == path
    assert len(vectors["inclusion"]) == 34


def test_consistency_is_proven_from_tiles_as_it_is_written(
    vectors: Any, tree: Tree, read: Callable[[Tile], bytes]
) -> None:
    for case in vectors["consistency"]:
        old, new, path = case["old"], case["new"], hashes(case["proof"])

        merkle.verify_consistency(old, new, path, tree.root(old), tree.root(new))

        assert merkle.prove_consistency(old, new, tree.subtree) == path
        assert merkle.prove_consistency(old, new, tiles.subtree_from(read, new)) == path
    assert len(vectors["consistency"]) == 36


def test_every_proof_file_leads_from_its_entry_to_its_checkpoint(
    folder: Path, vectors: Any
) -> None:
    files = sorted((folder / "proofs").glob("*.tlog-proof"))
    key = VerifierKey.parse(vectors["logVkey"])
    for file in files:
        text = file.read_text()
        index, size = map(int, file.stem.split("-"))

        proof = TlogProof.parse(text)
        note = Note.parse(proof.checkpoint)
        checkpoint = Checkpoint.parse(note.text)
        leaf = merkle.leaf_hash((folder / f"proofs/{index}.entry").read_bytes())

        assert verify_note(note, [key]) == (key,)
        merkle.verify_inclusion(leaf, proof.index, checkpoint.size, proof.path, checkpoint.root)
        assert (proof.index, checkpoint.size, proof.encode()) == (index, size, text)
    assert len(files) == 34
