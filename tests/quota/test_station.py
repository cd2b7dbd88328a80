"""Tests of `bulksync.quota.station`: the rule, with numbers alone."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulksync.quota.pacer import Pace, bucket, turns_at_once
from bulksync.quota.station import (
    FIRM,
    REMEMBERED,
    SILENCE,
    Held,
    Lease,
    State,
    fresh,
    hold,
    lease,
    passed,
    silent,
    size_and_leak,
)
from tests.support.rates import RATES, is_kept

Steps = Sequence[tuple[float, str, float]]

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.02, 0.3, 1.0, 2.5]),
        st.sampled_from(["lease"] * 12 + ["look", "hold", "lower", "clock back", "rate"]),
        st.floats(0, 1),
    ),
    max_size=150,
)


def played(rate: float, steps: Steps) -> tuple[list[float], list[tuple[float, float]]]:
    """Play steps on a clock that is set back now and then; return real times of turns, and of holds."""
    real, offset, state = 0.0, 1000.0, fresh(1000.0, rate)
    turns: list[float] = []
    holds: list[tuple[float, float]] = []
    for after, what, chance in steps:
        real += after
        now = real + offset
        match what:
            case "lease" | "look" | "rate":
                own = rate * (0.1 + 0.9 * chance) if what == "rate" else rate
                count = 0 if what == "look" else max(1, round(turns_at_once(own) * chance))
                state, answer = lease(state, now, count, own)
                if isinstance(answer, Lease):
                    turns += [answer.at - offset] * count
            case "hold" | "lower":
                seconds = 3 * chance if what == "hold" else 0.0
                state = hold(state, now, seconds, lower=what == "lower")
                holds.append((real, real + seconds))
                turns = [turn for turn in turns if turn <= real + FIRM or not seconds]  # the others are lost
            case "clock back":
                offset -= 100 * chance
    return turns, holds


@settings(max_examples=300)
@given(st.sampled_from(RATES), STEPS)
def test_no_window_holds_more_than_the_rate(rate: float, steps: Steps) -> None:
    """Whoever leases and holds in whatever order, and whenever the clock is set back: never more than the rate."""
    turns, _ = played(rate, steps)
    assert turns == sorted(turns)
    assert is_kept(turns, rate * (1 + 1e-9))


@given(st.sampled_from(RATES), st.floats(0.01, 100), st.floats(0, 99))
def test_no_lease_starts_in_a_hold(rate: float, seconds: float, after: float) -> None:
    """Whoever asks in a hold is told its end, and afterwards gets nothing before it."""
    state = hold(fresh(0.0, rate), 0.0, seconds, lower=False)
    after = min(after, seconds * 0.99)
    state, answer = lease(state, after, 1, rate)
    assert answer == Held(seconds)
    _, answer = lease(state, seconds, 1, rate)
    assert isinstance(answer, Lease)
    assert answer.at >= seconds


def test_leases_are_first_come_first_served() -> None:
    """Each lease begins one turn behind the one before it, whoever asks, and none is given twice."""
    state, times = fresh(0.0, 10.0), []
    for _ in range(5):
        state, answer = lease(state, 0.0, 1, 10.0)
        assert isinstance(answer, Lease)
        times.append(answer.at)
    size, leak = size_and_leak(10.0)
    assert times == pytest.approx([0, *((number + 1 - size) / leak for number in range(1, 5))])


def test_a_look_reserves_nothing() -> None:
    """A lease of no turns changes nobody's turn."""
    state, _ = lease(fresh(0.0, 10.0), 0.0, 1, 10.0)
    looked, _ = lease(state, 0.05, 0, 10.0)
    assert lease(looked, 0.05, 1, 10.0)[1] == lease(state, 0.05, 1, 10.0)[1]


Rule = Callable[[State, float, int, float], tuple[State, Lease | Held]]


def charging_twice(state: State, now: float, count: int, rate: float) -> tuple[State, Lease | Held]:
    """Let a cost above the size of the bucket wait until that is below empty, and charge it from there."""
    size, leak = size_and_leak(rate)
    after, answer = lease(state, now, count, rate)
    excess = max(0.0, count / state.share - size) / leak
    assert isinstance(answer, Lease)
    return after._replace(empty_at=after.empty_at + excess), answer._replace(at=answer.at + excess)


def share_used(rule: Rule, rate: float) -> float:
    """Return how much of the rate is given out while only a tenth of it is in use."""
    state, times, count = fresh(0.0, rate), [0.0], turns_at_once(rate)
    for _ in range(20):
        state, answer = rule(state._replace(share=0.1, ceiling=0.1), times[-1], count, rate)
        assert isinstance(answer, Lease)
        times.append(answer.at)
    return count * 18 / (times[-1] - times[2]) / size_and_leak(rate)[1]


@pytest.mark.parametrize("rate", [10.0, 100.0, 1000.0])
def test_a_cost_above_the_bucket_is_charged_once(rate: float) -> None:
    """At a tenth of the rate, where a turn costs more than the bucket holds, a tenth of the rate is given out."""
    assert share_used(lease, rate) == pytest.approx(0.1, rel=0.06)
    assert share_used(charging_twice, rate) < 0.08


