"""Certificates as tests need them: an authority, and what it signs, good or not."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """Signs certificates, and writes them and their keys as PEM."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of tests")])
        now = datetime.now(UTC)
        self.own = self._signed(self._name, self._key, [], now - DAY, now + 30 * DAY)
        self.path = folder / "authority.pem"
        self.path.write_bytes(self.own.public_bytes(Encoding.PEM))

    def issue(
        self, *hosts: str, first: float = -1, last: float = 30, passphrase: bytes = b""
    ) -> tuple[Path, Path]:
        """Return the files of a certificate for hosts, good from and to so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a node")])
        made = self._signed(name, key, list(hosts), now + first * DAY, now + last * DAY)
        number = len(list(self.folder.glob("*.key")))
        cert_path, key_path = self.folder / f"{number}.pem", self.folder / f"{number}.key"
        cert_path.write_bytes(made.public_bytes(Encoding.PEM))
        sealed: KeySerializationEncryption = NoEncryption()
        if passphrase:
            sealed = BestAvailableEncryption(passphrase)
        key_path.touch(mode=0o600)
        key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
        return cert_path, key_path

    def _signed(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        hosts: list[str],
        first: datetime,
        last: datetime,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first)
            .not_valid_after(last)
            .add_extension(x509.BasicConstraints(ca=not hosts, path_length=None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_named(each) for each in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _named(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
