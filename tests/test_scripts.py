"""Scripts: what runs them, and what they import."""

from pathlib import Path

import pytest

from cephtasks.scripts import Script, ScriptLack, lacks, read
from lab.rootfs import loader_in

PYTHON = b"#!/usr/bin/python3\n"


@pytest.mark.parametrize(
    ("content", "script"),
    [
        (b"#!/bin/sh -e\necho\n", Script(("/bin/sh", "-e"))),
        (b"#! /usr/bin/env bash\n", Script(("/usr/bin/env", "bash"))),
        (b"#!\n", None),
        (PYTHON + b"import os, rados.client\nfrom ceph_argparse import x\n", "os rados ceph_argparse"),
        (PYTHON + b"try:\n    import yaml\nexcept ImportError: pass\n", ""),
        (PYTHON + b"from . import beside\n", ""),
        (PYTHON + b"print 'old'\nimport rados\n", ""),
        (PYTHON + b"import sys\nsys.path.insert(0, '/usr/share/x')\nimport own\n", ""),
    ],
)
def test_what_a_script_says_of_itself(content: bytes, script: Script | str | None) -> None:
    """Its interpreter's words; of Python what it cannot start without."""
    wanted = Script(("/usr/bin/python3",), tuple(script.split())) if isinstance(script, str) else script
    assert read(content) == wanted


def test_what_env_starts() -> None:
    """Its options and variables are no programs."""
    script = Script(("/usr/bin/env", "-S", "LANG=C", "python3", "-u"))
    assert (script.interpreter, script.program) == ("/usr/bin/env", "python3")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with a shell, and a Python with one module."""
    for path in ("bin/sh", "usr/bin/env", "usr/bin/python3.11", "usr/lib/python3/dist-packages/rados.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "usr/bin/python3").symlink_to("python3.11")
    return tmp_path


@pytest.mark.parametrize(
    ("content", "lack"),
    [
        (b"#!/bin/sh\n", None),
        (b"#!/usr/bin/python2\n", ScriptLack("its interpreter /usr/bin/python2 is not in the image")),
        (b"#!/usr/bin/env perl\n", ScriptLack("its interpreter perl is not on the image's PATH")),
        (PYTHON + b"import json, rados\n", None),
        (PYTHON + b"import rbd\n", ScriptLack("Python's module rbd is not in the image", "rbd")),
        (PYTHON + b"import beside\n", None),
    ],
)
def test_what_a_script_lacks(image: Path, content: bytes, lack: ScriptLack | None) -> None:
    """An interpreter, or a module that is neither Python's own nor beside it."""
    (image / "usr/bin/beside.py").write_text("")
    script = read(content)
    assert script is not None
    assert list(lacks("usr/bin/tool", script, loader_in(image))) == ([lack] if lack else [])


def test_where_files_send_python_elsewhere_nothing_is_said(image: Path) -> None:
    """A .pth file names folders that are not known here."""
    (image / "usr/lib/python3/dist-packages/more.pth").write_text("/opt/more\n")
    script = Script(("/usr/bin/python3",), ("rbd",))
    assert list(lacks("usr/bin/tool", script, loader_in(image))) == []
