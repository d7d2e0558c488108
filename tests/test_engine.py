"""What the engine of this machine is asked to do with images, and real registries beside it."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks.engine import Engine, EngineImage, RunSpec
from cephtasks.engine.pulls import failure as told
from cephtasks.errors import EngineRefused, ImageNotFound, PullFailed, ReferenceInvalid
from cephtasks.reference import parse
from lab import registries
from lab.engines import tiny_image
from lab.processes import free_port


def ignore(*_: object) -> None:
    """Progress that nobody watches."""


def docker(*arguments: str) -> str:
    """What the docker command prints."""
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def published(engine: Engine, registry: str) -> Iterator[str]:
    """An image that the registry has and the engine has not."""
    name = f"{registry}/engine/{uuid.uuid4().hex[:12]}:v1"
    publish(engine, name)
    yield name
    repository = name.rpartition(":")[0]
    if left := docker("image", "ls", "--quiet", "--no-trunc", repository).split():
        docker("image", "rm", "--force", *set(left))


def publish(engine: Engine, name: str) -> None:
    """Put an image that is like no other into a registry, and take it out of the engine."""
    tiny_image(engine, name, files={"unique": uuid.uuid4().bytes})
    docker("push", "--quiet", name)
    engine.untag(name)
    assert engine.image(name) is None


def test_an_image_is_described_as_the_engine_has_it(engine: Engine, image_name: str) -> None:
    """Id, names, labels and variables are those that docker shows."""
    changes = ("LABEL a=b", "ENV PATH=/bin:/usr/bin", 'ENTRYPOINT ["sh", "-c"]')
    made = tiny_image(engine, f"{image_name}:one", *changes)
    engine.tag(made, f"{image_name}:two")
    found = engine.image(f"{image_name}:two")
    assert found is not None
    assert (found.id, set(found.tags)) == (made, {f"{image_name}:one", f"{image_name}:two"})
    assert (found.labels, found.env["PATH"], found.entrypoint) == ({"a": "b"}, "/bin:/usr/bin", ("sh", "-c"))
    assert (len(found.diff_ids), found.architecture) == (1, docker("version", "--format={{.Server.Arch}}"))
    assert found in engine.images()


def test_an_image_that_is_missing_is_none(engine: Engine) -> None:
    """Asking is no error; requiring is, with the caller's hint."""
    assert engine.image("cephtasks-test/nowhere:latest") is None
    with pytest.raises(ImageNotFound) as caught:
        engine.require_image("cephtasks-test/nowhere:latest", "invoke builder.image")
    assert (caught.value.fact, caught.value.hint) == (
        "the engine has no image cephtasks-test/nowhere:latest",
        "invoke builder.image",
    )


def test_a_name_is_given_and_taken(engine: Engine, tiny: str, image_name: str) -> None:
    """Taking the last name away takes the image too."""
    made = tiny_image(engine, f"{image_name}:one", "LABEL only=here")
    engine.tag(f"{image_name}:one", f"{image_name}:two")
    engine.untag(f"{image_name}:one")
    assert engine.image(made) is not None
    engine.untag(f"{image_name}:two")
    assert engine.image(made) is None


def test_a_digest_cannot_be_given(engine: Engine, tiny: str) -> None:
    """A name with a digest would silently become `latest`."""
    with pytest.raises(ReferenceInvalid):
        engine.tag(tiny, f"cephtasks-test/x@sha256:{'0' * 64}")
    assert engine.image("cephtasks-test/x:latest") is None


def test_what_the_engine_refuses_is_one_line(engine: Engine) -> None:
    """The engine's own words come with what was asked for."""
    with pytest.raises(
        EngineRefused, match="docker image rm cephtasks-test/nowhere:latest failed: No such image"
    ):
        engine.untag("cephtasks-test/nowhere:latest")
    with pytest.raises(EngineRefused, match="docker save cephtasks-test/nowhere:latest failed: "):
        list(engine.save("cephtasks-test/nowhere:latest"))


def test_an_archive_goes_out_and_comes_in(engine: Engine, image_name: str) -> None:
    """What save gives, load takes, in chunks of any size."""
    made = tiny_image(engine, f"{image_name}:one", "LABEL only=here")
    archive = b"".join(engine.save(f"{image_name}:one"))
    engine.untag(f"{image_name}:one")
    engine.load([archive[:1], b"", archive[1:100_000], archive[100_000:]])
    assert engine.require_image(f"{image_name}:one", "").id == made


def test_an_archive_may_be_left_half_read(engine: Engine, tiny: str) -> None:
    """Whoever has seen enough stops reading, and nothing stays open."""
    archive = engine.save(tiny)
    assert next(archive)
    archive.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("archive", [[b"garbage" * 1000], [], [bytes(10240)]])
def test_a_broken_archive_is_refused(engine: Engine, archive: list[bytes]) -> None:
    """Errors that the engine reports inside its answer are errors here."""
    with pytest.raises(EngineRefused, match="docker load failed: "):
        engine.load(archive)


