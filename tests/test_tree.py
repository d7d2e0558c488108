"""Trees: what is in a folder, in a layer, and in a stack of layers as a container sees it."""

import io
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cephtasks import tree
from cephtasks.engine import Engine
from cephtasks.errors import TreeInvalid
from cephtasks.folder import index_folder
from cephtasks.oci import digest_of
from cephtasks.tree import Entry, Kind, flatten, follow, index_tar, resolve
from lab.layers import Member, file, folder, hardlink, image_of, load, seen_by_container, symlink, tar
from lab.users import as_nobody, public_folder


def sha256(content: bytes) -> str:
    """The digest as entries hold it."""
    return digest_of(content).removeprefix("sha256:")


def entries(*members: Member) -> list[Entry]:
    """The entries of a layer with these members."""
    return list(index_tar(io.BytesIO(tar(*members))))


# --- folders


def test_a_folder_is_indexed_as_roots(tmp_path: Path) -> None:
    """Path, kind, mode, size and digest of everything, whoever compiled it; folders before what they hold."""
    (tmp_path / "bin").mkdir(mode=0o755)
    (tmp_path / "bin" / "sudo").write_bytes(b"binary")
    os.chown(tmp_path / "bin" / "sudo", os.getuid(), 1234 if os.getuid() == 0 else -1)
    (tmp_path / "bin" / "sudo").chmod(0o4755)
    (tmp_path / "empty").mkdir(mode=0o700)
    (tmp_path / "lib").symlink_to("usr/lib")
    index = index_folder(tmp_path)
    assert list(index.values()) == [
        Entry("bin", Kind.FOLDER, 0o755),
        Entry("bin/sudo", Kind.FILE, 0o4755, 6, sha256(b"binary")),
        Entry("empty", Kind.FOLDER, 0o700),
        Entry("lib", Kind.SYMLINK, 0o777, target="usr/lib"),
    ]


def test_names_of_one_file_stay_one_file(tmp_path: Path) -> None:
    """The first name has the content, the others are hard links to it."""
    (tmp_path / "b").write_bytes(b"x")
    (tmp_path / "a").hardlink_to(tmp_path / "b")
    (tmp_path / "c").hardlink_to(tmp_path / "b")
    index = index_folder(tmp_path)
    assert (index["a"].kind, index["a"].sha256) == (Kind.FILE, sha256(b"x"))
    assert [(index[name].kind, index[name].target) for name in "bc"] == [(Kind.HARDLINK, "a")] * 2


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    """A name is bytes: it can be opened again by what the index calls it."""
    (tmp_path / os.fsdecode(b"lib\xff.so")).write_bytes(b"x")
    (tmp_path / "ä 日\n").write_bytes(b"y")
    index = index_folder(tmp_path)
    assert {os.fsencode(path) for path in index} == {b"lib\xff.so", "ä 日\n".encode()}
    assert all((tmp_path / path).exists() for path in index)


def test_a_link_out_of_the_tree_is_only_a_link(tmp_path: Path) -> None:
    """Symlinks are never followed, even to folders, nowhere, or in circles."""
    (tmp_path / "root").symlink_to("/")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    assert {entry.kind for entry in index_folder(tmp_path).values()} == {Kind.SYMLINK}


@pytest.mark.parametrize("folders", ["", "install", "install/usr/lib"])
def test_a_tree_without_a_file_is_refused(tmp_path: Path, folders: str) -> None:
    """Nothing there, and nothing in it, are told before an image without content is made."""
    (tmp_path / folders).mkdir(parents=True, exist_ok=True)
    with pytest.raises(TreeInvalid) as caught:
        index_folder(tmp_path / "install")
    assert str(tmp_path / "install") in caught.value.fact
    assert caught.value.hint == "invoke compile, or pack --tree DIR"


