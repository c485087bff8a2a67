"""A recovery key as words that can be read aloud and typed: proquints (arxiv.org/html/0901.4016).

Sixteen bits a word, consonants and vowels in turn; the last word is a checksum of the others.
"""

import re
from hashlib import sha256

from bcca_protocol.errors import UnusableError

SEED_BYTES = 32

_CONSONANTS = "bdfghjklmnprstvz"  # four bits each
_VOWELS = "aiou"  # two bits each
_PATTERN = (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _CONSONANTS)
_WORD_BYTES = 2
_WORDS = SEED_BYTES // _WORD_BYTES + 1
_BETWEEN = re.compile(r"[\s-]+")


def to_words(seed: bytes) -> str:
    """Return the words that stand for `seed`, parted by spaces."""
    raw = seed + _checksum(seed)
    pairs = (raw[at : at + _WORD_BYTES] for at in range(0, len(raw), _WORD_BYTES))
    return " ".join(_word(int.from_bytes(pair)) for pair in pairs)


def from_words(text: str) -> bytes:
    """Return the seed that `text` stands for; raises UnusableError for a mistyped one."""
    words = _BETWEEN.split(text.strip().lower())
    if len(words) != _WORDS:
        raise UnusableError(f"recovery key: {len(words)} words, where {_WORDS} belong")
    numbers = [_number(position, word) for position, word in enumerate(words, 1)]
    raw = b"".join(number.to_bytes(_WORD_BYTES) for number in numbers)
    seed = raw[:SEED_BYTES]
    if raw[SEED_BYTES:] != _checksum(seed):
        right = to_words(seed).rpartition(" ")[2]
        raise UnusableError(
            f"recovery key: its last word is {words[-1]}, the others make it {right}: "
            "one of them is mistyped"
        )
    return seed


def _checksum(seed: bytes) -> bytes:
    return sha256(seed).digest()[:_WORD_BYTES]


def _word(number: int) -> str:
    letters = []
    for alphabet in reversed(_PATTERN):
        number, at = divmod(number, len(alphabet))
        letters.append(alphabet[at])
    return "".join(reversed(letters))


def _number(position: int, word: str) -> int:
    fits = len(word) == len(_PATTERN)
    if not fits or any(each not in them for each, them in zip(word, _PATTERN, strict=True)):
        raise UnusableError(f"recovery key: word {position} cannot be one of its words")
    number = 0
    for letter, alphabet in zip(word, _PATTERN, strict=True):
        number = number * len(alphabet) + alphabet.index(letter)
    return number
