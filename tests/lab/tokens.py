"""Tokens: a service that gives registry 2.8 the signed tokens that it asks its clients for."""

import base64
import json
import secrets
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lab.registries import Tokens
from lab.webs import Answer, Request, Web, answering

SERVICE, ISSUER = "lab registry", "lab issuer"


@dataclass(frozen=True)
class TokenService:
    """The service that runs, and what a registry must know of it."""

    web: Web
    tokens: Tokens


@contextmanager
def token_service(
    folder: Path, allows: Callable[[str, str], bool], life: int = 300
) -> Iterator[TokenService]:
    """A token service; `allows` tells for an Authorization header (empty: none) and a scope if it is granted.

    `life` is how many seconds a token is said to be good for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / "token.key", folder / "token.crt"
    made = [
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=lab",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(["openssl", "req", "-x509", *made], check=True, capture_output=True)

    def respond(request: Request) -> Answer:
        asked = parse_qs(urlsplit(request.path).query)
        login = request.headers.get("authorization", "")
        scopes = [scope for scope in asked.get("scope", []) if allows(login, scope)]
        token = _signed(key, certificate, scopes, life)
        return Answer(body=json.dumps({"token": token, "expires_in": life}).encode())

    with answering(respond) as web:
        yield TokenService(web, Tokens(f"http://{web.host}/token", SERVICE, ISSUER, certificate))


def _signed(key: Path, certificate: Path, scopes: list[str], life: int) -> str:
    """A JSON web token, RS256, with the certificate that the registry trusts in its header (RFC 7515)."""
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": "",
        "aud": SERVICE,
        "exp": now + life,
        "nbf": now - 10,
        "iat": now,
        "jti": secrets.token_hex(8),
        "access": [_access(scope) for scope in scopes],
    }
    signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
    command = ["openssl", "dgst", "-sha256", "-sign", str(key)]
    signature = subprocess.run(command, input=signed, check=True, capture_output=True).stdout
    return b".".join((signed, _base64(signature))).decode()


def _access(scope: str) -> dict[str, object]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
