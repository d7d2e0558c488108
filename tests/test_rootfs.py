"""Rootfs, with the real mmdebstrap and this machine's own apt sources."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cephtasks import rootfs
from cephtasks.errors import MmdebstrapMissing, RootfsFailed
from cephtasks.rootfs import Recipe
from lab.disks import small_disk
from lab.processes import wait_until

DEBIAN = (
    "Types: deb\nURIs: http://debian.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
)
VENDOR = "deb [signed-by=/etc/apt/keyrings/bookworm.gpg] http://vendor.example/apt nodistro main\n"


def apt_folder(folder: Path, **files: str) -> Path:
    """A folder as /etc/apt, of the given files below sources.list.d (`__` in a name is a dot)."""
    (folder / "sources.list.d").mkdir(parents=True)
    for name, text in files.items():
        (folder / "sources.list.d" / name.replace("__", ".")).write_text(text)
    return folder


def test_the_release_is_this_machines(tmp_path: Path) -> None:
    """The codename is read with and without quotes, and a machine without one is told so."""
    file = tmp_path / "os-release"
    file.write_text('ID=debian\nVERSION_CODENAME="trixie"\n')
    assert rootfs.release(file) == "trixie"
    file.write_text("ID=ubuntu\nVERSION_CODENAME=noble\n")
    assert rootfs.release(file) == "noble"
    file.write_text("ID=other\n")
    with pytest.raises(RootfsFailed, match="names no release"):
        rootfs.release(file)


def test_sources_are_those_of_the_release(tmp_path: Path) -> None:
    """Other vendors' repositories, files that apt would not read, and comments are left out."""
    folder = apt_folder(
        tmp_path,
        debian__sources=DEBIAN,
        vendor__list=VENDOR,
        old__list="# deb http://debian.example/debian bookworm main\n",
        spare__sources__disabled=DEBIAN,
    )
    (folder / "sources.list").write_text("deb http://security.example/debian bookworm-security main\n")
    assert [file.name for file in rootfs.sources("bookworm", folder)] == ["sources.list", "debian.sources"]


def test_sources_may_name_the_release_as_stable(tmp_path: Path) -> None:
    """Where no file has the codename, those count that say stable."""
    text = "deb http://debian.example/debian stable main\n"
    folder = apt_folder(tmp_path, debian__list=text, vendor__list=VENDOR)
    assert [file.name for file in rootfs.sources("bookworm", folder)] == ["debian.list"]


def test_a_machine_without_sources_is_told_so(tmp_path: Path) -> None:
    """The folder is named, and where to look."""
    folder = apt_folder(tmp_path, vendor__list=VENDOR)
    with pytest.raises(RootfsFailed, match="no apt sources of bookworm"):
        rootfs.sources("bookworm", folder)


def test_a_package_list_may_have_comments(tmp_path: Path) -> None:
    """Comments and empty lines are no packages."""
    file = tmp_path / "packages.txt"
    file.write_text("# tools\ng++  # compiles\n\nmake\n")
    assert rootfs.packages_in(file) == ("g++", "make")


def test_a_digest_tells_recipes_apart(tmp_path: Path) -> None:
    """Packages, contents, paths and modes count; the order of packages and where the files lie do not."""

    def recipe(name: str, text: str = "one", mode: int = 0o644, at: str = "/a") -> Recipe:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_text(text)
        (folder / "file").chmod(mode)
        (folder / "link").symlink_to("file")
        return Recipe(("g++", "make"), {at: folder})

    first = recipe("first")
    assert recipe("same").digest() == first.digest()
    assert Recipe(("make", "g++"), first.files).digest() == first.digest()
    others = [recipe("text", text="two"), recipe("mode", mode=0o755), recipe("at", at="/b")]
    others.append(Recipe(("make",), first.files))
    assert len({first.digest(), *(other.digest() for other in others)}) == 5


def test_mmdebstraps_reason_is_the_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that nobody has ends the chunks with an error that names it; nothing stays behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    recipe = Recipe(("no-such-package",))
    with rootfs.packed(recipe, lambda _: None) as chunks, pytest.raises(RootfsFailed) as raised:
        b"".join(chunks)
    assert list(tmp_path.iterdir()) == []
    assert "mmdebstrap exited" in raised.value.fact


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says how much is left, the hint how to use another disk."""
    with small_disk(tmp_path):
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr(tempfile, "tempdir", None)  # which is to be looked up again
        with (
            pytest.raises(RootfsFailed, match=r"has 2\d\.\d MB left") as raised,
            rootfs.packed(Recipe(()), print),
        ):
            pass
        assert list(tmp_path.iterdir()) == []
    assert "TMPDIR=" in raised.value.hint


def test_a_machine_without_mmdebstrap_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint installs it."""
    (tmp_path / "apt-config").symlink_to("/usr/bin/apt-config")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MmdebstrapMissing) as raised, rootfs.packed(Recipe(()), lambda _: None):
        pass
    assert raised.value.hint == "sudo apt-get install mmdebstrap"


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while packages are fetched ends mmdebstrap, and what it had unpacked goes."""
    program = (
        "from cephtasks import console, rootfs\n"
        "with rootfs.packed(rootfs.Recipe(('busybox-static',)), console.stream) as chunks:\n"
        "    b''.join(chunks)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        wait_until(lambda: any(tmp_path.glob("mmdebstrap.*/etc/apt")), "mmdebstrap")
        running.send_signal(signal.SIGINT)
        assert running.wait(30) != 0
        assert list(tmp_path.iterdir()) == []
    finally:
        running.kill()
        running.wait()
