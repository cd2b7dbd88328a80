"""A server that writes down when each request arrived, answers by rules, and can stand far away.

A rule looks at a request and returns an answer, or None; the first answer counts, and without one the row is
acknowledged. The list of rules may change at any time, which is how a server is healed:

    async with recording(when(lambda request: request.row in range(40, 60), answer(500))) as api:
        ...
        api.rules.clear()

As a program it prints its URL, serves until a signal, and then prints its arrivals, a JSON object each:

    python -m tests.support.recorder --rtt 0.1 --tls folder --hold-at 3 --hold-for 3.5 > arrivals
"""

import argparse
import asyncio
import json
import re
import signal
import socket
import ssl
import struct
import sys
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tests.support.fault_server import authority

SECOND = 1_000_000_000

WINDOW = 990_000_000
"""Nanoseconds of the sliding window in which arrivals are counted: a second, of which 10 ms are forgiven."""

NO_LINGER = struct.pack("ii", 1, 0)


# Requests and answers


@dataclass(frozen=True, slots=True)
class Request:
    """One arrival: its *number* from 0, *at* which nanosecond its head had been read, and *since* the first, seconds.

    *row* is the `turn` of its metadata, as `tests.support.program.write_rows` numbers the rows; -1 where there is none.
    """

    number: int
    at: int
    since: float
    connection: int
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def ids(self) -> list[str]:
        """The workflow and the execution that the path names."""
        return re.findall(r"[0-9a-f-]{36}", self.path)

    @property
    def workflow(self) -> str:
        """The workflow that the path names."""
        return self.ids[0]

    @property
    def execution(self) -> str:
        """The execution that the path names."""
        return self.ids[1]

    @property
    def key(self) -> str:
        """The API key."""
        return self.headers.get("x-api-key", "")

    @property
    def row(self) -> int:
        """The row's number in the input, from 0."""
        turn: int = (json.loads(self.body or b"{}").get("metadata") or {}).get("turn", -1)
        return turn


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a request after *wait* seconds: a whole answer, or *instead* of one `reset` or `nothing`."""

    status: int = 200
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    wait: float = 0.0
    instead: str = ""

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this answer."""
        return ("Connection", "close") in self.headers


Rule = Callable[[Request], Answer | None]

OK = Answer()
HANG = Answer(instead="nothing")
RESET = Answer(instead="reset")


def answer(status: int = 200, page: object = None, *, wait: float = 0.0, **headers: str) -> Answer:
    """Return an answer with a JSON object, as this API's; header names are written with `_` for `-`."""
    said = {"Content_Type": "application/json", **headers}
    body = json.dumps({"message": f"answer {status}"} if page is None else page).encode()
    return Answer(status, None if status == 200 and page is None else body, spelled(said), wait)


def html(status: int, text: str = "Request blocked", **headers: str) -> Answer:
    """Return an answer with a page for people, as those of firewalls, proxies and static hosts."""
    return Answer(status, f"<html>{text}</html>".encode(), spelled({"Content_Type": "text/html", **headers}))


