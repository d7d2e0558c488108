"""Webs: small HTTP servers that answer as a test tells them, or stand between a client and a registry."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})


@dataclass(frozen=True)
class Request:
    """What a client asked: method, path with query, headers by names in lower case, and from which port."""

    method: str
    path: str
    headers: Mapping[str, str]
    client_port: int = 0

    @property
    def size(self) -> int:
        """The bytes of its body."""
        return int(self.headers.get("content-length", "0"))


@dataclass(frozen=True)
class Answer:
    """What a server answers; with `cut` it ends the connection after so many bytes of the body.

    Without `length` it does not say how long the body is.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    length: bool = True


@dataclass(frozen=True)
class Cut:
    """Read so many bytes of the request's body, and reset the connection."""

    after: int = 0


@dataclass(frozen=True)
class Stall:
    """Read so many bytes of the request's body, and then do nothing for as long as the server runs."""

    after: int = 0


Deed = Answer | Cut | Stall
ReadBody = Callable[..., bytes]
Meddle = Callable[[Request], Deed | Callable[[Answer], Answer] | None]


@dataclass
class Web:
    """A server that runs: where it is reached, what it was asked, and the events that it stalls and ends."""

    host: str
    seen: list[Request] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def answering(respond: Callable[[Request], Deed]) -> Iterator[Web]:
    """A server that does for each request what `respond` says."""
    with serving(lambda request, _: respond(request)) as web:
        yield web


@contextmanager
def between(upstream: str, meddle: Meddle) -> Iterator[Web]:
    """A server that passes requests on to `upstream` (host:port), unless `meddle` gives another deed.

    What `meddle` may also give is a function from the upstream's answer to the one that is sent.
    """

    def respond(request: Request, body: ReadBody) -> Deed:
        deed = meddle(request)
        if isinstance(deed, Answer | Cut | Stall):
            return deed
        answer = passed_on(upstream, request, body())
        return deed(answer) if deed else answer

    with serving(respond) as web:
        yield web


def passed_on(upstream: str, request: Request, body: bytes) -> Answer:
    """What `upstream` answers to a request."""
    connection = http.client.HTTPConnection(upstream, timeout=30)
    try:
        connection.request(request.method, request.path, body=body or None, headers=dict(request.headers))
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    except OSError:
        return Answer(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>")
    finally:
        connection.close()


@contextmanager
def serving(respond: Callable[[Request, ReadBody], Deed]) -> Iterator[Web]:
    """A server that does for each request what `respond` says, which may read the body or some of it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or a body waits for the acknowledgement of its headers

        def handle_one_request(self) -> None:
            try:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                self._answer()
            except (ConnectionError, TimeoutError):
                self.close_connection = True

        def _answer(self) -> None:
            headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
            request = Request(self.command, self.path, headers, self.client_address[1])
            web.seen.append(request)
            left = request.size

            def body(count: int | None = None) -> bytes:
                nonlocal left
                data = self.rfile.read(left if count is None else min(left, count))
                left -= len(data)
                return data

            deed = respond(request, body)
            if isinstance(deed, Answer):
                body()
                self._send(deed)
                return
            body(deed.after)
            if isinstance(deed, Stall):
                web.stalled.set()
                web.closing.wait()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            if answer.length:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: answer.cut])
            if answer.cut is not None or not answer.length:
                self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 — the library's name
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web = Web(f"localhost:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        web.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
