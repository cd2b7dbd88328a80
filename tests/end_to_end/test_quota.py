"""One rate for several real runs: a recorder sees their requests, in no second more than the rate."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bulksync import sync
from bulksync.options.quota import password_of
from bulksync.quota.seat import name_for, seat_for
from tests.support.leaks import leaks
from tests.support.program import API_KEY, KEY, PASSWORD, WORKFLOW, bulksync, execution, write_rows
from tests.support.recorder import SECOND, Recorder, Request, answer, most_in_a_second, recording, when
from tests.support.servers import free_port, redis
from tests.support.watched import Running, running

pytestmark = pytest.mark.timeout(300)

WITHIN = 120.0
"""Seconds after which a run is taken to go on for ever: many programs at once start slowly."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a Redis for the tests of this module."""
    port = free_port()
    with redis(tmp_path_factory.mktemp("redis"), port):
        yield f"redis://127.0.0.1:{port}"


@pytest.fixture(params=["host", "redis"])
def quota(request: pytest.FixtureRequest) -> str:
    """Return each kind of shared quota."""
    return "host" if request.param == "host" else str(request.getfixturevalue("url"))


@asynccontextmanager
async def run(
    api: Recorder, folder: Path, quota: str, rate: str, rows: range, *more: object, key: str = KEY
) -> AsyncIterator[Running]:
    """Start a run of its own rows, in a folder of its own, and yield it."""
    own = folder / str(rows.start)
    own.mkdir(exist_ok=True)
    write_rows(own / "rows.csv", rows, turns=rows)
    call = ("run", "rows.csv", "--base-url", api.url, "--rate", rate, "--quota", quota, "--stats", "0s", *more)
    async with running(*call, folder=own, variables={"FEATHER_API_KEY": key}) as program:
        yield program


class Counting:
    """How many nanoseconds late a recorder may have written an arrival down, as others keep this process waiting."""

    late = 0


@asynccontextmanager
async def counting() -> AsyncIterator[Recorder]:
    """Yield a recorder, and note meanwhile by how much its loop comes round too late."""

    async def look() -> None:
        while True:
            before = time.monotonic_ns()
            await asyncio.sleep(0.002)
            Counting.late = max(Counting.late, time.monotonic_ns() - before - 2_000_000)

    Counting.late = 0
    looking = asyncio.ensure_future(look())
    async with recording() as api:
        yield api
    looking.cancel()


