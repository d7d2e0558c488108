"""Catalog: all repositories of real registries, and of odd ones."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cephtasks.errors import CephtasksError, NotARegistry, RegistryRefused
from cephtasks.reference import parse
from cephtasks.registry import Client, catalog, push
from cephtasks.store import Store
from lab.images import packed
from lab.registries import registry
from lab.webs import Answer, Deed, Request, answering


def _listed(host: str) -> list[str]:
    with Client(host) as client:
        return list(catalog(client))


def test_every_page_is_followed(tmp_path: Path) -> None:
    """A registry that gives three names at a time gives them all."""
    store = Store(tmp_path / "store")
    image = packed(store, "small", [{"a": b"a"}])
    names = sorted(f"team{number % 3}/app-{number}" for number in range(11))
    with registry(tmp_path / "registry", maxentries=3) as started:
        with Client(started.host) as client:
            for name in names:
                push(client, parse(f"{started.host}/{name}:1"), image, store.open)
        assert _listed(started.host) == names
        pages = [path for method, path, _ in started.requests() if path.startswith("/v2/_catalog")]
        assert [path.partition("?")[2][:7] for path in pages[:2]] == ["n=1000", ""]
        assert len(pages) == 1 + 4


def test_an_empty_registry(tmp_path: Path) -> None:
    """It has no repositories, and that is no error."""
    with registry(tmp_path) as started:
        assert _listed(started.host) == []


@pytest.mark.parametrize("body", [b'{"repositories":null}', b'{"repositories":[]}'])
def test_no_names_however_they_are_written(body: bytes) -> None:
    """Some registries send null for none."""
    with answering(lambda request: Answer(body=body)) as web:
        assert _listed(web.host) == []


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"null", b"no JSON", b'{"repositories":{}}', b'{"repositories":[1]}', b"[" * 100_000],
)
def test_an_answer_of_another_shape(body: bytes) -> None:
    """It is told, in one line."""
    with (
        answering(lambda request: Answer(body=body if "_catalog" in request.path else b"")) as web,
        pytest.raises(NotARegistry) as caught,
    ):
        _listed(web.host)
    assert caught.value.fact.startswith(f"{web.host} does not answer as a registry: the catalog is not")


def test_a_listing_that_leads_back_to_itself() -> None:
    """It ends."""

    def respond(request: Request) -> Answer:
        return Answer(200, {"Link": '</v2/_catalog?last=a>; rel="next"'}, b'{"repositories":["a"]}')

    with answering(respond) as web, pytest.raises(NotARegistry, match="the catalog never ends"):
        _listed(web.host)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60))
@example("<http://[broken>; rel=next")
@example("<>; rel=next")
@example("<ftp://localhost/>; rel=next")
@example("<http://a..b/>; rel=next")
@settings(max_examples=25, deadline=None)
def test_no_link_upsets_it(link: str) -> None:
    """Whatever a server sends for one, there are names, or one line."""
    told = Answer(200, {"Link": link}, b'{"repositories":["a"]}')
    last = Answer(body=b'{"repositories":[]}')
    with answering(lambda request: told if request.path == "/v2/_catalog?n=1000" else last) as web:
        try:
            assert _listed(web.host)[0] == "a"
        except CephtasksError as error:
            assert "\n" not in error.fact


def test_an_empty_page_is_not_the_end() -> None:
    """Only a missing Link is."""
    pages = {
        "/v2/_catalog?n=1000": Answer(
            200, {"Link": '<_catalog?last=a&n=1>; rel="next"'}, b'{"repositories":["a"]}'
        ),
        "/v2/_catalog?last=a&n=1": Answer(
            200, {"Link": "</v2/_catalog?last=b>;rel=next"}, b'{"repositories":[]}'
        ),
        "/v2/_catalog?last=b": Answer(200, {}, b'{"repositories":["c"]}'),
    }
    with answering(lambda request: pages.get(request.path, Answer())) as web:
        assert _listed(web.host) == ["a", "c"]


def test_a_page_is_asked_for_again_when_the_server_stumbles() -> None:
    """Once it answered, an error that may pass is waited out."""
    answers: list[Deed] = [Answer(), Answer(503), Answer(body=json.dumps({"repositories": ["a"]}).encode())]
    with answering(lambda request: answers.pop(0)) as web:
        assert _listed(web.host) == ["a"]


def test_a_registry_without_a_catalog() -> None:
    """Some keep it to themselves."""

    def respond(request: Request) -> Answer:
        return Answer(404 if "_catalog" in request.path else 200)

    with answering(respond) as web, pytest.raises(RegistryRefused) as caught:
        _listed(web.host)
    assert caught.value.fact == f"{web.host} refuses the catalog: HTTP 404 Not Found"
    assert caught.value.hint == f"curl --include http://{web.host}/v2/_catalog"
