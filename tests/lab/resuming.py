"""Resuming: a registry that goes on with an upload where it was cut, as version 3 does and 2.8 does not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from lab.webs import Answer, Cut, Deed, ReadBody, Request, Web, passed_on, serving

# What goes wrong with a request; of a cut one the bytes that came are kept.
Fault = Callable[[Request], Answer | Cut | None]


def no_fault(request: Request) -> None:
    """Nothing goes wrong."""


def truthful(kept: int) -> str:
    """The Range header of an upload of which so many bytes are kept."""
    return f"0-{max(0, kept - 1)}"


@contextmanager
def resuming(upstream: str, fault: Fault = no_fault, told: Callable[[int], str] = truthful) -> Iterator[Web]:
    """Uploads are kept here until they are whole, and all else is at `upstream`, a registry (host:port).

    `told` writes the Range header of an upload of which so many bytes are kept, for who asks.
    """
    sessions: dict[str, bytearray] = {}

    def respond(request: Request, body: ReadBody) -> Deed:
        trouble = fault(request)
        path = urlsplit(request.path).path
        if isinstance(trouble, Answer):
            return trouble
        if request.method == "POST" and request.path.endswith("/uploads/"):
            location = f"{path}session-{len(sessions)}"
            sessions[location] = bytearray()
            return Answer(202, {"Location": location, "Range": "0-0"})
        if path in sessions:
            return _went_on(upstream, request, body, sessions[path], trouble, told)
        return trouble or passed_on(upstream, request, body())

    with serving(respond) as web:
        yield web


def _went_on(
    upstream: str,
    request: Request,
    body: ReadBody,
    content: bytearray,
    cut: Cut | None,
    told: Callable[[int], str],
) -> Deed:
    """What becomes of an upload, whose content grows."""
    url = urlsplit(request.path)
    if request.method in ("GET", "DELETE"):
        return Answer(204, {"Location": url.path, "Range": told(len(content))})
    start = request.headers.get("content-range", f"{len(content)}-").partition("-")[0]
    if int(start) != len(content):
        return Answer(416, {"Range": truthful(len(content))})
    content += body(cut.after if cut else None)
    if cut:
        return Cut()
    if request.method == "PATCH":
        return Answer(202, {"Location": url.path, "Range": truthful(len(content))})
    return _kept_upstream(upstream, url.path, parse_qs(url.query)["digest"][0], bytes(content))


def _kept_upstream(upstream: str, path: str, digest: str, content: bytes) -> Answer:
    begun = passed_on(upstream, Request("POST", f"{path.rpartition('/')[0]}/", {}), b"")
    location = urlsplit(begun.headers["Location"])
    put = Request("PUT", f"{location.path}?{location.query}&digest={digest}", {})
    return passed_on(upstream, put, content)
