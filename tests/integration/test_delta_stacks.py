"""Delta stacks, as a person types them: an edit costs what changed, at the registry and on a node."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cephtasks.engine import Engine
from lab.engines import node, tiny_image
from lab.registries import Registry, registry
from lab.terminal import Terminal


@dataclass(frozen=True)
class Lab:
    """A terminal, an install tree that is packed there, and the registry that it is pushed to."""

    terminal: Terminal
    tree: Path
    registry: Registry
    name: str

    def type(self, line: str, *words: str) -> str:
        """Type a line that has to end well; what it prints on stdout."""
        done = self.terminal.invoke(line, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def push(self, *packing: str) -> dict[str, Any]:
        """Pack the tree and push it; what the push says."""
        self.type("pack --tree", str(self.tree), *packing)
        return dict(json.loads(self.type("push --json")))

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        return dict(json.loads(self.type("status --json")))

    def edit(self, path: str, size: int = 50_000) -> None:
        """Give a file of the tree other bytes, which do not compress."""
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).write_bytes(os.urandom(size))
        (self.tree / path).chmod(0o755)


@pytest.fixture
def lab(engine: Engine, tmp_path: Path) -> Iterator[Lab]:
    """A tree of a few programs and libraries on a tiny base, which is in the registry and in the engine."""
    name = f"cephtasks-test/delta-{uuid.uuid4().hex[:12]}"
    with registry(tmp_path / "registry") as found:
        base = f"{found.host}/ceph/base:1"
        tiny_image(
            engine, base, files={"usr/bin/there": b"#!/bin/sh\necho base\n", "usr/lib/libbase.so": b"old"}
        )
        made = Lab(Terminal(tmp_path), tmp_path / "tree", found, name)
        made.terminal.set(
            BASE_IMAGE=base,
            BASE_ALIAS=f"{name}:alias",
            IMAGE_NAME=f"{name}:packed",
            REGISTRY=found.host,
            REPOSITORY="ceph/daemon",
            TAG="wip",
            SOURCE_DIR=tmp_path / "source",
            STATE_DIR=tmp_path / "state",
        )
        for path in (
            "usr/bin/ceph-osd",
            "usr/bin/ceph-mds",
            "usr/lib/librados.so.2",
            "usr/lib/ceph/libceph-common.so.2",
        ):
            made.edit(path, 200_000)
        try:
            subprocess.run(["docker", "push", "--quiet", base], check=True, capture_output=True)
            made.type("fetch-base")
            yield made
        finally:
            names = [base, f"{name}:alias", f"{name}:packed"]
            subprocess.run(["docker", "image", "rm", "--force", *names], capture_output=True, check=False)


def _fetched(lab: Lab, since: int) -> set[str]:
    """The blobs that were asked for at the registry after so many requests."""
    return {
        path.rpartition("/")[2]
        for method, path, _ in lab.registry.requests()[since:]
        if method == "GET" and "/blobs/" in path
    }


def test_the_base_of_the_registry_stays_there(lab: Lab) -> None:
    """Its layers are neither kept in the store nor uploaded: the registry mounts them."""
    pushed = lab.push()
    assert [layer["status"] for layer in pushed["layers"]] == ["mounted", "uploaded"]
    assert 800_000 < pushed["uploaded_bytes"] < 900_000
    base_blob = pushed["layers"][0]["digest"].partition(":")[2]
    assert not (lab.terminal.folder / "state/images/blobs/sha256" / base_blob).exists()


def test_an_edit_appends_one_layer_and_a_node_fetches_that_alone(lab: Lab, tmp_path: Path) -> None:
    """Only the file that changed travels, to the registry and to a node that has the image before."""
    reference = f"{lab.registry.host}/ceph/daemon:wip"
    with node(tmp_path / "node") as far:
        lab.push()
        far.docker("pull", "--quiet", reference)
        lab.edit("usr/bin/ceph-osd")
        pushed = lab.push()
        assert [layer["status"] for layer in pushed["layers"]] == ["present", "present", "uploaded"]
        assert 50_000 < pushed["uploaded_bytes"] < 60_000

        before = len(lab.registry.requests())
        far.docker("pull", "--quiet", reference)
        seen = far.docker(
            "run", "--rm", "--network=none", reference, "sh", "-c", "cat /usr/bin/ceph-osd | wc -c; there"
        )
    assert seen.stdout == "50000\nbase\n"
    config = json.loads(lab.registry.blob(pushed["digest"]).read_bytes())["config"]["digest"]
    assert _fetched(lab, before) == {config, pushed["layers"][-1]["digest"]}


def test_nothing_changed_sends_nothing(lab: Lab) -> None:
    """No blob is uploaded, no layer written, and the digest stays."""
    first = lab.push()
    again = lab.push()
    assert (again["uploaded_bytes"], again["digest"]) == (0, first["digest"])
    assert lab.status()["push"]["bytes"] == 0


def test_what_is_taken_away_is_gone_and_the_base_comes_back(lab: Lab) -> None:
    """A file of the tree that hid one of the base gives it back; one of its own is gone."""
    lab.edit("usr/lib/libbase.so")
    lab.push()
    (lab.tree / "usr/lib/libbase.so").unlink()
    (lab.tree / "usr/bin/ceph-mds").unlink()
    lab.push()
    command = [
        "docker",
        "run",
        "--rm",
        "--network=none",
        f"{lab.name}:packed",
        "sh",
        "-c",
        "cat /usr/lib/libbase.so; ls /usr/bin",
    ]
    seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert seen == "oldceph-osd\nthere\n"


def test_a_fresh_clone_goes_on_from_the_registry(lab: Lab) -> None:
    """An empty state folder finds the stack at the push target, by reading its layers' beginnings."""
    lab.push()
    lab.terminal.folder.joinpath("state").rename(lab.terminal.folder / "elsewhere")
    lab.type("fetch-base")
    lab.edit("usr/bin/ceph-mds")
    before = len(lab.registry.requests())
    pushed = lab.push()
    assert [layer["status"] for layer in pushed["layers"]] == ["present", "present", "uploaded"]
    assert {
        status
        for method, path, status in lab.registry.requests()[before:]
        if method == "GET" and pushed["layers"][1]["digest"] in path
    } == {206}


