"""Whole runs in virtual time: a seed decides on the input, the server's faults, kills and stops; then come repeats.

Nights are such runs against one server and one ledger, with an export that changes from one to the next. What runs is
the real planning, sending, dispatcher, pacer, ledger and SQLite file; scripted are the client with its connections, and
the server behind them. `tests.support.invariants` says what must hold of a history.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGTERM
from typing import Any, ParamSpec, TypeVar

import anyio
from pydantic import SecretStr

from bulksync.ledger.store import Store
from bulksync.ledger.writer import Ledger
from bulksync.model import Execution, Key, Reply, Row, Turn
from bulksync.options.files import Files
from bulksync.options.models import RunOptions
from bulksync.quota.pacer import Pacer
from bulksync.reader.input import open_input
from bulksync.reader.locating import locate
from bulksync.reader.source import Source
from bulksync.report.summary import close_finished, close_run
from bulksync.sender import send as sending
from bulksync.sender.clock import Clock
from bulksync.sender.dispatcher import Dispatcher
from bulksync.sender.plan import Plan, plan_run
from bulksync.sender.send import Brake, Sent
from tests.support import virtual
from tests.support.program import write_rows
from tests.support.stations import by

P = ParamSpec("P")
T = TypeVar("T")

TARGET = "https://api.example.com"

TIMEOUT = 2.0
"""Seconds after which the client gives a request up."""


# What the server does


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one request; a *reply* of None acknowledges it, *late* applies it after the client has gone."""

    reply: Reply | None
    applies: bool = False
    hangs: bool = False
    late: bool = False


def answer(status: int, retry_after: float | None = None) -> Reply:
    """Return an answer that is no acknowledgement."""
    return Reply(status, f"http_{status}", retry_after=retry_after)


ACKNOWLEDGED = Fate(None, applies=True)

FAULTS = {
    "lost before": Fate(Reply(None, "connection_lost")),
    "lost after": Fate(Reply(None, "connection_lost"), applies=True),
    "hangs before": Fate(Reply(None, "request_timeout"), hangs=True),
    "hangs after": Fate(Reply(None, "request_timeout"), applies=True, hangs=True),
    "connection refused": Fate(Reply(None, "connect_failed")),
    "truncated": Fate(Reply(200, "response_truncated"), applies=True),
    "500 before": Fate(answer(500)),
    "500 after": Fate(answer(500), applies=True),
    "502 after": Fate(answer(502), applies=True),
    "503": Fate(answer(503)),
    "503 with Retry-After": Fate(answer(503, 1.5)),
    "429": Fate(answer(429)),
    "429 with Retry-After": Fate(answer(429, 2.0)),
}
"""What a run rides out."""

PAGE = Fate(Reply(403, "http_403", stranger=True))
"""A firewall's, in the API's place."""

STOPPERS = {
    "401": Fate(answer(401)),
    "404": Fate(answer(404)),
    "redirect": Fate(Reply(307, "redirect_refused")),
    "another row's answer": Fate(Reply(200, "response_mismatch"), applies=True),
    "not this API": Fate(Reply(200, "response_invalid"), applies=True),
    "asks for an hour": Fate(answer(429, 3600.0)),
}
"""What may end a run."""

LATE = Fate(Reply(None, "request_timeout"), hangs=True, late=True)

STRAYS = 0.05
"""Share of the answers that the server repeats on the idle connection."""

OUTAGES = ("connection refused", "502 after", "hangs before", "503", "429 with Retry-After", "503 with Retry-After")
"""What all requests come to for a while, some of it holds that never end."""

CONNECTING = 0.3
"""Seconds that a connection takes at most to open."""

KEYS = ("the right key", "another key")


@dataclass(slots=True)
class Request:
    """One request: *reply* is what the client got, None where it was gone by then; *applied* is when, if ever."""

    number: int
    invocation: int
    row: int
    key: Key
    body: bytes
    started: float
    is_calm: bool = True
    ended: float = float("inf")
    reply: Reply | None = None
    applied: float | None = None

    @property
    def word(self) -> str:
        """The disposition that only the acknowledgement of this request has."""
        return f"update-{self.number}"


# What a seed decides


