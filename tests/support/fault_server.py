"""A server that answers what no HTTP library would: cut, late, forged, endless or not HTTP at all.

A behaviour answers one arrival; a test scripts one for each arrival, in order, and what follows them:

    async with serve(hang, raw(b"nonsense")) as server:  # the third arrival and all later ones get a valid answer
        ...
    assert len(server.requests) == 3

Whatever a behaviour leaves open is used for the next request; everything ends with the test, or after `LIFETIME`.
"""

import asyncio
import gzip
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

LIFETIME = 60.0
"""Seconds for which a connection may stand, whatever is left to be said on it."""

MEBIBYTE = 1024 * 1024
HUGE = 512 * MEBIBYTE
"""Bytes of an answer that no client should read to its end."""

NO_LINGER = struct.pack("ii", 1, 0)

GARBAGE = bytes(range(1, 128)) + b"\r\n\r\n"
TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x46"
"""What a TLS server says to a client that does not speak TLS (RFC 8446 §6)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One arrival: what was read of it, *at* which time of a monotonic clock, on which *connection*, from 1."""

    connection: int
    at: float
    method: str = ""
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def ids(self) -> list[str]:
        """The workflow and the execution that the path names."""
        return re.findall(r"[0-9a-f-]{36}", self.path)


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Request], Awaitable[None]]


# Behaviours


def acknowledgement(request: Request, **changed: object) -> bytes:
    """Return a 200 body for this request, some of its members *changed*."""
    workflow, execution = request.ids
    status = json.loads(request.body).get("status", "CREATED") if request.body else "CREATED"
    return json.dumps({"id": execution, "workflowId": workflow, "status": status, **changed}).encode()


def message(
    body: bytes = b"", *, status: int = 200, headers: Mapping[str, str] | None = None, length: int | None = None
) -> bytes:
    """Return a whole answer; *length* is what its Content-Length says where that is not the truth."""
    said = {"Content-Type": "application/json", "Content-Length": str(len(body) if length is None else length)}
    lines = [
        f"HTTP/1.1 {status} Whatever",
        *(f"{name}: {value}" for name, value in (said | dict(headers or {})).items()),
    ]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body


def answer(
    status: int = 200, body: bytes | None = None, headers: Mapping[str, str] | None = None, **changed: object
) -> Behaviour:
    """Return the behaviour of a well-formed answer: *body*, or else an acknowledgement with *changed* members."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
        content = acknowledgement(request, **changed) if body is None else body
        writer.write(message(content, status=status, headers=headers))

    return behave


valid = answer()


def raw(data: bytes | Callable[[Request], bytes]) -> Behaviour:
    """Return the behaviour of these bytes and the end of the connection."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(data if isinstance(data, bytes) else data(request))
        writer.close()

    return behave


async def close_unread(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: Request) -> None:
    """Close a fresh connection as soon as it stands."""
    writer.close()


close = raw(b"")
closing = raw(lambda request: message(acknowledgement(request), headers={"Connection": "close"}))


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: Request) -> None:
    """Reset the connection in the middle of the headers."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: applica")
    await writer.drain()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    writer.transport.abort()


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter, __: Request) -> None:
    """Say nothing until the client leaves."""
    await reader.read()


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
    """Send a valid answer, a byte every 20 ms: each read brings something, and all of it would take seconds."""
    for byte in message(acknowledgement(request)):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: Request) -> None:
    """Send a body without an end, or nearly, for as long as the client reads."""
    writer.write(message(length=HUGE))
    for _mebibyte in range(HUGE // MEBIBYTE):
        writer.write(bytes(MEBIBYTE))
        await writer.drain()


@cache
def bomb() -> bytes:
    """Return the answer that is half a mebibyte on the wire and 512 MiB when it is unpacked."""
    packer = zlib.compressobj(wbits=31)
    body = b"".join([*(packer.compress(bytes(MEBIBYTE)) for _ in range(HUGE // MEBIBYTE)), packer.flush()])
    return message(body, headers={"Content-Encoding": "gzip"})


async def bombed(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: Request) -> None:
    """Send the bomb."""
    writer.write(bomb())


def chunked(data: bytes) -> bytes:
    """Return the head and the first chunk of an answer; the last chunk is missing."""
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(data), data)


cut_chunked = raw(lambda request: chunked(acknowledgement(request)))
cut_short = raw(lambda request: message(acknowledgement(request)[:-9], length=len(acknowledgement(request))))
cut_at_eof = raw(lambda request: b"HTTP/1.1 200 OK\r\n\r\n" + acknowledgement(request)[:-9])
two_lengths = raw(lambda request: message(acknowledgement(request), headers={"content-length": "2"}))
bad_status_line = raw(b"HTTP/1.1 OK 200\r\n\r\n")
many_headers = raw(lambda request: message(acknowledgement(request), headers={f"X-{n}": "x" for n in range(1_500)}))
long_header = raw(lambda request: message(acknowledgement(request), headers={"X-Long": "x" * 70_000}))
packed = raw(lambda request: message(gzip.compress(acknowledgement(request)), headers={"Content-Encoding": "gzip"}))
wrong_id = answer(id="ffffffff-ffff-4fff-8fff-ffffffffffff")


async def forged(_: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
    """Send a valid answer and, unasked, one that the next request could take for its own."""
    writer.write(message(acknowledgement(request)) + message(acknowledgement(request, disposition="FORGED")))


async def early_413(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Request) -> None:
    """Refuse a body before it has come, and only then let it come and go."""
    writer.write(message(b'{"message": "too large"}', status=413, headers={"Connection": "close"}))
    await writer.drain()
    while await reader.read(MEBIBYTE):
        pass
    writer.close()


UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"


async def early_and_kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Request) -> None:
    """Refuse a body before it has come, as if the connection could go on."""
    writer.write(message(b'{"message": "too large"}', status=413))
    await writer.drain()
    while await reader.read(MEBIBYTE):
        pass
    writer.close()


EARLY = (early_413, early_and_kept)
"""They take the body themselves."""


async def interim(_: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
    """Say twice that the answer is still to come (RFC 9110 §15.2)."""
    writer.write(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    await writer.drain()
    writer.write(message(acknowledgement(request)))


# The server


class FaultServer:
    """Answers as its script says; *requests* is what it saw, on how many *connections*."""

    def __init__(self, script: tuple[Behaviour, ...], then: Behaviour, idle: float) -> None:
        self._script = list(script)
        self._then = then
        self._idle = idle
        self._connections: set[asyncio.Task[None]] = set()
        self.requests: list[Request] = []
        self.connections = 0
        self.url = ""

    @property
    def bodies(self) -> list[object]:
        """What the requests asked for, in order of arrival."""
        return [json.loads(request.body) for request in self.requests]

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer, self.connections))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def close(self) -> None:
        """End every connection."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        try:
            with suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(LIFETIME):
                    await self._converse(reader, writer, connection)
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        if self._script[:1] == [close_unread]:
            self._next()
            self.requests.append(Request(connection, time.monotonic()))
            return
        while not writer.is_closing():
            async with asyncio.timeout(self._idle):
                request = await read_head(reader, connection)
            if request is None:
                writer.write(message(status=400))
                return
            behaviour = self._next()
            if behaviour not in EARLY:
                request = replace(request, body=await reader.readexactly(int(request.headers.get("content-length", 0))))
            self.requests.append(request)
            await behaviour(reader, writer, request)
            await writer.drain()

    def _next(self) -> Behaviour:
        return self._script.pop(0) if self._script else self._then


