"""Builder image, made on a real engine by docker build and by mmdebstrap."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cephtasks import builder_image
from cephtasks.builder import OUR_BUILDER
from cephtasks.engine import Engine
from cephtasks.errors import BuilderFolderInvalid, PullFailed, RootfsFailed
from lab.disks import small_disk
from lab.engines import tiny_image
from lab.processes import wait_until

BUILDERS = Path(__file__).resolve().parent.parent / "builders"
OURS = BUILDERS / "debian"
NOWHERE = "localhost:1/no/debian:latest"


def folder_on(base: str, folder: Path, packages: str = "make\n") -> Path:
    """A copy of our builder's folder that starts from another base, with other packages."""
    shutil.copytree(OURS, folder)
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(builder_image.base_of(OURS), base))
    (folder / "packages.txt").write_text(packages)
    return folder


def inside(image: str, script: str) -> str:
    """What a shell script prints in a container."""
    command = ["docker", "run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_base_is_a_debian(tmp_path: Path) -> None:
    """What the Dockerfile starts from by default is read out of it."""
    assert builder_image.base_of(OURS) == "debian:bookworm-slim"
    assert builder_image.base_of(folder_on("ubuntu:24.04", tmp_path / "copy")) == "ubuntu:24.04"


@pytest.mark.parametrize(
    "folder", [each for each in BUILDERS.iterdir() if each.is_dir()], ids=lambda each: each.name
)
def test_every_builder_keeps_the_contract(folder: Path) -> None:
    """A base that can be chosen, the one build-cmake, run in /ceph; what its steps run a shell can read."""
    assert builder_image.base_of(folder)
    assert (folder / "build-cmake").read_bytes() == (OURS / "build-cmake").read_bytes()
    text = (folder / "Dockerfile").read_text()
    assert {"FROM ${BASE}", "WORKDIR /ceph", 'CMD ["build-cmake"]'} <= set(text.splitlines())
    assert "COPY build-cmake /usr/local/bin/build-cmake" in text
    (steps,) = re.findall(r"^RUN (.*?[^\\])$", text, re.MULTILINE | re.DOTALL)
    subprocess.run(["sh", "-n"], input=steps, text=True, check=True)


def test_a_base_of_another_kind_has_no_other_way(engine: Engine, tmp_path: Path) -> None:
    """Where the packages are not Debian's, or a base is asked for, a base that cannot be pulled ends it."""
    for folder, base in ((BUILDERS / "el", NOWHERE), (folder_on("debian", tmp_path / "copy"), NOWHERE)):
        with pytest.raises(PullFailed, match=NOWHERE):
            builder_image.make("cephtasks-test/never:made", folder, engine, base)


@pytest.mark.parametrize("part", ["Dockerfile", "packages.txt", "build-cmake"])
def test_a_folder_that_lacks_a_part_is_refused(part: str, tmp_path: Path, engine: Engine) -> None:
    """It is a mistake in what was given, found before anything is made."""
    folder = folder_on(NOWHERE, tmp_path / "copy")
    (folder / part).unlink()
    with pytest.raises(BuilderFolderInvalid, match=part) as raised:
        builder_image.make("cephtasks-test/never:made", folder, engine)
    assert raised.value.exit_code == 2
    assert engine.image("cephtasks-test/never:made") is None


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The hint lists those that are."""
    with pytest.raises(BuilderFolderInvalid) as raised:
        builder_image.base_of(tmp_path / "none")
    assert raised.value.hint == "invoke builder.list"


def test_a_dockerfile_without_the_base_argument_is_refused(tmp_path: Path) -> None:
    """Without that line nobody can know which image is to be pulled."""
    folder = folder_on(NOWHERE, tmp_path / "copy")
    (folder / "Dockerfile").write_text("FROM debian\n")
    with pytest.raises(BuilderFolderInvalid, match="ARG BASE"):
        builder_image.base_of(folder)


def test_the_builder_that_bootstrap_made_has_what_the_list_names() -> None:
    """Every compiler is there, and build-cmake is ours, root's, and can be executed by anybody."""
    assert inside(OUR_BUILDER, "cat /usr/local/bin/build-cmake") == (OURS / "build-cmake").read_text().strip()
    assert inside(OUR_BUILDER, "stat -c '%U %G %a' /usr/local/bin/build-cmake") == "root root 755"
    tools = ["g++", "cmake", "ninja", "ccache", "distcc", "distccd", "git", "python3", "make", "pkg-config"]
    found = inside(OUR_BUILDER, f"for tool in {' '.join(tools)}; do command -v $tool; done").split()
    assert found == [f"/usr/bin/{tool}" for tool in tools]
    assert inside(OUR_BUILDER, "ls /etc/apt/apt.conf.d | grep machine || true") == ""


def test_docker_build_is_used_where_the_base_is_there(
    tmp_path: Path, engine: Engine, image_name: str
) -> None:
    """The base in the engine gets the listed packages and build-cmake."""
    folder = folder_on(OUR_BUILDER, tmp_path / "copy", "# a comment\nmake # is there already\n")
    name = f"{image_name}:built"
    assert builder_image.make(name, folder, engine) == name
    assert inside(name, "pwd; command -v build-cmake") == "/ceph\n/usr/local/bin/build-cmake"
    assert not builder_image.is_made(name, folder, engine)


def test_mmdebstrap_is_used_where_no_base_can_be_had(
    tmp_path: Path, engine: Engine, image_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is told why and from what; what it replaces goes; the image is known until its list changes."""
    folder = folder_on(NOWHERE, tmp_path / "copy")
    name = f"{image_name}:bootstrapped"
    before = tiny_image(engine, name, f"LABEL unique={image_name}")
    assert builder_image.make(name, folder, engine) == name
    said = capfd.readouterr()
    assert said.out == ""
    assert f"{NOWHERE} could not be pulled" in said.err
    assert f"{name}: mmdebstrap of" in said.err
    assert "I: success" in said.err
    assert inside(name, "pwd; command -v make; command -v build-cmake").split() == [
        *("/ceph", "/usr/bin/make", "/usr/local/bin/build-cmake")
    ]
    assert inside(name, "stat -c '%U %G %a' /usr/local/bin/build-cmake") == "root root 755"
    assert builder_image.is_made(name, folder, engine)
    assert engine.image(before) is None
    (folder / "build-cmake").write_text("#!/bin/sh\n")
    assert not builder_image.is_made(name, folder, engine)


def test_a_failure_leaves_the_image_as_it_was(
    tmp_path: Path, engine: Engine, image_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk fails the making, and the name stays with what it named."""
    name = f"{image_name}:kept"
    before = tiny_image(engine, name)
    folder = folder_on(NOWHERE, tmp_path / "copy")
    with small_disk(tmp_path / "disk"):
        monkeypatch.setenv("TMPDIR", str(tmp_path / "disk"))
        monkeypatch.setattr(tempfile, "tempdir", None)  # which is to be looked up again
        with pytest.raises(RootfsFailed, match="MB left"):
            builder_image.make(name, folder, engine)
    found = engine.image(name)
    assert found is not None
    assert found.id == before


def test_an_interruption_is_told_in_one_line(tmp_path: Path, engine: Engine) -> None:
    """Ctrl-C ends the making with a line of ours, and there is no image."""
    name = f"cephtasks-test/{tmp_path.name.replace('_', '-')}:interrupted"
    program = (
        "import sys; from pathlib import Path\n"
        "from cephtasks import builder_image\n"
        "from cephtasks.engine import Engine\n"
        "from cephtasks.errors import Interrupted\n"
        "try: builder_image.make(sys.argv[1], Path(sys.argv[2]), Engine.connect())\n"
        "except Interrupted as error: print(error.fact)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program, name, str(folder_on(NOWHERE, tmp_path / "copy"))],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with running:
        wait_until(lambda: any(tmp_path.glob("mmdebstrap.*/etc/apt")), "mmdebstrap")
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=30)
    assert out.decode() == f"making {name} was stopped; nothing half is left\n"
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    assert engine.image(name) is None


def test_a_dry_run_makes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It shows the docker line of the way that it would go first."""
    dry = Engine.connect(dry=True)
    try:
        name = builder_image.make("cephtasks-test/dry:run", folder_on(OUR_BUILDER, tmp_path / "copy"), dry)
        assert dry.image(name) is None
    finally:
        dry.close()
    assert f"| docker build --tag={name}" in capfd.readouterr().err