def spelled(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return headers with the names that they have on the wire."""
    return tuple((name.replace("_", "-"), value) for name, value in headers.items())


def when(predicate: Callable[[Request], bool], said: Answer) -> Rule:
    """Return the rule that gives an answer to the requests of which the predicate is true."""
    return lambda request: said if predicate(request) else None


def always(said: Answer) -> Rule:
    """Return the rule that gives an answer to every request."""
    return lambda _: said


def from_arrival(first: int, rule: Rule) -> Rule:
    """Return the rule that begins with an arrival's number."""
    return lambda request: rule(request) if request.number >= first else None


def for_seconds(first: int, seconds: float, said: Answer) -> Rule:
    """Return the rule that begins with an arrival's number and ends some seconds later."""
    begun: list[int] = []

    def rule(request: Request) -> Answer | None:
        if request.number >= first and not begun:
            begun.append(request.at)
        return said if begun and request.at - begun[0] < seconds * SECOND else None

    return rule


def until_told(first: int, count: int, said: Answer) -> Rule:
    """Return the rule that begins with an arrival's number and ends once so many executions were told it."""
    told: set[str] = set()

    def rule(request: Request) -> Answer | None:
        if request.number < first or len(told) >= count:
            return None
        told.add(request.execution)
        return said

    return rule


def held(at: float, seconds: float) -> Rule:
    """Return the rule that keeps all answers, from seconds after the first arrival on, until that time is over."""

    def rule(request: Request) -> Answer | None:
        return Answer(wait=at + seconds - request.since) if at <= request.since < at + seconds else None

    return rule


def limited(rate: float, said: Answer) -> Rule:
    """Return the rule of nginx's `limit_req` without a burst: refused is what comes sooner after the last than 1/rate.

    As nginx does, it lets a few milliseconds pass, and what is refused does not count.
    """
    last = [0]

    def rule(request: Request) -> Answer | None:
        if request.at - last[0] < SECOND / rate - 3_000_000:
            return said
        last[0] = request.at
        return None

    return rule


def acknowledgement(request: Request) -> bytes:
    """Return the 200 body for a request, as the sandbox has it: the path's ids and the body's status."""
    status = json.loads(request.body or b"{}").get("status", "CREATED")
    return json.dumps({"id": request.execution, "workflowId": request.workflow, "status": status}).encode()


def message(request: Request, said: Answer) -> bytes:
    """Return an answer as it goes over the wire."""
    body = acknowledgement(request) if said.body is None else said.body
    lines = [f"HTTP/1.1 {said.status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in said.headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# The server


class Recorder:
    """Answers by its *rules*; *requests* are its arrivals, *most_in_flight* counts those without an answer at each."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = list(rules)
        self.requests: list[Request] = []
        self.answers: list[int] = []
        self.in_flight: set[int] = set()
        self.at_once: list[int] = []
        self.connections = 0
        self.open: set[asyncio.Transport] = set()
        self.url = ""

    def arrived(self, head: bytes, body: bytes, at: int, connection: int) -> Request:
        """Write down an arrival."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        since = (at - self.requests[0].at) / SECOND if self.requests else 0.0
        request = Request(len(self.requests), at, since, connection, method, path, headers, body)
        self.requests.append(request)
        self.in_flight.add(request.number)
        self.at_once.append(len(self.in_flight))
        return request

    def answer_to(self, request: Request) -> Answer:
        """Return the first rule's answer, or an acknowledgement."""
        answers = (rule(request) for rule in self.rules)
        said = next((found for found in answers if found is not None), OK)
        self.answers.append(0 if said.instead else said.status)
        return said

    @property
    def times(self) -> list[int]:
        """When the requests arrived, in nanoseconds."""
        return [request.at for request in self.requests]

    @property
    def acknowledged(self) -> Counter[int]:
        """How often each row was acknowledged."""
        said = zip(self.requests, self.answers, strict=True)
        return Counter(request.row for request, status in said if status == 200 and request.method == "PUT")


class Conversation(asyncio.Protocol):
    """One connection: requests are read whole, one after the other, and answered."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._buffer = b""
        self._read_at = 0
        recorder.connections += 1
        self._number = recorder.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by name
        self._recorder.open.add(self._transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Forget the connection."""
        self._recorder.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Note when a head was whole, and answer once the body is."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            self._read_at = self._read_at or time.monotonic_ns()
            head, rest = self._buffer[:end], self._buffer[end + 4 :]
            length = int(found[1]) if (found := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)) else 0
            if len(rest) < length:
                return
            request = self._recorder.arrived(head, rest[:length], self._read_at, self._number)
            self._buffer, self._read_at = rest[length:], 0
            said = self._recorder.answer_to(request)
            asyncio.get_running_loop().call_later(said.wait, self._say, request, said)

    def _say(self, request: Request, said: Answer) -> None:
        if said.instead != "nothing":
            self._recorder.in_flight.discard(request.number)
        if said.instead == "reset":
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self._transport.abort()
        elif not said.instead:
            self._transport.write(message(request, said))
            if said.closes:
                self._transport.close()


# The distance


class Way(asyncio.Protocol):
    """One direction of a connection over a distance: what comes is sent on later, in order, and so is its end."""

    def __init__(self, delay: float, opened: set[asyncio.Transport]) -> None:
        self._delay = delay
        self._open = opened
        self._coming: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.to: asyncio.Transport | None = None
        self.source: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where it comes from."""
        self.source = cast(asyncio.Transport, transport)
        self._open.add(self.source)

    def data_received(self, data: bytes) -> None:
        """Take what comes."""
        self._take(data)

    def connection_lost(self, _: Exception | None) -> None:
        """Take the end."""
        if self.source is not None:
            self._open.discard(self.source)
        self._take(None)

    def reach(self, transport: asyncio.Transport) -> None:
        """Say where it goes, and send what has come meanwhile."""
        self.to = transport
        self._send()

    def _take(self, data: bytes | None) -> None:
        self._coming.append((asyncio.get_running_loop().time() + self._delay, data))
        if self._timer is None:
            self._send()

    def _send(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        while self._coming and self.to is not None:
            due, data = self._coming[0]
            if due > loop.time():
                self._timer = loop.call_at(due, self._send)
                return
            self._coming.popleft()
            if data is None:
                self.to.close()
            else:
                self.to.write(data)


Greeting = Callable[[int], bytes | None]
"""What a new connection, by its number from 1, gets said at once and as all; None lets it through."""


class Forwarder:
    """Stands between client and server, half a round trip from the one to the other; may turn connections away."""

    def __init__(self, port: int, rtt: float) -> None:
        self._port = port
        self._rtt = rtt
        self.greeting: Greeting = lambda _: None
        self.connections = 0
        self.opening: set[asyncio.Task[None]] = set()
        self.ends: set[asyncio.Transport] = set()

    def accepted(self) -> Way:
        """Return what takes a new connection's bytes."""
        return Entrance(self, self._rtt / 2)

    def open(self, out: Way) -> None:
        """Open the other half of a connection, or turn it away."""
        self.connections += 1
        assert out.source is not None
        if (said := self.greeting(self.connections)) is not None:
            out.source.write(said)
            out.source.close()
            return
        task = asyncio.get_running_loop().create_task(self._through(out))
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    async def _through(self, out: Way) -> None:
        back = Way(self._rtt / 2, self.ends)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: back, "127.0.0.1", self._port)
        assert out.source is not None
        back.reach(out.source)
        out.reach(transport)


