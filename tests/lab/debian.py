"""Debian: sources that nobody here wrote, fetched once, leaving this machine's apt settings as they are."""

import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from cephtasks.rootfs import release, sources

_CACHE = Path.home() / ".cache" / "cephtasks" / "sources"


def unpack_source(package: str, folder: Path) -> Path:
    """Lay out what a package's authors released, without Debian's changes and without git; its folder."""
    with tarfile.open(_tarball(package)) as tar:
        tar.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


def _tarball(package: str) -> Path:
    kept = _CACHE / package
    if not kept.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
            fetched = _fetch(package, Path(scratch))
            fetched.rename(kept)
    return kept


def _fetch(package: str, scratch: Path) -> Path:
    """Download by apt with settings, lists and caches of its own."""
    parts = scratch / "sources"
    parts.mkdir()
    (scratch / "lists").mkdir()
    for file in sources(release()):
        (parts / file.name).write_text(_for_sources(file.read_text()))
    options = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": parts,
        "Dir::State::lists": scratch / "lists",
        "Dir::Cache": scratch,
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "--quiet", *(f"--option={name}={value}" for name, value in options.items())]
    for command in ("update", "source --download-only --tar-only"):
        words = [*apt, *command.split(), *([package] if "source" in command else [])]
        done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, check=False)
        told = f"{done.stdout}\n{done.stderr}".strip().splitlines()[-5:]
        assert done.returncode == 0, f"the source of {package} cannot be had: apt-get {command}: {told}"
    (tarball,) = scratch.glob(f"{package}_*.orig.tar.*")
    return tarball


def _for_sources(text: str) -> str:
    """A file of apt's, in either format, that names source packages instead of binary ones."""
    return re.sub(
        r"^deb ", "deb-src ", re.sub(r"^Types: .*$", "Types: deb-src", text, flags=re.M), flags=re.M
    )
