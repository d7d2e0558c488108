"""A Ceph of one node: how images are started that bring their own means, and what stops a start."""

import subprocess
from pathlib import Path

import pytest

from cephtasks.engine import Engine
from cephtasks.one_node import serves
from lab.engines import tiny_image
from lab.terminal import Terminal


@pytest.fixture
def terminal(image_name: str, tmp_path: Path) -> Terminal:
    """Settings with a small image's name and an address that is nobody else's."""
    made = Terminal(tmp_path)
    made.set(IMAGE_NAME=f"{image_name}:it", STATE_DIR=tmp_path / "state", MON_IP="127.83.4.5")
    return made


@pytest.mark.parametrize(
    ("program", "entrypoint", "expected"),
    [
        ("bin/singlenode", "", "--entrypoint=singlenode {image}"),
        ("bin/singlenode", "/entrypoint.sh", "--entrypoint=singlenode {image}"),
        ("opt/singlenode", "/opt/singlenode", "{image}"),
        ("entrypoint.sh", "/entrypoint.sh", "{image} demo"),
        ("bin/ceph-mon", "", "--entrypoint=sh {image} -c"),
    ],
)
def test_an_image_is_started_by_its_own_means(
    engine: Engine, image_name: str, terminal: Terminal, program: str, entrypoint: str, expected: str
) -> None:
    """A `singlenode` goes first, then ceph-container's `demo`, then Ceph's daemons; a dry run shows it."""
    changes = ["ENV PATH=/bin", *([f'ENTRYPOINT ["{entrypoint}"]'] if entrypoint else [])]
    tiny_image(engine, f"{image_name}:it", *changes, files={program: b"#!/bin/sh\n"})
    done = terminal.invoke("--dry start")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("docker run"))
    assert expected.format(image=f"{image_name}:it") in line
    config = terminal.folder / "state/ceph"
    for option in (
        "--network=host",
        "--env=MON_IP=127.83.4.5",
        "--env=CEPH_NETWORK=127.83.4.5/32",
        "--env=CEPH_PUBLIC_NETWORK=127.83.4.5/32",
        f"--mount=type=bind,source={config},target=/etc/ceph",
    ):
        assert option in line
    assert not config.exists()


def test_an_image_without_ceph_is_not_started(engine: Engine, image_name: str, terminal: Terminal) -> None:
    """It is told before a container is made."""
    tiny_image(engine, f"{image_name}:it", "ENV PATH=/bin")
    done = terminal.invoke("start")
    assert done.returncode == 1
    assert f"error: {image_name}:it has neither a singlenode nor a ceph-mon\n" in done.stderr


def test_the_files_of_another_cluster_are_not_touched(
    engine: Engine, image_name: str, terminal: Terminal
) -> None:
    """A folder with a ceph.conf that `start` did not make is refused."""
    tiny_image(engine, f"{image_name}:it", "ENV PATH=/bin", files={"bin/singlenode": b"#!/bin/sh\n"})
    config = terminal.folder / "etc"
    config.mkdir()
    (config / "ceph.conf").write_text("[global]\n")
    done = terminal.invoke("start --ceph-config-dir", str(config))
    assert done.returncode == 1
    assert f"error: {config}/ceph.conf is of another cluster\n" in done.stderr
    assert [file.name for file in config.iterdir()] == ["ceph.conf"]
    assert terminal.invoke("stop --wipe --ceph-config-dir", str(config)).returncode == 0
    assert (config / "ceph.conf").read_text() == "[global]\n"


def test_a_ceph_that_ends_is_told_in_its_last_words(
    engine: Engine, image_name: str, terminal: Terminal
) -> None:
    """What it said is kept for `docker logs`, and it can be started again and ended."""
    program = b"#!/bin/sh\necho first >&2\necho no disk >&2\nexit 3\n"
    tiny_image(engine, f"{image_name}:it", "ENV PATH=/bin", files={"bin/singlenode": program})
    try:
        for _ in range(2):
            done = terminal.invoke("start")
            assert done.returncode == 1
            assert "error: Ceph ended: first / no disk\n" in done.stderr
        _, _, logs = done.stderr.splitlines()[-1].partition("hint: ")
        said = subprocess.run(logs.split(), check=True, capture_output=True, text=True)
        assert said.stderr == "first\nno disk\n"
    finally:
        ended = terminal.invoke("stop --wipe")
    assert ended.returncode == 0
    assert ended.stderr == "no Ceph of ours ran on this engine\n"
    assert list((terminal.folder / "state/ceph").iterdir()) == []
    gone = subprocess.run(logs.split(), check=False, capture_output=True, text=True)
    assert "No such container" in gone.stderr


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"health": {"status": "HEALTH_OK"}, "osdmap": {"num_up_osds": 1}}, True),
        ({"health": {"status": "HEALTH_OK"}, "osdmap": {"num_up_osds": 0}}, False),
        ({"health": {"status": "HEALTH_ERR"}, "osdmap": {"num_up_osds": 1}}, False),
        ({"health": {"overall_status": "HEALTH_WARN"}, "osdmap": {"osdmap": {"num_up_osds": 1}}}, True),
        (
            {
                "health": {"status": "HEALTH_WARN"},
                "osdmap": {"num_up_osds": 1},
                "fsmap": {"by_rank": [{"status": "up:replay"}]},
            },
            False,
        ),
    ],
)
def test_when_a_cluster_can_be_used(status: dict[str, dict[str, object]], expected: bool) -> None:
    """With an OSD, no error, and all metadata servers active; older versions say it elsewhere."""
    assert serves(status) is expected
