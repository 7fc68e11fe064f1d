"""Certificate authorities that nobody but the test trusts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@dataclass(frozen=True)
class Identity:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates for localhost, into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("authority")
        self._count = 0
        certificate = self._sign(self._name, self._key, None, is_authority=True)
        self.certificate = folder / "authority.pem"
        self.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, common_name: str, end: datetime | None = None) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(_name(common_name), key, end, is_authority=False)
        self._count += 1
        files = Identity(self._folder / f"{self._count}.pem", self._folder / f"{self._count}.key")
        files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, end: datetime | None, *, is_authority: bool
    ) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(end or now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