@dataclass(frozen=True, slots=True)
class Ending:
    """How an invocation is disturbed: killed at a time or in a phase, or stopped and perhaps stopped harder."""

    killed_at: float | None = None
    killed_when: str = ""
    stopped_at: float | None = None
    insisted_after: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that a seed decides before the first request."""

    seed: int
    executions: tuple[int, ...]
    refused: frozenset[int]
    poison: frozenset[int]
    """Rows that get nothing but 500 until the server is well."""
    blocked: tuple[float, float]
    """When a firewall answers everything with a page."""
    faults: dict[str, float]
    outage: tuple[float, float, str]
    late: float
    latency: float
    rate: float
    max_in_flight: int
    max_attempts: int
    step: int
    disturbed: tuple[tuple[Ending, dict[str, Any]], ...]
    wrong_key: int = -1
    """The invocation, if any, that comes with a key whose every request is answered 404."""
    payloads: tuple[int, ...] | None = None
    """What each row says; None where each says something else. *executions* are the same in every night."""
    night: int = 0
    is_left: bool = False
    """Whether nobody repeats the run until it is done: the next night's input comes first."""
    only_changed: frozenset[int] = frozenset()
    """The invocations that leave out what is acknowledged."""

    @property
    def invocations(self) -> int:
        """How often the program is called: disturbed, once to finish what is left, once more for nothing."""
        return len(self.disturbed) + (0 if self.is_left else 2)

    def options(self, invocation: int) -> RunOptions:
        """Return the options of an invocation; the undisturbed ones have only what all have."""
        own = self.disturbed[invocation][1] if invocation < len(self.disturbed) else {}
        common: dict[str, Any] = {
            "rate": self.rate,
            "max_in_flight": self.max_in_flight,
            "max_attempts": self.max_attempts,
        }
        common |= {"only_changed": invocation in self.only_changed, "accept_refusals": self.is_calm(invocation)}
        common |= {"timeout": TIMEOUT, "max_failures": "100%", "drain": 5.0}
        return RunOptions.model_validate(common | own)

    def key(self, invocation: int) -> SecretStr:
        """Return the key that an invocation comes with."""
        return SecretStr(KEYS[invocation == self.wrong_key])

    def ending(self, invocation: int) -> Ending:
        """Return how an invocation is disturbed."""
        return self.disturbed[invocation][0] if invocation < len(self.disturbed) else Ending()

    def is_calm(self, invocation: int) -> bool:
        """Whether the server is well and nobody disturbs the run."""
        return invocation >= len(self.disturbed)


def scenario(seed: int) -> Scenario:
    """Draw what happens from a seed."""
    luck = random.Random(seed)  # noqa: S311  no secret
    size = luck.choice([luck.randint(20, 90)] * 7 + [luck.randint(120, 180)])
    keys = luck.choice([1, 3, 12, size, 10 * size])
    executions = tuple(luck.randrange(keys) if luck.random() < 0.8 else 0 for _ in range(size))
    refused = luck.choice([0.0, 0.0, 0.05, 0.2])
    rate = luck.choice([5.0, 15.0, 40.0, 300.0])
    chosen = luck.sample(sorted(FAULTS), luck.randint(1, len(FAULTS)))
    share = luck.choice([0.0, 0.1, 0.2, 0.4]) / len(chosen)
    faults = dict.fromkeys(chosen, share) if share else {}
    if luck.random() < 0.5:
        faults |= dict.fromkeys(luck.sample(sorted(STOPPERS), 2), luck.choice([0.02, 0.06]))
    away = luck.uniform(0, 3)
    outage = (away, away + luck.choice([0, 0, 0, 2, 40, 1200]), luck.choice(OUTAGES))
    late = luck.choice([0.0, 0.0, 0.0, 0.05])
    longest = 1.3 * size / rate + 0.3
    ill = luck.choice([0, 0, 0, 3, 12, 40])
    first_ill = luck.randint(1, size)
    blocked_from = luck.uniform(0, 2 * longest) if luck.random() < 0.15 else 1e9
    disturbed = tuple((ending(luck, longest), options(luck, size, longest)) for _ in range(luck.randint(1, 5)))
    return Scenario(
        seed=seed,
        executions=executions,
        refused=frozenset(row for row in range(1, size + 1) if luck.random() < refused) | block(luck, size),
        poison=frozenset(range(first_ill, min(size + 1, first_ill + ill))),
        blocked=(blocked_from, blocked_from + luck.choice([0.2, 5.0, 300.0])),
        faults=faults,
        outage=outage,
        late=late,
        latency=luck.choice([0.0, 0.01, 0.05]),
        rate=rate,
        max_in_flight=luck.choice([1, 2, 5, 16]),
        max_attempts=luck.choice([1, 2, 5]),
        step=luck.choice([3, 10, 30, 200]),
        disturbed=disturbed,
        wrong_key=luck.choice([-1, -1, -1, luck.randrange(len(disturbed))]),
    )


