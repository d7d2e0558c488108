"""Troubles: every failure in one line that a user can read."""

import email.utils
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from cephtasks.errors import CephtasksError, RegistryRefused, RegistryUnreachable
from cephtasks.registry import Client, troubles
from lab.webs import Answer, Stall, answering

_DIGEST = f"sha256:{'a' * 64}"


def _answer(answer: Answer, method: str = "GET") -> requests.Response:
    """A real answer of a real server."""
    with answering(lambda request: answer) as web, requests.Session() as session:
        return session.request(method, f"http://{web.host}/v2/thing?signature=secret", allow_redirects=False)


def _pause(written: str) -> float:
    error = troubles.from_answer("reg", "x", _answer(Answer(503, {"Retry-After": written})))
    assert isinstance(error, RegistryRefused)
    return error.retry_after


def _fact(answer: Answer) -> str:
    return troubles.from_answer("reg:5000", "blob x", _answer(answer)).fact


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"errors":[{"code":"DENIED","message":"quota is used up"}]}', "DENIED: quota is used up"),
        (b'{"errors":[{"code":"DENIED"}]}', "DENIED"),
        (b'{"errors":[{"code":"DENIED","message":null}]}', "DENIED"),
        (b'{"errors":[{"code":"A","message":"two\\n  lines\\u001b[31m"}]}', "A: two lines[31m"),
        (b'{"errors":[]}', "HTTP 400 Bad Request"),
        (b'{"errors":null}', "HTTP 400 Bad Request"),
        (b'{"errors":["x"]}', "HTTP 400 Bad Request"),
        (b'["x"]', "HTTP 400 Bad Request"),
        (b"null", "HTTP 400 Bad Request"),
        (b"", "HTTP 400 Bad Request"),
        (b"\xff\xfe", "HTTP 400 Bad Request"),
        (b"[" * 100_000, "HTTP 400 Bad Request"),
        (b"<html>Sorry</html>", "HTTP 400 Bad Request, with a web page"),
    ],
)
def test_a_registrys_own_words_in_one_line(body: bytes, reason: str) -> None:
    """Its first error's code and message where it gives them, else the status."""
    assert _fact(Answer(400, {}, body)) == f"reg:5000 refuses blob x: {reason}"


def test_a_long_reason_is_cut() -> None:
    """Some registries send whole stack traces."""
    assert len(_fact(Answer(500, {}, b'{"errors":[{"code":"A","message":"%s"}]}' % (b"x" * 10_000)))) < 400


def test_what_a_refusal_carries() -> None:
    """The status, the code and the pause that it asks for, at most a minute."""
    body = b'{"errors":[{"code":"TOOMANYREQUESTS"}]}'
    error = troubles.from_answer("reg", "x", _answer(Answer(429, {"Retry-After": "7"}, body)))
    assert isinstance(error, RegistryRefused)
    assert (error.status, error.error_code, error.retry_after) == (429, "TOOMANYREQUESTS", 7.0)


@pytest.mark.parametrize(
    ("written", "pause"),
    [
        ("3600", 60),
        ("-1", 0),
        ("soon", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 60),
    ],
)
def test_the_pause_that_a_registry_asks_for(written: str, pause: float) -> None:
    """In seconds or as a moment, and never for ever."""
    assert _pause(written) == pause


def test_a_pause_until_a_moment_soon() -> None:
    """What is left until then."""
    assert 0 < _pause(email.utils.formatdate(time.time() + 50, usegmt=True)) <= 50


def test_the_hints() -> None:
    """A line that shows more, without what might be a signature; for a limit, where it is raised."""

    def hint(status: int, method: str) -> str:
        return troubles.from_answer("reg", "x", _answer(Answer(status), method)).hint

    assert hint(403, "GET") == "docker login reg"
    assert hint(404, "GET").startswith("curl --include http://localhost:")
    assert hint(404, "GET").endswith("/v2/thing")
    assert hint(500, "PUT").endswith("/v2/")
    assert "client_max_body_size" in hint(413, "PUT")


def test_a_server_that_does_not_answer() -> None:
    """It is told as that."""
    with answering(lambda request: Stall()) as web, requests.Session() as session:
        url = f"http://{web.host}/v2/"
        with pytest.raises(requests.Timeout) as caught:
            session.get(url, timeout=(1, 0.1))
    error = troubles.from_exception(url, caught.value)
    assert type(error) is RegistryUnreachable
    assert error.fact == f"{web.host} does not answer in time"


@pytest.mark.parametrize(
    ("body", "digests"),
    [
        (f'{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":"{_DIGEST}"}}]}}', {_DIGEST}),
        (f'{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":{{"digest":"{_DIGEST}"}}}}]}}', {_DIGEST}),
        (f'{{"errors":[{{"code":"BLOB_UNKNOWN","message":"no {_DIGEST}"}}]}}', {_DIGEST}),
        (f'{{"errors":[{{"code":"MANIFEST_INVALID","detail":"{_DIGEST}"}}]}}', set()),
        ('{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}', set()),
        ('{"errors":null}', set()),
        ("<html>", set()),
    ],
)
def test_which_blobs_a_registry_lacks(body: str, digests: set[str]) -> None:
    """Read from wherever in the error they are named."""
    assert troubles.blobs_unknown(_answer(Answer(404, {}, body.encode()))) == digests


def test_failures_of_many_threads_are_each_their_own() -> None:
    """No error is built from another thread's."""

    def ask(number: int) -> CephtasksError:
        with Client(f"registry{number}.invalid") as client, pytest.raises(CephtasksError) as caught:
            _ = client.base
        return caught.value

    with ThreadPoolExecutor(4) as pool:
        facts = [error.fact for error in pool.map(ask, range(4))]
    assert facts == [f"no host is known as registry{number}.invalid" for number in range(4)]


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (
            "https://lab/v2/",
            "curl --include https://lab/v2/, and REGISTRY_INSECURE=lab in .env where plain HTTP is meant",
        ),
        ("https://lab:5000/v2/", "curl --include https://lab:5000/v2/"),
        ("http://lab/v2/", "curl --include http://lab/v2/"),
        ("http://localhost/v2/", "invoke registry.up"),
    ],
)
def test_what_to_do_where_nothing_listens(url: str, hint: str) -> None:
    """Without a port plain HTTP has another one, where somebody may listen."""
    assert troubles.from_exception(url, ConnectionRefusedError()).hint == hint
