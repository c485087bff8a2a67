"""The certificate and key with which a node answers over https, looked at before they are used."""

import os
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

CERT_OPTION, KEY_OPTION = "--tls-cert", "--tls-key"
MAX_PEM_BYTES = 1024 * 1024  # a chain is 10 kB: whoever names another file learns it soon
SOON_DAYS = 14  # before a certificate's end its owner is told: they are renewed at 30

_HTTP = ["http/1.1"]  # nothing else is spoken here
_KEY_MARK = b"PRIVATE KEY-----"


def server_context(certificate: Path, key: Path, *, at: int) -> ssl.SSLContext:
    """Return how to answer over TLS 1.2 or later with what the two files hold.

    Raises UnusableError for files that cannot be read or hold something else, a certificate that
    is not good at POSIX second `at`, a key that is another's, encrypted, or everybody's to read.
    """
    chain = _chain(certificate)
    _require_time(certificate, chain[0], at)
    _require_match(certificate, key, chain, _private(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(_HTTP)
    try:
        context.load_cert_chain(certificate, key, password=_nobody)
    except (OSError, ssl.SSLError) as error:
        raise UnusableError(
            f"{CERT_OPTION} {certificate}: TLS does not take it: {showable(str(error)[:200])}; "
            "have a new one made"
        ) from error
    return context


def warnings(certificate: Path, *, host: str, at: int) -> list[str]:
    """Return what its owner has to know of a certificate that is good: one sentence each."""
    leaf = _chain(certificate)[0]
    told = []
    left = leaf.not_valid_after_utc - _moment(at)
    if left.days < SOON_DAYS:
        told.append(
            f"{CERT_OPTION} {certificate}: it ends in {left.days} days, on "
            f"{_day(leaf.not_valid_after_utc)}: renew it, and restart this node, which reads it "
            "when it starts"
        )
    names = _names(leaf)
    if not any(_is_name_of(each, host) for each in names):
        told.append(
            f"{CERT_OPTION} {certificate}: it is for {showable(', '.join(names)) or 'no host'}, "
            f"and the settings' url names {host}: others will not believe it"
        )
    return told


def _chain(path: Path) -> list[x509.Certificate]:
    content = _content(CERT_OPTION, path)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise UnusableError(
            f"{CERT_OPTION} {path}: no certificate in PEM: it begins with "
            "-----BEGIN CERTIFICATE-----"
        ) from error


def _private(path: Path) -> PrivateKeyTypes:
    content = _content(KEY_OPTION, path)
    try:
        return load_pem_private_key(content, password=None)
    except TypeError as error:
        raise UnusableError(
            f"{KEY_OPTION} {path}: the key is encrypted, and nobody is there to type its "
            "passphrase: decrypt it into a file of mode 0600 (`openssl pkey`)"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableError(
            f"{KEY_OPTION} {path}: no private key in PEM: it begins with "
            "-----BEGIN PRIVATE KEY-----"
        ) from error


def _content(option: str, path: Path) -> bytes:
    """Return what is in a file; one with a private key is not for everybody to read."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_PEM_BYTES + 1)
    except OSError as error:
        raise UnusableError(f"{option} {path}: cannot be read: {error}") from error
    if len(content) > MAX_PEM_BYTES:
        raise UnusableError(f"{option} {path}: over {MAX_PEM_BYTES} bytes, so it is another file")
    if _KEY_MARK in content and mode & stat.S_IRWXO:
        raise UnusableError(
            f"{option} {path}: there is a private key in it, and its mode is {mode:04o}, so "
            f"everybody on this machine may have it: `chmod o= {path}`, or have a new one made"
        )
    return content


def _require_time(path: Path, leaf: x509.Certificate, at: int) -> None:
    first, last, now = leaf.not_valid_before_utc, leaf.not_valid_after_utc, _moment(at)
    if now > last:
        raise UnusableError(
            f"{CERT_OPTION} {path}: the certificate ended on {_day(last)}, and today is "
            f"{_day(now)}: renew it"
        )
    if now < first:
        raise UnusableError(
            f"{CERT_OPTION} {path}: the certificate begins on {_day(first)}, and today is "
            f"{_day(now)}: wait, or set the clock"
        )


def _require_match(
    path: Path, key_path: Path, chain: list[x509.Certificate], key: PrivateKeyTypes
) -> None:
    public = key.public_key()
    found = [index for index, each in enumerate(chain) if each.public_key() == public]
    if not found:
        raise UnusableError(
            f"{KEY_OPTION} {key_path}: it is not the key of the certificate in {path}: name the "
            "two files that were made together"
        )
    if 0 not in found:
        raise UnusableError(
            f"{CERT_OPTION} {path}: the certificate of the key stands in place {found[0] + 1}: "
            "write it first, and behind it those that signed it"
        )


def _names(leaf: x509.Certificate) -> list[str]:
    """Return the hosts that a certificate is for."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = found.get_values_for_type(x509.IPAddress)
    return [*found.get_values_for_type(x509.DNSName), *map(str, addresses)]


def _is_name_of(name: str, host: str) -> bool:
    """Say whether a host is called so; a `*` stands for its first label (RFC 9525, 6.3)."""
    name, host = name.lower(), host.lower().strip("[]").rstrip(".")
    first, dot, rest = host.partition(".")
    return name == host or bool(first and dot and name == f"*.{rest}")


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _day(time: datetime) -> str:
    return time.date().isoformat()


def _nobody() -> bytes:
    """Return no passphrase: without this, OpenSSL asks whoever is at the terminal."""
    return b""
