"""Chart geometry: numbers in, SVG coordinates out; the page draws them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

WIDE, NARROW = 1000, 480
"""Chart widths in `viewBox` units: about one pixel each, for a chart alone or next to another."""

LEFT, TOP, BOTTOM = 52, 16, 178
"""Where the plot begins; it extends to the right edge."""

ACROSS, UP = 7, 4
"""Marks on an axis: at most this many across, and about this many up."""

BINS = 32
"""Maximum number of histogram bars, not counting one for the values beyond."""

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
"""Seconds between marks on a time axis, in steps that people expect."""


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a bar: its *kind* and position."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, the parts stacked in it from the bottom up, and its tooltip."""

    x: float
    width: float
    parts: tuple[Part, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A labelled position on an axis or in a chart."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart: marks along both axes, and labelled lines *down* (at an x) and *level* (at a y)."""

    width: int
    bars: tuple[Bar, ...]
    across: tuple[Mark, ...]
    up: tuple[Mark, ...]
    down: tuple[Mark, ...] = ()
    level: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Slices:
    """Counts by kind in time slices of *width* seconds, starting at the Unix time *start*."""

    start: float
    width: float
    counts: Mapping[str, Sequence[int]]

    @property
    def used(self) -> int:
        """The number of slices up to the last non-empty one."""
        totals = [sum(part) for part in zip(*self.counts.values(), strict=True)]
        return max((part + 1 for part, total in enumerate(totals) if total), default=0)


def sliced(seconds: Sequence[tuple[int, int]], most: int = 120) -> Slices:
    """Return counts by Unix second, in ascending order, as at most *most* slices of whole seconds; none if empty."""
    if not seconds:
        return Slices(0.0, 1.0, {"finished": ()})
    start, end = seconds[0][0], seconds[-1][0]
    width = math.ceil((end - start + 1) / most)
    counts = [0] * ((end - start) // width + 1)
    for second, count in seconds:
        counts[(second - start) // width] += count
    return Slices(float(start), float(width), {"finished": counts})


def over_time(slices: Slices, quota: float | None) -> Chart:
    """Draw the rate of each kind over time, stacked; with a line at the *quota* if it is within range."""
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
    """Draw the distribution of latencies, from (milliseconds, count) in ascending order, with *marked* latencies.

    Outliers share the last bar.
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
    """Return the label of the milliseconds that a bar counts."""
    return f"{low:,} ms" if low == high else f"{low:,} to {high:,} ms"


def bar(x: float, width: float, heights: Mapping[str, float], label: str) -> Bar:
    """Stack parts from the bottom of the plot, with a gap to the next bar if there is room for one."""
    parts, y = [], float(BOTTOM)
    for kind, height in heights.items():
        if height:
            y -= height
            parts.append(Part(kind, round(y, 1), round(height, 1)))
    return Bar(round(x, 1), round(width - (1 if width > 4 else 0), 1), tuple(parts), label)


def percentile(latencies: Sequence[tuple[int, int]], share: float) -> int:
    """Return the latency that a *share* of answers did not exceed, from (milliseconds, count) in ascending order."""
    wanted = share * sum(count for _, count in latencies)
    seen = 0
    for latency, count in latencies:
        seen += count
        if seen >= wanted:
            return latency
    return latencies[-1][0]


def bin_width(span: int) -> int:
    """Return the round number of milliseconds per bar with which a span takes at most `BINS` bars."""
    return max(1, int(step(span / BINS)))


def step(atleast: float) -> float:
    """Return the smallest value not below *atleast* that is 1, 2 or 5 times a power of ten."""
    power = math.pow(10.0, math.floor(math.log10(atleast)))
    return next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= atleast * (1 - 1e-9))


def scale(most: float) -> list[float]:
    """Return the values to mark on an axis, in even round steps from 0 to the first not below *most*."""
    each = step((most or 1.0) / UP)
    return [round(each * index, 9) for index in range(math.ceil((most or 1.0) / each - 1e-9) + 1)]


def rounds(low: int, high: int) -> list[int]:
    """Return the round numbers to mark between two integers."""
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
    """Format a Unix time as the time of day in UTC, as precisely as marks *each* seconds apart need."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%H:%M:%S}" if each < 60 else f"{moment:%H:%M}" if each < 86_400 else f"{moment:%b} {moment.day}"


def number(value: float) -> str:
    """Format a number without needless zeros, with thousands separators."""
    return f"{value:,.10g}"
