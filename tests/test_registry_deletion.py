"""Deletion: of tags and manifests, from registries that can, can in part, and cannot."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cephtasks.errors import (
    DeletesDisabled,
    ImageNotInRegistry,
    RegistryRefused,
    RegistryUnauthorized,
    TagsWouldGo,
)
from cephtasks.oci import OCI_INDEX, Image
from cephtasks.reference import Reference, parse
from cephtasks.registry import Client, push
from cephtasks.registry.deletion import delete_digest, delete_tag
from cephtasks.registry.manifests import digest_at
from cephtasks.registry.tags import tags
from cephtasks.store import Store
from lab import registries
from lab.images import packed
from lab.indexes import put_index
from lab.tokens import token_service
from lab.webs import Answer, Deed, Request, between


@pytest.fixture
def target(registry: str, request: pytest.FixtureRequest) -> Reference:
    """A tag in a repository of this test alone."""
    name = "".join(letter for letter in request.node.name if letter.isalnum()).lower()
    return parse(f"{registry}/deletion/{name}:one")


@pytest.fixture
def image(target: Reference, tmp_path: Path) -> Image:
    """An image with the tags one and two."""
    return _pushed(target, tmp_path, "one", "two")


def _pushed(target: Reference, folder: Path, *names: str) -> Image:
    store = Store(folder / "store")
    image = packed(store, target.repository, [{"a": b"a"}])
    with Client(target.registry, credentials=lambda _: ("ann", "secret")) as client:
        for name in names:
            push(client, replace(target, tag=name), image, store.open)
    return image


def _tags(target: Reference) -> list[str]:
    with Client(target.registry) as client:
        return tags(client, target.repository)


def test_a_tag_goes_and_its_sibling_stays(target: Reference, image: Image, tmp_path: Path) -> None:
    """Registry 2.8 deletes by digest only, with all tags: the other tag still names the image."""
    with Client(target.registry) as client:
        delete_tag(client, target)
        assert _tags(target) == ["two"]
        assert digest_at(client, replace(target, tag="two")) == image.digest
        delete_tag(client, replace(target, tag="two"))
    assert _tags(target) == []


def test_a_tag_that_comes_again_goes_again(target: Reference, image: Image, tmp_path: Path) -> None:
    """Nothing of the first time is in the way."""
    for _ in range(2):
        _pushed(target, tmp_path, "one")
        with Client(target.registry) as client:
            delete_tag(client, target)
        assert _tags(target) == ["two"]


def test_where_tags_can_be_deleted_nothing_else_is_done(target: Reference, image: Image) -> None:
    """One look, and one request."""
    done = Answer(202)
    with (
        between(target.registry, lambda asked: done if asked.method == "DELETE" else None) as web,
        Client(web.host) as client,
    ):
        delete_tag(client, replace(target, registry=web.host))
    assert [(asked.method, asked.path.rpartition("/")[2]) for asked in web.seen[1:]] == [
        ("GET", "one"),
        ("DELETE", "one"),
    ]


def test_a_failure_before_the_last_request(target: Reference, image: Image) -> None:
    """The same again takes the tag away, and its sibling stays."""
    deletes: list[str] = []

    def meddle(asked: Request) -> Deed | None:
        if asked.method == "DELETE":
            deletes.append(asked.path)
        return Answer(400) if len(deletes) > 2 else None

    with (
        between(target.registry, meddle) as web,
        Client(web.host) as client,
        pytest.raises(RegistryRefused),
    ):
        delete_tag(client, replace(target, registry=web.host))
    assert _tags(target) == ["one", "two"]
    with Client(target.registry) as client:
        delete_tag(client, target)
    assert _tags(target) == ["two"]


def test_a_tag_that_names_something_else_by_now(target: Reference, image: Image) -> None:
    """With a digest the tag goes only while it names that."""
    other = f"sha256:{'0' * 64}"
    with Client(target.registry) as client:
        with pytest.raises(ImageNotInRegistry, match=f"names {image.digest}, not {other}"):
            delete_tag(client, replace(target, digest=other))
        delete_tag(client, replace(target, digest=image.digest))
    assert _tags(target) == ["two"]


def test_a_tag_that_is_not_there(target: Reference, image: Image) -> None:
    """It is told."""
    with Client(target.registry) as client, pytest.raises(ImageNotInRegistry):
        delete_tag(client, replace(target, tag="three"))


def test_a_digest_goes_with_its_tags(target: Reference, image: Image) -> None:
    """Where they were told and that was confirmed; else nothing happens."""
    digest = target.with_digest(image.digest)
    with Client(target.registry) as client:
        with pytest.raises(TagsWouldGo) as caught:
            delete_digest(client, digest, confirmed=False)
        assert caught.value.fact == f"tags of {target.name} lead to {image.digest}: one, two"
        assert caught.value.hint == f"invoke registry.delete {digest} --yes"
        assert _tags(target) == ["one", "two"]
        delete_digest(client, digest, confirmed=True)
    assert _tags(target) == []


def test_what_an_index_names_is_not_deleted_unasked(target: Reference, tmp_path: Path) -> None:
    """The index would be broken, so its tag is told; without tags there is nothing to ask."""
    images = put_index(target, tmp_path, OCI_INDEX, [{"os": "linux", "architecture": "amd64"}])
    with Client(target.registry) as client:
        with pytest.raises(TagsWouldGo, match=r"lead to .*: one\n"):
            delete_digest(client, target.with_digest(images[0].digest), confirmed=False)
        delete_tag(client, target)
        delete_digest(client, target.with_digest(images[0].digest), confirmed=False)
        with pytest.raises(ImageNotInRegistry):
            delete_digest(client, target.with_digest(images[0].digest), confirmed=False)


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Reference]:
    """A tag of a registry that deletes nothing."""
    with registries.registry(tmp_path / "keeping", delete=False) as started:
        yield parse(f"{started.host}/a/b:one")


def test_a_registry_that_deletes_nothing(keeping: Reference, tmp_path: Path) -> None:
    """It is told before anything changed, with the line of its config."""
    image = _pushed(keeping, tmp_path, "one")
    with Client(keeping.registry) as client:
        for act in (
            partial(delete_tag, client, keeping),
            partial(delete_digest, client, keeping.with_digest(image.digest), confirmed=True),
        ):
            with pytest.raises(DeletesDisabled) as caught:
                act()
            assert caught.value.fact == f"{keeping.registry} has deleting switched off"
            assert caught.value.hint.startswith("storage: {delete: {enabled: true}}")
        assert digest_at(client, keeping) == image.digest


def test_deleting_is_asked_of_a_token_service(tmp_path: Path) -> None:
    """Whoever may not delete is told so, and the tag still names what it did."""
    granted = [False]

    def allows(login: str, scope: str) -> bool:
        return bool(login) and (granted[0] or "delete" not in scope)

    with (
        token_service(tmp_path / "tokens", allows) as service,
        registries.registry(tmp_path / "registry", tokens=service.tokens) as started,
    ):
        target = parse(f"{started.host}/a/b:one")
        _pushed(target, tmp_path, "one", "two")
        with (
            Client(started.host, credentials=lambda _: ("ann", "secret")) as client,
            pytest.raises(RegistryUnauthorized, match=r"allows no access to .*/a/b:one"),
        ):
            delete_tag(client, target)
        granted[0] = True
        with Client(started.host, credentials=lambda _: ("ann", "secret")) as client:
            delete_tag(client, target)
            assert tags(client, "a/b") == ["two"]
