"""Auth: who gets a login, of real registries with passwords and with tokens."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cephtasks.engine import credentials
from cephtasks.errors import NotARegistry, RegistryRefused, RegistryUnauthorized
from cephtasks.reference import parse
from cephtasks.registry import Client, catalog, push
from cephtasks.registry.scopes import delete_scopes, pull_scopes
from cephtasks.store import Store
from lab.images import packed
from lab.proxies import nginx
from lab.registries import Registry, certificates, registry
from lab.tokens import TokenService, token_service
from lab.webs import Answer, Request, answering

_LOGIN = ("ann", "pass: word")


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _repositories(client: Client) -> list[str]:
    with client:
        return list(catalog(client))


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants a user and a password."""
    with registry(tmp_path_factory.mktemp("locked"), login=_LOGIN) as started:
        yield started


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's config of this test alone, empty."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder / "config.json"


def _log_in(config: Path, host: str, user: str, password: str) -> None:
    """What `docker login` writes where there is no credential helper."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    config.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def test_the_login_comes_from_dockers_credential_store(locked: Registry, docker_config: Path) -> None:
    """After a `docker login` there is nothing more to set."""
    _log_in(docker_config, locked.host, *_LOGIN)
    assert _repositories(Client(locked.host, credentials=credentials)) == []


def test_without_a_login(locked: Registry) -> None:
    """The error says what is wanted, and what to type."""
    with pytest.raises(RegistryUnauthorized) as caught:
        _repositories(Client(locked.host, credentials=credentials))
    assert caught.value.fact == f"{locked.host} does not let us in: it wants a login"
    assert caught.value.hint == f"docker login {locked.host}"


def test_a_wrong_password(locked: Registry, docker_config: Path) -> None:
    """The error names the user, never the password."""
    _log_in(docker_config, locked.host, "ann", "forgotten")
    with pytest.raises(RegistryUnauthorized) as caught:
        _repositories(Client(locked.host, credentials=credentials))
    assert caught.value.fact == f"{locked.host} does not let us in: it does not accept the login of ann"
    assert "forgotten" not in str(caught.value)


def test_a_login_for_another_registry_is_not_used(locked: Registry, docker_config: Path) -> None:
    """Not even where only the port differs."""
    _log_in(docker_config, "localhost:1", *_LOGIN)
    with pytest.raises(RegistryUnauthorized, match="wants a login"):
        _repositories(Client(locked.host, credentials=credentials))


def test_netrc_does_not_replace_the_login(
    locked: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~/.netrc` is neither sent nor put in the place of what we send."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login bob password other\nmachine 0.0.0.0 login bob password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert _repositories(Client(locked.host, credentials=lambda host: _LOGIN)) == []
    anywhere = f"0.0.0.0:{locked.port}"  # this machine by a name that is not loopback's
    client = Client(anywhere, insecure=(anywhere,), credentials=lambda host: _LOGIN)
    assert _repositories(client) == []


def test_nothing_is_shown_before_it_is_asked_for() -> None:
    """A registry that is open to all never sees the login."""
    with answering(lambda request: Answer(body=b'{"repositories": []}')) as web:
        assert _repositories(Client(web.host, credentials=lambda host: _LOGIN)) == []
    assert [request.headers.get("authorization") for request in web.seen] == [None, None]


def test_no_login_goes_to_another_host(tmp_path: Path) -> None:
    """Neither to where a listing goes on, nor to where an upload is sent."""
    store = Store(tmp_path)
    image = packed(store, "small", [{"a": b"a"}])
    with answering(lambda request: Answer(201 if request.method == "PUT" else 404)) as storage:

        def respond(request: Request) -> Answer:
            if request.headers.get("authorization") != _basic(*_LOGIN):
                return Answer(401, {"WWW-Authenticate": 'Basic realm="lab"'})
            if request.path.endswith("/uploads/"):
                return Answer(202, {"Location": f"http://{storage.host}/put?signature=x"})
            if "_catalog" in request.path:
                return Answer(
                    200, {"Link": f'<http://{storage.host}/next>; rel="next"'}, b'{"repositories":[]}'
                )
            return Answer(404)

        with answering(respond) as web:
            client = Client(web.host, credentials=lambda host: _LOGIN)
            with pytest.raises(RegistryRefused):  # it keeps no manifest
                push(client, parse(f"{web.host}/a/b:1"), image, store.open)
            with pytest.raises(RegistryRefused):
                _repositories(client)
    assert {request.method for request in storage.seen} == {"PUT", "GET"}
    assert all("authorization" not in request.headers for request in storage.seen)


@contextmanager
def _with_tokens(folder: Path, life: int = 300) -> Iterator[tuple[Registry, TokenService]]:
    """A registry with a token service where ann may do all and others may read."""

    def allows(login: str, scope: str) -> bool:
        return login == _basic(*_LOGIN) or scope.endswith(":pull")

    with (
        token_service(folder / "tokens", allows, life) as service,
        registry(folder / "registry", tokens=service.tokens) as started,
    ):
        yield started, service


def test_one_token_serves_a_whole_push(tmp_path: Path) -> None:
    """It is asked for once, with the login, for the scope of the repository."""
    store = Store(tmp_path / "store")
    image = packed(store, "small", [{"a": b"a"}, {"b": b"b"}])
    with _with_tokens(tmp_path) as (started, service):
        with Client(started.host, credentials=lambda host: _LOGIN) as client:
            pushed = push(client, parse(f"{started.host}/team/app:1"), image, store.open)
        assert pushed.digest == image.digest
    asked = [(request.path, request.headers["authorization"]) for request in service.web.seen]
    path = "/token?service=lab+registry&scope=repository%3Ateam%2Fapp%3Apull%2Cpush"
    assert asked == [(path, _basic(*_LOGIN))]


def test_a_token_for_nobody_may_not_push(tmp_path: Path) -> None:
    """Without a login a token is asked for too, and its refusal is told."""
    store = Store(tmp_path / "store")
    image = packed(store, "small", [{"a": b"a"}])
    with _with_tokens(tmp_path) as (started, service), Client(started.host) as client:
        with pytest.raises(RegistryUnauthorized) as caught:
            push(client, parse(f"{started.host}/team/app:1"), image, store.open)
        assert caught.value.hint == f"docker login {started.host}"
        assert caught.value.fact.startswith(f"{started.host} allows no access to blob sha256:")
        assert caught.value.fact.endswith(" without a login")
    assert all("authorization" not in request.headers for request in service.web.seen)


def test_a_login_that_may_only_read_may_not_push(tmp_path: Path) -> None:
    """The error names the user."""
    store = Store(tmp_path / "store")
    image = packed(store, "small", [{"a": b"a"}])
    with (
        _with_tokens(tmp_path) as (started, _),
        Client(started.host, credentials=lambda _: ("bob", "x")) as client,
        pytest.raises(RegistryUnauthorized, match="with the login of bob"),
    ):
        push(client, parse(f"{started.host}/team/app:1"), image, store.open)


def test_a_token_that_is_no_longer_accepted_is_renewed() -> None:
    """Once; a new one that is not accepted either is the end."""
    given: list[str] = []

    def respond(request: Request) -> Answer:
        if request.path.startswith("/token"):
            given.append(f"token{len(given)}")
            return Answer(body=json.dumps({"access_token": given[-1]}).encode())
        if given and request.headers.get("authorization") == f"Bearer {given[-1]}" and len(given) != 1:
            return Answer(body=b'{"repositories": ["a"]}')
        realm = f'Bearer realm="http://{web.host}/token",service="lab"'
        return Answer(401, {"WWW-Authenticate": realm}, b"")

    with answering(respond) as web:
        client = Client(web.host)
        with client, pytest.raises(RegistryUnauthorized):
            list(catalog(client))  # the first token is never accepted
        assert list(catalog(client)) == ["a"]
    assert given == ["token0", "token1"]


def test_an_identity_token_is_exchanged(docker_config: Path) -> None:
    """What a login by a browser leaves is sent as a refresh token, in the body."""
    bodies: list[str] = []

    def respond(request: Request) -> Answer:
        if request.path == "/token":
            bodies.append(f"{request.method} {request.headers.get('authorization')}")
            return Answer(body=b'{"access_token": "fresh"}')
        if request.headers.get("authorization") == "Bearer fresh":
            return Answer(body=b'{"repositories": []}')
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="http://{web.host}/token"'})

    with answering(respond) as web:
        docker_config.write_text(json.dumps({"auths": {web.host: {"identitytoken": "secret"}}}))
        assert _repositories(Client(web.host, credentials=credentials)) == []
    assert bodies == ["POST None"]


@pytest.mark.parametrize(
    ("challenge", "why"),
    [
        ("", "it wants a login and does not say which"),
        ("Negotiate", "it wants a login and does not say which"),
        (
            'Bearer realm="http://tokens.example/"',
            "its token service http://tokens.example/ is no HTTPS address",
        ),
        ("Bearer", "its token service (none) is no HTTPS address"),
    ],
)
def test_a_challenge_that_cannot_be_met(challenge: str, why: str) -> None:
    """A password goes to no token service in the clear, and to none that is not named."""
    with (
        answering(lambda request: Answer(401, {"WWW-Authenticate": challenge})) as web,
        Client(web.host, credentials=lambda host: _LOGIN) as client,
    ):
        with pytest.raises(RegistryUnauthorized) as caught:
            list(catalog(client))
        assert caught.value.fact == f"{web.host} does not let us in: {why}"


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b"null", b'{"token": "x", "expires_in": "soon"}'])
def test_a_token_service_that_gives_none(body: bytes) -> None:
    """It is told which service that is."""

    def respond(request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(body=body)
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="http://{web.host}/token"'})

    with (
        answering(respond) as web,
        Client(web.host) as client,
        pytest.raises(NotARegistry, match="the token service of localhost"),
    ):
        list(catalog(client))


def test_no_login_is_echoed(locked: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    """`-e` shows the requests, and nothing that lets anybody in."""
    _repositories(Client(locked.host, credentials=lambda host: _LOGIN, echo=True))
    shown = capsys.readouterr().err
    assert shown == f"curl 'http://{locked.host}/v2/_catalog?n=1000'\n"


def test_a_service_that_only_knows_oauth(docker_config: Path) -> None:
    """Where a GET gives no token, user and password are sent in a form, and in nothing that is logged."""
    asked: list[tuple[str, str]] = []

    def respond(request: Request) -> Answer:
        if request.path.startswith("/token"):
            asked.append((request.method, request.path.partition("?")[2]))
            return Answer(405) if request.method == "GET" else Answer(body=b'{"access_token": "fresh"}')
        if request.headers.get("authorization") == "Bearer fresh":
            return Answer(body=b'{"repositories": []}')
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="http://{web.host}/token",service="lab"'})

    with answering(respond) as web:
        _log_in(docker_config, web.host, *_LOGIN)
        assert _repositories(Client(web.host, credentials=credentials)) == []
    assert asked == [("GET", "service=lab&scope=registry%3Acatalog%3A%2A"), ("POST", "")]


def test_a_scope_that_the_registry_wants_besides() -> None:
    """What its challenge names is asked for too, from then on."""
    asked: list[str] = []

    def respond(request: Request) -> Answer:
        if request.path.startswith("/token"):
            asked.append(request.path)
            return Answer(body=b'{"token": "wide"}' if "metadata" in request.path else b'{"token": "narrow"}')
        if request.headers.get("authorization") == "Bearer wide":
            return Answer(body=b'{"repositories": []}')
        challenge = f'Bearer realm="http://{web.host}/token",scope="registry:metadata:read"'
        return Answer(401, {"WWW-Authenticate": challenge})

    with answering(respond) as web, Client(web.host) as client:
        assert [list(catalog(client)) for _ in range(2)] == [[], []]
    assert asked == ["/token?service=&scope=registry%3Acatalog%3A%2A&scope=registry%3Ametadata%3Aread"]


def test_a_login_for_deleting(tmp_path: Path) -> None:
    """Its own scope lets a manifest be deleted; that of a push does not."""
    store = Store(tmp_path / "store")
    image = packed(store, "small", [{"a": b"a"}])
    with (
        _with_tokens(tmp_path) as (started, _),
        Client(started.host, credentials=lambda host: _LOGIN) as client,
    ):
        push(client, parse(f"{started.host}/team/app:1"), image, store.open)
        manifest = f"/v2/team/app/manifests/{image.digest}"
        client.send("DELETE", manifest, "it", delete_scopes("team/app"), ok=(202,))
        assert client.send("HEAD", manifest, "it", pull_scopes("team/app"), ok=(404,)).status_code == 404


def test_mounting_wants_both_repositories(tmp_path: Path) -> None:
    """A token for a mount lets read the one and write the other."""
    store = Store(tmp_path / "store")
    image = packed(store, "small", [{"a": b"a"}])
    layer = image.layers[0].blob.digest
    with (
        _with_tokens(tmp_path) as (started, service),
        Client(started.host, credentials=lambda host: _LOGIN) as client,
    ):
        push(client, parse(f"{started.host}/team/app:1"), image, store.open)
        other = parse(f"{started.host}/team/other:1")
        pushed = push(client, other, image, store.open, mount_from={layer: "team/app"})
        assert [item.status for item in pushed.layers] == ["mounted"]
    scopes = "scope=repository%3Ateam%2Fother%3Apull%2Cpush&scope=repository%3Ateam%2Fapp%3Apull"
    assert f"/token?service=lab+registry&{scopes}" in [request.path for request in service.web.seen]


def test_a_token_service_of_the_same_ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labs have one CA for both: REGISTRY_CA holds for the token service that the registry names too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    own_ca = certificates(tmp_path / "ca")

    def respond(request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(body=b'{"token": "fresh"}')
        if request.headers.get("authorization") == "Bearer fresh":
            return Answer(body=b'{"repositories": []}')
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="https://{service.host}/token"'})

    with (
        answering(respond) as web,
        nginx(tmp_path / "registry", web.host, tls=own_ca) as front,
        nginx(tmp_path / "tokens", web.host, tls=own_ca) as service,
    ):
        assert _repositories(Client(front.host, ca=own_ca.ca, credentials=lambda host: _LOGIN)) == []


def test_a_token_service_that_redirects() -> None:
    """Neither the login nor the question goes on to another host."""
    with answering(lambda request: Answer(body=b'{"token": "x"}')) as other:

        def respond(request: Request) -> Answer:
            if request.path.startswith("/token"):
                return Answer(307, {"Location": f"http://{other.host}/token"})
            return Answer(401, {"WWW-Authenticate": f'Bearer realm="http://{web.host}/token"'})

        with answering(respond) as web, pytest.raises(RegistryRefused, match="refuses a token"):
            _repositories(Client(web.host, credentials=lambda host: _LOGIN))
    assert other.seen == []
