"""Mirrors: make a folder hold what an index says, by links, touching only what differs."""

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path

from cephtasks.tree import Entry, Index, Kind

_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK})  # another disk, another's file, too many


def mirror(folder: Path, index: Index, sources: Mapping[str, Path], beside: Path) -> None:
    """Make `folder` hold the paths of an index and nothing else; a file is a hard link to its source.

    Where the disk allows no link it is a copy. A path gets what it is to hold by a rename, from `beside`, a
    folder on the same disk. No file is ever written to, as its bytes are its source's. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_others(folder, index)
    for path, entry in sorted(index.items()):
        place = folder / path
        if entry.kind is Kind.FOLDER:
            _enterable(place)
        elif entry.kind is Kind.SYMLINK:
            _link_symbolically(place, entry, beside / uuid.uuid4().hex)
        elif entry.kind is Kind.FILE:
            _link(place, sources[path], beside / uuid.uuid4().hex)
    for path, entry in index.items():
        if entry.kind is Kind.HARDLINK:
            _link(folder / path, folder / entry.target, beside / uuid.uuid4().hex)
    _set_modes(folder, index)


def _remove_others(folder: Path, index: Index, below: str = "") -> None:
    """Take away what the index does not name, and what is another kind of thing than it says."""
    with os.scandir(folder / below) as listing:
        found = list(listing)
    for item in found:
        path = f"{below}{item.name}"
        entry = index.get(path)
        if item.is_dir(follow_symlinks=False):
            _enterable(folder / path)
            stays = entry is not None and entry.kind is Kind.FOLDER
            _remove_others(folder, index if stays else {}, f"{path}/")
            if not stays:
                (folder / path).rmdir()
        elif entry is None or entry.kind is Kind.FOLDER:
            (folder / path).unlink()


def _enterable(folder: Path) -> None:
    """A folder into which its owner may write, whatever mode it is to have in the end."""
    folder.mkdir(exist_ok=True)
    mode = stat.S_IMODE(folder.lstat().st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        folder.chmod(mode | stat.S_IRWXU)


def _set_modes(folder: Path, index: Index) -> None:
    for path, entry in sorted(index.items(), reverse=True):  # a folder after what it holds
        if entry.kind is Kind.FOLDER and stat.S_IMODE((folder / path).lstat().st_mode) != entry.mode:
            (folder / path).chmod(entry.mode)


def _link_symbolically(place: Path, entry: Entry, new: Path) -> None:
    if not (place.is_symlink() and str(place.readlink()) == entry.target):
        new.symlink_to(entry.target)
        new.replace(place)


def _link(place: Path, source: Path, new: Path) -> None:
    wanted, found = source.lstat(), place.lstat() if os.path.lexists(place) else None
    if found is not None and (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
        return
    # A copy bears as its time that of its source's last change, which nothing can set back.
    if found is not None and (found.st_size, found.st_mode, found.st_mtime_ns) == (
        wanted.st_size,
        wanted.st_mode,
        wanted.st_ctime_ns,
    ):
        return
    try:
        new.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copyfile(source, new)
        new.chmod(stat.S_IMODE(wanted.st_mode))
        os.utime(new, ns=(wanted.st_ctime_ns, wanted.st_ctime_ns))
    new.replace(place)