class Entrance(Way):
    """The client's half of a connection."""

    def __init__(self, forwarder: Forwarder, delay: float) -> None:
        super().__init__(delay, forwarder.ends)
        self._forwarder = forwarder

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have the other half opened."""
        super().connection_made(transport)
        self._forwarder.open(self)


class Station(Recorder):
    """A recorder with its *forwarder*."""

    forwarder: Forwarder

    async def close(self) -> None:
        """End every connection, and see them end."""
        for task in self.forwarder.opening:
            task.cancel()
        while self.open or self.forwarder.ends or self.forwarder.opening:
            for transport in (*self.open, *self.forwarder.ends):
                transport.abort()
            await asyncio.sleep(0)


@asynccontextmanager
async def recording(
    *rules: Rule, rtt: float = 0.0, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Station]:
    """Yield a recorder at its `url`, over TLS where a context is given, behind a round trip of so many seconds."""
    loop = asyncio.get_running_loop()
    station = Station(rules)
    server = await loop.create_server(lambda: Conversation(station), "127.0.0.1", 0, ssl=tls, backlog=1024)
    station.forwarder = Forwarder(server.sockets[0].getsockname()[1], rtt)
    front = await loop.create_server(station.forwarder.accepted, "127.0.0.1", port, backlog=1024)
    station.url = f"{'https' if tls else 'http'}://127.0.0.1:{front.sockets[0].getsockname()[1]}"
    async with server, front:
        try:
            yield station
        finally:
            front.close()
            server.close()
            await station.close()


# Measuring


def most_in_a_second(times: Sequence[int], window: int = WINDOW) -> int:
    """Return the most arrivals in any closed window of so many nanoseconds."""
    ordered = sorted(times)
    return max((bisect_right(ordered, at + window) - index for index, at in enumerate(ordered)), default=0)


def utilisation(times: Sequence[int], rate: float) -> float:
    """Return the share of the rate that arrivals used between the first and the last of them."""
    span = (max(times) - min(times)) / SECOND
    return (len(times) - 1) / (rate * span)


# The program


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.recorder", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rtt", type=float, default=0.0, help="seconds of a round trip")
    parser.add_argument("--tls", type=Path, help="new folder for a certificate authority; trust its authority.pem")
    parser.add_argument("--hold-at", type=float, default=0.0, help="seconds after the first arrival")
    parser.add_argument("--hold-for", type=float, default=0.0, help="seconds for which answers are held then")
    return parser.parse_args()


async def served(options: argparse.Namespace) -> None:
    """Serve until a signal."""
    rules = [held(options.hold_at, options.hold_for)] if options.hold_for else []
    tls = authority(options.tls).tls() if options.tls else None
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with recording(*rules, rtt=options.rtt, tls=tls, port=options.port) as station:
        print(station.url, flush=True)
        await ended.wait()
        for request in station.requests:
            print(json.dumps({"at": request.at, "path": request.path}))


if __name__ == "__main__":
    options = parsed()
    try:
        import uvloop
    except ImportError:
        asyncio.run(served(options))
    else:
        uvloop.run(served(options))
    sys.stdout.flush()