async def read_head(reader: asyncio.StreamReader, connection: int) -> Request | None:
    """Read a request up to its body; None where it is no HTTP."""
    first = await reader.readexactly(4)
    if first not in (b"PUT ", b"GET ", b"POST"):
        return None
    at = time.monotonic()
    head = first + await reader.readuntil(b"\r\n\r\n")
    method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    headers = {}
    for line in head.decode("latin-1").split("\r\n")[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(connection, at, method, path, headers)


@asynccontextmanager
async def serve(
    *script: Behaviour,
    then: Behaviour = valid,
    idle: float = LIFETIME,
    tls: ssl.SSLContext | None = None,
    at: socket.socket | None = None,
) -> AsyncIterator[FaultServer]:
    """Yield a server at its `url`, on the port that *at* holds or on a free one.

    It closes a connection that was *idle* for so many seconds.
    """
    server = FaultServer(script, then, idle)
    listening = await asyncio.start_server(server.connected, sock=at or socket.create_server(("127.0.0.1", 0)), ssl=tls)
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        try:
            yield server
        finally:
            listening.close()
            await server.close()


# Certificates

CONFIGURATION = """
[req]
distinguished_name = subject
x509_extensions = authority
prompt = no
[subject]
CN = somebody
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = {name}
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in a folder of its own; its *certificate* is what a client may trust."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """The file to trust."""
        return self.folder / "authority.pem"

    def tls(self, name: str = "IP:127.0.0.1", days: int = 2, *, self_signed: bool = False) -> ssl.SSLContext:
        """Return what a server of that *name* needs; its certificate is good for *days* from now."""
        configure(self.folder, name)
        openssl(self.folder, "req", "-new", *NEW_KEY, "-keyout", "server.key", "-out", "server.csr")
        signer = ("-signkey", "server.key") if self_signed else ("-CA", "authority.pem", "-CAkey", "authority.key")
        terms = ("-set_serial", "2", "-days", str(days), "-extfile", "openssl.cnf", "-extensions", "server")
        openssl(self.folder, "x509", "-req", "-in", "server.csr", "-out", "server.pem", *signer, *terms)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def authority(folder: Path) -> Authority:
    """Found an authority in a new folder; no two are the same, whatever their name."""
    folder.mkdir()
    configure(folder, "DNS:nobody")
    openssl(folder, "req", "-x509", *NEW_KEY, "-days", "2", "-keyout", "authority.key", "-out", "authority.pem")
    return Authority(folder)


def configure(folder: Path, name: str) -> None:
    """Write what openssl reads, for certificates of a server of that *name*."""
    (folder / "openssl.cnf").write_text(CONFIGURATION.format(name=name))


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in *folder*, with its configuration there."""
    environment = {**os.environ, "OPENSSL_CONF": "openssl.cnf"}
    call = ("openssl", *arguments)
    subprocess.run(call, cwd=folder, env=environment, check=True, capture_output=True, timeout=30)
