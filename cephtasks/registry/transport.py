"""Transport: send requests to one registry and get its answers, or our errors."""

import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from cephtasks import console
from cephtasks.errors import (
    CephtasksError,
    RegistryNotTrusted,
    RegistryUnreachable,
    RegistryWithoutTls,
)
from cephtasks.registry import troubles
from cephtasks.registry.address import absolute, api_host, base_urls, is_loopback, is_same_origin
from cephtasks.registry.auth import Authorization, Credentials, Login
from cephtasks.registry.trust import Trust

_TIMEOUT = (10.0, 300.0)  # seconds to connect, and of silence; some registries hash a blob before they answer
_PING_TIMEOUT = (10.0, 20.0)
_BLOCK = 1 << 18  # bytes read from a file and written to a socket at once
_CONNECTIONS = 8


class Readable(Protocol):
    """A request body: its length is sent first, then it is read in blocks."""

    def read(self, count: int = -1, /) -> bytes: ...
    def __len__(self) -> int: ...


Body = bytes | Callable[[], AbstractContextManager[Readable]]


class Client:
    """One registry, reached by HTTPS or where that is allowed by HTTP, on connections that are kept.

    `ca` is a file of CA certificates, `insecure` names hosts that may be reached by plain HTTP,
    `credentials` gives user and password for a host. With `dry` whoever would change something only
    shows it; `echo` shows each request as a curl line. Raises RegistryCaInvalid, RegistryCertsInvalid.
    """

    def __init__(
        self,
        host: str,
        ca: Path | None = None,
        insecure: Sequence[str] = (),
        credentials: Credentials | None = None,
        dry: bool = False,
        echo: bool = False,
    ) -> None:
        self.host = host
        self.dry = dry
        self._echo = echo or dry
        self._trust = Trust(api_host(host), ca)
        self._candidates = base_urls(host, insecure, self._trust.has_own)
        self._login = Login(host, credentials, insecure, self._fetch_token)
        self._base = ""
        self._finding = threading.Lock()
        self._session = requests.Session()
        # Go's rule, so docker and we go the same way: loopback is never behind a proxy.
        self._session.trust_env = not is_loopback(host)
        self._session.headers["User-Agent"] = "cephtasks"
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(self._trust))

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    @property
    def base(self) -> str:
        """The URL that the registry was found at, `https://host` or `http://host`.

        Raises RegistryUnreachable, RegistryWithoutTls, RegistryNotTrusted, NotARegistry, RegistryRefused.
        """
        with self._finding:
            if not self._base:
                self._base = self._found()
            return self._base

    def send(
        self,
        method: str,
        target: str,
        what: str,
        scopes: Sequence[str] = (),
        ok: Sequence[int] = (200,),
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        body_name: str = "",
        timeout: tuple[float, float] = _TIMEOUT,
        stream: bool = False,
    ) -> requests.Response:
        """Send one request, with the login that the registry asks for, and return its answer.

        `target` is a path or a URL, `what` names in errors what is asked for, `ok` are the statuses hoped
        for, `body` is bytes or opens what is read, as often as need be, `body_name` is its name in echoes,
        `timeout` is how many seconds to wait for a connection, and for an answer. With `stream` the answer's
        body is left to be read, and the answer to be closed.
        Raises RegistryUnauthorized, RegistryRefused, and what `base` raises.
        """
        url = self._absolute(target)
        self.show(method, url, headers, body_name)
        used = self._authorization(url, tuple(scopes))
        answer = self._once(method, url, used, headers, body, timeout, stream)
        if answer.status_code == 401 and is_same_origin(url, self.base):
            answer.close()
            self._login.challenged(answer, tuple(scopes), used)
            again = self._authorization(url, tuple(scopes))
            answer = self._once(method, url, again, headers, body, timeout, stream)
            if answer.status_code == 401:
                answer.close()
                raise self._login.denied(what)
        if answer.status_code not in ok:
            _read(answer)
            raise troubles.from_answer(self.host, what, answer)
        return answer

    def show(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body_name: str = ""
    ) -> None:
        """Echo the curl line of a request where that is wanted; it never holds a login."""
        if not self._echo:
            return
        url = self._absolute(target)
        # What follows the path of another host's URL may be a signature, which lets in whoever has it.
        url = url if is_same_origin(url, self.base) else url.partition("?")[0]
        words = ["curl", *{"GET": [], "HEAD": ["--head"]}.get(method, ["--request", method])]
        words += self._trust.curl_options(url)
        words += [f"--header={name}: {value}" for name, value in (headers or {}).items()]
        words += [f"--upload-file={body_name}"] if body_name else []
        console.say(shlex.join([*words, url]))

    def _absolute(self, target: str) -> str:
        try:
            url = absolute(target, self.base)
            is_same_origin(url, self.base)
        except ValueError as error:
            raise troubles.not_a_registry(
                self.base, f"it gives an address that cannot be read: {error}"
            ) from error
        return url

    def _authorization(self, url: str, scopes: tuple[str, ...]) -> str:
        return self._login.header(scopes) if is_same_origin(url, self.base) else ""

    def _once(
        self,
        method: str,
        url: str,
        authorization: str,
        headers: Mapping[str, str] | None = None,
        body: Body | Mapping[str, str] | None = None,
        timeout: tuple[float, float] = _TIMEOUT,
        stream: bool = False,
    ) -> requests.Response:
        trouble: CephtasksError
        try:
            with body() if callable(body) else nullcontext(body) as content:
                return self._session.request(
                    method,
                    url,
                    data=content,
                    headers=dict(headers or {}),
                    auth=Authorization(authorization),
                    timeout=timeout,
                    allow_redirects=False,
                    stream=stream,
                )
        except troubles.FAILURES as error:
            trouble = troubles.from_exception(url, error, self._trust.hint)
        except ValueError:  # of a redirect that the library looks at, though it does not go there
            trouble = troubles.not_a_registry(url, "it gives an address that cannot be read")
        raise trouble  # without its cause, whose text may hold a signed URL

    def _fetch_token(
        self, method: str, url: str, authorization: str, form: Mapping[str, str]
    ) -> requests.Response:
        self._trust.extend(url)
        return self._once(method, url, authorization, body=form, timeout=_PING_TIMEOUT)

    def _found(self) -> str:
        """The first candidate that answers as a registry; else the failure that tells most is raised."""
        failures: list[CephtasksError] = []
        for url in self._candidates:
            failure = self._ping(url)
            if failure is None:
                return url
            failures.append(failure)
        raise max(failures, key=_telling)

    def _ping(self, url: str) -> CephtasksError | None:
        """What keeps this URL from being a registry (distribution-spec, endpoint end-1), or None."""
        try:
            answer = self._once("GET", f"{url}/v2/", "", timeout=_PING_TIMEOUT)
        except CephtasksError as error:
            return error
        if answer.status_code >= 500 or answer.status_code in (403, 429):
            return troubles.from_answer(self.host, "/v2/", answer)
        return troubles.otherwise_than_a_registry(url, answer)


class _Adapter(HTTPAdapter):
    """Connections that trust as we do, and read a body in larger blocks than the library's 16 KiB."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        super().__init__(pool_maxsize=_CONNECTIONS)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, blocksize=_BLOCK)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        url = urlsplit(request.url or "")
        context = self._trust.context(request.url or "") if url.scheme == "https" else None
        return {"scheme": url.scheme, "host": url.hostname, "port": url.port}, {"ssl_context": context}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave it to the context; the library would add CAs of its own."""


def _read(answer: requests.Response) -> None:
    """Read all of an answer, where that was not done yet, so that it can be looked at without failure."""
    try:
        with closing(answer):
            _ = answer.content
        return
    except troubles.FAILURES as error:
        trouble = troubles.from_exception(answer.url, error)
    raise trouble


def _telling(failure: CephtasksError) -> int:
    """How much a failure tells: an answer more than none, and that there is no TLS, nothing new."""
    if isinstance(failure, RegistryNotTrusted):
        return 3
    if isinstance(failure, RegistryUnreachable):
        return 1
    return 0 if isinstance(failure, RegistryWithoutTls) else 2