def block(luck: random.Random, size: int) -> frozenset[int]:
    """Draw rows that stand together and are refused, perhaps at the head, perhaps more of them than can be chance."""
    length = luck.choice([0, 0, 0, 5, 15, 30])
    first = luck.choice([1, luck.randint(1, size)])
    return frozenset(range(first, min(size + 1, first + length)))


def nights(seed: int, count: int) -> Iterator[Scenario]:
    """Draw nights with an export of the same executions each: some rows say another thing than the night before.

    There are only three things to say, so that a row often says what an earlier one of its execution did.
    """
    luck = random.Random(f"nights {seed}")  # noqa: S311  no secret
    first = scenario(seed)
    payloads = [luck.randrange(3) for _ in first.executions]
    late = luck.choice([0.0, 0.0, 0.2])
    for night in range(count):
        drawn = scenario(seed + 1_000_003 * night)
        changed = luck.choice([0.0, 0.05, 0.3])
        payloads = [luck.randrange(3) if luck.random() < changed else payload for payload in payloads]
        calls = range(len(drawn.disturbed) + 2)
        yield replace(
            drawn,
            executions=first.executions,
            late=late,
            payloads=tuple(payloads),
            night=night,
            is_left=night < count - 1 and luck.random() < 0.5,
            only_changed=frozenset(number for number in calls if luck.random() < 0.8),
        )


def quiet(seed: int, size: int, **what_happens: Any) -> Scenario:
    """Draw a run of different executions in which nothing happens but what is given."""
    nothing: dict[str, Any] = {
        "executions": tuple(range(size)),
        "refused": frozenset(),
        "poison": frozenset(),
        "blocked": (1e9, 1e9),
        "faults": {},
        "outage": (0.0, 0.0, "503"),
        "late": 0.0,
        "disturbed": ((Ending(), {}),),
        "wrong_key": -1,
    }
    return replace(scenario(seed), **nothing | what_happens)


def ill(seed: int) -> Scenario:
    """Draw a run in which some rows, standing together, always fail or are refused."""
    luck = random.Random(f"ill {seed}")  # noqa: S311  no secret
    size = luck.randint(80, 160)
    first = luck.choice([1, luck.randint(1, size - 40), size - 39])
    ills = frozenset(range(first, first + luck.choice([25, 40])))
    is_poison = luck.random() < 0.6
    return quiet(
        seed,
        size,
        **{"poison" if is_poison else "refused": ills},
        rate=luck.choice([15.0, 100.0]),
        step=10,
        disturbed=((Ending(killed_when=luck.choice(["", "ahead"])), {}),),
    )


def crowded(seed: int) -> Scenario:
    """Draw a run in which every other request fails, so that many rows back off at once."""
    many: dict[str, Any] = {"rate": 300.0, "latency": 0.0, "max_in_flight": 16, "max_attempts": 5}
    return quiet(seed, 120, faults={"500 before": 0.5}, step=10, **many)


def chained(seed: int) -> Scenario:
    """Draw rows of two executions in turn, sent as fast as they are answered, and kills."""
    luck = random.Random(f"chained {seed}")  # noqa: S311  no secret
    kills: Any = tuple((Ending(killed_at=luck.uniform(0.2, 1.5)), {}) for _ in range(5))
    order = tuple(number % 2 for number in range(200))
    return quiet(seed, 0, executions=order, rate=1000.0, latency=0.002, max_in_flight=16, step=200, disturbed=kills)


def swapped(seed: int) -> Scenario:
    """Draw a run in which the server answers for another row now and then."""
    return quiet(seed, 60, faults={"another row's answer": 0.05}, rate=300.0)


