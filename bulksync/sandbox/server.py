"""The server: each request is validated, applied and answered, or gets a fault; each adds a line to the log.

An update is applied at some moment within its latency. A client that disconnects before that moment leaves it
unapplied; one that disconnects later has updated the execution without knowing. Both happen when a bulk sender is
killed.
"""

import asyncio
import math
import os
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from bulksync.sandbox.checks import PATH, Refusal, refuse_key, refuse_target, refuse_update, until_free
from bulksync.sandbox.draws import Draws
from bulksync.sandbox.execution import Stored, execution, untouched
from bulksync.sandbox.faults import APPLYING, NAMES, OK, Faults, pick
from bulksync.sandbox.wire import answer, json, refuse

CLOSING = 0.01  # seconds to wait for requests in flight when closing, before they are cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the sandbox expects of its clients, and how it behaves; raises ValueError for invalid settings.

    *key*: the required API key; None accepts any non-empty one.
    *rate*: how many requests are accepted in any *window* seconds; None accepts all.
    *latency*: the minimum and maximum time to an answer, in seconds.
    *script*: for an execution ID, or `*` for all others, what happens to its first, second, … update: a fault's name,
    `ok`, or an HTTP status to refuse it with; no fault after these. An execution without a script follows *faults*.
    *unknown*: workflow and execution IDs that get 404; *unknown_rate*: the share of executions that get it, too.
    *only_seen*: whether a GET gets 404 for an execution that has never been updated.
    *replaces_metadata*: whether an update replaces the metadata; otherwise it is merged into the existing one.
    *drift*: seconds after which the calls of an execution have continued and ended differently; 0 means never.
    *redirect_to*: the origin used by `redirect`.
    *late*: seconds until `late_apply` applies; *hang*: seconds until `hang` gives up.
    *keepalive*: seconds until an idle connection is closed.
    *keep_log*: whether the log is kept in memory; *log_file*: the file to which each line is appended at once, as JSON.
    """

    key: str | None = field(default=None, repr=False)
    rate: int | None = None
    window: float = 1.0
    latency: tuple[float, float] = (0.0, 0.0)
    seed: int = 0
    faults: Faults = field(default_factory=Faults)
    script: Mapping[str, Sequence[str | int]] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    unknown_rate: float = 0.0
    only_seen: bool = False
    replaces_metadata: bool = False
    drift: float = 0.0
    redirect_to: str = "https://elsewhere.invalid"
    late: float = 5.0
    hang: float = 60.0
    keepalive: float = 75.0
    keep_log: bool = True
    log_file: Path | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and self.rate < 1:
            raise ValueError(f"rate {self.rate}: must be at least 1; 30 a minute are rate 30, window 60")
        if not 0 <= self.latency[0] <= self.latency[1]:
            raise ValueError(f"latency {self.latency}: must be the shortest and the longest time in seconds")
        for name in {name for script in self.script.values() for name in script if isinstance(name, str)}:
            if name not in (OK, *NAMES):
                raise ValueError(f"unknown fault {name!r}; known are {', '.join(NAMES)}")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request, logged once it is known whether it is applied: the log is in order of application.

    *number* counts requests from 1 in order of arrival, at *monotonic* and *wall* seconds; *body* is None if it was not
    JSON; *answer* is an HTTP status, a fault's name, or `client_left` if the client disconnected (or the sandbox
    closed) before it was known.
    """

    number: int
    monotonic: float
    wall: float
    method: str
    workflow_id: str
    execution_id: str
    body: Any
    answer: int | str = ""
    applied: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Return the execution that the request is about."""
        return self.workflow_id, self.execution_id


class Sandbox:
    """The emulated API: its executions by (workflowId, executionId), the requests it received, and their log.

    `serve` opens and closes it; *url* is its origin. `/_sandbox/health` and `/_sandbox/log` need no key.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = ""
        self.log: list[Arrival] = []
        self.executions: dict[tuple[str, str], Stored] = {}
        self._arrivals = 0
        self._began = time.monotonic()
        self._taken: deque[float] = deque(maxlen=settings.rate)
        self._updates: Counter[tuple[str, str]] = Counter()
        self._reads: Counter[tuple[str, str]] = Counter()
        self._late: set[asyncio.Task[None]] = set()
        self._file = _append(settings.log_file) if settings.log_file else None

    @property
    def applied(self) -> list[Arrival]:
        """Return the updates that were applied, in order of application."""
        return [arrival for arrival in self.log if arrival.applied]

    async def close(self) -> None:
        """Cancel late applications and close the log file."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        if self._file is not None:
            os.close(self._file)

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it asks for."""
        path = request.raw_path.partition("?")[0]
        if path.startswith("/_sandbox/"):
            return self._inspect(path)
        data = await _read(request)
        arrival = self._arrive(path, request.method, data)
        if refusal := self._refuse(request, path, data, arrival):
            self._record(arrival, refusal.status)
            return refuse(refusal)
        return await self._answer(request, arrival)

    def _inspect(self, path: str) -> web.Response:
        match path:
            case "/_sandbox/health":
                return json({"status": "ok"})
            case "/_sandbox/log":
                return json({"arrivals": self.log})
            case _:
                return refuse(Refusal(404, "no such path"))

    def _arrive(self, path: str, method: str, data: bytes | None) -> Arrival:
        self._arrivals += 1
        found = PATH.fullmatch(path.lower())
        ids = (found[1], found[2]) if found else ("", "")
        return Arrival(self._arrivals, time.monotonic(), time.time(), method, *ids, _parse(data))

    def _refuse(self, request: web.BaseRequest, path: str, data: bytes | None, arrival: Arrival) -> Refusal | None:
        """Return the first refusal; a request without a key is not counted in the rate, one to a wrong path is."""
        return (
            refuse_key(request.headers.get("X-API-Key"), self.settings.key)
            or self._refuse_rate(arrival.monotonic)
            or refuse_target(path, arrival.method)
            or self._refuse_unknown(arrival)
            or (Refusal(413, "body is over 1 MiB") if data is None else None)
            or (refuse_update(request.content_type, arrival.body) if arrival.method == "PUT" else None)
        )

    def _refuse_rate(self, now: float) -> Refusal | None:
        """Return a refusal if the rate is exceeded; a refused request does not count."""
        if self.settings.rate is None:
            return None
        if wait := until_free(self._taken, now, self.settings.rate, self.settings.window):
            return Refusal(429, "rate limit exceeded", retry_after=math.ceil(wait))
        self._taken.append(now)
        return None

    def _refuse_unknown(self, arrival: Arrival) -> Refusal | None:
        return Refusal(404, "no such workflow execution") if self._is_unknown(arrival) else None

    def _is_unknown(self, arrival: Arrival) -> bool:
        """Whether the execution gets 404: if configured as unknown, or, with *only_seen*, if never updated."""
        if arrival.method == "GET" and self.settings.only_seen and arrival.key not in self.executions:
            return True
        if not self.settings.unknown.isdisjoint(arrival.key):
            return True
        rate = self.settings.unknown_rate
        return rate > 0 and Draws(self.settings.seed, *arrival.key, "unknown").share() < rate

    async def _answer(self, request: web.BaseRequest, arrival: Arrival) -> web.StreamResponse:
        is_update = arrival.method == "PUT"
        kind, counted = ("update", self._updates) if is_update else ("read", self._reads)
        counted[arrival.key] += 1
        nth = counted[arrival.key]
        draws = Draws(self.settings.seed, *arrival.key, kind, nth)
        fault = self._fault(arrival.execution_id, nth, draws.share())
        shortest, longest = self.settings.latency
        latency = shortest + (longest - shortest) * draws.share()
        before = latency * draws.share()
        if is_update and fault == "late_apply":
            self._start_late(arrival)
        else:
            await self._land(arrival, 200 if fault == OK else fault, is_update and fault in APPLYING, before)
        body = self._execution(arrival)
        await _pass(latency - before)
        return await answer(request, body, fault, self.settings.redirect_to, self.settings.hang)

    def _fault(self, execution_id: str, nth: int, share: float) -> str | int:
        """Return what happens to the *nth* update of an execution, whatever the clock and other executions."""
        script = self.settings.script.get(execution_id, self.settings.script.get("*"))
        if script is None:
            return pick(self.settings.faults, share)
        return script[nth - 1] if nth <= len(script) else OK

    def _start_late(self, arrival: Arrival) -> None:
        task = asyncio.create_task(self._land(arrival, "late_apply", True, self.settings.late))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _land(self, arrival: Arrival, reply: str | int, applies: bool, seconds: float) -> None:
        """After *seconds*, apply the update or not, and log which; neither happens if the client disconnects before."""
        try:
            await _pass(seconds)
        except asyncio.CancelledError:
            self._record(arrival, "client_left")
            raise
        if applies:
            self.executions[arrival.key] = self._updated(arrival)
        self._record(arrival, reply, applies)

    def _updated(self, arrival: Arrival) -> Stored:
        return self._stored(arrival).updated(arrival.body, replaces=self.settings.replaces_metadata)

    def _stored(self, arrival: Arrival) -> Stored:
        return self.executions.get(arrival.key) or untouched(self.settings.seed, *arrival.key)

    def _execution(self, arrival: Arrival) -> dict[str, Any]:
        drift = self.settings.drift
        era = int((arrival.monotonic - self._began) / drift) if drift else 0
        return execution(self.settings.seed, *arrival.key, self._stored(arrival), era)

    def _record(self, arrival: Arrival, reply: str | int, applied: bool = False) -> None:
        if not self.settings.keep_log and self._file is None:
            return
        settled = replace(arrival, answer=reply, applied=applied)
        if self.settings.keep_log:
            self.log.append(settled)
        if self._file is not None:
            os.write(self._file, orjson.dumps(settled, option=orjson.OPT_APPEND_NEWLINE))


def _append(path: Path) -> int:
    """Open a file that only its owner can read (metadata is personal); each write appends one whole line at once."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


async def _read(request: web.BaseRequest) -> bytes | None:
    """Return the body; None if it is over 1 MiB."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return None


def _parse(data: bytes | None) -> Any:
    try:
        return orjson.loads(data) if data else None
    except orjson.JSONDecodeError:
        return None


async def _pass(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


@asynccontextmanager
async def serve(settings: Settings, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Sandbox]:
    """Yield a sandbox at `sandbox.url`, on a free port if *port* is 0; raises OSError if it cannot listen."""
    sandbox = Sandbox(settings)
    server = web.Server(
        sandbox.respond, handler_cancellation=True, access_log=None, keepalive_timeout=settings.keepalive
    )
    runner = web.ServerRunner(server, shutdown_timeout=CLOSING)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        sandbox.url = f"http://{host}:{runner.addresses[0][1]}"
        yield sandbox
    finally:
        await runner.cleanup()
        await sandbox.close()
