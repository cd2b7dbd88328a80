"""Where the lines of a picture stand: numbers in, coordinates out; the page draws them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

WIDE, NARROW = 1000, 480
"""Widths of a picture, in the units of its `viewBox`: about a pixel where it stands alone, or beside another."""

LEFT, TOP, BOTTOM = 52, 16, 178
"""Where the plot begins; it ends at the right edge."""

ACROSS, UP = 7, 4
"""Marks on an axis: at most so many, and about so many."""

BINS = 32
"""Bars of a histogram: at most so many, and one more for what lies beyond."""

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
"""Seconds between two marks on an axis of time, where people expect them."""


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a bar: what *kind* it is of, and where it stands."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, the parts it is stacked of from below, and what it says when pointed at."""

    x: float
    width: float
    parts: tuple[Part, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A labelled place on an axis, or in a picture."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of bars: marks along both axes, and marked lines *down* (at an x) and *level* (at a y)."""

    width: int
    bars: tuple[Bar, ...]
    across: tuple[Mark, ...]
    up: tuple[Mark, ...]
    down: tuple[Mark, ...] = ()
    level: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Slices:
    """Counts by kind in equal parts of time of *width* seconds, from the Unix time *start* on."""

    start: float
    width: float
    counts: Mapping[str, Sequence[int]]

    @property
    def used(self) -> int:
        """How many parts there are up to the last that counts something."""
        totals = [sum(part) for part in zip(*self.counts.values(), strict=True)]
        return max((part + 1 for part, total in enumerate(totals) if total), default=0)


def sliced(seconds: Sequence[tuple[int, int]], most: int = 120) -> Slices:
    """Return counts by Unix second, in rising order, as at most so many slices of whole seconds; none without any."""
    if not seconds:
        return Slices(0.0, 1.0, {"finished": ()})
    start, end = seconds[0][0], seconds[-1][0]
    width = math.ceil((end - start + 1) / most)
    counts = [0] * ((end - start) // width + 1)
    for second, count in seconds:
        counts[(second - start) // width] += count
    return Slices(float(start), float(width), {"finished": counts})


def over_time(slices: Slices, quota: float | None) -> Chart:
    """Draw how many a second there were of each kind, stacked; with the *quota* a second where it is in sight."""
    used, width = slices.used, slices.width
    rates = [sum(counts[part] for counts in slices.counts.values()) / width for part in range(used)]
    most = max(rates, default=0.0)
    level = quota if quota is not None and quota <= 2 * most else 0.0
    up = scale(max(most, level))
    per_second = (BOTTOM - TOP) / up[-1]
    across = (WIDE - LEFT) / max(1, used)
    bars = []
    for part in range(used):
        heights = {kind: counts[part] / width * per_second for kind, counts in slices.counts.items()}
        said = ", ".join(f"{counts[part]:,} {kind}" for kind, counts in slices.counts.items() if counts[part])
        label = f"{clock(slices.start + part * width)}: {said or 'none'}"
        bars.append(bar(LEFT + part * across, across, heights, label))
    return Chart(
        width=WIDE,
        bars=tuple(bars),
        across=times(slices.start, used * width),
        up=tuple(Mark(round(BOTTOM - value * per_second, 1), number(value)) for value in up),
        level=(Mark(round(BOTTOM - level * per_second, 1), f"quota {number(level)}/s"),) if level else (),
    )


def histogram(latencies: Sequence[tuple[int, int]], marked: Iterable[tuple[str, int]]) -> Chart:
    """Draw how many answers took how long, from (milliseconds, count) in rising order, with *marked* latencies.

    What lies far behind the others shares the last bar.
    """
    slow = percentile(latencies, 0.995)
    low = latencies[0][0]
    width = bin_width(slow - low + 1)
    first = low // width
    behind = slow // width + 1  # the first bin that is only drawn as "and more"
    counts = Counter[int]()
    for ms, count in latencies:
        counts[min(ms // width, behind)] += count
    shown = max(counts) - first + 1
    across = (NARROW - LEFT) / max(shown, 4)
    up = scale(max(counts.values()))
    per_answer = (BOTTOM - TOP) / up[-1]
    bars = []
    for index, count in counts.items():
        to = f"{index * width:,} ms or more" if index == behind else said(index * width, (index + 1) * width - 1)
        kind = "more" if index == behind else "answers"
        x = LEFT + (index - first) * across
        bars.append(bar(x, across, {kind: count * per_answer}, f"{to}: {count:,}"))

    def place(ms: float) -> float:
        return round(LEFT + (min(ms / width, behind + 0.5) - first) * across, 1)

    end = min(behind, first + max(shown, 4)) * width
    return Chart(
        width=NARROW,
        bars=tuple(bars),
        across=tuple(Mark(place(ms), f"{ms:,}") for ms in rounds(first * width, end)),
        up=tuple(Mark(round(BOTTOM - value * per_answer, 1), number(value)) for value in up if value == int(value)),
        down=tuple(Mark(place(ms + 0.5), name) for name, ms in marked),
    )


def said(low: int, high: int) -> str:
    """Say from which to which millisecond a bar counts."""
    return f"{low:,} ms" if low == high else f"{low:,} to {high:,} ms"


def bar(x: float, width: float, heights: Mapping[str, float], label: str) -> Bar:
    """Stack parts from the bottom of the plot, with a gap to the next bar where there is room for one."""
    parts, y = [], float(BOTTOM)
    for kind, height in heights.items():
        if height:
            y -= height
            parts.append(Part(kind, round(y, 1), round(height, 1)))
    return Bar(round(x, 1), round(width - (1 if width > 4 else 0), 1), tuple(parts), label)


def percentile(latencies: Sequence[tuple[int, int]], share: float) -> int:
    """Return the latency that a *share* of the answers did not exceed, from (milliseconds, count) in rising order."""
    wanted = share * sum(count for _, count in latencies)
    seen = 0
    for latency, count in latencies:
        seen += count
        if seen >= wanted:
            return latency
    return latencies[-1][0]


def bin_width(span: int) -> int:
    """Return the round number of milliseconds with which a span takes at most `BINS` bars."""
    return max(1, int(step(span / BINS)))


def step(atleast: float) -> float:
    """Return the smallest of 1, 2 or 5 times a power of ten that is no less."""
    power = math.pow(10.0, math.floor(math.log10(atleast)))
    return next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= atleast * (1 - 1e-9))


def scale(most: float) -> list[float]:
    """Return the values to mark on an axis, in even round steps from 0 to the first that is no less than *most*."""
    each = step((most or 1.0) / UP)
    return [round(each * index, 9) for index in range(math.ceil((most or 1.0) / each - 1e-9) + 1)]


def rounds(low: int, high: int) -> list[int]:
    """Return the round numbers to mark between two whole ones."""
    each = max(1, int(step((high - low) / ACROSS)))
    return list(range(math.ceil(low / each) * each, high + 1, each))


def times(start: float, span: float) -> tuple[Mark, ...]:
    """Return the marks of a time axis: round times of day in UTC, or days."""
    if not span:
        return ()
    days = 86_400 * math.ceil(span / ACROSS / 86_400)
    each = next((seconds for seconds in STEPS if span / seconds <= ACROSS), days)
    first = math.ceil(start / each) * each
    marked = range(first, math.floor(start + span) + 1, each)
    return tuple(Mark(round(LEFT + (at - start) / span * (WIDE - LEFT), 1), clock(at, each)) for at in marked)


def clock(seconds: float, each: int = 1) -> str:
    """Write a Unix time as the time of day in UTC, as exactly as marks so many seconds apart need it."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%H:%M:%S}" if each < 60 else f"{moment:%H:%M}" if each < 86_400 else f"{moment:%b} {moment.day}"


def number(value: float) -> str:
    """Write a number without needless zeros, thousands apart."""
    return f"{value:,.10g}"