def cut_short(seed: int) -> Scenario:
    """Draw a run that is stopped, and stopped harder before what is in flight is answered."""
    stop: Any = ((Ending(stopped_at=1.5, insisted_after=0.01), {}),)
    return quiet(seed, 60, rate=40.0, latency=1.0, max_in_flight=16, disturbed=stop)


def with_another_key(seed: int) -> Scenario:
    """Draw a run that is left half done, and repeated with a key that is refused."""
    return quiet(seed, 40, rate=300.0, disturbed=((Ending(), {"limit": 33}), (Ending(), {})), wrong_key=1)


def there_and_back(seed: int) -> Iterator[Scenario]:
    """Draw an input that is left half done, another one for the same executions, and the first one again."""
    first, second = nights(seed, 2)
    calm: dict[str, Any] = {
        "disturbed": (),
        "is_left": False,
        "only_changed": frozenset(),
        "late": 0.0,
        "wrong_key": -1,
    }
    half = {"limit": max(1, len(first.executions) // 2)}
    yield replace(first, **calm | {"disturbed": ((Ending(), half),), "is_left": True, "outage": (0.0, 0.0, "503")})
    yield replace(second, **calm)
    yield replace(first, **calm)


def ending(luck: random.Random, longest: float) -> Ending:
    """Draw how an invocation is disturbed."""
    how = luck.choice(["killed", "killed", "killed in a phase", "stopped", "stopped harder", "stopped harder", ""])
    time, patience = luck.uniform(0, longest), luck.choice([0.0, 0.02, 1.0])
    if how == "killed":
        return Ending(killed_at=time)
    if how == "killed in a phase":
        return Ending(killed_when=luck.choice(["planned", "sent", "ahead"]))
    if how:
        return Ending(stopped_at=time, insisted_after=patience if how == "stopped harder" else None)
    return Ending()


def options(luck: random.Random, size: int, longest: float) -> dict[str, Any]:
    """Draw the options that one invocation has for itself."""
    return luck.choice(
        [
            {},
            {},
            {"limit": luck.randint(1, size)},
            {"max_duration": luck.uniform(0.01, longest), "drain": luck.choice([0.0, 0.02, 5.0])},
            {"max_outage": 20.0},
            {"max_failures": luck.choice(["0", "20%"])},
        ]
    )


# What happened


@dataclass(slots=True)
class Invocation:
    """One call of the program; without an *exit_code* it was killed."""

    number: int
    started: float
    is_finished: bool = False
    stopped_at: float | None = None
    signalled_at: float | None = None
    ended: float = float("inf")
    exit_code: int | None = None
    counted: int = 0
    is_killed: bool = False
    is_overfull: bool = False
    took: float = 0.0
    settled: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Line:
    """What the ledger holds of a row."""

    row: int
    key: Key
    outcome: str | None
    attempts: int
    disposition: str
    doubtful: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the ledger holds after an invocation, or when it is opened after a kill."""

    time: float
    after: int
    lines: tuple[Line, ...]
    risks: frozenset[int]
    acknowledged: dict[Key, str]


@dataclass(slots=True)
class History:
    """Everything of a night that can be seen from outside: by the server, in the ledger, and by who called the program.

    *earlier* are the requests of the nights before, *acknowledged* what the ledger held as such when they were over.
    """

    scenario: Scenario
    rows: list[Row]
    started: float = 0.0
    earlier: tuple[Request, ...] = ()
    acknowledged: dict[Key, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    invocations: list[Invocation] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)

    @property
    def log(self) -> list[tuple[int, float, float, str, float | None]]:
        """What the server saw, comparable."""
        return [
            (one.row, one.started, one.ended, one.reply.error if one.reply else "none", one.applied)
            for one in self.requests
        ]


# How it happens


class DirectLedger(Ledger):
    """The ledger without its thread: what it is told to do is done at once."""

    def __init__(self, store: Store) -> None:
        super().__init__(ThreadPoolExecutor(max_workers=1), store)  # starts its thread with the first call: never

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store, while others may go on, as beside a thread."""
        await anyio.lowlevel.checkpoint()
        return function(*args, **kwargs)


class Client:
    """Opens connections, which takes its time, and puts rows on them; what the server says too early is dropped."""

    def __init__(self, server: "Server", luck: random.Random) -> None:
        self._server = server
        self._luck = luck
        self._idle: list[Connection] = []

    async def put(self, row: Row, turn: Turn) -> Reply | None:
        """Put a row, as the real client does: a fit connection, then the turn, then the request."""
        if (refusal := self._server.refuses()) is not None:
            return refusal
        connection = await self._connection()
        if not await turn():
            return None
        return await self._exchange(connection, row)

    async def _connection(self) -> "Connection":
        while self._idle:
            if not (connection := self._idle.pop()).unread:
                return connection
        await anyio.sleep(self._luck.uniform(0, CONNECTING))
        return Connection()

    async def _exchange(self, connection: "Connection", row: Row) -> Reply:
        reply = connection.unread.pop() if connection.unread else await self._server.put(row, connection)
        if reply.status is not None:
            self._idle.append(connection)
        return reply


@dataclass(slots=True)
class Connection:
    """One connection, and what the server has said on it that nobody asked for."""

    unread: list[Reply] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a simulation is built of: the real parts, or broken ones to see that it notices."""

    store: type[Store] = Store
    ledger: type[DirectLedger] = DirectLedger
    pacer: type[Pacer] = Pacer
    dispatcher: type[Dispatcher] = Dispatcher
    client: type[Client] = Client


class Server:
    """Receives requests, some of them after their client has gone, and decides their fate in the order of sending."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._scenario = history.scenario
        self._luck = random.Random(-1 - history.scenario.seed)  # noqa: S311  no secret
        self.invocation = 0
        self.is_cut_off = False

    def refuses(self) -> Reply | None:
        """Return why there is no connection, if there is none."""
        return FAULTS["connection refused"].reply if self._outage() == "connection refused" else None

    async def put(self, row: Row, connection: Connection) -> Reply:
        """Answer a request as its fate wants, and now and then once more than it was asked."""
        if self.is_cut_off:
            await anyio.sleep_forever()
        requests, is_calm = self._history.requests, self._scenario.is_calm(self.invocation)
        request = Request(len(requests), self.invocation, row.row, row.key, row.body, virtual.now(), is_calm)
        requests.append(request)
        fate, latency = self._fate(row), self._luck.uniform(0, self._scenario.latency)
        later = TIMEOUT + self._luck.uniform(2, 4) if fate.late else latency / 4
        if fate.applies or fate.late:
            asyncio.get_running_loop().call_later(later, self._apply, request)
        try:
            if seconds := TIMEOUT if fate.hangs else latency:
                await anyio.sleep(seconds)
            request.reply = fate.reply or acknowledgement(request)
        finally:
            request.ended = virtual.now()
        if not is_calm and self._luck.random() < STRAYS:
            connection.unread.append(request.reply)
        return request.reply

    def _outage(self) -> str:
        """Return what all requests come to at this time; empty where each has its own fate."""
        since, until, kind = self._scenario.outage
        is_now = since <= virtual.now() - self._history.started < until
        return kind if is_now and not self._scenario.is_calm(self.invocation) else ""

    def _fate(self, row: Row) -> Fate:
        chance = self._luck.random()
        if self.invocation == self._scenario.wrong_key:
            return Fate(answer(404))
        if self._scenario.is_calm(self.invocation):
            return Fate(answer(422)) if row.row in self._scenario.refused else ACKNOWLEDGED
        if outage := self._outage():
            return FAULTS[outage]
        if self._scenario.blocked[0] <= virtual.now() - self._history.started < self._scenario.blocked[1]:
            return PAGE
        if row.row in self._scenario.poison:
            return Fate(answer(500))
        for name, share in self._scenario.faults.items():
            chance -= share
            if chance < 0:
                return (FAULTS | STOPPERS)[name]
        if row.row in self._scenario.refused:
            return Fate(answer(422))
        return LATE if chance < self._scenario.late else ACKNOWLEDGED

    def _apply(self, request: Request) -> None:
        request.applied = virtual.now()


def acknowledgement(request: Request) -> Reply:
    """Return the acknowledgement that only this request gets."""
    return Reply(200, "", execution=Execution("COMPLETED", request.word, "", "", ()))


class Simulation:
    """Plays scenarios, one after the other, in a folder of its own."""

    def __init__(self, scenarios: Iterable[Scenario], folder: Path, parts: Parts) -> None:
        self._scenarios = scenarios
        self._folder = folder
        self._parts = parts
        self._files = Files(folder / "report.csv", folder / "ledger", folder / "spool", folder / "states")
        self.histories: list[History] = []
        self._kill = asyncio.Event()
        self._kills_ahead = False

    @property
    def history(self) -> History:
        """What has happened this night."""
        return self.histories[-1]

    async def play(self) -> None:
        """Play night after night; what is applied late is applied by the next one."""
        for chosen in self._scenarios:
            self._begin(chosen)
            await self._play()
            await anyio.sleep(60)

    def _begin(self, chosen: Scenario) -> None:
        write_input(self._folder / "rows.csv", chosen)
        self._scenario, self._source = chosen, locate(self._folder / "rows.csv")
        rows, started = list(read(self._source)), virtual.now()
        self.histories.append(History(chosen, rows, started, *(known(self.history) if self.histories else ())))
        self._server = Server(self.history)

    async def _play(self) -> None:
        """Run until done, or as often as the scenario wants; a kill shows when the ledger is opened again."""
        for number in range(self._scenario.invocations):
            self.history.invocations.append(Invocation(number, virtual.now()))
            self._server.invocation, self._server.is_cut_off = number, False
            await self._invoke(self._scenario.ending(number))
            await anyio.sleep(1.5)
        if self._now.is_killed:
            with closing(self._parts.store(self._files.ledger)) as store:
                self._look(store, self._now.number)

    async def _invoke(self, ending: Ending) -> None:
        store = self._parts.store(self._files.ledger)
        store._db.execute("PRAGMA synchronous = OFF")  # processes die here, the machine does not
        running = asyncio.ensure_future(self._run(store, ending))
        self._kill, self._kills_ahead = asyncio.Event(), ending.killed_when == "ahead"
        killing = asyncio.ensure_future(self._kill.wait())
        try:
            await asyncio.wait({running, killing}, timeout=ending.killed_at, return_when=asyncio.FIRST_COMPLETED)
            killing.cancel()
            if not running.done():
                self._server.is_cut_off = self._now.is_killed = True
                store.close()  # nothing is committed from here on
                running.cancel()
                await asyncio.wait({running})
            with suppress(asyncio.CancelledError):
                if not self._now.is_killed:
                    running.result()
                else:
                    running.exception()
        finally:
            store.close()
        self._now.ended = virtual.now()

    @property
    def _now(self) -> Invocation:
        return self.history.invocations[-1]

    async def _run(self, store: Store, ending: Ending) -> None:
        """Do what `commands.run` does."""
        options = self._scenario.options(self._now.number)
        if self._now.number and self.history.invocations[-2].is_killed:
            self._look(store, self._now.number - 1)
        plan = plan_run(
            store,
            self._source,
            options,
            target=TARGET,
            key=self._scenario.key(self._now.number),
            files=self._files,
            now=virtual.now(),
            stopping=lambda: False,
        )
        self._now.is_finished = plan.is_finished
        if ending.killed_when == "planned":
            self._die()
        if plan.is_finished:
            run = close_finished(store, plan.run, now=virtual.now(), command="again", rate=options.rate)
            self._now.exit_code = run.exit_code
            self._look(store, self._now.number)
            return
        sent = await self._send(store, plan, options, ending)
        if ending.killed_when == "sent":
            self._die()
        if sent.tally.outcomes["updated"]:
            store.prove(TARGET, self._scenario.key(self._now.number).get_secret_value())
        run = close_run(store, plan.run, sent.stop, sent.tally, now=virtual.now(), command="again", rate=options.rate)
        self._now.exit_code, self._now.counted = run.exit_code, sent.tally.requests
        self._look(store, self._now.number)

    def _die(self) -> None:
        self._now.is_killed = True
        raise asyncio.CancelledError

    async def _send(self, store: Store, plan: Plan, options: RunOptions, ending: Ending) -> Sent:
        """Send by this loop's clock, and be disturbed meanwhile."""
        luck = random.Random(self._scenario.seed)  # noqa: S311  no secret
        brake, client = Brake(), self._parts.client(self._server, luck)
        clock = Clock(virtual.now, virtual.now, random.Random(self._scenario.seed).random)  # noqa: S311  no secret
        parts = sending.Parts(self._parts.dispatcher, self._parts.pacer, clock, self._scenario.step)
        started = virtual.now()
        async with anyio.create_task_group() as around:
            around.start_soon(self._signal, brake, ending)
            ledger = self._parts.ledger(store)
            sent = await sending.send(
                ledger,
                plan,
                self._source,
                options,
                by(client.put),
                brake=brake,
                watch=self._watch,
                tell=self._tell,
                parts=parts,
            )
            around.cancel_scope.cancel()
        self._now.took = virtual.now() - started
        return sent

    async def _watch(self, dispatcher: Dispatcher) -> None:
        """Look at the window now and then."""
        while True:
            await anyio.sleep(0.02)
            order = dispatcher._order
            allowed = max(4 * self._scenario.max_in_flight, 64) + len(order._ahead)
            self._now.is_overfull |= order.inside > allowed
            if self._kills_ahead and order._ahead & {one.row for one in self.history.requests[-20:]}:
                self._kill.set()

    async def _signal(self, brake: Brake, ending: Ending) -> None:
        if ending.stopped_at is None:
            return
        await anyio.sleep(ending.stopped_at)
        self._now.signalled_at = virtual.now()
        brake.drain_on_signal(SIGTERM)
        if ending.insisted_after is not None:
            await anyio.sleep(ending.insisted_after)
            brake.cancel()

    def _tell(self, event: str, **_: object) -> None:
        if event == "stopping" and self._now.stopped_at is None:
            self._now.stopped_at = virtual.now()

    def _look(self, store: Store, after: int) -> None:
        run = store.runs()[-1]
        lines = tuple(
            Line(one.row, (one.workflow, one.execution), one.outcome, one.attempts, one.disposition, bool(one.doubtful))
            for one in store.lines(run.id)
        )
        found = store._db.execute("SELECT workflow, execution, digest FROM acknowledged")
        acknowledged = {(workflow, execution): digest for workflow, execution, digest in found}
        risks = frozenset(store.order_risks(run.id))
        self.history.snapshots.append(Snapshot(virtual.now(), after, lines, risks, acknowledged))


def read(source: Source) -> Iterator[Row]:
    """Read the rows of the input, all of which are valid."""
    with open_input(source) as content:
        for row in content.rows(None):
            assert isinstance(row, Row)
            yield row


def write_input(path: Path, chosen: Scenario) -> None:
    """Write the input of a night; a column that is not sent makes each another file."""
    write_rows(path, chosen.executions, turns=chosen.payloads)
    if chosen.night:
        head, *lines = path.read_text().splitlines()
        path.write_text("\n".join([f"{head},night", *(f"{line},{chosen.night}" for line in lines)]) + "\n")


def known(history: History) -> tuple[tuple[Request, ...], dict[Key, str]]:
    """Return what the next night is to know of a night and those before: all requests, and what is acknowledged."""
    return (*history.earlier, *history.requests), history.snapshots[-1].acknowledged


def simulate(seed: int, folder: Path, parts: Parts | None = None) -> History:
    """Play a seed in virtual time and return what happened."""
    return played([scenario(seed)], folder, parts or Parts())[0]


def simulate_nights(seed: int, folder: Path, parts: Parts | None = None, count: int = 3) -> list[History]:
    """Play a seed's nights against one server and one ledger, and return what happened in each."""
    return played(nights(seed, count), folder, parts or Parts())


def simulate_one(draw: Callable[[int], Scenario]) -> Callable[[int, Path, Parts], list[History]]:
    """Return what plays a seed of scenarios that are drawn for a purpose."""
    return lambda seed, folder, parts: played([draw(seed)], folder, parts)


def simulate_return(seed: int, folder: Path, parts: Parts | None = None) -> list[History]:
    """Play a seed's inputs on one ledger: one left half done, another one, and the first again."""
    return played(there_and_back(seed), folder, parts or Parts())


def played(scenarios: Iterable[Scenario], folder: Path, parts: Parts) -> list[History]:
    """Play scenarios in virtual time and return what happened in each."""
    simulation = Simulation(scenarios, folder, parts)
    virtual.run(simulation.play)
    return simulation.histories
