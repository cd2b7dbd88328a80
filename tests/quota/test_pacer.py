"""Tests of `bulksync.quota.pacer`, in virtual time."""

import math
from collections.abc import Awaitable, Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.quota.pacer import HEADROOM, LATENESS, Pace, Pacer, bucket, pieces, turns_at_once
from tests.support import virtual
from tests.support.rates import RATES, fullest, is_kept

Step = Callable[[Pacer], Awaitable[None]]


async def take(pacer: Pacer, until: float, wanted: int = 1_000) -> list[float]:
    """Take turns until a time, as many as there are, and return when each was given."""
    times = []
    while virtual.now() < until:
        count = await pacer.turns(wanted)
        times += [virtual.now()] * count
    return times


def turns(rate: float, until: float, wanted: int = 1_000) -> list[float]:
    """Return when the turns of a fresh pacer are given."""
    return virtual.run(lambda: take_fresh(rate, until, wanted))


async def take_fresh(rate: float, until: float, wanted: int) -> list[float]:
    """Take turns from a fresh pacer."""
    return await take(Pacer(rate, anyio.current_time), until, wanted)


@pytest.mark.parametrize("rate", RATES)
def test_no_window_holds_more_than_the_rate(rate: float) -> None:
    """Any closed window of a second holds at most the rate in turns, at full speed from the first moment on."""
    times = turns(rate, until=max(12.0, 8 / rate))
    assert len(times) >= 8
    assert is_kept(times, rate)


@pytest.mark.parametrize("quota", [1, 7, 10, 90, 600])
@pytest.mark.parametrize("length", [60, 3600])
def test_a_quota_of_a_minute_or_an_hour_is_kept(quota: int, length: int) -> None:
    """`N/m` and `N/h` are kept by a server that counts in sliding windows of a minute or an hour."""
    times = turns(quota / length, until=length * 3)
    assert 0.95 * quota * 3 <= len(times)
    assert fullest(times, length) <= quota


@pytest.mark.parametrize("rate", [rate for rate in RATES if 1 <= rate <= 2000])
def test_the_rate_is_used(rate: float) -> None:
    """In the long run at least 95 % of the rate is given out."""
    seconds = max(20.0, 50 / rate)
    assert len(turns(rate, until=seconds)) >= 0.95 * rate * seconds


@pytest.mark.parametrize("rate", [1, 10, 100, 1000])
def test_a_pause_of_the_caller_brings_no_burst(rate: float) -> None:
    """Turns that nobody took are lost: after a quiet while no window holds more than the rate."""

    async def on_and_off() -> list[float]:
        pacer, times = Pacer(rate, anyio.current_time), []
        for start in range(0, 40, 4):
            await anyio.sleep(max(0.0, start - virtual.now()))
            times += await take(pacer, until=start + 1.7)
        return times

    assert is_kept(virtual.run(on_and_off), rate)


