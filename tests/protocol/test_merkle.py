import hashlib
from itertools import pairwise

import pytest

from bcca_protocol import merkle
from bcca_protocol.errors import ProofError
from bcca_protocol.merkle import Tree, leaf_hash, node_hash

SIZES = range(1, 18)
LEAVES = [leaf_hash(str(index).encode()) for index in range(70)]
OTHER = hashlib.sha256(b"another").digest()


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(LEAVES)


def root_by_definition(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it is written there."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node_hash(root_by_definition(leaves[:k]), root_by_definition(leaves[k:]))


def path_by_definition(index: int, leaves: list[bytes]) -> tuple[bytes, ...]:
    """RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return ()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if index < k:
        return (*path_by_definition(index, leaves[:k]), root_by_definition(leaves[k:]))
    return (*path_by_definition(index - k, leaves[k:]), root_by_definition(leaves[:k]))


def tampered(path: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """Every way to lose, add, swap or change one hash."""
    places = range(len(path))
    return [
        *((*path[:at], *path[at + 1 :]) for at in places),
        *((*path[:at], OTHER, *path[at:]) for at in range(len(path) + 1)),
        *((*path[:at], OTHER, *path[at + 1 :]) for at in places),
        *((*path[:at], path[at] + b"\0", *path[at + 1 :]) for at in places),
        *((*path[:at], path[at][:-1], *path[at + 1 :]) for at in places),
        *((*path[:a], path[b], path[a], *path[b + 1 :]) for a, b in pairwise(places)),
    ]


@pytest.mark.parametrize("size", range(70))
def test_the_root_is_that_of_the_definition(tree: Tree, size: int) -> None:
    assert tree.root(size) == root_by_definition(LEAVES[:size])


def test_a_tree_grows_leaf_by_leaf() -> None:
    tree = Tree()

    assert tree.root() == merkle.EMPTY_ROOT
    for size, leaf in enumerate(LEAVES, 1):
        tree.append(leaf)
        assert (tree.size, tree.root()) == (size, root_by_definition(LEAVES[:size]))


@pytest.mark.parametrize(("level", "index"), [(-1, 0), (0, -1), (0, 70), (1, 35), (6, 1), (7, 0)])
def test_a_subtree_that_is_not_full_is_refused(tree: Tree, level: int, index: int) -> None:
    with pytest.raises(ProofError, match="under 70 leaves"):
        tree.subtree(level, index)


@pytest.mark.parametrize("size", [-1, 71])
def test_a_tree_has_no_root_of_more_leaves_than_it_holds(tree: Tree, size: int) -> None:
    with pytest.raises(ProofError):
        tree.root(size)


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_is_proven_to_be_in_and_nothing_else_is(tree: Tree, size: int) -> None:
    root = tree.root(size)
    for index in range(size):
        path = merkle.prove_inclusion(index, size, tree.subtree)

        merkle.verify_inclusion(LEAVES[index], index, size, path, root)

        assert path == path_by_definition(index, LEAVES[:size])
        for other in [each for each in range(size + 1) if each != index]:
            with pytest.raises(ProofError):
                merkle.verify_inclusion(LEAVES[index], other, size, path, root)
        with pytest.raises(ProofError):
            merkle.verify_inclusion(OTHER, index, size, path, root)
        with pytest.raises(ProofError):
            merkle.verify_inclusion(LEAVES[index], index, size, path, OTHER)


@pytest.mark.parametrize("size", SIZES)
def test_a_path_with_any_hash_lost_added_swapped_or_changed_is_refused(
    tree: Tree, size: int
) -> None:
    for index in range(size):
        for path in tampered(merkle.prove_inclusion(index, size, tree.subtree)):
            with pytest.raises(ProofError):
                merkle.verify_inclusion(LEAVES[index], index, size, path, tree.root(size))


@pytest.mark.parametrize("new", SIZES)
def test_every_beginning_of_a_tree_is_consistent_and_no_other_is(tree: Tree, new: int) -> None:
    root = tree.root(new)
    for old in range(new + 1):
        path = merkle.prove_consistency(old, new, tree.subtree)

        merkle.verify_consistency(old, new, path, tree.root(old), root)

        with pytest.raises(ProofError):
            merkle.verify_consistency(old, new, path, OTHER, root)
        for other in [each for each in range(1, new + 2) if each != old]:
            with pytest.raises(ProofError):
                merkle.verify_consistency(other, new, path, tree.root(old), root)


@pytest.mark.parametrize("new", SIZES)
def test_two_trees_that_disagree_are_not_consistent(tree: Tree, new: int) -> None:
    for old in range(1, new):
        fork = Tree([OTHER, *LEAVES[1:]])
        path = merkle.prove_consistency(old, new, tree.subtree)
        forked = merkle.prove_consistency(old, new, fork.subtree)

        for proof in (path, forked):
            with pytest.raises(ProofError):
                merkle.verify_consistency(old, new, proof, tree.root(old), fork.root(new))


@pytest.mark.parametrize("new", SIZES)
def test_a_consistency_proof_with_any_hash_lost_added_swapped_or_changed_is_refused(
    tree: Tree, new: int
) -> None:
    for old in range(new + 1):
        for path in tampered(merkle.prove_consistency(old, new, tree.subtree)):
            with pytest.raises(ProofError):
                merkle.verify_consistency(old, new, path, tree.root(old), tree.root(new))


def test_the_empty_tree_has_one_root(tree: Tree) -> None:
    merkle.verify_consistency(0, 0, (), merkle.EMPTY_ROOT, merkle.EMPTY_ROOT)

    for old_root, new_root in ((OTHER, OTHER), (bytes(32), tree.root(5))):
        with pytest.raises(ProofError, match="root of 0"):
            merkle.verify_consistency(0, 5, (), old_root, new_root)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 5), (5, 5), (0, -1)])
def test_a_leaf_outside_the_tree_is_refused(tree: Tree, index: int, size: int) -> None:
    with pytest.raises(ProofError, match="not in a tree"):
        merkle.verify_inclusion(LEAVES[0], index, size, (), LEAVES[0])
    with pytest.raises(ProofError, match="not in a tree"):
        merkle.prove_inclusion(index, size, tree.subtree)


@pytest.mark.parametrize(("old", "new"), [(2, 1), (-1, 1), (-2, -1)])
def test_a_tree_that_shrinks_is_refused(tree: Tree, old: int, new: int) -> None:
    with pytest.raises(ProofError, match="cannot begin with"):
        merkle.verify_consistency(old, new, (), OTHER, OTHER)
    with pytest.raises(ProofError, match="cannot begin with"):
        merkle.prove_consistency(old, new, tree.subtree)


def test_a_path_of_thousands_of_hashes_is_refused_before_it_is_climbed() -> None:
    with pytest.raises(ProofError, match="too many"):
        merkle.verify_inclusion(LEAVES[0], 0, 2, [OTHER] * 10_000, OTHER)
    with pytest.raises(ProofError, match="too many"):
        merkle.verify_consistency(3, 4, [OTHER] * 10_000, OTHER, OTHER)


def test_a_refused_root_is_shown_beside_the_computed_one() -> None:
    root = node_hash(LEAVES[0], LEAVES[1])

    with pytest.raises(ProofError, match=f"computed {root.hex()}, claimed {OTHER.hex()}"):
        merkle.verify_inclusion(LEAVES[0], 0, 2, [LEAVES[1]], OTHER)
