"""The network: connections in memory under the real aiohttp. Each direction is a queue in order, and bytes take time."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .loop import SimLoop
    from .world import Process, World

__all__ = ["Connection", "Network", "Server"]

_HIGH_WATER = 65536


class Server(Protocol):
    """What answers on the other side of a connection."""

    def received(self, connection: Connection, data: bytes) -> None:
        """Bytes of a client have arrived."""

    def closed(self, connection: Connection) -> None:
        """The client has closed, or is dead."""


class Network:
    """All connections of the world.

    Attributes:
        refuses: called for each new connection: whether it is refused.
    """

    def __init__(self, world: World, server: Server) -> None:
        self.world = world
        self.server = server
        self.opened = 0
        self.by_descriptor: dict[int, Connection] = {}
        self._rng = world.stream("network")
        self.refuses = lambda: False

    def latency(self) -> float:
        """How long a piece takes."""
        return 0.0005 + self._rng.random() ** 3 * 0.02

    async def start_connection(self, **_: Any) -> Connection:
        """Opens a connection, in place of `aiohappyeyeballs.start_connection`."""
        loop = asyncio.get_running_loop()
        process = self.world.current
        assert process is not None
        waiting = loop.create_future()

        def answer() -> None:
            if waiting.done():
                return
            if self.refuses():
                waiting.set_exception(ConnectionRefusedError(111, "refused by the simulation"))
                return
            self.opened += 1
            connection = Connection(self, process, self.opened)
            self.by_descriptor[connection.fileno()] = connection
            waiting.set_result(connection)

        self.world.after(self.latency(), answer, process)
        try:
            opened: Connection = await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                waiting.result().close_client(abort=True)
            raise
        return opened

    def has_bytes(self, descriptor: int) -> bool:
        """Whether something has arrived on a connection and is not read: it never is, since it is read when it arrives."""
        connection = self.by_descriptor.get(descriptor)
        return connection is None or connection.is_closed or connection.has_unread


class Connection:
    """One connection; it is also the socket that aiohttp is shown.

    Attributes:
        number: its number.
        is_closed: whether the client's side is closed.
        has_unread: whether bytes have arrived that the client does not read, since it paused.
        unacknowledged: bytes that the client has written and that have not arrived.
    """

    def __init__(self, network: Network, process: Process, number: int) -> None:
        self.network = network
        self.process = process
        self.number = number
        self.is_closed = False
        self.server_closed = False
        self.has_unread = False
        self.unacknowledged = 0
        self.memory: dict[str, Any] = {}
        self._world = network.world
        self._transport: SimTransport | None = None
        self._to_server = self._to_client = 0
        process.on_death.append(self._client_died)

    # What aiohttp asks a socket for.
    family = socket.AF_UNIX

    def fileno(self) -> int:
        """A number that no real file has."""
        return 1_000_000 + self.number

    def attach(self, loop: SimLoop, protocol: Any) -> SimTransport:
        """Makes the client's transport."""
        self._transport = SimTransport(loop, protocol, self)
        return self._transport

    def _at(self, before: int) -> int:
        """When a piece arrives that leaves now: not before the ones before it."""
        return max(before + 1, self._world.now + int(self.network.latency() * 1e9))

    # --- from the client ------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """The client writes."""
        self.unacknowledged += len(data)
        self._to_server = self._at(self._to_server)
        self._world.after((self._to_server - self._world.now) / 1e9, lambda: self._arrive(data))

    def _arrive(self, data: bytes) -> None:
        self.unacknowledged -= len(data)
        if not self.server_closed:
            self.network.server.received(self, data)
            if self._transport is not None:
                self._transport.drained()

    def close_client(self, *, abort: bool) -> None:
        """The client closes; what it wrote before still arrives, unless it aborts."""
        if self.is_closed:
            return
        self.is_closed = True
        self._to_server = self._at(self._to_server)
        self._world.after((self._to_server - self._world.now) / 1e9, lambda: self.network.server.closed(self))

    def _client_died(self) -> None:
        self.close_client(abort=False)

    # --- from the server ------------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """The server writes."""
        self._to_client = self._at(self._to_client)
        self._world.after((self._to_client - self._world.now) / 1e9, lambda: self._deliver(data), self.process)

    def _deliver(self, data: bytes) -> None:
        if not self.is_closed and self._transport is not None:
            self._transport.arrived(data)

    def close_server(self, *, reset: bool) -> None:
        """The server closes, or resets: then what it has sent may be lost on the way, too."""
        if self.server_closed:
            return
        self.server_closed = True
        self._to_client = self._at(self._to_client)
        failure = ConnectionResetError(104, "reset by the simulation") if reset else None
        self._world.after((self._to_client - self._world.now) / 1e9, lambda: self._lose(failure), self.process)

    def _lose(self, failure: Exception | None) -> None:
        if not self.is_closed and self._transport is not None:
            self._transport.lost(failure)


class SimTransport(asyncio.Transport):
    """The client's end of a connection."""

    def __init__(self, loop: SimLoop, protocol: Any, connection: Connection) -> None:
        super().__init__(extra={"socket": connection, "peername": ("127.0.0.1", 80), "sockname": ("127.0.0.1", 1)})
        self._loop = loop
        self._protocol = protocol
        self._connection = connection
        self._is_reading = True
        self._unread: list[bytes] = []
        self._is_writing_paused = False

    def write(self, data: Any) -> None:
        """Writes."""
        if self._connection.is_closed or not data:
            return
        self._connection.write(bytes(data))
        if self._connection.unacknowledged > _HIGH_WATER and not self._is_writing_paused:
            self._is_writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        """Writes all."""
        self.write(b"".join(bytes(data) for data in list_of_data))

    def drained(self) -> None:
        """Some of what was written has arrived."""
        if self._is_writing_paused and self._connection.unacknowledged < _HIGH_WATER // 2 and self._connection.process.is_alive:
            self._is_writing_paused = False
            self._loop.call_soon(self._protocol.resume_writing)

    def arrived(self, data: bytes) -> None:
        """Bytes of the server have arrived."""
        if self._is_reading:
            self._protocol.data_received(data)
        else:
            self._unread.append(data)
            self._connection.has_unread = True

    def lost(self, failure: Exception | None) -> None:
        """The connection is over."""
        self._connection.is_closed = True
        if failure is None:
            self._protocol.eof_received()
        self._loop.call_soon(self._protocol.connection_lost, failure)

    def pause_reading(self) -> None:
        """Reads no more."""
        self._is_reading = False

    def resume_reading(self) -> None:
        """Reads again."""
        self._is_reading = True
        unread, self._unread, self._connection.has_unread = self._unread, [], False
        for data in unread:
            self._loop.call_soon(self._protocol.data_received, data)

    def is_reading(self) -> bool:
        """Whether it reads."""
        return self._is_reading

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._connection.is_closed

    def close(self) -> None:
        """Closes."""
        self._close(abort=False)

    def abort(self) -> None:
        """Closes at once."""
        self._close(abort=True)

    def _close(self, *, abort: bool) -> None:
        if not self._connection.is_closed:
            self._connection.close_client(abort=abort)
            self._loop.call_soon(self._protocol.connection_lost, None)

    def get_write_buffer_size(self) -> int:
        """Nothing is kept back here: what is written is on its way."""
        return 0

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None:
        """There are no others."""

    def set_protocol(self, protocol: Any) -> None:
        """Changes the protocol."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """The protocol."""
        return self._protocol
