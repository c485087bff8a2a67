import pytest

from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.merkle import leaf_hash
from bcca_protocol.proof import TlogProof
from bcca_protocol.wire import b64

HASH = leaf_hash(b"an entry")
LINE = b64(HASH)
CHECKPOINT = "cathode.example/bcca\n2\nroot\n\n— a AAAAAAE=\n"
HEADER = "c2sp.org/tlog-proof@v1"


@pytest.mark.parametrize("extra", [None, b"", b"for the application"])
@pytest.mark.parametrize("hashes", [0, 1, 2, 63])
@pytest.mark.parametrize("index", [0, 1, 2**63 - 2])
def test_a_proof_reads_back_what_it_writes(index: int, hashes: int, extra: bytes | None) -> None:
    proof = TlogProof(index=index, path=(HASH,) * hashes, checkpoint=CHECKPOINT, extra=extra)

    assert TlogProof.parse(proof.encode()) == proof


def test_a_proof_is_written_as_specified() -> None:
    proof = TlogProof(index=7, path=(HASH, HASH), checkpoint=CHECKPOINT, extra=b"x")

    assert proof.encode() == f"{HEADER}\nextra eA==\nindex 7\n{LINE}\n{LINE}\n\n{CHECKPOINT}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEADER,
        f"{HEADER}\n\n{CHECKPOINT}",
        f"{HEADER}\nindex 0\n",
        f"{HEADER}\nindex 0\n\n",
        f"{HEADER}\r\nindex 0\n\n{CHECKPOINT}",
        f" {HEADER}\nindex 0\n\n{CHECKPOINT}",
        f"{HEADER}\nindex\n\n{CHECKPOINT}",
        f"{HEADER}\nindex \n\n{CHECKPOINT}",
        f"{HEADER}\nindex  0\n\n{CHECKPOINT}",
        f"{HEADER}\nindex \u0660\n\n{CHECKPOINT}",
        f"{HEADER}\nindex 0 \n\n{CHECKPOINT}",
        f"{HEADER}\nindex 0\nindex 0\n\n{CHECKPOINT}",
        f"{HEADER}\nindex 0\nextra eA==\n\n{CHECKPOINT}",
        f"{HEADER}\nextra eA==\nextra eA==\nindex 0\n\n{CHECKPOINT}",
        f"{HEADER}\nextra eB==\nindex 0\n\n{CHECKPOINT}",
        f"{HEADER}\nextra eA==\n\n{CHECKPOINT}",
        f"{HEADER}\nindex 0\n{LINE} \n\n{CHECKPOINT}",
        f"{HEADER}\nindex 0\n{LINE[:-1]}\n\n{CHECKPOINT}",
        f"{HEADER}\nindex 0\n{b64(HASH[1:])}\n\n{CHECKPOINT}",
        f"{HEADER}\nindex 0\n{HASH.hex()}\n\n{CHECKPOINT}",
    ],
)
def test_a_proof_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        TlogProof.parse(text)


def test_a_proof_has_at_most_63_hashes() -> None:
    path = f"{LINE}\n" * 64

    with pytest.raises(LimitError, match="64 hashes, over 63"):
        TlogProof.parse(f"{HEADER}\nindex 0\n{path}\n{CHECKPOINT}")


def test_an_index_takes_at_most_63_bits() -> None:
    with pytest.raises(LimitError, match="index 9223372036854775807"):
        TlogProof.parse(f"{HEADER}\nindex {2**63 - 1}\n\n{CHECKPOINT}")


def test_a_proof_has_at_most_two_mebibytes() -> None:
    with pytest.raises(LimitError, match="over 2097152"):
        TlogProof.parse(f"{HEADER}\nindex 0\n\n{'a' * 2**21}")