def test_what_no_image_can_carry_is_refused(tmp_path: Path) -> None:
    """Pipes, sockets and devices are named; so are names that an engine would take for deletions."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TreeInvalid, match="pipe is neither file, folder nor link"):
        index_folder(tmp_path)
    (tmp_path / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(TreeInvalid, match="socket is neither"):
            index_folder(tmp_path)
    (tmp_path / "socket").unlink()
    (tmp_path / ".wh.file").touch()
    with pytest.raises(TreeInvalid, match=r"\.wh\.file has a name by which images delete"):
        index_folder(tmp_path)


def test_what_may_not_be_read_is_named() -> None:
    """A closed file and a closed folder are told by their name."""
    with public_folder() as place:
        (place / "file").write_bytes(b"x")
        (place / "file").chmod(0)
        with as_nobody(), pytest.raises(TreeInvalid, match="file cannot be read: Permission denied"):
            index_folder(place)
        (place / "file").chmod(0o644)
        (place / "closed").mkdir(mode=0o700)
        with as_nobody(), pytest.raises(TreeInvalid, match="closed cannot be read: Permission denied"):
            index_folder(place)


# --- layers


def test_a_layer_is_indexed_as_it_is() -> None:
    """Every kind of entry keeps its owner and mode; names count from the root, however they are written."""
    sudo, content = file("./usr/bin/sudo", b"binary", 0o4755)
    sudo.uid, sudo.gid = 1, 2
    pipe = folder("pipe", 0o600)
    pipe.type = tarfile.FIFOTYPE
    found = entries(
        folder("./"),
        folder("./usr/bin/"),
        (sudo, content),
        symlink("/lib", "usr/lib"),
        hardlink("usr//bin/su", "./usr/bin/sudo"),
        pipe,
    )
    assert found == [
        Entry("usr/bin", Kind.FOLDER, 0o755),
        Entry("usr/bin/sudo", Kind.FILE, 0o4755, 6, sha256(b"binary"), uid=1, gid=2),
        Entry("lib", Kind.SYMLINK, 0o777, target="usr/lib"),
        Entry("usr/bin/su", Kind.HARDLINK, 0o644, target="usr/bin/sudo"),
        Entry("pipe", Kind.SPECIAL, 0o600),
    ]


def test_whiteouts_of_a_layer_are_read() -> None:
    """Both kinds, at any depth; notes of old engines are passed over."""
    found = entries(
        file(".wh.top"),
        file("a/.wh.b"),
        file("a/.wh..wh..opq"),
        file(".wh..wh..opq"),
        file(".wh..wh.plnk"),
    )
    assert found == [
        Entry("top", Kind.WHITEOUT),
        Entry("a/b", Kind.WHITEOUT),
        Entry("a", Kind.OPAQUE),
        Entry("", Kind.OPAQUE),
    ]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_odd_names_in_a_layer_are_read(form: int) -> None:
    """Long names and names that are no text, in both formats that engines write."""
    names = ["d/" * 130 + "f", os.fsdecode(b"lib\xff.so"), "ä日"]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as made:
        for name in names:
            made.addfile(tarfile.TarInfo(name))
    assert [entry.path for entry in index_tar(io.BytesIO(out.getvalue()))] == names


def test_a_mode_is_the_permissions_alone() -> None:
    """Docker writes the bits of a file's type into its layers; they say nothing about permissions."""
    found = entries(file("a", mode=0o104755), folder("d", mode=0o41777))
    assert [entry.mode for entry in found] == [0o4755, 0o1777]


def test_an_entry_survives_being_kept() -> None:
    """A row of JSON gives back the same entry."""
    for entry in (
        Entry("a/b", Kind.FILE, 0o4755, 1, "f" * 64, uid=1, gid=2),
        Entry(os.fsdecode(b"\xff"), Kind.SYMLINK, 0o777, target=os.fsdecode(b"\xfe")),
        Entry("w", Kind.WHITEOUT),
    ):
        assert tree.from_row(json.loads(json.dumps(tree.to_row(entry)))) == entry


# --- stacks


def as_stack(*layers: list[Entry]) -> dict[str, Entry]:
    """What flatten makes of these layers."""
    return flatten(layers)


def test_an_upper_layer_wins() -> None:
    """A path is what the topmost layer that has it says."""
    seen = as_stack(entries(file("a", b"old"), file("b")), entries(file("a", b"new")))
    assert seen["a"].sha256 == sha256(b"new")
    assert list(seen) == ["a", "b"]


def test_folders_are_merged() -> None:
    """A folder of an upper layer adds to the one below, and its mode counts."""
    seen = as_stack(entries(folder("d", 0o700), file("d/a")), entries(folder("d", 0o755), file("d/b")))
    assert set(seen) == {"d", "d/a", "d/b"}
    assert seen["d"].mode == 0o755


def test_what_takes_a_folders_place_hides_what_was_in_it() -> None:
    """A file or a symlink over a folder leaves nothing of the folder."""
    below = entries(folder("d"), folder("d/e"), file("d/e/f"), file("dd"))
    assert set(as_stack(below, entries(file("d")))) == {"d", "dd"}
    assert set(as_stack(below, entries(symlink("d", "dd")))) == {"d", "dd"}


