"""Previous: a stack is continued where it lies on the base, and where it does not, that is said."""

import json
import uuid
from pathlib import Path

import pytest

from cephtasks import oci, previous, settings
from cephtasks.intake import Stock
from cephtasks.oci import Image
from cephtasks.previous import Previous
from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.settings import Settings
from cephtasks.store import Store
from lab.images import packed

_BASE = {"etc/base": b"base"}
_EDIT = {"usr/bin/ceph-osd": b"osd"}


@pytest.fixture
def chosen(registry: str, tmp_path: Path) -> Settings:
    """Settings with a push target of the test's own."""
    flags = {
        "IMAGE_NAME": "ceph-heads/test:packed",
        "REGISTRY": registry,
        "REPOSITORY": f"previous/{uuid.uuid4().hex[:12]}",
        "TAG": "wip",
        "STATE_DIR": str(tmp_path / "state"),
    }
    return settings.load(flags, environment={})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of the test's own."""
    return Store(tmp_path / "images")


@pytest.fixture
def base(store: Store) -> Image:
    """A base of one layer."""
    return packed(store, "base", [_BASE])


def _find(chosen: Settings, store: Store, base: Image, onto: str = "") -> Previous:
    return previous.find(chosen, Stock(store, Client), base, onto)


def _pushed(image: Image, store: Store, target: str) -> None:
    reference = parse(target)
    with Client(reference.registry) as client:
        push(client, reference, image, store.open)


def test_the_last_image_of_the_store_is_continued(
    chosen: Settings, store: Store, base: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lies on the base, and nothing is said of what is as it should be."""
    image = packed(store, "packed", [_BASE, _EDIT])
    store.put_image(image, chosen.image_name)
    found = _find(chosen, store, base)
    assert [[entry.path for entry in item.entries] for item in found.layers] == [["usr/bin/ceph-osd"]]
    assert found.image == image
    assert capsys.readouterr().err == ""


def test_a_base_that_changed_under_a_stack_begins_a_new_one(
    chosen: Settings, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its layers lie on what is no longer there."""
    store.put_image(packed(store, "packed", [_BASE, _EDIT]), chosen.image_name)
    rebuilt = packed(store, "rebuilt", [{"etc/base": b"rebuilt"}])
    assert _find(chosen, store, rebuilt) == Previous()
    told = f"warning: {chosen.image_name} lies on another base; a new stack is begun\n"
    assert capsys.readouterr().err == told


def test_an_image_at_the_target_that_is_not_ours_begins_a_new_stack(
    chosen: Settings, store: Store, base: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in its layers is not told by them, and to fetch them would be to pull an image."""
    elsewhere = Store(tmp_path / "elsewhere")
    _pushed(packed(elsewhere, "hers", [_BASE, _EDIT]), elsewhere, chosen.target)
    assert _find(chosen, store, base).layers == []
    told = f"warning: {chosen.target} has no layers of ours; a new stack is begun\n"
    assert capsys.readouterr().err == told
    _pushed(base, store, chosen.target)
    assert _find(chosen, store, base).layers == []
    assert capsys.readouterr().err == ""  # the base alone is a stack with nothing on it


def test_an_image_for_another_architecture_is_not_continued(
    chosen: Settings, store: Store, base: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever names it is told that it lies on another base."""
    elsewhere = Store(tmp_path / "elsewhere")
    foreign = packed(elsewhere, "foreign", [{"etc/base": b"arm64"}, _EDIT])
    config = oci.encode({**json.loads(foreign.config), "architecture": "arm64"})
    onto = f"{chosen.registry}/{chosen.repository}:arm64"
    image = oci.image(config, foreign.layers)
    elsewhere.put_image(image, "foreign")
    _pushed(image, elsewhere, onto)
    assert _find(chosen, store, base, onto) == Previous()
    assert capsys.readouterr().err == f"warning: {onto} lies on another base; a new stack is begun\n"


def test_nothing_at_the_target_is_nothing_to_tell(
    chosen: Settings, store: Store, base: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first pack of all begins a stack."""
    assert _find(chosen, store, base) == Previous()
    assert capsys.readouterr().err == ""