def most(times: Sequence[int], seconds: float = 1.0) -> int:
    """Return how many requests so many seconds hold at most: 10 ms are forgiven, and what kept the recorder waiting."""
    return most_in_a_second(times, int(seconds * SECOND) - SECOND // 100 - Counting.late)


def worst(api: Recorder) -> int:
    """Return how many requests the fullest second holds."""
    return most(api.times)


def of_run(api: Recorder, rows: range) -> list[int]:
    """Return when the requests of a run arrived."""
    return [request.at for request in api.requests if request.row in rows]


@pytest.mark.parametrize("runs", [2, 3])
async def test_runs_together_keep_the_rate(runs: int, quota: str, tmp_path: Path) -> None:
    """However many runs send at once, no second holds more than the rate that each of them is told."""
    async with counting() as api, AsyncExitStack() as stack:
        each = [range(1000 * run, 1000 * run + 400 // runs) for run in range(runs)]
        programs = [await stack.enter_async_context(run(api, tmp_path, quota, "100/s", rows)) for rows in each]
        done = [await program.done(WITHIN) for program in programs]
    assert [one.code for one in done] == [0] * runs
    assert len(api.requests) == sum(map(len, each))
    assert worst(api) <= 100


async def test_short_runs_together_keep_the_rate(tmp_path: Path) -> None:
    """Eight runs of one row each, started together, are eight turns."""
    async with counting() as api, AsyncExitStack() as stack:
        each = [range(1000 * run, 1000 * run + 1) for run in range(8)]
        programs = [await stack.enter_async_context(run(api, tmp_path, "host", "2/s", rows)) for rows in each]
        done = [await program.done(WITHIN) for program in programs]
    assert ([one.code for one in done], len(api.requests)) == ([0] * 8, 8)
    assert worst(api) <= 2


async def test_a_run_that_was_killed_and_repeated_keeps_the_rate(quota: str, tmp_path: Path) -> None:
    """The second run knows when the first, of which nothing is left, has used its last turn."""
    rows = range(3)
    async with counting() as api:
        async with run(api, tmp_path, quota, "1/s", rows) as program:
            await program.until(lambda: len(api.requests) == 2)
            program.process.send_signal(signal.SIGKILL)
        async with run(api, tmp_path, quota, "1/s", rows) as program:
            assert (await program.done(WITHIN)).code == 0
    assert worst(api) <= 1


async def test_a_run_that_stood_still_brings_nothing_too_late(quota: str, tmp_path: Path) -> None:
    """One of two is stopped and continued, and killed at last; the other one takes what it leaves."""
    first, second = range(200), range(1000, 1060)
    async with (
        counting() as api,
        run(api, tmp_path, quota, "10/s", first) as stopped,
        run(api, tmp_path, quota, "10/s", second) as other,
    ):
        await stopped.until(both_have_begun(api, first, second))
        for _ in range(2):
            stopped.process.send_signal(signal.SIGSTOP)
            await other.until(more_have_arrived(api, second, 8))
            stopped.process.send_signal(signal.SIGCONT)
            await other.until(more_have_arrived(api, first, 3))
        stopped.process.send_signal(signal.SIGKILL)
        assert (await other.done(WITHIN)).code == 0
    assert worst(api) <= 10


def both_have_begun(api: Recorder, *each: range) -> Callable[[], bool]:
    """Return what says whether every run has sent something."""
    return lambda: all(of_run(api, rows) for rows in each)


def more_have_arrived(api: Recorder, rows: range, count: int) -> Callable[[], bool]:
    """Return what says whether so many more requests of a run have arrived than until now."""
    seen = len(of_run(api, rows))
    return lambda: len(of_run(api, rows)) >= seen + count


async def test_what_the_server_says_to_one_holds_all(quota: str, tmp_path: Path) -> None:
    """A 429 that one of two runs gets lets the other one wait as long; only what was about to start comes before."""
    first, second = range(60), range(1000, 1060)
    busy = answer(429, Retry_After="2")
    async with (
        counting() as api,
        run(api, tmp_path, quota, "20/s", first) as one,
        run(api, tmp_path, quota, "20/s", second) as other,
    ):
        await one.until(both_have_begun(api, first, second))
        refused: list[int] = []

        def is_first(request: Request) -> bool:
            if refused or request.row not in first:
                return False
            refused.append(request.at)
            return True

        api.rules.append(when(is_first, busy))
        assert [(await program.done(WITHIN)).code for program in (one, other)] == [0, 0]
    ahead = [at for at in of_run(api, second) if refused[0] + 0.2 * SECOND < at < refused[0] + 2 * SECOND]
    assert ahead == []
    assert worst(api) <= 20


async def test_each_run_keeps_to_its_own_rate(tmp_path: Path) -> None:
    """Beside a fast run a slow one keeps its own rate, and says that the other one's is higher."""
    slow, fast = range(4), range(1000, 1050)
    async with (
        counting() as api,
        run(api, tmp_path, "host", "1/s", slow) as one,
        run(api, tmp_path, "host", "10/s", fast) as other,
    ):
        done = [await program.done(WITHIN) for program in (one, other)]
    assert [ended.code for ended in done] == [0, 0]
    assert worst(api) <= 10
    assert most(of_run(api, slow), 0.8) <= 1
    assert "bulksync: sharing the quota with a run at 10/s; this one keeps to 1/s" in done[0].stderr
    assert "sharing the quota" not in done[1].stderr


@pytest.mark.parametrize(("name", "is_shared"), [(("--quota-name", "ours"), True), ((), False)])
async def test_a_name_joins_keys(name: tuple[str, ...], is_shared: bool, tmp_path: Path) -> None:
    """Two keys have a rate each, unless both runs name the same quota."""
    first, second = range(30), range(1000, 1030)
    async with (
        counting() as api,
        run(api, tmp_path, "host", "10/s", first, *name) as one,
        run(api, tmp_path, "host", "10/s", second, *name, key="another-key-than-that") as other,
    ):
        assert [(await program.done(WITHIN)).code for program in (one, other)] == [0, 0]
    if is_shared:
        assert worst(api) <= 10
    else:
        assert max(most(of_run(api, rows)) for rows in (first, second)) <= 10


async def test_calls_of_one_program_share_too(tmp_path: Path) -> None:
    """Sixty calls of one row each, many of them at once, have ten turns a second together."""

    async def call(number: int) -> None:
        row = {"workflowId": WORKFLOW, "executionId": execution(number), "status": "COMPLETED"}
        async with sync([row], api_key=API_KEY, base_url=api.url, rate="10/s") as results:
            assert [result.outcome async for result in results] == ["updated"]

    async with counting() as api:
        for start in range(0, 60, 12):
            await asyncio.gather(*(call(number) for number in range(start, start + 12)))
    assert len(api.requests) == 60
    assert worst(api) <= 10


# Where there is no station


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 0, "bulksync: the rate applies to this run alone: the quota file cannot be used: "),
        (("--quota", "own"), 0, ""),
        (("--rate", "unlimited", "--quota", "host"), 0, ""),
        (("--quota", "host"), 2, "bulksync: the quota file cannot be used: "),
    ],
)
async def test_no_folder_for_the_state(options: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    """By default a run keeps its rate for itself then, and says so; one that was told to share does not begin."""
    write_rows(tmp_path / "rows.csv", range(2))
    (tmp_path / "file").touch()
    async with counting() as api:
        call = ("run", "rows.csv", "--base-url", api.url, *options)
        async with running(*call, folder=tmp_path, variables={"XDG_STATE_HOME": str(tmp_path / "file")}) as program:
            done = await program.done(WITHIN)
    assert (done.code, len(api.requests)) == (code, 2 if not code else 0)
    assert said in done.stderr
    assert bool(said) is ("the quota file cannot be used" in done.stderr)


def test_a_sandbox_of_its_own_is_shared_with_nobody(tmp_path: Path) -> None:
    """A run with its own emulated API leaves no quota behind, as nobody else knows of that."""
    write_rows(tmp_path / "rows.csv", range(3))
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    done = bulksync("run", "rows.csv", "--sandbox", "-v", folder=tmp_path, variables=state)
    assert (done.code, (tmp_path / "state").exists()) == (0, False)
    done = bulksync("run", "rows.csv", "--sandbox", "--restart", "--quota", "host", folder=tmp_path, variables=state)
    assert (done.code, (tmp_path / "state").exists()) == (0, True)


def test_the_library_for_redis_is_missing(tmp_path: Path) -> None:
    """Without the extra the message says what to install."""
    write_rows(tmp_path / "rows.csv", range(3))
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['redis'] = None\n")
    done = bulksync(
        "run", "rows.csv", "--sandbox", "--quota", "redis://h", folder=tmp_path, variables={"PYTHONPATH": str(tmp_path)}
    )
    assert done.code == 2
    assert "bulksync: redis-py is not installed" in done.stderr
    assert "pip install 'bulksync[redis]'" in done.stderr


# Redis goes away


async def test_nobody_sends_while_redis_is_away(tmp_path: Path) -> None:
    """While nobody can lease, nobody sends, and both say so; afterwards the rate is kept, and all is sent."""
    port = free_port()
    quota, first, second = f"redis://127.0.0.1:{port}", range(40), range(1000, 1040)
    with ExitStack() as serving:
        serving.enter_context(redis(tmp_path, port))
        async with (
            counting() as api,
            run(api, tmp_path, quota, "10/s", first) as one,
            run(api, tmp_path, quota, "10/s", second) as other,
        ):
            await one.until(both_have_begun(api, first, second))
            serving.close()
            await asyncio.sleep(0.2)
            before = len(api.requests)
            await asyncio.sleep(1)
            assert len(api.requests) == before
            with redis(tmp_path, port):
                done = [await program.done(WITHIN) for program in (one, other)]
    assert [ended.code for ended in done] == [0, 0]
    assert worst(api) <= 10
    assert all(f"paused, nothing is sent: the quota {quota}/0 cannot be used: " in ended.stderr for ended in done)


async def test_redis_stays_away(tmp_path: Path) -> None:
    """After --max-outage the run ends with 6; the same command, once there is a Redis, sends the rest."""
    port = free_port()
    quota, rows = f"redis://127.0.0.1:{port}", range(30)
    with ExitStack() as serving:
        serving.enter_context(redis(tmp_path, port))
        async with counting() as api:
            async with run(api, tmp_path, quota, "10/s", rows, "--max-outage", "1s") as program:
                await program.until(lambda: len(api.requests) >= 3)
                serving.close()
                ended = await program.done(WITHIN)
            with redis(tmp_path, port):
                async with run(api, tmp_path, quota, "10/s", rows) as program:
                    again = await program.done(WITHIN)
    assert (ended.code, again.code) == (6, 0)
    assert f"the quota {quota}/0 cannot be used: " in ended.stderr
    assert api.acknowledged == dict.fromkeys(rows, 1)
    assert worst(api) <= 10


# The seat


async def test_a_run_that_was_taken_over_sends_no_more(url: str, tmp_path: Path) -> None:
    """A process stands still until its seat has run out, another one sends the same job: the first one ends with 9."""
    rows = range(60)
    (tmp_path / "other").mkdir()
    async with counting() as api, run(api, tmp_path, url, "20/s", rows) as old:
        await old.until(lambda: len(api.requests) >= 5)
        old.process.send_signal(signal.SIGSTOP)
        async with run(api, tmp_path / "other", url, "20/s", rows) as refused:
            code = (await refused.done(WITHIN)).code
        await forget_seats(url)  # as a minute does
        async with run(api, tmp_path / "other", url, "20/s", rows) as new:
            await new.until(more_have_arrived(api, rows, 5))
            old.process.send_signal(signal.SIGCONT)
            ended, done = await old.done(WITHIN), await new.done(WITHIN)
    assert (code, ended.code, done.code) == (9, 9, 0)
    assert "(Ctrl-C again to cancel them): another process has taken this run over" in ended.stderr
    each = [request.row for request in api.requests]
    assert each == [*range(len(each) - 60), *rows]


async def forget_seats(url: str) -> None:
    """Let all seats run out."""
    async with Redis.from_url(url) as client:
        async for seat in client.scan_iter("bulksync:seat:*"):
            await client.delete(seat)


def test_who_a_seat_belongs_to(tmp_path: Path) -> None:
    """The same ledger is the same holder, until it is made anew; without one every run is another."""
    ledger, kept = tmp_path / "ledger", tmp_path / "kept"
    ledger.touch()
    seats = [seat_for("target", "digest", ledger) for _ in range(2)]
    ledger.rename(kept)
    ledger.touch()
    others = [seat_for("target", "digest", path) for path in (ledger, None, None)]
    assert seats[0] == seats[1] == seat_for("target", "digest", kept)
    assert len({seats[0], *others}) == 4
    assert {seat.run for seat in (*seats, *others)} == {seats[0].run}
    assert seat_for("target", "another", ledger).run != seats[0].run


# Names and secrets


def test_the_names_of_quotas() -> None:
    """A quota belongs to a key at a target, on a host where it is a file, or to a name; no name shows the key."""
    names = [
        name_for("https://a", KEY, None),
        name_for("https://b", KEY, None),
        name_for("https://a", KEY + "2", None),
        name_for("https://a", KEY, None, "host"),
        name_for("https://a", KEY, "ours"),
        name_for("https://a", KEY, "theirs"),
    ]
    assert len(set(names)) == len(names)
    assert name_for("https://b", "k", "ours") == names[4]
    assert all(len(name) == 32 and KEY[:6] not in name for name in names)


@pytest.mark.parametrize(
    ("quota", "password"),
    [(None, ""), ("host", ""), ("redis://h", ""), ("redis://:a%40b@h", "a@b"), ("unix://u:p@/s", "p")],
)
def test_the_password_in_a_quota(quota: str | None, password: str) -> None:
    """It is known, to be blanked wherever it would be said."""
    assert password_of(quota) == password


@pytest.mark.parametrize("how", ["variable", "file", "flag"])
async def test_the_password_of_a_redis_is_in_no_message_and_no_file(how: str, tmp_path: Path) -> None:
    """Wherever it was given, and whatever goes wrong, nobody reads it; on the command line it is warned of."""
    port = free_port()
    quota = f"redis://:{PASSWORD}@127.0.0.1:{port}"
    write_rows(tmp_path / "rows.csv", range(5))
    config = tmp_path / "key"  # a file that may hold secrets
    config.write_text(f'quota = "{quota}"\n')
    config.chmod(0o600)
    given: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
        "variable": ((), {"BULKSYNC_QUOTA": quota}),
        "file": (("--config", str(config)), {}),
        "flag": (("--quota", quota), {}),
    }
    options, variables = given[how]
    said = []
    async with counting() as api:
        call = ("run", "rows.csv", "--base-url", api.url, "-vv", "--summary", "summary.json", "--html", "page.html")
        for up in (False, True):
            with ExitStack() as serving:
                if up:
                    serving.enter_context(redis(tmp_path, port, "--requirepass", PASSWORD))
                    (tmp_path / f"redis-{port}.log").rename(tmp_path / "redis.key")  # what the Redis says is its own
                async with running(*call, *options, folder=tmp_path, variables=variables) as program:
                    said.append(await program.done(WITHIN))
    assert [done.code for done in said] == [2, 0]
    everything = "".join(done.stdout + done.stderr for done in said)
    assert PASSWORD not in everything
    assert KEY not in everything
    assert f"redis://127.0.0.1:{port}/0" in everything
    assert ("can see the password in --quota" in everything) is (how == "flag")
    assert leaks(tmp_path) == []