def test_a_whiteout_hides_what_is_below_only() -> None:
    """What a layer removes and brings anew is there, whichever comes first in its tar."""
    below = entries(folder("d"), file("d/a"), file("d/b"), file("e"))
    assert set(as_stack(below, entries(folder("d"), file("d/.wh.a")))) == {"d", "d/b", "e"}
    assert set(as_stack(below, entries(file(".wh.d")))) == {"e"}
    again = as_stack(below, entries(file("e", b"new"), file(".wh.e")))
    assert again["e"].sha256 == sha256(b"new")


def test_an_opaque_folder_hides_all_that_is_below() -> None:
    """Only what its own layer and those above put into it is seen, wherever in the tar the marker is."""
    below = entries(folder("d"), folder("d/e"), file("d/e/f"), file("a"))
    seen = as_stack(below, entries(folder("d"), file("d/new"), file("d/.wh..wh..opq")))
    assert set(seen) == {"d", "d/new", "a"}
    assert set(as_stack(below, entries(file(".wh..wh..opq"), file("b")))) == {"b"}


def test_folders_that_a_layer_does_not_name_are_made_up() -> None:
    """As an engine does it: root's, mode 755, even over a closed folder or a symlink below."""
    below = entries(folder("d", 0o700), folder("usr"), folder("usr/lib"), symlink("lib", "usr/lib"))
    seen = as_stack(below, entries(file("d/f"), file("lib/x/y")))
    assert seen["d"].mode == 0o755
    assert (seen["lib"].kind, seen["lib/x"].kind) == (Kind.FOLDER, Kind.FOLDER)


NAMES = ("a", "b", "a/c", "a/d", "a/c/e", "b/f")


@st.composite
def members(draw: st.DrawFn) -> list[Member]:
    """A layer of a few paths: what is above others is a folder, or goes with all that is below."""
    made: dict[str, Member] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4)):
        parent, _, last = name.rpartition("/")
        kind = draw(st.sampled_from(["file", "folder", "symlink", "whiteout", "opaque"]))
        if any(isinstance(made.get(above), tuple) or above in blocked(made) for above in tree.parents(name)):
            continue
        if kind == "file" and not any(other.startswith(f"{name}/") for other in made):
            made[name] = file(name, draw(st.binary(max_size=3)), draw(st.sampled_from([0o644, 0o4755])))
        elif kind == "folder":
            made[name] = folder(name, draw(st.sampled_from([0o755, 0o700])))
        elif kind == "symlink" and not any(other.startswith(f"{name}/") for other in made):
            made[name] = symlink(name, draw(st.sampled_from(["b", "../b", "/a"])))
        elif kind == "whiteout" and not any(other.startswith(f"{name}/") for other in made):
            made[f"{parent}/.wh.{last}".lstrip("/")] = file(f"{parent}/.wh.{last}".lstrip("/"))
        elif kind == "opaque":
            made[f"{name}/.wh..wh..opq"] = file(f"{name}/.wh..wh..opq")
    return list(made.values())


def blocked(made: dict[str, Member]) -> set[str]:
    """Paths that are symlinks or deleted in a layer, below which it can hold nothing."""
    gone = {name.replace(".wh.", "") for name in made if ".wh." in name and not name.endswith(".opq")}
    return gone | {name for name, item in made.items() if not isinstance(item, tuple) and item.issym()}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stack=st.lists(members(), min_size=2, max_size=4))
def test_a_stack_is_what_a_container_sees(engine: Engine, image_name: str, stack: list[list[Member]]) -> None:
    """Whatever the layers are, `flatten` tells what a real engine shows of them."""
    tars = [tar(file("mark", str(number).encode()), *layer) for number, layer in enumerate(stack)]
    image, blobs = image_of(tars)
    load(engine, image, blobs, f"{image_name}:stack")
    expected = seen_by_container(f"{image_name}:stack")
    assert flatten(index_tar(io.BytesIO(raw)) for raw in tars) == expected


def test_hiding_much_is_fast() -> None:
    """Thousands of deletions in a stack of thousands of files take no time that anybody would notice."""
    below = [Entry(f"d{n % 300}/f{n}", Kind.FILE) for n in range(20_000)]
    above = [Entry(f"d{n}", Kind.OPAQUE) for n in range(300)] + [
        Entry(f"d{n % 300}/f{n}", Kind.WHITEOUT) for n in range(5_000)
    ]
    seen = flatten([below, above])
    assert {entry.kind for entry in seen.values()} == {Kind.FOLDER}