def test_a_lease_costs_what_it_does_when_it_starts() -> None:
    """Of many that ask at the end of a hold, the later ones pay less, as the rate has climbed when they start."""
    state = hold(fresh(0.0, 100.0), 0.0, 5, lower=False)
    starts = []
    for _ in range(300):
        state, answer = lease(state, 5.0, 1, 100.0)
        assert isinstance(answer, Lease)
        starts.append(answer.at)
    seconds = [sum(second <= start < second + 1 for start in starts) for second in (5, 6, 7)]
    assert seconds == [pytest.approx(36, abs=6), pytest.approx(71, abs=6), pytest.approx(97, abs=3)]


def test_a_hold_frees_what_was_reserved() -> None:
    """Leases that have not started are lost by a hold: who asks behind it does not wait for their turns."""
    state = fresh(0.0, 10.0)
    for _ in range(100):
        state, before = lease(state, 0.0, 1, 10.0)
    state = hold(state, 0.5, 2, lower=False)
    _, after = lease(state, 2.5, 1, 10.0)
    assert isinstance(before, Lease)
    assert isinstance(after, Lease)
    assert after.at == 2.5
    assert after.mark != before.mark


def test_a_complaint_without_a_hold_frees_nothing() -> None:
    """Where the server does not ask to wait, what is reserved stays so."""
    state, before = lease(fresh(0.0, 10.0), 0.0, 1, 10.0)
    state, after = lease(hold(state, 0.01, 0.0, lower=True), 0.01, 1, 10.0)
    assert isinstance(before, Lease)
    assert isinstance(after, Lease)
    assert after.mark == before.mark
    assert after.at > 0.09


@pytest.mark.parametrize(
    ("happens", "ceiling"),
    [
        ([(0, 5, True)], 1),
        ([(0, 5, True), (0.02, 5, True), (0.1, 0, True)], 1),
        ([(0, 5, True), (6, 5, True)], 0.7),
        ([(0, 5, True), (6, 5, True), (6.02, 5.2, True), (6.1, 0, True)], 0.7),
        ([(0, 5, True), (66, 5, True)], 1),
        ([(0, 5, False), (6, 5, False)], 1),
        ([(0, 0, True), (0.5, 0, True), (2, 0, True)], 0.7),
    ],
)
def test_one_storm_lowers_the_rate_once(happens: Sequence[tuple[float, float, bool]], ceiling: float) -> None:
    """However many runs hear the same complaint, it counts once; the second storm in a minute lowers the rate."""
    state = fresh(0.0, 100.0)
    for now, seconds, lower in happens:
        state = hold(state, now, seconds, lower=lower)
    assert state.ceiling == pytest.approx(ceiling, rel=0.01)


def test_the_rate_is_the_highest_heard_of_in_a_minute() -> None:
    """All together keep to the highest rate of a run; once that has not been heard of for a minute, to the next."""
    rates = []
    state = fresh(0.0, 1.0)
    for now, own in [(0.0, 1.0), (1.0, 20.0), (2.0, 10.0), (REMEMBERED, 10.0), (REMEMBERED + 2, 10.0)]:
        state, answer = lease(state, now, 0, own)
        assert isinstance(answer, Lease)
        rates.append(answer.rate)
    assert rates == [1.0, 20.0, 20.0, 20.0, 10.0]


@pytest.mark.parametrize("rate", RATES)
def test_lost_state_is_a_while_of_silence(rate: float) -> None:
    """Where nobody knows what was leased, nothing starts for a second, or for a turn of a rate below one a second."""
    _, answer = lease(silent(50.0, rate), 50.0, turns_at_once(rate), rate)
    assert isinstance(answer, Lease)
    assert answer.at >= 50.0 + max(SILENCE, 1 / rate)


def test_a_clock_that_goes_back_changes_no_interval() -> None:
    """After a reboot, or where somebody set the clock of the Redis, all times have gone back with it."""
    state, _ = lease(hold(fresh(5000.0, 10.0), 5000.0, 8, lower=True), 5001.0, 1, 10.0)
    assert passed(state, 3.0) == State(3.0, 2.0, 10.0, 10.0, 0.25, 1.0, 10.0, 3.0)


@pytest.mark.parametrize(("after", "share"), [(0, 0.25), (5, 0.25), (6, 0.5), (7, 1), (100, 1)])
def test_slow_start_begins_when_the_hold_ends(after: float, share: float) -> None:
    """The share climbs as that of one process does, however often somebody asks meanwhile."""
    state = hold(fresh(0.0, 10.0), 0.0, 5, lower=False)
    asked = state
    for step in range(int(after * 10)):
        asked, _ = lease(asked, step / 10, 0, 10.0)
    assert passed(state, after).share == share
    assert passed(asked, after).share == pytest.approx(share)


def test_one_process_at_a_time_sees_the_bucket_of_today() -> None:
    """The rule has the size and the leak of each process's own pace, and its way to climb."""
    for rate in RATES:
        size, period = bucket(rate)
        assert size_and_leak(rate) == (size, size / period)
    slow = State(0.0, 0.0, 0.0, 0.0, 0.2, 0.5, 10.0, 0.0)
    pace = Pace(0.2, 0.5, 0.0).climbed(3.0)
    assert (passed(slow, 3.0).share, passed(slow, 3.0).ceiling) == (pace.share, pace.ceiling)
