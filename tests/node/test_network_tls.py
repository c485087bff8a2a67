"""A certificate and its key, before they are used: each thing that may be wrong is one sentence."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.node.certificates import Authority

from bcca_node.network.tls import MAX_PEM_BYTES, server_context, warnings
from bcca_protocol.errors import UnusableError

Files = tuple[Path, Path]
NOW = int(time.time())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def swapped(authority: Authority) -> Files:
    cert, key = authority.issue("a.example")
    return key, cert


def readable(authority: Authority) -> Files:
    cert, key = authority.issue("a.example")
    key.chmod(0o644)
    return cert, key


def in_one_file(authority: Authority) -> Files:
    cert, key = authority.issue("a.example")
    both = authority.folder / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    both.chmod(0o604)
    return both, both


def written(authority: Authority, cert: bytes | None, key: bytes | None) -> Files:
    names = authority.issue("a.example")
    for path, content in zip(names, (cert, key), strict=True):
        if content is not None:
            path.write_bytes(content)
    return names


def last_first(authority: Authority) -> Files:
    cert, key = authority.issue("a.example")
    cert.write_bytes(authority.path.read_bytes() + cert.read_bytes())
    return cert, key


WRONG: dict[str, tuple[Callable[[Authority], Files], str]] = {
    "no certificate there": (
        lambda a: (Path("nowhere.pem"), a.issue("a.example")[1]),
        "--tls-cert nowhere.pem: cannot be read",
    ),
    "no key there": (
        lambda a: (a.issue("a.example")[0], Path("nowhere.key")),
        "--tls-key nowhere.key: cannot be read",
    ),
    "a folder": (lambda a: (a.folder, a.folder), "cannot be read"),
    "an empty certificate": (lambda a: written(a, b"", None), "no certificate in PEM"),
    "something else": (lambda a: written(a, b"\x30\x82" * 99, None), "no certificate in PEM"),
    "a broken certificate": (
        lambda a: written(a, b"-----BEGIN CERTIFICATE-----\nAAAA\n", None),
        "no certificate in PEM",
    ),
    "a huge file": (lambda a: written(a, b"a" * (MAX_PEM_BYTES + 1), None), "so it is another"),
    "no key in it": (lambda a: written(a, None, b"secret"), "no private key in PEM"),
    "one for the other": (swapped, "no certificate in PEM"),
    "the key of another": (
        lambda a: (a.issue("a.example")[0], a.issue("a.example")[1]),
        "not the key of the certificate",
    ),
    "an encrypted key": (
        lambda a: a.issue("a.example", passphrase=b"open sesame"),
        "the key is encrypted",
    ),
    "a key for everybody": (readable, "its mode is 0644, so everybody on this machine may have it"),
    "key and certificate in one file for everybody": (in_one_file, "its mode is 0604"),
    "a certificate that ended": (
        lambda a: a.issue("a.example", first=-9, last=-2),
        "the certificate ended on ",
    ),
    "a certificate that begins later": (
        lambda a: a.issue("a.example", first=2, last=9),
        "the certificate begins on ",
    ),
    "its authority first": (last_first, "stands in place 2: write it first"),
}


@pytest.mark.parametrize(("made", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_sentence_that_says_what_to_do(
    authority: Authority, made: Callable[[Authority], Files], said: str
) -> None:
    with pytest.raises(UnusableError) as refused:
        server_context(*made(authority), at=NOW)

    sentence = str(refused.value)
    assert said in sentence
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    assert "BEGIN CERTIFICATE-----\n" not in sentence


def test_a_good_certificate_with_its_authority_behind_it_is_taken(authority: Authority) -> None:
    cert, key = authority.issue("a.example")
    cert.write_bytes(cert.read_bytes() + authority.path.read_bytes())
    key.chmod(0o640)  # a group of this machine may be meant to have it

    context = server_context(cert, key, at=NOW)

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert warnings(cert, host="a.example", at=NOW) == []


def test_the_owner_is_told_of_an_end_that_is_near_and_of_another_host(
    authority: Authority,
) -> None:
    soon, _ = authority.issue("*.example", "127.0.0.1", last=2.5)
    told = warnings(soon, host="b.a.example", at=NOW)

    assert "it ends in 2 days" in told[0]
    assert "restart this node" in told[0]
    assert "it is for *.example, 127.0.0.1, and the settings' url names b.a.example" in told[1]
    assert len(warnings(soon, host="A.EXAMPLE", at=NOW)) == 1
    assert len(warnings(soon, host="127.0.0.1", at=NOW)) == 1