# --- paths

USR_MERGED = {
    entry.path: entry
    for entry in (
        Entry("usr", Kind.FOLDER),
        Entry("usr/lib", Kind.FOLDER),
        Entry("usr/lib/x86_64-linux-gnu", Kind.FOLDER),
        Entry("usr/lib/libc.so.6", Kind.FILE),
        Entry("usr/lib/libc.so", Kind.SYMLINK, target="./libc.so.6"),
        Entry("usr/lib/ceph", Kind.SYMLINK, target="../../opt/./ceph/lib"),
        Entry("usr/bin", Kind.FOLDER),
        Entry("usr/bin/X11", Kind.SYMLINK, target="."),
        Entry("lib", Kind.SYMLINK, target="usr/lib"),
        Entry("lib64", Kind.SYMLINK, target="/lib"),
        Entry("bin", Kind.SYMLINK, target="usr/bin"),
        Entry("opt", Kind.FOLDER),
        Entry("opt/ceph", Kind.FOLDER),
        Entry("opt/ceph/lib", Kind.FOLDER),
        Entry("host", Kind.SYMLINK, target="/"),
        Entry("up", Kind.SYMLINK, target="../../.."),
        Entry("one", Kind.SYMLINK, target="two"),
        Entry("two", Kind.SYMLINK, target="one"),
        Entry("self", Kind.SYMLINK, target="self/self"),
    )
}


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("usr/lib/librados.so", "usr/lib/librados.so"),
        ("lib/librados.so", "usr/lib/librados.so"),
        ("lib64/librados.so", "usr/lib/librados.so"),
        ("lib/x86_64-linux-gnu/librados.so", "usr/lib/x86_64-linux-gnu/librados.so"),
        ("bin/X11/X11/rados", "usr/bin/rados"),
        ("lib", "lib"),
        ("lib/libc.so", "usr/lib/libc.so"),
        ("lib/ceph/plugin.so", "opt/ceph/lib/plugin.so"),
        ("host/host/lib/new", "usr/lib/new"),
        ("up/etc/ceph.conf", "etc/ceph.conf"),
        ("lib/../bin/rados", "usr/bin/rados"),
        ("/lib//./new", "usr/lib/new"),
        ("new/folder/file", "new/folder/file"),
        ("usr/lib/libc.so.6/odd", "usr/lib/libc.so.6/odd"),
    ],
)
def test_a_path_lies_where_the_bases_links_lead(path: str, real: str) -> None:
    """Links among the parents are followed from where they lie; the last part is not."""
    assert resolve(path, USR_MERGED) == real


@pytest.mark.parametrize("path", ["one/file", "self/file"])
def test_links_in_a_circle_are_refused(path: str) -> None:
    """A path through links that lead nowhere is told, and does not hang."""
    with pytest.raises(TreeInvalid, match="circle"):
        resolve(path, USR_MERGED)


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("lib", "usr/lib"),
        ("lib64", "usr/lib"),
        ("lib/libc.so", "usr/lib/libc.so.6"),
        ("usr/lib/ceph", "opt/ceph/lib"),
        ("usr/bin/X11", "usr/bin"),
        ("host", ""),
        ("nowhere", None),
        ("lib/nowhere", None),
        ("one", None),
    ],
)
def test_every_link_can_be_followed_to_its_end(path: str, real: str | None) -> None:
    """`follow` gives what a program that opens the path would get."""
    found = follow(path, USR_MERGED)
    assert (found and found.path) == real


def test_paths_resolve_as_the_kernel_resolves_them(tmp_path: Path) -> None:
    """The same links on disk lead to the same places."""
    below = {
        path: entry
        for path, entry in USR_MERGED.items()
        if not entry.target.startswith("/") and path not in ("up", "one", "two", "self")
    }
    for path, entry in below.items():
        if entry.kind is Kind.FOLDER:
            (tmp_path / path).mkdir()
        elif entry.kind is Kind.FILE:
            (tmp_path / path).touch()
        else:
            (tmp_path / path).symlink_to(entry.target)
    for path in below:
        found = follow(path, below)
        assert found is not None
        assert tmp_path / found.path == (tmp_path / path).resolve()


def test_parents_are_told_outermost_first() -> None:
    """The folders above a path, without the root and itself."""
    assert tree.parents("a/b/c") == ["a", "a/b"]
    assert tree.parents("a") == []