def test_an_archive_cut_short_is_refused(engine: Engine, tiny: str) -> None:
    """A half archive names no image."""
    archive = b"".join(engine.save(tiny))
    with pytest.raises(EngineRefused, match="unexpected EOF"):
        engine.load([archive[: len(archive) // 2]])


def test_an_error_of_who_makes_the_archive_stays_theirs(engine: Engine) -> None:
    """The engine is not blamed for what the caller's own iterator raises."""

    def broken() -> Iterator[bytes]:
        yield bytes(1024)
        raise ValueError("of the caller")

    with pytest.raises(ValueError, match="of the caller"):
        engine.load(broken())


def test_a_broken_tar_is_no_image(engine: Engine, image_name: str) -> None:
    """An import that fails leaves no image."""
    with pytest.raises(EngineRefused, match=f"docker import {image_name}:one failed: "):
        engine.import_tar([b"garbage"], f"{image_name}:one")
    assert engine.image(f"{image_name}:one") is None


def test_a_dockerfile_is_built(engine: Engine, tiny: str, image_name: str, tmp_path: Path) -> None:
    """The steps are told line by line, and the image has its name."""
    (tmp_path / "Dockerfile").write_text(f"FROM {tiny}\nRUN echo hello from the build\n")
    lines: list[str] = []
    made = engine.build(tmp_path, f"{image_name}:built", lines.append)
    assert engine.require_image(f"{image_name}:built", "").id == made
    assert "hello from the build" in lines


def test_a_build_follows_links_and_takes_arguments(
    engine: Engine, tiny: str, image_name: str, tmp_path: Path
) -> None:
    """A link in the folder counts as the file that it leads to; arguments and labels reach the image."""
    (tmp_path / "file").write_text("content")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("../file")
    (tmp_path / "folder" / "Dockerfile").write_text("ARG BASE=none\nFROM ${BASE}\nCOPY link /copied\n")
    name = f"{image_name}:built"
    engine.build(tmp_path / "folder", name, ignore, {"BASE": tiny}, {"made": "by a test"})
    out: list[bytes] = []
    engine.run(RunSpec(name, ("cat", "/copied")), out.append, out.append)
    assert b"".join(out) == b"content"
    assert engine.require_image(name, "").labels["made"] == "by a test"


def test_a_container_becomes_an_image(engine: Engine, tiny: str, image_name: str) -> None:
    """What a container changed is in the image if it ended well, and there is none if not."""
    name, nothing = f"{image_name}:amended", RunSpec(tiny, ("sh", "-c", "exit 3"))
    assert engine.amend(nothing, name, [], ignore, ignore).exit_code == 3
    assert engine.image(name) is None
    change = RunSpec(tiny, ("sh", "-c", "echo changed > /file"))
    assert engine.amend(change, name, ["CMD cat /file"], ignore, ignore).exit_code == 0
    out: list[bytes] = []
    engine.run(RunSpec(name), out.append, out.append)
    assert b"".join(out) == b"changed\n"


def test_a_dockerfile_that_fails_is_told(engine: Engine, tiny: str, image_name: str, tmp_path: Path) -> None:
    """The failing step is named, and no image is left."""
    (tmp_path / "Dockerfile").write_text(f"FROM {tiny}\nRUN exit 3\n")
    with pytest.raises(EngineRefused, match=r"docker build failed: .*exit 3"):
        engine.build(tmp_path, f"{image_name}:built", ignore)
    assert engine.image(f"{image_name}:built") is None


def test_a_pull_tells_its_progress(engine: Engine, published: str) -> None:
    """Bytes done grow to the bytes in all, layer by layer; each layer is named before it is downloaded."""
    seen: list[tuple[str, int, int | None, str]] = []
    pulled = engine.pull(published, lambda *event: seen.append(event))
    assert pulled is not None
    assert published in pulled.tags
    layer = next(name for name, _, _, status in seen if status == "Pulling fs layer")
    told = [(status, done, total) for name, done, total, status in seen if name == layer]
    assert [status for status, _, _ in told].index("Downloading") > 0
    total = max(total or 0 for _, _, total in told)
    assert total > 100_000
    assert ("Extracting", total, total) in told
    assert told[-1][0] == "Pull complete"


def test_a_pull_by_digest(engine: Engine, published: str) -> None:
    """An image is pulled by its digest, with or without a tag beside it."""
    first = engine.pull(published, ignore)
    assert first is not None
    digest = first.repo_digests[0].partition("@")[2]
    engine.untag(published)
    for name in (f"{published.rpartition(':')[0]}@{digest}", f"{published}@{digest}"):
        pulled = engine.pull(name, ignore)
        assert pulled is not None
        assert pulled.id == first.id
        assert engine.image(name) is not None


def failure(engine: Engine, name: str) -> PullFailed:
    """How a pull fails; it must be one line and a hint."""
    with pytest.raises(PullFailed) as caught:
        engine.pull(name, ignore)
    assert caught.value.fact.startswith(f"{name} could not be pulled: ")
    assert "\n" not in caught.value.fact
    return caught.value


def test_an_image_that_the_registry_lacks(engine: Engine, registry: str) -> None:
    """The name is to be checked."""
    error = failure(engine, f"{registry}/engine/nowhere:v1")
    assert "not found" in error.fact
    assert error.hint == "check the name"


def test_a_registry_that_is_down(engine: Engine) -> None:
    """The name and the network are to be checked, and the line to try is given."""
    name = f"localhost:{free_port()}/engine/nowhere:v1"
    error = failure(engine, name)
    assert "connection refused" in error.fact
    assert error.hint.endswith(f"docker pull {name}")


def test_a_registry_that_wants_a_login(engine: Engine, tmp_path: Path) -> None:
    """The login is to be done."""
    with registries.registry(tmp_path, login=("user", "word")) as started:
        error = failure(engine, f"{started.host}/engine/nowhere:v1")
    assert error.hint == f"docker login {started.host}, or check the name"


def test_a_credential_helper_that_is_missing(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in Docker's config.json and is not installed is named."""
    (tmp_path / "config.json").write_text('{"credsStore": "nowhere"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    engine = Engine.connect()
    assert "docker-credential-nowhere not installed" in failure(engine, f"{registry}/engine/none:v1").fact
    engine.close()


def test_a_registry_that_lost_a_layer(engine: Engine, tmp_path: Path) -> None:
    """An error that comes after the answer has begun is an error still."""
    with registries.registry(tmp_path) as started:
        name = f"{started.host}/engine/damaged:v1"
        publish(engine, name)
        blobs = (path for path in (tmp_path / "data").rglob("data") if path.is_file())
        max(blobs, key=lambda path: path.stat().st_size).unlink()
        assert "unknown blob" in failure(engine, name).fact


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("http: server gave HTTP response to HTTPS client", '"insecure-registries": ["lab:5000"]'),
        ("x509: certificate signed by unknown authority", "/etc/docker/certs.d/lab:5000/ca.crt"),
        ("no basic auth credentials", "docker login lab:5000"),
        (
            "pull access denied for x, repository does not exist or may require 'docker login'",
            "docker login lab:5000",
        ),
        ("no matching manifest for linux/arm64 in the manifest list entries", "check the name"),
        ("write /var/lib/docker/tmp: no space left on device", "docker system df"),
        ("dial tcp: lookup lab: no such host", "docker pull lab:5000/ceph/daemon:latest"),
    ],
)
def test_what_an_engine_says_leads_to_what_to_type(reason: str, expected: str) -> None:
    """Each of the usual failures has its own hint."""
    assert expected in told(parse("lab:5000/ceph/daemon"), reason).hint


def test_a_dry_run_changes_nothing(tiny: str, published: str, capfd: pytest.CaptureFixture[str]) -> None:
    """With --dry every change is only shown, as the docker line that would make it."""
    engine = Engine.connect(dry=True)
    name = published.replace(":v1", ":dry")
    assert engine.pull(published, ignore) is None
    engine.tag(tiny, name)
    engine.untag(tiny)
    engine.load([b"never read"])
    assert engine.import_tar([b"never read"], name, ["CMD a b"]) == ""
    assert engine.build(Path("/nowhere at all"), name, ignore) == ""
    assert isinstance(engine.image(tiny), EngineImage)
    assert engine.image(name) is None
    engine.close()
    assert capfd.readouterr().err.splitlines() == [
        f"docker pull {published}",
        f"docker tag {tiny} {name}",
        f"docker image rm {tiny}",
        "docker load",
        f"docker import '--change=CMD a b' - {name}",
        f"tar --create --dereference '--directory=/nowhere at all' . | docker build --tag={name} -",
    ]


def test_an_echoed_line_does_the_same(tiny: str, image_name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What `-e` shows for a tag can be pasted into a shell."""
    engine = Engine.connect(echo=True)
    engine.tag(tiny, f"{image_name}:echoed")
    line = capfd.readouterr().err
    engine.untag(f"{image_name}:echoed")
    subprocess.run(["sh", "-c", line], check=True)
    assert engine.image(f"{image_name}:echoed") is not None
    engine.close()


def test_images_that_lost_their_name_are_found_by_label(engine: Engine, image_name: str) -> None:
    """A name that is given to a newer image leaves the older one unnamed, until that is removed."""
    name, label = f"{image_name}:one", f"of={image_name}"
    older = tiny_image(engine, name, f"LABEL {label}")
    tiny_image(engine, name, f"LABEL {label}", files={"newer": b""})
    assert engine.unnamed("of", image_name) == (older,)
    engine.untag(older)
    assert engine.unnamed("of", image_name) == ()