def test_a_colleagues_image_is_continued(lab: Lab) -> None:
    """`--onto` names the image whose layers are kept."""
    lab.push()
    lab.type("push --to", f"{lab.registry.host}/colleague/daemon:hers")
    lab.terminal.folder.joinpath("state").rename(lab.terminal.folder / "elsewhere")
    lab.edit("usr/bin/ceph-mds")
    pushed = lab.push("--onto", f"{lab.registry.host}/colleague/daemon:hers")
    assert [layer["status"] for layer in pushed["layers"]] == ["present", "present", "uploaded"]
    assert pushed["uploaded_bytes"] < 60_000


def test_status_tells_what_is_garbage(lab: Lab) -> None:
    """Layers come from top to bottom; what an edit hides counts as garbage below it."""
    lab.push()
    lab.edit("usr/bin/ceph-osd", 60_000)
    lab.type("pack --tree", str(lab.tree))
    found = lab.status()
    assert [layer["files"] for layer in found["layers"]] == [1, 4]
    assert found["garbage_bytes"] == 200_000
    assert found["live_bytes"] == 660_000
    assert found["push"]["blobs"] == 2
    assert "garbage: 200.0 kB" in lab.type("status")


def test_compacting_shows_its_cost_and_waits_for_yes(lab: Lab) -> None:
    """The stack is written as if it were the first one; a second time there is nothing to do."""
    lab.push()
    lab.edit("usr/bin/ceph-osd", 60_000)
    lab.push()
    shown = lab.terminal.invoke("compact --tree", str(lab.tree))
    assert "compacting writes 1 layer with 660.0 kB in place of 2" in shown.stderr
    assert lab.status()["garbage_bytes"] == 200_000
    lab.type("compact --yes --tree", str(lab.tree))
    assert (lab.status()["garbage_bytes"], len(lab.status()["layers"])) == (0, 1)


