"""A server on threads of its own, that goes on while a test blocks the client's event loop.

A behaviour talks on one connection, from its opening on, and may say nothing, too much, or something at the wrong time:

    def behave(talk: Talk) -> None:
        request = talk.read()
        talk.write(message(acknowledgement(request)))

    with listening(behave) as server:
        ...
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from tests.support.fault_server import Request

PATIENCE = 20.0
"""Seconds that a thread may wait for the test, and the test for a thread."""


class Talk:
    """One connection, the *number*th from 1."""

    def __init__(self, connection: socket.socket, number: int, server: "Server") -> None:
        self.connection = connection
        self.number = number
        self._server = server
        self._received = b""

    def read(self) -> Request:
        """Read a request; EOFError where the client leaves."""
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(self._received) < (length := int(headers["content-length"])):
            self._receive()
        body, self._received = self._received[:length], self._received[length:]
        method, path, _ = first.split(" ")
        request = Request(self.number, monotonic(), method, path, headers, body)
        self._server.requests.append(request)
        return request

    def _receive(self) -> None:
        if not (data := self.connection.recv(65536)):
            raise EOFError
        self._received += data

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.connection.sendall(data)

    def linger(self) -> None:
        """Wait until the client leaves."""
        while self.connection.recv(65536):
            pass


Behave = Callable[[Talk], None]


@dataclass
class Server:
    """What the server saw; `said` and `heard` are for a test and a behaviour to wait for each other."""

    url: str
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    said: threading.Event = field(default_factory=threading.Event)
    heard: threading.Event = field(default_factory=threading.Event)

    def prompt(self) -> None:
        """Let a behaviour go on that waits for `heard`, and block until it has `said` its part."""
        self.heard.set()
        assert self.said.wait(PATIENCE)


@contextmanager
def listening(behave: Callable[[Talk, Server], None], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Yield a server on a free port of this host."""
    with socket.create_server(("127.0.0.1", 0)) as socket_:
        server = Server(f"{'https' if tls else 'http'}://127.0.0.1:{socket_.getsockname()[1]}")
        threading.Thread(target=accept, args=(socket_, behave, tls, server), daemon=True).start()
        yield server
        socket_.shutdown(socket.SHUT_RDWR)


def accept(
    socket_: socket.socket, behave: Callable[[Talk, Server], None], tls: ssl.SSLContext | None, server: Server
) -> None:
    """Take connections until the server is closed, each on a thread of its own."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = socket_.accept()
            server.connections += 1
            number = server.connections
            threading.Thread(target=serve, args=(connection, behave, tls, server, number), daemon=True).start()


def serve(
    connection: socket.socket,
    behave: Callable[[Talk, Server], None],
    tls: ssl.SSLContext | None,
    server: Server,
    number: int,
) -> None:
    """Let a behaviour have a connection; it ends with it."""
    with contextlib.suppress(OSError, EOFError), connection:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what was written has left
        stream = tls.wrap_socket(connection, server_side=True) if tls else connection
        with stream:
            behave(Talk(stream, number, server), server)
