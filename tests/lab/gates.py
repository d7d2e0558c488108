"""Gates: a way to the engine of this machine on which the answers to loads wait, or are refusals."""

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_ENGINE = "/var/run/docker.sock"
_BLOCK = 1 << 16
_BODY = b'{"message": "the disk is full"}'
_REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


@dataclass(frozen=True)
class Gate:
    """`host` is for DOCKER_HOST; a load has begun once `loading` is set, and is answered once `open` is."""

    host: str
    refuses: bool
    loading: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)


@contextmanager
def gate(refuses: bool = False) -> Iterator[Gate]:
    """Serve a socket that leads to the engine; with `refuses` no load gets there."""
    with tempfile.TemporaryDirectory(prefix="ctgate-") as folder, socket.socket(socket.AF_UNIX) as server:
        path = Path(folder) / "sock"
        made = Gate(f"unix://{path}", refuses)
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=_pass, args=(server.accept()[0], made), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.open.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _pass(client: socket.socket, through: Gate) -> None:
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(_ENGINE)
    is_load = threading.Event()
    threading.Thread(target=_answers, args=(engine, client, is_load, through), daemon=True).start()
    with contextlib.suppress(OSError):
        while block := client.recv(_BLOCK):
            if block.startswith(b"POST") and b"/images/load" in block.partition(b"\r\n")[0]:
                is_load.set()
                through.loading.set()
            if is_load.is_set() and through.refuses:
                client.sendall(_REFUSAL)
                break
            engine.sendall(block)
        engine.shutdown(socket.SHUT_RDWR)


def _answers(engine: socket.socket, client: socket.socket, is_load: threading.Event, through: Gate) -> None:
    with contextlib.suppress(OSError), engine, client:
        while block := engine.recv(_BLOCK):
            if is_load.is_set():
                through.open.wait()
            client.sendall(block)