def test_a_push_to_another_registry_brings_the_base_along(lab: Lab, tmp_path: Path) -> None:
    """What is only in the first registry is fetched from there."""
    lab.push()
    with registry(tmp_path / "second") as other:
        pushed = json.loads(lab.type("push --json --to", f"{other.host}/ceph/daemon:wip"))
    assert [layer["status"] for layer in pushed["layers"]] == ["uploaded", "uploaded"]


def test_a_registry_that_lost_the_base_is_told_with_the_way_out(lab: Lab) -> None:
    """What is typed next takes the base from the engine, and the push goes through."""
    lab.push()
    for lost in (lab.registry.folder / "data/docker/registry/v2").iterdir():
        subprocess.run(["rm", "-r", str(lost)], check=True)
    lab.edit("usr/bin/ceph-osd")
    lab.type("pack --tree", str(lab.tree))
    failed = lab.terminal.invoke("push")
    assert failed.returncode == 1
    assert f"{lab.registry.host}/ceph/daemon no longer has what it had" in failed.stderr
    hint = failed.stderr.rpartition("hint: ")[2].strip()
    assert hint == "rm -r state/images; invoke fetch-base pack"
    subprocess.run(hint.partition(";")[0].split(), cwd=lab.terminal.folder, check=True)
    lab.type("fetch-base")
    assert {layer["status"] for layer in lab.push()["layers"]} == {"uploaded"}


def test_debug_information_goes_into_a_second_image(lab: Lab, tmp_path: Path) -> None:
    """With STRIP nodes fetch none of it; an edit of another file sends none of it again."""
    source, program = tmp_path / "osd.c", lab.tree / "usr/bin/ceph-osd"
    source.write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-g3", "-static", "-Wl,--build-id", "-o", program, source], check=True)
    whole = program.stat().st_size
    environment = {"STRIP": "true"}
    try:
        first = lab.terminal.invoke("pack --tree", str(lab.tree), **environment)
        assert first.returncode == 0, first.stderr
        first = lab.terminal.invoke("push", **environment)
        assert first.returncode == 0, first.stderr
        assert f"{lab.registry.host}/ceph/daemon:wip-debug" in first.stderr
        assert program.stat().st_size == whole

        size = "stat -c %s /usr/bin/ceph-osd; /usr/bin/ceph-osd; find /usr/lib/debug -name '*.debug' | wc -l"
        seen = _shell(f"{lab.name}:packed", size), _shell(f"{lab.name}:packed-debug", size)
        assert int(seen[0].split()[0]) < whole
        assert [text.split()[-1] for text in seen] == ["0", "1"]

        lab.edit("usr/bin/ceph-mds")
        lab.terminal.invoke("pack --tree", str(lab.tree), **environment)
        again = lab.terminal.invoke("push", **environment)
        told = next(line for line in again.stderr.splitlines() if "wip-debug" in line)
        assert "1 uploaded" in told, told  # what was edited, which lies below; the debug information is there
    finally:
        subprocess.run(
            ["docker", "image", "rm", "--force", f"{lab.name}:packed-debug"], capture_output=True, check=False
        )


def test_a_difference_names_files_and_what_a_node_fetches(lab: Lab) -> None:
    """Without an engine, and without fetching a layer."""
    lab.edit("usr/bin/rbd", 1_000)
    lab.push()
    lab.type("push --to", f"{lab.registry.host}/ceph/daemon:before")
    lab.edit("usr/bin/ceph-osd")
    (lab.tree / "usr/bin/rbd").unlink()
    pushed = lab.push()
    names = [f"{lab.registry.host}/ceph/daemon:{tag}" for tag in ("before", "wip")]
    line = ("registry.diff", *names)
    done = lab.terminal.invoke("", *line, "--json", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [change["path"] for change in found["changed"]] == ["usr/bin/ceph-osd"]
    assert [change["path"] for change in found["removed"]] == ["usr/bin/rbd"]
    assert found["added"] == []
    assert 50_000 < found["fetched_bytes"] < 60_000
    assert pushed["layers"][-1]["digest"] in {blob["digest"] for blob in found["fetched"]}
    assert "1 removed, 1 changed" in lab.terminal.invoke("", *line).stdout


def _shell(image: str, script: str) -> str:
    command = ["docker", "run", "--rm", "--network=none", image, "sh", "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
