"""Wires: pass bytes on to a server, and cut a connection once so many bytes went through."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_BLOCK = 1 << 16


@contextmanager
def cut_once(port: int, after: int) -> Iterator[str]:
    """A way (host:port) to a port of 127.0.0.1, cut in the first connection that sends more than `after`.

    The server got the bytes before the cut: it is the client's network that is bad.
    """
    whole = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                upstream = socket.create_connection(("127.0.0.1", port))
                threading.Thread(target=_answers, args=(upstream, client), daemon=True).start()
                threading.Thread(target=_asks, args=(client, upstream, whole, after), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"localhost:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _answers(upstream: socket.socket, client: socket.socket) -> None:
    with contextlib.suppress(OSError), upstream, client:
        while block := upstream.recv(_BLOCK):
            client.sendall(block)


def _asks(client: socket.socket, upstream: socket.socket, whole: threading.Event, after: int) -> None:
    passed = 0
    with contextlib.suppress(OSError):
        while block := client.recv(_BLOCK):
            passed += len(block)
            if passed > after and not whole.is_set():
                whole.set()
                upstream.sendall(block[: len(block) - (passed - after)])
                client.shutdown(socket.SHUT_RDWR)
                break
            upstream.sendall(block)
        upstream.shutdown(socket.SHUT_RDWR)
