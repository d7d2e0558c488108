"""Base, fetched from real registries."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks import base, settings
from cephtasks.engine import Engine
from cephtasks.errors import PullFailed
from cephtasks.settings import Settings
from lab import registries
from lab.engines import tiny_image


def ignore(*_: object) -> None:
    """Progress that nobody watches."""


def chosen(name: str, alias: str) -> Settings:
    """Settings with that base and that alias."""
    return settings.load({"BASE_IMAGE": name, "BASE_ALIAS": alias}, environment={}, folder=Path("/nowhere"))


@pytest.fixture
def alias(image_name: str) -> str:
    """A local name for the base."""
    return f"{image_name}:base"


@pytest.fixture
def name(engine: Engine, registry: str) -> Iterator[str]:
    """A base that only the registry has."""
    given = f"{registry}/base/{uuid.uuid4().hex[:12]}:v1"
    publish(engine, given)
    yield given
    forget(given)


def publish(engine: Engine, name: str) -> None:
    """Put an image that is like no other into a registry, and take it out of the engine."""
    tiny_image(engine, name, files={"unique": uuid.uuid4().bytes})
    subprocess.run(["docker", "push", "--quiet", name], check=True, capture_output=True)
    engine.untag(name)


def forget(name: str) -> None:
    """Take an image out of the engine, under all names of its repository, digests too."""
    listing = ["docker", "image", "ls", "--quiet", "--no-trunc", name.rpartition(":")[0]]
    found = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()
    if found:
        subprocess.run(["docker", "image", "rm", "--force", *set(found)], check=True, capture_output=True)


def test_the_base_is_pulled_and_named(
    engine: Engine, name: str, alias: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first time the base comes from the registry, with its progress, and gets its local name."""
    seen: list[str] = []
    fetched = base.fetch(chosen(name, alias), engine, lambda *event: seen.append(event[3]))
    assert fetched == base.Fetched(engine.require_image(name, "").id, name, alias, pulled=True)
    assert engine.require_image(alias, "").id == fetched.id
    assert "Downloading" in seen
    assert capfd.readouterr().err == f"pulling {name}\n"


def test_a_new_image_of_the_same_name_is_fetched(engine: Engine, name: str, alias: str) -> None:
    """A base that was rebuilt replaces the old one, under both names."""
    old = base.fetch(chosen(name, alias), engine, ignore)
    publish(engine, name)
    new = base.fetch(chosen(name, alias), engine, ignore)
    assert new.id != old.id
    assert engine.require_image(alias, "").id == new.id


def test_a_base_by_digest(engine: Engine, name: str, alias: str) -> None:
    """A base may be named by its digest, so that nobody can move it."""
    engine.pull(name, ignore)
    digest = engine.require_image(name, "").repo_digests[0].partition("@")[2]
    engine.untag(name)
    pinned = f"{name.rpartition(':')[0]}@{digest}"
    fetched = base.fetch(chosen(pinned, alias), engine, ignore)
    assert (fetched.name, fetched.pulled) == (pinned, True)
    assert engine.require_image(alias, "").id == fetched.id


def test_the_image_that_is_here_will_do(
    engine: Engine, alias: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the registry out of reach an image that was fetched before is taken, and that is said."""
    with registries.registry(tmp_path) as started:
        name = f"{started.host}/base/tiny:v1"
        publish(engine, name)
        first = base.fetch(chosen(name, alias), engine, ignore)
    engine.untag(alias)
    again = base.fetch(chosen(name, alias), engine, ignore)
    assert again == base.Fetched(first.id, name, alias, pulled=False)
    assert engine.require_image(alias, "").id == first.id
    told = capfd.readouterr().err.splitlines()[-1]
    assert told.startswith(f"warning: {name} could not be pulled: ")
    assert told.endswith("connection refused; the image that is here is taken as it is")
    forget(name)


def test_a_registry_that_refuses_is_like_one_that_is_down(
    engine: Engine, registry: str, alias: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A base that was made on this machine, and that no registry has, will do too."""
    name = f"{registry}/base/{uuid.uuid4().hex[:12]}:local"
    made = tiny_image(engine, name)
    assert base.fetch(chosen(name, alias), engine, ignore) == base.Fetched(made, name, alias, pulled=False)
    assert "not found" in capfd.readouterr().err
    forget(name)


def test_neither_here_nor_there(engine: Engine, registry: str, alias: str) -> None:
    """An image that nobody has is an error with a hint."""
    with pytest.raises(PullFailed) as caught:
        base.fetch(chosen(f"{registry}/base/nowhere:v1", alias), engine, ignore)
    assert caught.value.hint == "check the name"
    assert engine.image(alias) is None


def test_a_dry_run_fetches_nothing(name: str, alias: str, capfd: pytest.CaptureFixture[str]) -> None:
    """With --dry the lines are shown that would be run."""
    engine = Engine.connect(dry=True)
    assert base.fetch(chosen(name, alias), engine, ignore) == base.Fetched("", name, alias, pulled=False)
    assert engine.image(alias) is None
    engine.close()
    assert capfd.readouterr().err.splitlines()[-2:] == [f"docker pull {name}", f"docker tag {name} {alias}"]
