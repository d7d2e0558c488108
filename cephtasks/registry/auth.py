"""Auth: answer a registry's challenge with the login from Docker's credential store.

Token service: https://distribution.github.io/distribution/spec/auth/token/ and …/auth/oauth/
"""

import base64
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import requests
from requests.auth import AuthBase

from cephtasks.errors import NotARegistry, RegistryUnauthorized
from cephtasks.registry.address import allows_plain
from cephtasks.registry.challenge import Challenge, read_challenges
from cephtasks.registry.scopes import Scopes, widened
from cephtasks.registry.troubles import from_answer

Credentials = Callable[[str], tuple[str, str] | None]
Fetch = Callable[[str, str, str, Mapping[str, str]], requests.Response]

IDENTITY_TOKEN = "<token>"  # noqa: S105 — the user name that stands for an identity token, as in Docker
_CLIENT_ID = "cephtasks"
_SHORTEST_LIFE = 60.0  # seconds a token lives when the service does not say
_EARLY = 0.8  # the part of a token's life after which a new one is fetched


class Authorization(AuthBase):
    """One Authorization header, or none: being an AuthBase it also keeps `~/.netrc` out."""

    def __init__(self, header: str = "") -> None:
        self._header = header

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header:
            request.headers["Authorization"] = self._header
        return request


class Login:
    """What one registry is shown: nothing until it asks, then Basic or a token for each scope.

    `fetch` sends a request (method, url, Authorization header, form fields) to the token service.
    """

    def __init__(
        self, host: str, credentials: Credentials | None, insecure: Sequence[str], fetch: Fetch
    ) -> None:
        self._host = host
        self._credentials = credentials
        self._insecure = tuple(insecure)
        self._fetch = fetch
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._wider: dict[Scopes, Scopes] = {}
        self._tokens: dict[Scopes, tuple[str, float]] = {}
        self._found: tuple[str, str] | None = None

    def header(self, scopes: Scopes) -> str:
        """The Authorization header for requests within these scopes; empty before any challenge."""
        with self._lock:
            if self._challenge is None:
                return ""
            if self._challenge.scheme == "basic":
                return _basic(self._found) if self._found else ""
            return f"Bearer {self._token(self._wider.get(scopes, scopes), self._challenge)}"

    def challenged(self, answer: requests.Response, scopes: Scopes, used: str) -> None:
        """Learn from a 401 how to ask again; raises RegistryUnauthorized where no other way is left."""
        with self._lock:
            challenges = read_challenges(answer.headers.get("WWW-Authenticate", ""))
            known = [challenge for challenge in challenges if challenge.scheme in ("bearer", "basic")]
            if not known:
                raise self._denied("it wants a login and does not say which")
            if self._found is None and self._credentials is not None:
                self._found = self._credentials(self._host)
            self._challenge = min(known, key=lambda challenge: challenge.scheme != "bearer")
            if self._challenge.scheme == "bearer":
                asked = self._wider.get(scopes, scopes)
                self._wider[scopes] = widened(asked, self._challenge.parameters.get("scope", ""))
                kept = self._tokens.get(asked)
                if kept and used == f"Bearer {kept[0]}":
                    del self._tokens[asked]
            elif self._found is None:
                raise self._denied("it wants a login")
            elif used:
                raise self._denied(f"it does not accept {self._whose()}")

    def denied(self, what: str) -> RegistryUnauthorized:
        """What it means that the registry, shown what it asked for, does not let us at `what`."""
        with self._lock:
            if self._challenge is not None and self._challenge.scheme == "basic":
                return self._denied(f"it does not accept {self._whose()}")
            to_whom = f"with {self._whose()}" if self._found else "without a login"
        fact = f"{self._host} allows no access to {what} {to_whom}"
        return RegistryUnauthorized(fact, f"docker login {self._host}")

    def _token(self, scopes: Scopes, challenge: Challenge) -> str:
        kept = self._tokens.get(scopes)
        if kept is None or kept[1] < time.monotonic():
            kept = self._tokens[scopes] = self._fetched(scopes, challenge)
        return kept[0]

    def _fetched(self, scopes: Scopes, challenge: Challenge) -> tuple[str, float]:
        """A new token with the time until which to use it.

        The realm may be another host: it is the registry that tells who keeps its logins. But a login
        goes by plain HTTP only where the registry itself may be reached so.
        """
        realm, service = self._realm(challenge), challenge.parameters.get("service", "")
        if self._found and self._found[0] == IDENTITY_TOKEN:
            answer = self._granted(realm, service, scopes, "refresh_token", refresh_token=self._found[1])
        else:
            query = requests.models.PreparedRequest()
            query.prepare_url(realm, [("service", service), *(("scope", scope) for scope in scopes)])
            answer = self._fetch("GET", query.url or realm, _basic(self._found) if self._found else "", {})
            if answer.status_code in (404, 405) and self._found:
                user, password = self._found
                answer = self._granted(realm, service, scopes, "password", username=user, password=password)
        if answer.status_code in (401, 403):
            raise self._denied(f"its token service does not accept {self._whose()}")
        if answer.status_code != 200:
            raise from_answer(self._host, "a token", answer)
        return _read_token(self._host, answer)

    def _granted(
        self, realm: str, service: str, scopes: Scopes, grant: str, **login: str
    ) -> requests.Response:
        """What a token service answers by OAuth2 (RFC 6749, sections 4.3 and 6)."""
        form = {"grant_type": grant, "service": service, "client_id": _CLIENT_ID, "scope": " ".join(scopes)}
        return self._fetch("POST", realm, "", {**form, **login})

    def _realm(self, challenge: Challenge) -> str:
        realm = challenge.parameters.get("realm", "")
        scheme, _, remainder = realm.partition("://")
        host = remainder.partition("/")[0]
        if scheme == "https" or (scheme == "http" and allows_plain(host, self._insecure)):
            return realm
        if scheme == "http" and self._found is None:
            return realm
        raise self._denied(f"its token service {realm or '(none)'} is no HTTPS address")

    def _whose(self) -> str:
        if self._found is None:
            return "us without a login"
        return "the login" if self._found[0] == IDENTITY_TOKEN else f"the login of {self._found[0]}"

    def _denied(self, why: str) -> RegistryUnauthorized:
        return RegistryUnauthorized(f"{self._host} does not let us in: {why}", f"docker login {self._host}")


def _basic(login: tuple[str, str]) -> str:
    return f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"


def _read_token(host: str, answer: requests.Response) -> tuple[str, float]:
    try:
        document = answer.json()
        token = document.get("token") or document["access_token"]
        life = max(float(document.get("expires_in") or 0), _SHORTEST_LIFE)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NotARegistry(
            f"the token service of {host} gives no token", f"curl --include {host}/v2/"
        ) from error
    return str(token), time.monotonic() + life * _EARLY
