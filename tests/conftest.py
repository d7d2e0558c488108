"""Fixtures that many tests share: this machine's engine, and names that are nobody else's."""

import uuid
from collections.abc import Iterator

import docker
import pytest
from xdist.remote import Producer

from cephtasks.engine import Engine
from lab import cluster as clusters
from lab import registries
from lab.cluster import Cluster
from lab.engines import tiny_image
from lab.sharing import Scheduler, shares_engine


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduler:
    """Say which test runs in which process, where `script/test` has two of them."""
    return Scheduler(config, log)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine of this machine; without one the tests that need it fail (script/bootstrap starts it)."""
    connected = Engine.connect()
    yield connected
    connected.close()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds what another session compiled, or leaves anything in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _no_unnamed_images_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """An image whose name a test gave to another one goes with the test."""
    if "engine" not in request.fixturenames:
        yield
        return
    assert shares_engine(request.path), "lab/sharing.py does not see that this file uses the engine"
    client = docker.from_env()
    try:
        before = {image.id for image in client.images.list(filters={"dangling": True})}
        yield
        for image in client.images.list(filters={"dangling": True}):
            if image.id and image.id not in before:
                client.images.remove(image.id)
    finally:
        client.close()


@pytest.fixture
def image_name(engine: Engine) -> Iterator[str]:
    """A repository name of this test alone; its images are removed from the engine afterwards."""
    name = f"cephtasks-test/{uuid.uuid4().hex[:12]}"
    yield name
    client = docker.from_env()
    try:
        for image in client.images.list(name):
            for tag in [tag for tag in image.tags if tag.startswith(f"{name}:")]:
                client.images.remove(tag, force=True)
    finally:
        client.close()


@pytest.fixture(scope="session")
def tiny(engine: Engine) -> Iterator[str]:
    """An image with a shell and little else."""
    name = f"cephtasks-test/tiny-{uuid.uuid4().hex[:12]}:latest"
    tiny_image(engine, name)
    yield name
    engine.untag(name)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Five engines as nodes; many tests share them, so each uses repositories of its own."""
    with clusters.cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry, as localhost:PORT; many tests share it, so each uses repositories of its own."""
    with registries.registry(tmp_path_factory.mktemp("registry")) as started:
        yield started.host
