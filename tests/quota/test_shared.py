"""Tests of `bulksync.quota.shared`, in virtual time; runs, rules and mistakes are those of `tests.support.sharing`."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from bulksync.model import Stop
from bulksync.quota.pacer import Pacer
from bulksync.quota.shared import BEAT, SharedPacer
from bulksync.quota.station import Answer, Away, Held, Lease, Taken
from tests.support import virtual
from tests.support.sharing import BROKEN, RULES, Scenario, drawn, simulate, violations


@pytest.mark.parametrize("seed", range(40))
def test_every_rule_holds(seed: int) -> None:
    """Whatever is stopped, killed, held, away or lost: no rule is broken."""
    assert violations(simulate(drawn(seed))) == []


@pytest.mark.parametrize("name", BROKEN)
def test_no_mistake_goes_unnoticed(name: str) -> None:
    """Each broken part breaks the rule that is about it, and where it is whole no rule is broken."""
    mistake = BROKEN[name]
    assert list(mistake.rule(simulate(mistake.scenario, mistake.parts))) != []
    assert violations(simulate(mistake.scenario)) == []


def test_no_rule_is_idle() -> None:
    """For each rule but that of equal shares, which the order of leases brings about, there is a mistake."""
    assert {mistake.rule for mistake in BROKEN.values()} == set(RULES[:-1])


@pytest.mark.parametrize(("slow", "fast"), [(1.0, 10.0), (10.0, 20.0), (10.0, 1000.0)])
def test_other_rates(slow: float, fast: float) -> None:
    """Each run keeps to its own rate, all together to the highest, and who is slower is told once."""
    played = simulate(Scenario((slow, fast), 30.0))
    assert violations(played) == []
    each = [sum(number == run for _, number in played.turns) / 30 for run in (0, 1)]
    assert each[0] <= slow
    assert each[0] >= 0.9 * min(slow, fast / 2)
    assert sum(each) >= 0.95 * fast
    assert played.said == ["shared rate"]


@pytest.mark.parametrize("rate", [10.0, 100.0, 1000.0, 5000.0])
def test_one_run_alone_has_the_turns_of_its_own_pace(rate: float) -> None:
    """With nobody to share it with, the rate is used as it is without a station, within a hundredth."""
    alone = simulate(Scenario((rate,), 10.0))

    async def own() -> int:
        pacer, count = Pacer(rate, virtual.now), 0
        while virtual.now() < 10:
            count += await pacer.turns(1_000)
        return count

    assert len(alone.turns) == pytest.approx(virtual.run(own), rel=0.01, abs=1)


class Scripted:
    """A station that gives one answer after the other, and notes what it is told."""

    name = "scripted"

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.told: list[tuple[Any, ...]] = []

    async def lease(self, count: int, rate: float) -> Answer:
        """Give the next answer; the last one for ever."""
        self.told.append(("lease", count))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def hold(self, seconds: float, *, lower: bool) -> Away | None:
        """Note a hold."""
        self.told.append(("hold", round(seconds, 3), lower))
        answer = self._answers[0]
        return answer if isinstance(answer, Away) else None


def run_with(station: Scripted, act: Callable[[SharedPacer], Awaitable[None]], rate: float = 10.0) -> list[Any]:
    """Run something with a pacer whose station gives these answers; return what was told to the log and to stop."""
    said: list[Any] = []

    async def main() -> None:
        pacer = SharedPacer(rate, virtual.now, station, lambda event, **fields: said.append((event, fields)))
        async with anyio.create_task_group() as group:
            group.start_soon(pacer.keep, said.append)
            await act(pacer)
            group.cancel_scope.cancel()

    virtual.run(main)
    return said


def test_a_run_that_was_taken_over_gets_no_turn_and_stops() -> None:
    """Who has lost its seat asks for no further turn, and stops with the code of a run that another one does."""

    async def act(pacer: SharedPacer) -> None:
        with anyio.move_on_after(1000):
            await pacer.turns(1)
            raise AssertionError("a turn")

    (stop,) = run_with(Scripted(Taken()), act)
    assert isinstance(stop, Stop)
    assert (stop.exit_code, stop.error) == (9, "interrupted")


def test_a_run_that_waits_keeps_its_seat() -> None:
    """While there is nothing to send, or a long hold, the station hears of the run all the same."""
    station = Scripted(Lease(0.0, 10.0, 0.0))
    run_with(station, lambda _: anyio.sleep(3 * BEAT + 1))
    assert station.told == [("lease", 0)] * 3


def test_a_hold_is_told_at_once_and_once() -> None:
    """What the server says to everyone is told to the station as it comes, that it is too fast in the same breath."""
    station = Scripted(Lease(0.0, 10.0, 0.0))

    async def act(pacer: SharedPacer) -> None:
        pacer.lower()
        pacer.hold(5, everyone=True)
        await anyio.sleep(0.01)

    run_with(station, act)
    assert station.told == [("hold", 5.0, True), ("lease", 0)]


def test_a_hold_of_our_own_is_nobody_elses() -> None:
    """Where this run alone waits, between probes of a server that fails, the station is not told."""
    station = Scripted(Lease(0.0, 10.0, 0.0))

    async def act(pacer: SharedPacer) -> None:
        pacer.hold(5)
        await anyio.sleep(1)
        assert pacer.is_held

    run_with(station, act)
    assert station.told == []


def test_what_could_not_be_told_is_told_later() -> None:
    """A hold that comes while the station is away is told when it is back, for what is left of it."""
    station = Scripted(Away("gone"), Away("gone"), Lease(0.0, 10.0, 0.0))

    async def act(pacer: SharedPacer) -> None:
        pacer.lower()
        pacer.hold(5, everyone=True)
        await anyio.sleep(0.5)
        station._answers = [Lease(0.0, 10.0, 0.0)]
        await anyio.sleep(2)

    run_with(station, act)
    assert station.told == [("hold", 5.0, True), ("hold", 4.0, True), ("lease", 0)]


def test_who_waits_for_the_others_says_so() -> None:
    """A hold of others and a station that is away show as what is waited for, and since when; each is told once."""
    seen = []

    async def act(pacer: SharedPacer) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(pacer.turns, 1)
            for _ in range(4):
                await anyio.sleep(1)
                seen.append((pacer.waits_since is not None, pacer.waits_for[:11]))
            group.cancel_scope.cancel()

    said = run_with(Scripted(Away("gone"), Away("gone"), Held(2.5), Lease(2.5, 10.0, 2.5)), act)
    assert [event for event, _ in said] == ["quota", "quota"]
    assert seen == [(True, "another run")] * 2 + [(False, "")] * 2