@given(st.floats(1, 5000), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_no_window_holds_more_than_the_rate_however_turns_are_taken(rate: float, wanted: list[int]) -> None:
    """Whatever number of turns is asked for at a time, no closed second holds more of them than the rate."""

    async def ask() -> list[float]:
        pacer, times = Pacer(rate, anyio.current_time), []
        for _ in range(3):
            for count in wanted:
                got = await pacer.turns(count)
                assert 1 <= got <= count
                times += [virtual.now()] * got
        return times

    assert is_kept(virtual.run(ask), rate)


@given(st.floats(0.01, 10_000))
def test_the_bucket_leaks_what_its_size_leaves(rate: float) -> None:
    """What a full bucket lets through in its worst second, one turn of it on the fence, is at most the rate."""
    size, period = bucket(rate)
    assert size >= turns_at_once(rate)
    assert size + size / period <= rate + 1 + 1e-9 * rate
    assert size / period == pytest.approx((rate - turns_at_once(rate) - rate * LATENESS + 1) * HEADROOM)


@pytest.mark.parametrize(("rate", "turns"), [(0.1, 1), (99.9, 1), (222, 1), (223, 2), (1000, 9), (5000, 45)])
def test_turns_at_once(rate: float, turns: int) -> None:
    """Turns are taken one by one up to 222/s, and those of 9 ms at once above."""
    assert turns_at_once(rate) == turns


def test_unlimited_gives_what_is_wanted_at_once() -> None:
    """Without a rate every wish is granted on the spot, but a hold is kept."""

    async def ask() -> list[tuple[int, float]]:
        pacer = Pacer(math.inf, anyio.current_time)
        first = await pacer.turns(500), virtual.now()
        pacer.hold(5)
        return [first, (await pacer.turns(7), virtual.now())]

    (first, at_once), (second, later) = virtual.run(ask)
    assert (first, second) == (500, 7)
    assert at_once == pytest.approx(0, abs=1e-4)
    assert later == pytest.approx(5, abs=1e-3)


def after(step: Step, rate: float, until: float) -> list[float]:
    """Return when turns are given by a pacer to which something happens after ten seconds at full speed."""

    async def take_them() -> list[float]:
        pacer = Pacer(rate, anyio.current_time)
        times: list[float] = []

        async def later() -> None:
            await anyio.sleep(10)
            await step(pacer)

        async with anyio.create_task_group() as group:
            group.start_soon(later)
            times += await take(pacer, until)
        return times

    return virtual.run(take_them)


async def hold_five_seconds(pacer: Pacer) -> None:
    """Hold everyone for five seconds."""
    pacer.hold(5)


@pytest.mark.parametrize("rate", [1, 10, 100, 1000, math.pi * 100])
def test_a_hold_lets_nobody_start(rate: float) -> None:
    """While a hold stands no turn is given, not even one that was asked for before."""
    times = after(hold_five_seconds, rate, until=25)
    assert [time for time in times if 10 < time < 15] == []
    assert is_kept(times, rate)


@pytest.mark.parametrize("rate", [50, 100, 1000])
def test_a_run_starts_slowly_after_a_hold(rate: float) -> None:
    """After a hold the first second brings about a quarter of the rate, the third about all of it."""
    times = after(hold_five_seconds, rate, until=25)
    seconds = [sum(start <= time < start + 1 for time in times) / rate for start in (15, 16, 17, 18, 19)]
    assert seconds[0] == pytest.approx(0.36, abs=0.14)
    assert seconds[1] == pytest.approx(0.75, abs=0.14)
    assert all(0.9 <= second <= 1 for second in seconds[2:])


@given(st.floats(1, 3000), st.lists(st.tuples(st.floats(0.01, 3), st.floats(0, 3), st.booleans()), max_size=8))
def test_holds_never_bring_more_than_the_rate(rate: float, holds: list[tuple[float, float, bool]]) -> None:
    """Holds of any length at any time, lowering or not, leave no closed second with more turns than the rate."""

    async def take_them() -> list[float]:
        pacer = Pacer(rate, anyio.current_time)
        times: list[float] = []

        async def storm() -> None:
            for pause, seconds, lowers in holds:
                await anyio.sleep(pause)
                if lowers:
                    pacer.lower()
                pacer.hold(seconds)

        async with anyio.create_task_group() as group:
            group.start_soon(storm)
            times += await take(pacer, until=4)
        return times

    assert is_kept(virtual.run(take_them), rate)


def test_the_longest_hold_stands() -> None:
    """A shorter hold does not end a longer one, a longer one extends it, and the time held is counted."""

    async def ask() -> tuple[float, float]:
        pacer = Pacer(math.inf, anyio.current_time)
        pacer.hold(10)
        pacer.hold(1)
        pacer.hold(12)
        await pacer.turns(1)
        return virtual.now(), pacer.held_for

    assert list(virtual.run(ask)) == pytest.approx([12, 12], abs=1e-3)


def test_a_hold_that_grows_while_someone_waits_is_kept() -> None:
    """Who already waits for the end of a hold waits on when it is extended."""

    async def ask() -> float:
        pacer = Pacer(math.inf, anyio.current_time)
        pacer.hold(10)

        async def extend() -> None:
            await anyio.sleep(9)
            pacer.hold(10)

        async with anyio.create_task_group() as group:
            group.start_soon(extend)
            await pacer.turns(1)
        return virtual.now()

    assert virtual.run(ask) == pytest.approx(19, abs=1e-3)


def test_is_held() -> None:
    """A hold stands from its start until just before its end."""
    time = 0.0
    pacer = Pacer(math.inf, lambda: time)
    before = pacer.is_held
    pacer.hold(3)
    stands = []
    for time in (0.0, 2.9, 3.0):  # noqa: B007  the pacer's clock reads it
        stands.append(pacer.is_held)  # noqa: PERF401  the clock must move between the looks
    assert (before, stands) == (False, [True, True, False])


@pytest.mark.parametrize(
    ("pace", "now", "share", "ceiling"),
    [
        (Pace(), 100, 1, 1),
        (Pace().slowed(10), 10, 0.25, 1),
        (Pace().slowed(10), 11, 0.5, 1),
        (Pace().slowed(10), 12, 1, 1),
        (Pace().slowed(10), 5, 0.25, 1),
        (Pace().lowered(), 0, 0.7, 0.7),
        (Pace().lowered(), 10, 0.7 * 1.01**10, 0.7 * 1.01**10),
        (Pace().lowered(), 36, 1, 1),
        (Pace().lowered().slowed(0), 1, 0.35, 0.707),
        (Pace(0.1, 0.1), 10**9, 1, 1),
    ],
)
def test_how_the_pace_climbs(pace: Pace, now: float, share: float, ceiling: float) -> None:
    """It doubles every second up to its ceiling, and the ceiling comes back by one hundredth a second."""
    climbed = pace.climbed(now)
    assert [climbed.share, climbed.ceiling] == pytest.approx([share, ceiling])


@given(st.lists(st.tuples(st.sampled_from(["climb", "slow", "lower"]), st.floats(0, 100)), max_size=30))
def test_the_pace_never_leaves_its_bounds(steps: list[tuple[str, float]]) -> None:
    """Whatever happens in whatever order, a share of the rate is in use: never none, never more than all."""
    pace, now = Pace(), 0.0
    for step, seconds in steps:
        now += seconds
        pace = pace.climbed(now)
        pace = {"climb": pace, "slow": pace.slowed(now), "lower": pace.lowered()}[step]
        assert 0.025 <= pace.share <= pace.ceiling <= 1


@pytest.mark.parametrize(
    ("happens", "ceiling"),
    [
        ([(0, "lower")], 1),
        ([(0, "lower"), (0, "hold"), (0.5, "lower")], 1),
        ([(0, "lower"), (0, "hold"), (5, "lower")], 0.7),
        ([(0, "lower"), (0, "hold"), (60.5, "lower")], 0.7),
        ([(0, "lower"), (0, "hold"), (61, "lower")], 1),
        ([(0, "lower"), (0, "hold"), (5, "lower"), (5, "hold"), (7, "lower")], 0.7 * 0.7),
    ],
)
def test_only_repeated_complaints_lower_the_rate(happens: list[tuple[float, str]], ceiling: float) -> None:
    """The first hold is a hint; another within a minute of its end lowers the rate, more answers to it do not."""
    time = 0.0
    pacer = Pacer(100, lambda: time)
    for time, what in happens:  # noqa: B007  the pacer's clock reads it
        pacer.lower() if what == "lower" else pacer.hold(1)
    assert pacer._pace.ceiling == pytest.approx(ceiling, rel=0.05)


def test_a_lowered_rate_is_kept() -> None:
    """A rate that was lowered gives out about 70 % of the turns, and recovers slowly."""

    async def twice(pacer: Pacer) -> None:
        pacer.lower()
        pacer.hold(0.1)
        await anyio.sleep(1)
        pacer.lower()
        pacer.hold(0.1)

    times = after(twice, 100, until=70)
    shares = [sum(start <= time < start + 2 for time in times) / 200 for start in (15, 65)]
    assert shares == [pytest.approx(0.72, abs=0.05), pytest.approx(0.97, abs=0.05)]


@pytest.mark.parametrize(
    ("amount", "size", "parts"), [(1, 1, [1]), (2.5, 1, [1, 1, 0.5]), (0.4, 1, [0.4]), (8, 4, [4, 4])]
)
def test_pieces(amount: float, size: float, parts: list[float]) -> None:
    """A cost is taken in parts that fit, and none of it gets lost."""
    assert list(pieces(amount, size)) == parts
