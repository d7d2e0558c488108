"""Certificates: a CA of one's own, and a server's certificate from it.

Each lies in one file with its key, which gets its place by a rename: so the two always belong together.
"""

import contextlib
import datetime
import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)
_LIFE_OF_CA = 3650 * _DAY
_LIFE = 730 * _DAY
_EARLY = 30 * _DAY  # before its end a certificate is made anew
_SKEW = _DAY  # that clocks of other machines may be late

Names = frozenset[str]
Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def ensure(ca: Path, server: Path, names: Sequence[str]) -> None:
    """Have a CA's certificate, and that of a server with these names and addresses.

    The CA lies with its key beside, in a file of its own. What is there stays while it is good for a month
    more. Raises OSError.
    """
    for folder in (ca.parent, server.parent):
        folder.mkdir(parents=True, exist_ok=True)
    private = ca.with_suffix(".pem")
    authority = _read(private)
    if authority is None or _ends_within(authority[0], _LIFE + _EARLY):
        authority = _new_ca()
        _write(private, _pem(*authority), 0o600)
    public = authority[0].public_bytes(serialization.Encoding.PEM)
    if not ca.exists() or ca.read_bytes() != public:
        _write(ca, public, 0o644)
    found = _read(server)
    if found is None or not _serves(found[0], authority[0], frozenset(names)):
        _write(server, _pem(*_new_server(authority, names)), 0o600)


def end(server: Path) -> datetime.datetime | None:
    """Until when a server's certificate is good; None where there is none."""
    found = _read(server)
    return found[0].not_valid_after_utc if found else None


def _serves(server: x509.Certificate, ca: x509.Certificate, names: Names) -> bool:
    try:
        server.verify_directly_issued_by(ca)
    except (ValueError, InvalidSignature):
        return False
    return names <= _names(server) and not _ends_within(server, _EARLY)


def _names(server: x509.Certificate) -> Names:
    found = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = found.get_values_for_type(x509.IPAddress)
    return frozenset(found.get_values_for_type(x509.DNSName)) | frozenset(map(str, addresses))


def _ends_within(certificate: x509.Certificate, span: datetime.timedelta) -> bool:
    return certificate.not_valid_after_utc < _now() + span


def _new_ca() -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(f"cephtasks registry CA of {socket.gethostname()}"[:64])
    public = key.public_key()
    made = (
        _begun(subject, subject, public, _LIFE_OF_CA)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return made.sign(key, hashes.SHA256()), key


def _new_server(authority: Pair, names: Sequence[str]) -> Pair:
    ca, ca_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    made = (
        _begun(_named("cephtasks registry"), ca.subject, key.public_key(), _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
        .add_extension(issuer, critical=False)
    )
    return made.sign(ca_key, hashes.SHA256()), key


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: datetime.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _SKEW)
        .not_valid_after(_now() + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _read(path: Path) -> Pair | None:
    """A certificate and its key; None where there is none, or a damaged one, which is as good."""
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        content = path.read_bytes()
        key = serialization.load_pem_private_key(content, password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return x509.load_pem_x509_certificate(content), key
    return None


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return certificate.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def _write(path: Path, content: bytes, mode: int) -> None:
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    beside.chmod(mode)  # whatever the umask takes from ca.crt, which others read
    beside.replace(path)
