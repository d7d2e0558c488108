"""Tags: all of them, of real registries and of odd ones."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks.errors import ImageNotInRegistry, NotARegistry, RegistryRefused, RegistryUnauthorized
from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.registry.tags import require_tags, tags, tags_of
from cephtasks.store import Store
from lab import registries
from lab.images import packed
from lab.tokens import token_service
from lab.webs import Answer, Request, answering


def _tags(host: str, repository: str = "a/b") -> list[str]:
    with Client(host) as client:
        return tags(client, repository)


def test_the_tags_of_a_repository(registry: str, tmp_path: Path) -> None:
    """All of them, sorted, whatever order the registry has; one that it does not know has none."""
    store = Store(tmp_path)
    image = packed(store, "small", [{"a": b"a"}])
    names = [f"v{number:02}" for number in range(12)]
    with Client(registry) as client:
        for name in names:
            push(client, parse(f"{registry}/tags/many:{name}"), image, store.open)
        push(client, parse(f"{registry}/tags/one:only"), image, store.open)
        asked = ["tags/many", "tags/none", "tags/one"]
        assert list(tags_of(client, asked)) == [
            ("tags/many", names),
            ("tags/none", []),
            ("tags/one", ["only"]),
        ]


def test_whoever_wants_some_is_told_of_none(registry: str) -> None:
    """A repository without tags is an error where one is named."""
    with Client(registry) as client, pytest.raises(ImageNotInRegistry) as caught:
        require_tags(client, "no/such")
    assert caught.value.fact == f"{registry}/no/such has no tags"


@pytest.mark.parametrize("answer", [Answer(404), Answer(body=b'{"tags":null}'), Answer(body=b'{"tags":[]}')])
def test_a_repository_without_tags(answer: Answer) -> None:
    """However the registry says so."""
    with answering(lambda request: answer if "tags" in request.path else Answer()) as web:
        assert _tags(web.host) == []


def test_short_pages_are_followed() -> None:
    """A server may give fewer names than it was asked for, and none on a page."""
    pages = {
        "/v2/a/b/tags/list": (["1"], "?last=1&n=1"),
        "/v2/a/b/tags/list?last=1&n=1": ([], "/v2/a/b/tags/list?last=2"),
        "/v2/a/b/tags/list?last=2": (["3", "4"], ""),
    }

    def respond(request: Request) -> Answer:
        if request.path not in pages:
            return Answer()
        found, link = pages[request.path]
        headers = {"Link": f'<{link}>; rel="next"'} if link else {}
        return Answer(200, headers, json.dumps({"name": "a/b", "tags": found}).encode())

    with answering(respond) as web:
        assert _tags(web.host) == ["1", "3", "4"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(body=b"<html>"), NotARegistry),
        (Answer(400, {"Content-Type": "text/html"}, b"<html>"), RegistryRefused),
        (Answer(body=b'{"tags":{"a":1}}'), NotARegistry),
    ],
)
def test_an_answer_of_another_shape(answer: Answer, error: type[Exception]) -> None:
    """It is told in one line, with the repository's name."""
    with (
        answering(lambda request: answer if "tags" in request.path else Answer()) as web,
        pytest.raises(error, match="the list of tags of a/b"),
    ):
        _tags(web.host)


@pytest.fixture
def with_login(tmp_path: Path) -> Iterator[str]:
    """A registry that wants a login."""
    with registries.registry(tmp_path / "login", login=("ann", "secret")) as started:
        yield started.host


def test_a_login_is_shown(with_login: str) -> None:
    """Without one, nothing is read."""
    with Client(with_login, credentials=lambda _: ("ann", "secret")) as client:
        assert tags(client, "a/b") == []
    with pytest.raises(RegistryUnauthorized):
        _tags(with_login)


def test_only_pulling_is_asked_of_a_token_service(tmp_path: Path) -> None:
    """Whoever may pull may list."""
    scopes = []

    def allows(login: str, scope: str) -> bool:
        scopes.append(scope)
        return True

    with (
        token_service(tmp_path / "tokens", allows) as service,
        registries.registry(tmp_path / "registry", tokens=service.tokens) as started,
    ):
        assert _tags(started.host) == []
    assert set(scopes) == {"repository:a/b:pull"}
