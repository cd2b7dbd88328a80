"""Many runs on one quota in virtual time: each has the real pace, the station is the real rule without its place.

Processes stall and are killed, the server holds them, the station goes away and loses what it knows. Rules look at when
turns were used; each is broken by one of the mistakes at the end.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import anyio

from bulksync.model import Stop
from bulksync.quota import station
from bulksync.quota.shared import LATE, SharedPacer
from bulksync.quota.station import FIRM, Answer, Away, Held, Lease, State
from tests.support import virtual
from tests.support.rates import fullest

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the runs are made of: the real thing, or broken, to see that it is noticed."""

    pacer: type[SharedPacer] = SharedPacer
    lease: Callable[[State, float, int, float], tuple[State, Lease | Held]] = station.lease
    hold: Callable[..., State] = station.hold
    lost: Callable[[float, float], State] = station.silent


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens to runs of these *rates* in so many *seconds*.

    *stalls* is the share of leases behind which a process stands still; *killed* are runs and times; at each time of
    *held* the server asks that many runs, one shortly after the other, to wait for so long.
    """

    rates: tuple[float, ...]
    seconds: float
    stalls: float = 0.0
    longest_stall: float = 0.2
    killed: tuple[tuple[int, float], ...] = ()
    held: tuple[tuple[float, int, float], ...] = ()
    away: Span = (0.0, 0.0)
    lost_at: float | None = None
    seed: int = 0

    @property
    def rate(self) -> float:
        """The rate of all together."""
        return max(self.rates)


@dataclass(slots=True)
class Played:
    """When turns were used, and by which run; from when until when the server had asked everyone to wait."""

    scenario: Scenario
    turns: list[tuple[float, int]] = field(default_factory=list)
    holds: list[Span] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def times(self) -> list[float]:
        """When turns were used."""
        return [time for time, _ in self.turns]

    @property
    def shares(self) -> list[float]:
        """How many turns each run had, beside the mean."""
        counts = Counter(run for _, run in self.turns)
        mean = len(self.turns) / len(self.scenario.rates)
        return [counts[run] / mean for run in range(len(self.scenario.rates))]

    def used(self, since: float, until: float) -> float:
        """Return which share of the rate was used in a while."""
        return sum(since <= time < until for time in self.times) / (until - since) / self.scenario.rate


class Memory:
    """A station in this process."""

    name = "memory"

    def __init__(self, scenario: Scenario, parts: Parts) -> None:
        self._scenario = scenario
        self._parts = parts
        self._state = station.fresh(virtual.now(), scenario.rate)

    @property
    def _is_away(self) -> bool:
        since, until = self._scenario.away
        return since <= virtual.now() < until

    def lose(self) -> None:
        """Forget everything."""
        self._state = self._parts.lost(virtual.now(), self._scenario.rate)

    async def lease(self, count: int, rate: float) -> Answer:
        """Reserve turns."""
        if self._is_away:
            return Away("it is away")
        self._state, answer = self._parts.lease(self._state, virtual.now(), count, rate)
        return answer

    async def hold(self, seconds: float, *, lower: bool) -> Away | None:
        """Let nobody start for so long."""
        if self._is_away:
            return Away("it is away")
        self._state = self._parts.hold(self._state, virtual.now(), seconds, lower=lower)
        return None


class Stalling:
    """The station as a process sees it that is stopped now and then, when it has an answer and not yet used it."""

    def __init__(self, memory: Memory, scenario: Scenario, luck: random.Random) -> None:
        self.name = memory.name
        self._memory = memory
        self._scenario = scenario
        self._luck = luck

    async def lease(self, count: int, rate: float) -> Answer:
        """Reserve turns, and perhaps stand still."""
        answer = await self._memory.lease(count, rate)
        if self._luck.random() < self._scenario.stalls:
            await anyio.sleep(self._luck.uniform(0, self._scenario.longest_stall))
        return answer

    async def hold(self, seconds: float, *, lower: bool) -> Away | None:
        """Let nobody start for so long."""
        return await self._memory.hold(seconds, lower=lower)


async def play(scenario: Scenario, parts: Parts) -> Played:
    """Let all runs take turns until the end."""
    played, memory, luck = Played(scenario), Memory(scenario, parts), random.Random(scenario.seed)  # noqa: S311  no secret
    pacers = [
        parts.pacer(rate, virtual.now, Stalling(memory, scenario, luck), lambda event, **_: played.said.append(event))
        for rate in scenario.rates
    ]
    ends = dict(scenario.killed)
    async with anyio.create_task_group() as group:
        for number, pacer in enumerate(pacers):
            group.start_soon(take, number, pacer, played, ends.get(number, scenario.seconds))
        for at, heard, seconds in scenario.held:
            group.start_soon(storm, at, pacers[:heard], seconds, played)
        if scenario.lost_at is not None:
            await anyio.sleep(scenario.lost_at)
            memory.lose()
    played.turns.sort()
    return played


async def take(number: int, pacer: SharedPacer, played: Played, until: float) -> None:
    """Take turns until a run ends, or is killed."""
    with anyio.CancelScope(deadline=until):
        async with anyio.create_task_group() as group:
            group.start_soon(pacer.keep, stopped)
            while True:
                count = await pacer.turns(1_000)
                played.turns += [(virtual.now(), number)] * count


def stopped(stop: Stop) -> None:
    """Fail, as nobody takes these runs over."""
    raise AssertionError(stop)


async def storm(at: float, hearing: list[SharedPacer], seconds: float, played: Played) -> None:
    """Let the server ask some runs to wait, as it does in the answers to requests that were in flight together."""
    await anyio.sleep(at)
    played.holds.append((at, at + seconds))
    for pacer in hearing:
        pacer.lower()
        pacer.hold(at + seconds - virtual.now(), everyone=True)
        await anyio.sleep(0.02)


def simulate(scenario: Scenario, parts: Parts | None = None) -> Played:
    """Play a scenario in virtual time."""
    return virtual.run(lambda: play(scenario, parts or Parts()))


# Rules


Rule = Callable[[Played], Iterator[str]]


def never_above_the_rate(played: Played) -> Iterator[str]:
    """No second, of which 10 ms are forgiven, holds more turns than the rate."""
    most = fullest(played.times, 1 - LATE)
    if most > played.scenario.rate:
        yield f"{most} in a second at {played.scenario.rate}/s"


def nobody_starts_in_a_hold(played: Played) -> Iterator[str]:
    """What the server said to one run holds all, but for what was about to start."""
    for since, until in played.holds:
        found = [time for time in played.times if since + FIRM + LATE < time < until]
        if found:
            yield f"{len(found)} in the hold from {since} to {until}"


def nobody_starts_while_the_station_is_away(played: Played) -> Iterator[str]:
    """Without a lease there is no turn, but for those that were leased before."""
    since, until = played.scenario.away
    if found := [time for time in played.times if since + FIRM + LATE < time < until]:
        yield f"{len(found)} while the station was away"


def the_rate_is_used(played: Played) -> Iterator[str]:
    """All together use what the rate, the holds and slow starts leave them."""
    scenario = played.scenario
    if scenario.stalls or scenario.killed:
        return
    lost = sum(until - since + 1.5 for since, until in (*played.holds, scenario.away) if until)
    lost += 0 if scenario.lost_at is None else 1.5
    lost += sum(0.3 * (scenario.seconds - until) for _, until in played.holds[1:])  # each storm but the first lowers
    at_least = 0.95 * (1 - lost / scenario.seconds)
    if (used := played.used(0, scenario.seconds)) < at_least:
        yield f"{used:.3f} of the rate was used, less than {at_least:.3f}"


def all_have_the_same_share(played: Played) -> Iterator[str]:
    """Runs of one rate have equal shares within a tenth, where each has twenty leases and none was killed."""
    scenario = played.scenario
    leases = len(played.turns) / len(scenario.rates) / max(1, scenario.rate * 0.009)
    if leases < 20 or scenario.killed or scenario.stalls or len(set(scenario.rates)) > 1:
        return
    if min(played.shares) < 0.9 or max(played.shares) > 1.1:
        yield f"shares from {min(played.shares):.2f} to {max(played.shares):.2f}"


RULES: tuple[Rule, ...] = (
    never_above_the_rate,
    nobody_starts_in_a_hold,
    nobody_starts_while_the_station_is_away,
    the_rate_is_used,
    all_have_the_same_share,
)


def violations(played: Played) -> list[str]:
    """Return what breaks a rule."""
    return [f"{rule.__name__}: {found}" for rule in RULES for found in rule(played)]


def drawn(seed: int) -> Scenario:
    """Return a scenario of chance."""
    luck = random.Random(seed)  # noqa: S311  no secret
    rate = luck.choice([10.0, 50.0, 100.0, 1000.0])
    runs = luck.choice([1, 2, 3, 10, 30])
    seconds = 40.0 if rate <= 100 else 15.0
    third = seconds / 3
    return Scenario(
        (rate,) * runs,
        seconds,
        stalls=luck.choice([0.0, 0.02]),
        longest_stall=luck.choice([0.2, 3.0]) if rate <= 100 else 0.2,
        killed=((0, third),) if runs > 1 and luck.random() < 0.3 else (),
        held=((2 * third, min(runs, 2), luck.uniform(1, 4)),) if luck.random() < 0.5 else (),
        away=(third, third + luck.uniform(0, 3)) if luck.random() < 0.3 else (0.0, 0.0),
        lost_at=seconds / 2 if luck.random() < 0.3 else None,
        seed=seed,
    )


# Mistakes


class UsesItLate(SharedPacer):
    """Uses a lease whenever it wakes up."""

    async def _starts(self, lease: Lease) -> bool:
        await super()._starts(lease)
        return not self.is_held


class NeverLooksAgain(SharedPacer):
    """Uses a lease that it waited for without another look."""

    async def _starts(self, lease: Lease) -> bool:
        await anyio.sleep(max(0.0, lease.at - self._now()))
        return not self.is_held and self._now() - lease.at <= LATE


class SleepsFirst(SharedPacer):
    """Tells the others of a hold when it is over."""

    async def _pass_on(self) -> None:
        await self._sit_out()
        await super()._pass_on()


class SlowsDownTwice(SharedPacer):
    """Starts slowly by itself too, and lowers its own rate, as if nobody shared it."""

    def hold(self, seconds: float, *, everyone: bool = False) -> None:
        """Hold everyone and oneself."""
        super().hold(seconds, everyone=everyone)
        self._pace = self._pace.climbed(self._now()).slowed(self.held_until)

    def lower(self) -> None:
        """Lower everyone and oneself."""
        super().lower()
        self._pace = self._pace.lowered()


class GoesOnAlone(SharedPacer):
    """Keeps its own rate while the station is away."""

    async def _is_ours(self, answer: Answer) -> bool:
        return isinstance(answer, Away) or await super()._is_ours(answer)


def lowers_every_time(state: State, now: float, seconds: float, *, lower: bool) -> State:
    """Take every answer for another storm."""
    after = station.hold(state, now, seconds, lower=lower)
    ceiling = max(0.1, after.ceiling * 0.7) if lower else after.ceiling
    return after._replace(ceiling=ceiling, share=min(after.share, ceiling))


def each_its_own(state: State, now: float, count: int, rate: float) -> tuple[State, Lease | Held]:
    """Know of nobody else."""
    after, answer = station.lease(state, now, count, rate)
    return after, answer._replace(at=now) if isinstance(answer, Lease) else answer


@dataclass(frozen=True, slots=True)
class Mistake:
    """A broken part, a scenario in which it shows, and the rule that must notice."""

    parts: Parts
    scenario: Scenario
    rule: Rule


TEN = (10.0,) * 10
BROKEN = {
    "a lease is used late": Mistake(
        Parts(pacer=UsesItLate), Scenario((10.0,) * 2, 120, stalls=0.1, longest_stall=3.0), never_above_the_rate
    ),
    "a hold is passed on after it was slept": Mistake(
        Parts(pacer=SleepsFirst), Scenario((10.0,) * 3, 30, held=((10, 1, 4.0),)), nobody_starts_in_a_hold
    ),
    "a lease that was long waited for is not looked at again": Mistake(
        Parts(pacer=NeverLooksAgain), Scenario((10.0,) * 20, 30, held=((10, 1, 2.0),)), nobody_starts_in_a_hold
    ),
    "a lease of lost state is used": Mistake(
        Parts(pacer=NeverLooksAgain), Scenario((10.0,) * 50, 20, lost_at=7.03), never_above_the_rate
    ),
    "no silence after lost state": Mistake(
        Parts(lost=station.fresh), Scenario((100.0,) * 30, 20, lost_at=7.03), never_above_the_rate
    ),
    "lowered by every answer of a storm": Mistake(
        Parts(hold=lowers_every_time),
        Scenario((100.0,) * 10, 30, held=((5, 10, 1.0), (9, 10, 1.0))),
        the_rate_is_used,
    ),
    "slowed down in the station and in the process": Mistake(
        Parts(pacer=SlowsDownTwice), Scenario((100.0,), 20, held=((3, 1, 0.5), (6, 1, 0.5))), the_rate_is_used
    ),
    "the station is done without while it is away": Mistake(
        Parts(pacer=GoesOnAlone), Scenario(TEN, 20, away=(5.0, 9.0)), nobody_starts_while_the_station_is_away
    ),
    "each process by itself": Mistake(Parts(lease=each_its_own), Scenario((10.0,) * 2, 10), never_above_the_rate),
}
"""By the mistake that was made."""
