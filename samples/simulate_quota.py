"""Simulates runs that share one quota, on virtual time: how much of it is used, and how equal the shares are.

It plays the very rule that a quota file or a Redis applies, with some wake-ups late, as on a busy host:

    python samples/simulate_quota.py             # prints a table, and draws quota.svg
    python samples/simulate_quota.py elsewhere.svg
"""

import heapq
import random
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bulksync.quota.pacer import turns_at_once
from bulksync.quota.shared import LATE, LOOK
from bulksync.quota.station import FIRM, Held, fresh, hold, lease

RUNS = (1, 10, 100, 1_000)
RATES = (10, 1_000, 5_000)

LEASES = 20
"""Leases that each run has at least, as shares of fewer say little."""

LATE_WAKE_UPS = 0.001
LONGEST_STALL = 0.2


@dataclass(frozen=True, slots=True)
class Found:
    """What came of so many *runs* at a *rate*: shares are of the mean, times in seconds."""

    runs: int
    rate: int
    used: float
    worst: int
    least: float
    most: float
    longest_wait: float
    inside_holds: int = 0


def simulate(
    runs: int,
    rate: int,
    *,
    stalls: float = LATE_WAKE_UPS,
    killed: int = 0,
    held: Sequence[tuple[float, float]] = (),
    seed: int = 1,
) -> Found:
    """Let all runs lease, wait and send; some are *killed* half-way, all are *held* at (time, for seconds)."""
    luck = random.Random(seed)  # noqa: S311  no secret
    turns = turns_at_once(rate)
    until = max(20.0, LEASES * runs * turns / rate)
    state, order = fresh(0.0, rate), count()
    sent: list[tuple[float, int]] = []
    shares, longest = [0] * runs, 0.0
    # What happens when, to which run: it asks, looks at a lease again, or uses it; -1 is what the server says to all.
    agenda = [(0.0, next(order), "ask", run, 0.0, 0.0) for run in range(runs)]
    agenda += [(at, next(order), "hold", -1, seconds, 0.0) for at, seconds in held]
    heapq.heapify(agenda)
    while agenda and agenda[0][0] < until:
        now, _, what, run, at, mark = heapq.heappop(agenda)
        if 0 <= run < killed and now > until / 2:
            continue
        match what:
            case "hold":
                state = hold(state, now, at, lower=False)
            case "ask":
                state, answer = lease(state, now, turns, rate)
                if isinstance(answer, Held):
                    heapq.heappush(agenda, (answer.until, next(order), "ask", run, 0.0, 0.0))
                    continue
                longest = max(longest, answer.at - now)
                late = luck.uniform(0, LONGEST_STALL) if luck.random() < stalls else 0.0
                next_step = (answer.at - LOOK, "look") if answer.at - now > FIRM else (answer.at + late, "use")
                heapq.heappush(agenda, (next_step[0], next(order), next_step[1], run, answer.at, answer.mark))
            case "look":
                state, answer = lease(state, now, 0, rate)
                is_lost = isinstance(answer, Held) or answer.mark != mark
                late = luck.uniform(0, LONGEST_STALL) if luck.random() < stalls else 0.0
                next_step = (now, "ask") if is_lost else (at + late, "use")
                heapq.heappush(agenda, (next_step[0], next(order), next_step[1], run, at, mark))
            case _:
                if now - at <= LATE:
                    sent.append((now, turns))
                    shares[run] += turns
                heapq.heappush(agenda, (now, next(order), "ask", run, 0.0, 0.0))
    total, alive = sum(shares), shares[killed:]
    inside = sum(number for at, number in sent for since, length in held if since + FIRM + LATE < at < since + length)
    mean = sum(alive) / len(alive)
    used = total / rate / until
    return Found(runs, rate, used, fullest(sent), min(alive) / mean, max(alive) / mean, longest, inside)


def fullest(sent: Sequence[tuple[float, int]], length: float = 0.99) -> int:
    """Return how many turns the fullest second holds, of which 10 ms are forgiven."""
    most = inside = 0
    window: deque[tuple[float, int]] = deque()
    for at, number in sent:
        window.append((at, number))
        inside += number
        while at - window[0][0] > length:
            inside -= window.popleft()[1]
        most = max(most, inside)
    return most


HEADER = f"{'runs':>6}{'rate':>8}{'used':>8}{'worst second':>14}{'shares of the mean':>20}{'longest wait':>14}"


def line(found: Found) -> str:
    """Return a line of the table."""
    shares = f"{found.least:.2f} to {found.most:.2f}"
    head = f"{found.runs:>6,}{found.rate:>6,}/s{found.used:>8.1%}{found.worst:>14,}"
    return f"{head}{shares:>20}{found.longest_wait:>12.1f} s"


def drawn(table: Sequence[Found]) -> str:
    """Return a picture: for each rate the share of it that was used, and from where to where the runs' shares go."""
    width, height, left = 720, 200, 60
    parts = []
    for row, rate in enumerate(RATES):
        top = 40 + row * (height + 50)
        parts.append(
            f'<text x="{left}" y="{top - 12}">{rate:,}/s: bar: used; line: least to most share of a run</text>'
        )
        for level in (0, 0.5, 1):
            y = top + height - level * height / 1.5
            parts.append(
                f'<path d="M{left} {y:.0f}H{width}" stroke="#ddd"/><text x="8" y="{y + 4:.0f}">{level:.0%}</text>'
            )
        for column, found in enumerate(one for one in table if one.rate == rate):
            x = left + 30 + column * 160
            used, least, most = (height / 1.5 * value for value in (found.used, found.least, min(1.5, found.most)))
            bottom = top + height
            parts.append(f'<rect x="{x}" y="{bottom - used:.1f}" width="50" height="{used:.1f}" fill="#4c78a8"/>')
            parts.append(
                f'<path d="M{x + 75} {bottom - least:.1f}V{bottom - most:.1f}m-8 0h16m-16 {most - least:.1f}h16"'
                ' stroke="#d1495b" stroke-width="3" fill="none"/>'
            )
            parts.append(f'<text x="{x}" y="{bottom + 16}">{found.runs:,} runs, {found.used:.1%}</text>')
    whole = 40 + len(RATES) * (height + 50)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 20}" height="{whole}" font-family="sans-serif"'
        f' font-size="12"><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def main(path: Path) -> None:
    """Print the table, and draw it."""
    table = [simulate(runs, rate) for rate in RATES for runs in RUNS]
    print("\n".join([HEADER, *map(line, table)]))
    disturbed = simulate(100, 1_000, stalls=0.02, killed=30, held=((5, 2), (12, 2)))
    print(f"100 runs, 30 killed, 2 % of wake-ups late, two holds of 2 s ({disturbed.inside_holds} sent inside):")
    print(line(disturbed))
    path.write_text(drawn(table))
    print(f"drawn: {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("quota.svg"))
