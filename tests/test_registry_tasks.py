"""The tasks around registries, as a person types them: what they print, and what they take."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cephtasks.oci import OCI_INDEX
from cephtasks.reference import Reference, parse
from cephtasks.registry import Client, push
from cephtasks.store import Store
from lab import registries
from lab.images import packed
from lab.indexes import put_index
from lab.terminal import Terminal
from lab.usage import usage
from lab.webs import Answer, Request, answering

_MANY = 10_000
_PLATFORMS = [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that gives two names at a time: an index at a/index, an image with two tags at b/image."""
    folder = tmp_path_factory.mktemp("lab")
    with registries.registry(folder / "registry", maxentries=2) as started:
        put_index(parse(f"{started.host}/a/index:1"), folder, OCI_INDEX, _PLATFORMS)
        store = Store(folder / "store")
        with Client(started.host) as client:
            for name in ("b/image:new", "b/image:old", "b/other:1"):
                image = packed(store, name.partition(":")[0], [{"a": b"a"}])
                push(client, parse(f"{started.host}/{name}"), image, store.open)
        yield started.host


@pytest.fixture
def terminal(tmp_path: Path, lab: str) -> Terminal:
    """A terminal whose registry is the lab's."""
    made = Terminal(tmp_path)
    made.set(REGISTRY=lab, STATE_DIR=tmp_path / "state", REPOSITORY="b/image")
    return made


def _good(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_catalog_is_as_it_always_was(terminal: Terminal) -> None:
    """Without flags it prints what curl and json.tool did; a glob leaves names out."""
    document = {"repositories": ["a/index", "b/image", "b/other"]}
    assert _good(terminal.invoke("catalog")) == json.dumps(document, indent=4) + "\n"
    assert json.loads(_good(terminal.invoke("catalog --filter b/*"))) == {
        "repositories": ["b/image", "b/other"]
    }


def test_the_catalog_with_tags_and_sizes(terminal: Terminal) -> None:
    """Each flag adds to what is told of a repository."""
    tags = json.loads(_good(terminal.invoke("catalog --tags --filter b/*")))["repositories"]
    assert tags == [{"name": "b/image", "tags": ["new", "old"]}, {"name": "b/other", "tags": ["1"]}]
    both = json.loads(_good(terminal.invoke("catalog --tags --sizes --filter b/image")))["repositories"]
    assert both[0].keys() == {"name", "tags", "bytes"}
    sizes = json.loads(_good(terminal.invoke("catalog --sizes")))["repositories"]
    used = json.loads(_good(terminal.invoke("registry.du --json")))
    assert [each["bytes"] for each in sizes] == [each["bytes"] for each in used["repositories"]]


def test_tags_are_lines(terminal: Terminal, lab: str) -> None:
    """Of REPOSITORY, of a repository of REGISTRY, or of one with its host; or one JSON document."""
    assert _good(terminal.invoke("registry.tags")) == "new\nold\n"
    assert _good(terminal.invoke("registry.tags a/index")) == "1\n"
    told = json.loads(_good(terminal.invoke(f"registry.tags {lab}/a/index --json")))
    assert told == {"name": f"{lab}/a/index", "tags": ["1"]}
    done = terminal.invoke("registry.tags no/such")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == f"error: {lab}/no/such has no tags"
    wrong = terminal.invoke("registry.tags a/index:1")
    assert (wrong.returncode, wrong.stderr.splitlines()[0]) == (2, "error: 'a/index:1' is not a repository")


def test_an_index_is_looked_at(terminal: Terminal, lab: str) -> None:
    """People see its platforms and the layers of one; programs all that there is."""
    line = f"registry.inspect {lab}/a/index:1 --platform linux/arm64"
    shown = _good(terminal.invoke(line))
    assert re.search(r"^linux/amd64 +sha256:", shown, re.MULTILINE)
    assert "1 layer, " in shown
    told = json.loads(
        _good(terminal.invoke(f"registry.inspect {lab}/a/index:1 --json --platform linux/arm64"))
    )
    assert told["manifest_digest"] == told["index"]["manifests"][1]["digest"]
    wrong = terminal.invoke(f"registry.inspect {lab}/a/index:1 --platform arm64")
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_usage_is_a_table_with_a_sum(terminal: Terminal) -> None:
    """A row for each repository, and a last line."""
    lines = _good(terminal.invoke("registry.du")).splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["repository", "a/index", "b/image", "b/other"]
    assert re.fullmatch(r"3 repositories: \S+ k?B, what is shared counted once", lines[4])


def test_a_copy_is_named_with_its_digest(terminal: Terminal, lab: str) -> None:
    """That line alone is on stdout; what was done is told beside it, or as JSON."""
    done = terminal.invoke(f"registry.copy {lab}/b/image:new {lab}/copy/image:1")
    assert re.fullmatch(rf"{lab}/copy/image:1@sha256:[0-9a-f]{{64}}\n", _good(done))
    assert "blobs: 2 mounted" in done.stderr
    told = json.loads(_good(terminal.invoke(f"registry.copy {lab}/b/image:new {lab}/copy/image:1 --json")))
    assert [blob["status"] for blob in told["blobs"]] == ["present", "present"]


def test_deleting_and_pruning(terminal: Terminal, lab: str) -> None:
    """Shown first; a digest with tags is not deleted unasked; what is done is done."""
    for tag in ("1", "2", "3"):
        _good(terminal.invoke(f"registry.copy {lab}/b/image:new {lab}/gone/image:{tag}"))
    echoed = terminal.invoke(f"--dry registry.delete {lab}/gone/image:1")
    assert f"curl --request DELETE http://{lab}/v2/gone/image/manifests/1" in echoed.stderr
    assert _good(terminal.invoke(f"registry.delete {lab}/gone/image:1")) == f"{lab}/gone/image:1\n"
    assert _good(terminal.invoke("registry.tags gone/image")) == "2\n3\n"
    shown = terminal.invoke("registry.prune gone/image --keep 1")
    assert "stays: age not known" in _good(shown)
    assert json.loads(_good(terminal.invoke("registry.prune gone/image --keep 1 --json")))["done"] is False
    digest = json.loads(_good(terminal.invoke(f"registry.inspect {lab}/gone/image:2 --json")))["digest"]
    refused = terminal.invoke(f"registry.delete {lab}/gone/image@{digest}")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"error: tags of {lab}/gone/image lead to {digest}: 2, 3\n")
    done = terminal.invoke(f"registry.delete {lab}/gone/image@{digest} --yes")
    assert "tags that led to it: 2, 3" in done.stderr
    assert terminal.invoke("registry.tags gone/image").returncode == 1


