"""A proxy before PostgreSQL that cuts a connection at a commit: before the database gets it, or after, but before its answer arrives."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["CutChooser", "CuttingProxy", "cutting"]

COMMIT = b"COMMIT\0"

CutChooser = Callable[[], str | None]
"""Called at each commit; returns `before`, `after`, or None where it passes."""


class CuttingProxy:
    """Passes bytes on between clients and a server.

    Attributes:
        port: where it listens.
        server_port: where new connections are passed on to.
        choose: what to do at a commit.
        cuts: how often it cut a connection, by place.
    """

    def __init__(self, server_port: int) -> None:
        self.choose: CutChooser = lambda: None
        self.cuts: Counter[str] = Counter()
        self.server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends it, and all connections."""
        self._close(self._listener, *self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                client.close()
                continue
            self._sockets |= {client, server}
            swallows = threading.Event()
            threading.Thread(target=self._up, args=(client, server, swallows), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server, swallows), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, swallows: threading.Event) -> None:
        tail = b""
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                seen, tail = tail + data, (tail + data)[-len(COMMIT) + 1 :]
                place = seen.find(COMMIT)
                chosen = self.choose() if place >= 0 else None
                if chosen == "before":
                    server.sendall(data[: max(0, place - (len(seen) - len(data)))])
                    self.cuts[chosen] += 1
                    break
                if chosen == "after":
                    swallows.set()
                server.sendall(data)
        if not swallows.is_set():
            self._close(client, server)

    def _down(self, client: socket.socket, server: socket.socket, swallows: threading.Event) -> None:
        seen = b""
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if not swallows.is_set():
                    client.sendall(data)
                    continue
                seen += data
                if COMMIT in seen:
                    self.cuts["after"] += 1
                    break
        self._close(client, server)

    def _close(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            self._sockets.discard(one)


@contextmanager
def cutting(server_port: int) -> Iterator[CuttingProxy]:
    """A proxy before a server on a port of this machine."""
    proxy = CuttingProxy(server_port)
    try:
        yield proxy
    finally:
        proxy.close()
