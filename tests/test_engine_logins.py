"""Logins, from files and helpers as `docker login` leaves them."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from cephtasks.engine import Engine, credentials
from cephtasks.errors import DockerConfigInvalid

_HELPER = """#!/bin/sh
read registry
case "$registry" in
    lab:5000) echo '{"ServerURL": "lab:5000", "Username": "%s", "Secret": "word"}' ;;
    *) echo "credentials not found in native keychain"; exit 1 ;;
esac
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Docker's config.json."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def configure(folder: Path, **document: Any) -> None:
    """Write Docker's config.json."""
    (folder / "config.json").write_text(json.dumps(document))


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    """Put a credential helper on PATH that knows one registry."""
    program = folder / "docker-credential-lab"
    program.write_text(_HELPER % user)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def encoded(text: str) -> str:
    """Base64, as Docker keeps passwords."""
    return base64.b64encode(text.encode()).decode()


def test_nobody_logged_in() -> None:
    """Without a config.json there are no credentials."""
    assert credentials("lab:5000") is None


def test_a_login_in_the_file(folder: Path) -> None:
    """User and password of the registry that is asked for, and of no other; a password may hold colons."""
    configure(folder, auths={"lab:5000": {"auth": encoded("user:pass:word")}, "other": {}})
    assert credentials("lab:5000") == ("user", "pass:word")
    assert credentials("other") is None
    assert credentials("lab:5001") is None


def test_docker_hub_is_known_by_its_old_name(folder: Path) -> None:
    """`docker login` without a registry writes a URL of old."""
    configure(folder, auths={"https://index.docker.io/v1/": {"auth": encoded("user:word")}})
    assert credentials("docker.io") == ("user", "word")


def test_an_identity_token(folder: Path) -> None:
    """A registry may have given a token instead of keeping the password."""
    configure(folder, auths={"lab:5000": {"auth": encoded("<token>:"), "identitytoken": "a token"}})
    assert credentials("lab:5000") == ("<token>", "a token")


@pytest.mark.parametrize(("user", "known"), [("user", ("user", "word")), ("<token>", ("<token>", "word"))])
@pytest.mark.parametrize("setting", [{"credsStore": "lab"}, {"credHelpers": {"lab:5000": "lab"}}])
def test_a_credential_helper(
    folder: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, Any], user: str, known: tuple[str, str]
) -> None:
    """Passwords and tokens come from the helper that config.json names."""
    helper(folder, monkeypatch, user)
    configure(folder, **setting)
    assert credentials("lab:5000") == known
    assert credentials("other:5000") is None


def test_a_helper_that_is_missing_is_a_warning(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Many registries let anybody read, so a broken store stops nothing by itself."""
    configure(folder, credsStore="nowhere")
    assert credentials("lab:5000") is None
    told = capfd.readouterr().err
    assert told.startswith("warning: Docker's credential store does not answer for lab:5000: ")
    assert "docker-credential-nowhere" in told


@pytest.mark.parametrize("auths", [{"lab:5000": {"auth": "Zm9v"}}, {"lab:5000": "secret"}, ["secret"]])
def test_a_config_that_is_damaged_is_told(folder: Path, auths: object) -> None:
    """What the SDK would end on with a traceback is one line, which quotes nothing of the file."""
    configure(folder, auths=auths)
    for ask in (lambda: credentials("lab:5000"), Engine.connect):
        with pytest.raises(DockerConfigInvalid) as caught:
            ask()
        assert caught.value.exit_code == 2
        assert "secret" not in str(caught.value)


def test_logins_that_are_handed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CI systems give them in DOCKER_AUTH_CONFIG, which goes before the file; what it lacks the file has."""
    handed = {"auths": {"lab:5000": {"auth": encoded("ci:word")}, "token:5000": {"identitytoken": "t"}}}
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps(handed))
    configure(folder, auths={name: {"auth": encoded("user:word")} for name in ("lab:5000", "own:5000")})
    assert credentials("lab:5000") == ("ci", "word")
    assert credentials("own:5000") == ("user", "word")
    assert credentials("token:5000") == ("<token>", "t")


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"lab:5000": "secret"}}'])
def test_handed_over_logins_that_are_damaged(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """It is told which ones, and nothing of them."""
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", text)
    with pytest.raises(DockerConfigInvalid) as caught:
        credentials("lab:5000")
    assert caught.value.fact == "the logins in DOCKER_AUTH_CONFIG cannot be read"
    assert caught.value.hint == "unset DOCKER_AUTH_CONFIG"