@pytest.mark.parametrize(
    "line",
    ["registry.prune a/b", "registry.prune a/b --keep none", "registry.prune a/b --older-than 14"],
)
def test_prune_is_told_what_to_keep(terminal: Terminal, line: str) -> None:
    """Else it is a mistake, found before anything is asked."""
    done = terminal.invoke(line, REGISTRY="localhost:1")
    assert (done.returncode, done.stdout) == (2, "")


def test_ten_thousand_repositories(terminal: Terminal) -> None:
    """All of them, in order, whatever the size of the pages, in little more memory than one takes."""
    names = [f"team{number // 100:03}/app-{number:05}" for number in range(_MANY)]

    def respond(request: Request) -> Answer:
        asked = parse_qs(urlsplit(request.path).query)
        if "_catalog" not in request.path:
            return Answer(body=b'{"tags":["1","2"]}' if "tags" in request.path else b"")
        if "n" in asked:
            return Answer(400)
        start = int(asked.get("from", ["0"])[0])
        last = start + 100 >= _MANY
        link = {} if last else {"Link": f'</v2/_catalog?from={start + 100}>; rel="next"'}
        return Answer(200, link, json.dumps({"repositories": names[start : start + 100]}).encode())

    with answering(respond) as web:
        terminal.set(REGISTRY=web.host)
        little = usage(terminal, "catalog", "--tags", "--filter", names[0])
        most = usage(terminal, "catalog")
        assert json.loads(most.printed) == {"repositories": names}
        told = usage(terminal, "catalog", "--tags", "--filter", "team00*")
        assert [each["name"] for each in json.loads(told.printed)["repositories"]] == names[:1000]
    assert max(most.peak, told.peak) < little.peak + 20_000_000


def test_a_large_blob_is_never_in_memory(terminal: Terminal, lab: str, tmp_path: Path) -> None:
    """It goes from one registry to the other in blocks."""
    store = Store(tmp_path / "store")
    image = packed(store, "large", [{"a": os.urandom(1 << 27)}])
    origin = parse(f"{lab}/large/image:1")
    with Client(lab) as client:
        push(client, origin, image, store.open)
    with registries.registry(tmp_path / "other") as other:
        little = usage(terminal, "registry.copy", f"{lab}/b/image:new", f"{other.host}/small:1")
        target = Reference(other.host, "large/copy", "1")
        most = usage(terminal, "registry.copy", str(origin), str(target))
        assert most.printed == f"{replace(target, digest=image.digest)}\n"
    assert most.peak < little.peak + 20_000_000
    assert not (terminal.folder / "state").exists()
