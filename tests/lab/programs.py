"""Programs: compile small ones in C, and make images that hold little but programs."""

import io
import re
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cephtasks.engine import Engine

BUSYBOX = {f"bin/{command}": "busybox" for command in ("sh", "cat", "sleep", "tail", "env", "head", "kill")}


def compiled(target: Path, source: str, *options: str | Path) -> Path:
    """The file that gcc makes of a source in C."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-x", "c", "-", "-x", "none", *map(str, options), "-o", str(target)]
    subprocess.run(command, input=source, text=True, check=True, capture_output=True)
    return target


def library(target: Path, soname: str, source: str, *options: str | Path) -> Path:
    """A shared library with a soname."""
    return compiled(target, source, "-shared", "-fPIC", f"-Wl,-soname,{soname}", *options)


def versioned(target: Path, soname: str, source: str, script: str) -> Path:
    """A shared library whose symbols have the versions of a linker's version script."""
    target.parent.mkdir(parents=True, exist_ok=True)
    version_script = target.with_suffix(".map")
    version_script.write_text(script)
    return library(target, soname, source, f"-Wl,--version-script={version_script}")


def runtime(*programs: Path) -> Mapping[str, bytes]:
    """What this machine's loader finds for some programs, and itself, at the same paths."""
    command = ["ldd", *map(str, programs)]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    paths = set(re.findall(r"(?:=> |^\t)(/\S+) \(", listed, re.MULTILINE))
    return {path.lstrip("/"): Path(path).read_bytes() for path in paths}


def image_of(
    engine: Engine,
    name: str,
    files: Mapping[str, bytes | str | Path],
    links: Mapping[str, str] = {},
    changes: Sequence[str] = (),
    plain: Sequence[str] = (),
) -> str:
    """Make an image of nothing but these files and symlinks, all but the `plain` ones executable; its id."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path, data in files.items():
            raw = data.read_bytes() if isinstance(data, Path) else data
            raw = raw.encode() if isinstance(raw, str) else raw
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(raw), 0o644 if path in plain else 0o755
            tar.addfile(member, io.BytesIO(raw))
        for path, target in links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return engine.import_tar([content.getvalue()], name, changes)
