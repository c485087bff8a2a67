"""Merkle tree hashes, and their inclusion and consistency proofs (SPEC 5.2; RFC 9162, 2.1)."""

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from hashlib import sha256

from bcca_protocol.errors import ProofError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Subtree = Callable[[int, int], bytes]
"""(level, index) -> the hash of the leaves from index * 2**level, 2**level of them."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash under which `entry` enters the log."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return the hash of each entry, without a call for each."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash over two neighbours."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree in memory, from its leaf hashes up.

    Inner hashes are made when somebody asks, a level at a time: that is what makes it fast.
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        """Start with these leaves."""
        self._levels = [list(leaf_hashes)]

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash at the end."""
        self._levels[0].append(leaf)

    def subtree(self, level: int, index: int) -> bytes:
        """Return the hash of a perfect subtree, or raise ProofError where the tree has none."""
        if level < 0 or not 0 <= index < self.size >> level:
            raise ProofError(f"no subtree {index} of level {level} under {self.size} leaves")
        if level >= len(self._levels) or index >= len(self._levels[level]):
            self._grow(level)
        return self._levels[level][index]

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves, of all when it is None."""
        return root_hash(self.size if size is None else size, self.subtree)

    def _grow(self, level: int) -> None:
        while len(self._levels) <= level:
            self._levels.append([])
        for below, above in zip(self._levels[:level], self._levels[1:], strict=False):
            done = 2 * len(above)
            pairs = zip(below[done::2], below[done + 1 :: 2], strict=False)
            above += [sha256(b"\x01" + left + right).digest() for left, right in pairs]


def root_hash(size: int, subtree: Subtree) -> bytes:
    """Return the root of the first `size` leaves."""
    _require_order(0, size)
    return _range_hash(0, size, subtree) if size else EMPTY_ROOT


def prove_inclusion(index: int, size: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Return the path from leaf `index` to the root of `size` leaves (RFC 9162, 2.1.3.1)."""
    _require_index(index, size)
    start, end = 0, size
    path = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_hash(middle, end, subtree))
            end = middle
        else:
            path.append(_range_hash(start, middle, subtree))
            start = middle
    return tuple(reversed(path))


def prove_consistency(old: int, new: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Return the proof that `new` leaves begin with the `old` ones (RFC 9162, 2.1.4.1)."""
    _require_order(old, new)
    if old == 0:
        return ()  # c2sp.org/tlog-witness: nothing to prove
    start, end = 0, new
    path = []
    while old < end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_range_hash(middle, end, subtree))
            end = middle
        else:
            path.append(_range_hash(start, middle, subtree))
            start = middle
    if start:  # else what is left is the old tree, whose root the verifier has
        path.append(_range_hash(start, end, subtree))
    return tuple(reversed(path))


def prove_beginning(old: int, new: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Return the path from which anybody computes the roots of `old` and of more, `new`, leaves.

    It is the consistency proof; but where that leaves out its first hash, the root of `old`, it is
    here, so that the path shows with what the tree of `new` begins. For `old` 0 it is empty.
    """
    proof = prove_consistency(old, new, subtree)
    is_left_out = old and old & (old - 1) == 0
    return (root_hash(old, subtree), *proof) if is_left_out else proof


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Iterable[bytes], root: bytes
) -> None:
    """Return if `root` of `size` leaves holds `leaf` at `index`, else raise ProofError.

    The steps are those of RFC 9162, 2.1.3.2.
    """
    _require_index(index, size)
    path = tuple(path)
    _require_hashes(leaf, root, *path)
    node, last, result = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofError(f"path of leaf {index} in {size}: {len(path)} hashes are too many")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            shift = _trailing_zeros(node)
            node, last = node >> shift, last >> shift
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError(f"path of leaf {index} in {size}: {len(path)} hashes are too few")
    _require_equal(f"root of {size} with leaf {index}", result, root)


def verify_consistency(
    old: int, new: int, path: Iterable[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Return if the tree of `new` leaves begins with that of `old`, else raise ProofError.

    The steps are those of RFC 9162, 2.1.4.2; nothing is to prove for equal and for empty trees.
    """
    _require_order(old, new)
    path = tuple(path)
    _require_hashes(old_root, new_root, *path)
    what = f"consistency of {old} with {new}"
    if old == 0:
        _require_equal("root of 0", EMPTY_ROOT, old_root)
    if old in (0, new):
        if path:
            raise ProofError(f"{what}: {len(path)} hashes where none is needed")
        if old == new:
            _require_equal(f"root of {new}", old_root, new_root)
        return
    if old & (old - 1) == 0:
        path = (old_root, *path)
    old_result, new_result = _climb(old, new, path, what)
    _require_equal(f"root of {old}", old_result, old_root)
    _require_equal(f"root of {new}", new_result, new_root)


def beginning_roots(old: int, new: int, path: Iterable[bytes]) -> tuple[bytes, bytes]:
    """Return the roots of `old` and of `new` leaves to which a path of `prove_beginning` leads.

    Whose second is the root of a tree, that tree begins with the first. For `old` 0 there is no
    path, and both are the empty root. Raises ProofError for a path of another length.
    """
    _require_order(old, new)
    path = tuple(path)
    _require_hashes(*path)
    if old == 0:
        if path:
            raise ProofError(f"beginning 0 of {new}: {len(path)} hashes where none is needed")
        return EMPTY_ROOT, EMPTY_ROOT
    return _climb(old, new, path, f"beginning {old} of {new}")


def _climb(old: int, new: int, path: tuple[bytes, ...], what: str) -> tuple[bytes, bytes]:
    if not path:
        raise ProofError(f"{what}: 0 hashes are too few")
    shift = _trailing_zeros(old)  # of old: as many as node has trailing ones
    node, last = (old - 1) >> shift, (new - 1) >> shift
    old_result = new_result = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError(f"{what}: {len(path)} hashes are too many")
        if node & 1 or node == last:
            old_result = node_hash(sibling, old_result)
            new_result = node_hash(sibling, new_result)
            shift = _trailing_zeros(node)
            node, last = node >> shift, last >> shift
        else:
            new_result = node_hash(new_result, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError(f"{what}: {len(path)} hashes are too few")
    return old_result, new_result


def _range_hash(start: int, end: int, subtree: Subtree) -> bytes:
    hashes = [subtree(level, index) for level, index in _perfect(start, end)]
    return reduce(lambda right, left: node_hash(left, right), reversed(hashes))


def _perfect(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of the perfect subtrees that make up [start, end), largest first."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _split(size: int) -> int:
    """Return the largest power of two strictly below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1 if number else 0


def _require_index(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size}")


def _require_order(old: int, new: int) -> None:
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} cannot begin with one of {old}")


def _require_hashes(*hashes: bytes) -> None:
    for each in hashes:
        if len(each) != HASH_BYTES:
            raise ProofError(f"hash of {len(each)} bytes, not {HASH_BYTES}")


def _require_equal(what: str, computed: bytes, claimed: bytes) -> None:
    if computed != claimed:
        raise ProofError(f"{what}: computed {computed.hex()}, claimed {claimed.hex()}")
