"""Certificates: made, kept while they are good, and believed by OpenSSL."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from cephtasks.local_registry import certificates

NAMES = ("localhost", "lab-1.example", "127.0.0.1", "::1")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A CA and a server's certificate."""
    made = tmp_path / "tls" / "ca.crt", tmp_path / "tls" / "server.pem"
    certificates.ensure(*made, NAMES)
    return made


def _openssl(*words: str | Path) -> str:
    command = ["openssl", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_openssl_believes_the_server_by_the_ca(files: tuple[Path, Path]) -> None:
    """Also by its strict rules, for all its names and no other."""
    ca, server = files
    for name in NAMES:
        kind = "-verify_ip" if name in ("127.0.0.1", "::1") else "-verify_hostname"
        _openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, kind, name, server)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        _openssl("verify", "-CAfile", ca, "-verify_hostname", "other.example", server)
    assert "hostname mismatch" in caught.value.stderr.lower()


def test_keys_are_for_their_owner_alone(files: tuple[Path, Path]) -> None:
    """And the CA's certificate, which has none, for everybody, whatever the umask."""
    before = os.umask(0o077)
    try:
        files[0].unlink()
        certificates.ensure(*files, NAMES)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files[0].parent.iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.pem": 0o600, "server.pem": 0o600}
    assert "PRIVATE" not in files[0].read_text()


def test_what_is_good_is_kept(files: tuple[Path, Path]) -> None:
    """Also for fewer names."""
    before = [path.read_bytes() for path in files]
    certificates.ensure(*files, NAMES[:2])
    assert [path.read_bytes() for path in files] == before


def test_a_new_name_makes_a_new_certificate_from_the_same_ca(files: tuple[Path, Path]) -> None:
    """So nodes that trust the CA go on trusting."""
    ca, server = (path.read_bytes() for path in files)
    certificates.ensure(*files, (*NAMES, "new.example"))
    assert files[0].read_bytes() == ca
    assert files[1].read_bytes() != server
    _openssl("verify", "-CAfile", files[0], "-verify_hostname", "new.example", files[1])


@pytest.mark.parametrize("damage", ["", "no certificate", None])
def test_a_damaged_certificate_is_made_anew(files: tuple[Path, Path], damage: str | None) -> None:
    """As is one whose file is gone."""
    files[1].unlink() if damage is None else files[1].write_text(damage)
    certificates.ensure(*files, NAMES)
    _openssl("verify", "-CAfile", *files)


def test_one_that_soon_ends_is_made_anew(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A month before; the CA stays."""
    ca, server = files
    private, request, names = ca.with_suffix(".pem"), tmp_path / "csr", tmp_path / "names"
    names.write_text("subjectAltName=DNS:localhost\n")
    _openssl("req", "-new", "-key", server, "-subj", "/CN=short", "-out", request)
    signed = ("-CA", ca, "-CAkey", private, "-CAcreateserial", "-extfile", names)
    short = _openssl("x509", "-req", "-in", request, *signed, "-days", "20")
    server.write_text(short + server.read_text().partition("-----END CERTIFICATE-----\n")[2])
    authority = ca.read_bytes()
    certificates.ensure(ca, server, ["localhost"])
    assert short not in server.read_text()
    assert ca.read_bytes() == authority
    ends = certificates.end(server)
    assert ends is not None
    assert f"{ends:%Y}" in _openssl("x509", "-enddate", "-noout", "-in", server)


def test_another_ca_makes_another_certificate(files: tuple[Path, Path]) -> None:
    """One that is lost is made anew, and all that follows from it."""
    files[0].with_suffix(".pem").unlink()
    certificates.ensure(*files, NAMES)
    _openssl("verify", "-CAfile", *files)


def test_without_a_certificate_nothing_ends(tmp_path: Path) -> None:
    """It is told as None."""
    assert certificates.end(tmp_path / "none") is None
