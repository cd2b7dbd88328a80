"""Tests of `bulksync.quota.redis`, with a Redis of Debian on a free port, ended by its process id."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from bulksync.errors import BulksyncError, LockedError, UsageError
from bulksync.quota import station
from bulksync.quota.redis import RedisStation, reason_of, redis_station, shown
from bulksync.quota.seat import Seat
from bulksync.quota.station import SILENCE, Away, Held, Lease, Taken
from tests.support.program import PASSWORD
from tests.support.servers import free_port, redis

NAME = "a-name"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a Redis for the tests of this module."""
    port = free_port()
    with redis(tmp_path_factory.mktemp("redis"), port):
        yield f"redis://127.0.0.1:{port}"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a quota's name of the test's own."""
    return str(request.node.name)


class Timed(RedisStation):
    """A station whose Redis has the time that a test says."""

    time = 1000.0

    async def _say(self, what: str, number: float) -> list[str]:
        arguments: list[str | int] = [1, what, repr(number), repr(self._rate), self._holder, repr(self.time)]
        return cast("list[str]", await self._script(self._keys, arguments))


@asynccontextmanager
async def opened(
    url: str, name: str, holder: str = "one", kind: type[RedisStation] = RedisStation
) -> AsyncIterator[Any]:
    """Yield a station without its seat."""
    one = kind(url, name, Seat("seat", holder))
    try:
        yield one
    finally:
        await one._redis.aclose()


# The rule


async def test_the_script_is_the_rule(url: str, name: str) -> None:
    """After each of 2,000 random steps, with clocks that go back, the script says what the rule says, to 1 µs."""
    luck, now, state = random.Random(14), 1000.0, None  # noqa: S311  no secret
    async with opened(url, name, kind=Timed) as one:
        for _ in range(2_000):
            now += luck.choice([0.0, 0.001, 0.01, 0.1, 1.0, 30.0, -0.5 if luck.random() < 0.1 else 0.0])
            rate = luck.choice([0.1, 10.0, 1000.0])
            state = station.silent(now, rate) if state is None else state
            one.time, one._rate = now, rate
            match luck.choice(["lease"] * 6 + ["look", "hold", "lower"]):
                case "lease" | "look" as what:
                    count = 0 if what == "look" else luck.randint(1, 9)
                    state, answer = station.lease(state, now, count, rate)
                    said, wait, together, mark = await one._say("lease", count)
                    expected = answer.at if isinstance(answer, Lease) else answer.until
                    assert said == ("lease" if isinstance(answer, Lease) else "held")
                    assert float(wait) == pytest.approx(expected - now, abs=1e-6)
                    if isinstance(answer, Lease):
                        assert [float(together), float(mark)] == pytest.approx([answer.rate, answer.mark], abs=1e-6)
                case what:
                    seconds = luck.choice([0.0, 0.5, 3.0])
                    state = station.hold(state, now, seconds, lower=what == "lower")
                    await one._say(what, seconds)


async def test_leases_of_all_are_one_after_the_other(url: str, name: str) -> None:
    """Ten that ask at the same moment get ten turns, after the silence of a quota that nobody knows."""
    async with opened(url, name, kind=Timed) as one, opened(url, name, "two", kind=Timed) as two:
        one._keys[1], two._keys[1] = f"{name}-1", f"{name}-2"
        one._rate = two._rate = 10.0
        said = await asyncio.gather(*(either._say("lease", 1) for either in (one, two) * 5))
    waits = sorted(float(wait) for _, wait, *_ in said)
    _, leak = station.size_and_leak(10.0)
    assert waits[0] >= SILENCE
    assert [after - before for before, after in pairwise(waits)] == pytest.approx([1 / leak] * 9)


async def test_a_hold_is_for_all(url: str, name: str) -> None:
    """What one process was told holds the others."""
    async with opened(url, name) as one, opened(url, name) as two:
        assert await one.hold(5, lower=True) is None
        answer = await two.lease(1, 10.0)
    assert isinstance(answer, Held)


class Lingering(RedisStation):
    """A station whose answers take as long as a test says, by its own clock."""

    time = 50.0
    takes: deque[float]
    asked = 0

    async def _say(self, what: str, number: float) -> list[str]:
        self.asked += 1
        self.time += self.takes.popleft()
        return ["lease", "0.5", "10", "1"]


@pytest.mark.parametrize(
    ("takes", "asked"), [([0.001], 1), ([0.001, 0.2, 0.002], 3), ([0.2, 0.2], 2), ([0.001] + [0.2] * 17, 18)]
)
async def test_an_answer_that_lingered_is_not_used(takes: list[float], asked: int) -> None:
    """Where an answer was meanwhile is not known; one that is as late as those before it comes from far away."""
    one = Lingering("redis://127.0.0.1:1", NAME, Seat("seat", "holder"))
    one._now, one.takes = lambda: one.time, deque(takes)
    answer = Lease(0, 0, 0)
    while one.takes:
        answer = await one.lease(1, 10.0)  # type: ignore[assignment]  # nothing else is said
    assert (one.asked, answer) == (asked, Lease(one.time + 0.5, 10.0, 1.0))


# The seat


async def test_one_run_is_sent_by_one_process(url: str, name: str) -> None:
    """The same job elsewhere is refused at its start, unless it waits until the first one has gone."""
    async with redis_station(url, name, Seat("seat", "one"), rate=10.0, wait=0):
        with pytest.raises(LockedError, match="another process sends this input"):
            async with redis_station(url, name, Seat("seat", "two"), rate=10.0, wait=0):
                pass
        async with redis_station(url, name, Seat("another seat", "two"), rate=10.0, wait=0):
            pass
        waiting = asyncio.ensure_future(enter(url, name, "two"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    await waiting


async def enter(url: str, name: str, holder: str) -> None:
    """Take the seat, and give it back."""
    async with redis_station(url, name, Seat("seat", holder), rate=10.0, wait=60):
        pass


async def test_the_same_ledger_takes_its_seat_again(url: str, name: str) -> None:
    """After a kill, which gives nothing back, the same holder enters at once."""
    async with opened(url, name) as killed, opened(url, name) as again:
        await killed.enter(10.0, 0)
        await again.enter(10.0, 0)
        assert isinstance(await again.lease(1, 10.0), Lease)


async def test_who_was_taken_over_never_comes_back(url: str, name: str) -> None:
    """A process that stood still for longer than its seat was kept gets no turn, also when the other one is done."""
    async with opened(url, name, kind=Timed) as old, opened(url, name, "two", kind=Timed) as new:
        await old.enter(10.0, 0)
        assert isinstance(await old.lease(1, 10.0), Lease)
        new.time = 1061.0
        await new.enter(10.0, 0)
        old.time = 1062.0
        assert isinstance(await old.lease(1, 10.0), Taken)
        await new._say("leave", 0)
        assert isinstance(await old.lease(1, 10.0), Taken)


async def test_a_seat_that_nobody_took_is_kept(url: str, name: str) -> None:
    """Who stood still for an hour goes on, where nobody else has sent this run meanwhile."""
    async with opened(url, name, kind=Timed) as one:
        await one.enter(10.0, 0)
        one.time = 4600.0
        assert isinstance(await one.lease(1, 10.0), Lease)


# Redis goes away, and comes back


@pytest.mark.parametrize("kept", [False, True])
async def test_a_redis_that_starts_again_begins_with_silence(kept: bool, tmp_path: Path) -> None:
    """Whether it has lost its state, or read an old one from its disk: what was leased is not known."""
    port = free_port()
    url, options = f"redis://127.0.0.1:{port}", ("--appendonly", "yes") if kept else ()
    async with opened(url, NAME) as one:
        with redis(tmp_path, port, *options):
            await one.enter(10.0, 0)
            await asyncio.sleep(1.1)
            before = await one.lease(1, 10.0)
        away = [await one.lease(1, 10.0), await one.hold(1, lower=False)]
        with redis(tmp_path, port, *options):
            asked = one._now()
            after = await one.lease(1, 10.0)
    assert [isinstance(answer, Away) for answer in away] == [True, True]
    assert away[1] == Away("Connection refused")
    assert isinstance(before, Lease)
    assert isinstance(after, Lease)
    assert after.at >= asked + SILENCE
    assert after.mark != before.mark


REFUSED: dict[str, tuple[str, Callable[[str], str], str]] = {
    "wrong password": ("--requirepass right-one", lambda port: f"redis://:{PASSWORD}@127.0.0.1:{port}", "refuses user"),
    "no password": ("--requirepass right-one", lambda port: f"redis://127.0.0.1:{port}", "refuses user or password"),
    "no rights": (
        f"--user bulksync on >{PASSWORD} ~* +ping",
        lambda port: f"redis://bulksync:{PASSWORD}@127.0.0.1:{port}",
        "refuses the script: ",
    ),
    "replica": (
        "--replicaof 127.0.0.1 1",
        lambda port: f"redis://127.0.0.1:{port}",
        "is a read-only replica",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_does_not_do_for_a_station(what: str, tmp_path: Path) -> None:
    """A Redis that cannot be used is named with the reason and a way out, never with its password."""
    options, url_for, reason = REFUSED[what]
    port = free_port()
    flag, _, value = options.partition(" ")
    with redis(tmp_path, port, flag, *value.split(" ")), pytest.raises(UsageError) as caught:
        async with redis_station(url_for(str(port)), NAME, Seat("seat", "one"), rate=10.0, wait=0):
            pass
    assert caught.value.what.startswith(f"the quota redis://127.0.0.1:{port}/0 {reason}")
    assert caught.value.next_step
    assert PASSWORD not in f"{caught.value.what} {caught.value.next_step}"


async def test_no_redis_at_the_start() -> None:
    """Where nobody listens, nothing is sent."""
    with pytest.raises(UsageError, match=r"the quota redis://127\.0\.0\.1:1/0 cannot be reached: Connection refused"):
        async with redis_station("redis://127.0.0.1:1", NAME, Seat("seat", "one"), rate=10.0, wait=0):
            pass


async def test_another_format_is_refused(url: str, name: str) -> None:
    """Two versions with different states of one rate would be two rates."""
    async with opened(url, name) as one:
        await one._redis.hset(one._keys[0], mapping={"format": "2"})
        with pytest.raises(BulksyncError, match="format of another version"):
            await one.enter(10.0, 0)
        assert isinstance(await one.lease(1, 10.0), Away)


async def test_a_state_is_kept_for_a_while_only(url: str, name: str) -> None:
    """What nobody uses any more is gone from the Redis a minute after its last turn."""
    async with opened(url, name) as one:
        await one.lease(1, 10.0)
        kept = await one._redis.pttl(one._keys[0])
    assert 60_000 < kept < 63_000


async def test_a_user_of_its_own_needs_few_rights(tmp_path: Path) -> None:
    """What the refusal says to allow is enough."""
    port = free_port()
    rights = "~bulksync:* +evalsha +script +time +info +get +set +hmget +hset +pexpire"
    with redis(tmp_path, port, "--user", "bulksync", "on", f">{PASSWORD}", *rights.split(" ")):
        url = f"redis://bulksync:{PASSWORD}@127.0.0.1:{port}"
        async with redis_station(url, NAME, Seat("seat", "one"), rate=10.0, wait=0) as one:
            assert isinstance(await one.lease(1, 10.0), Lease)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("redis://:secret@h:1/3", "redis://h:1/3"),
        ("rediss://user:secret@[::1]:6380", "rediss://[::1]:6380/0"),
        ("rediss://h?ssl_ca_certs=/x", "rediss://h:6379/0"),
        ("unix://user:secret@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_how_a_redis_is_called(url: str, text: str) -> None:
    """It is named by its place alone."""
    assert shown(url) == text
    assert "secret" not in reason_of(ValueError(text))  # type: ignore[arg-type]  # any error has a text
