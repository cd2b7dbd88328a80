"""Lay out the live progress lines for any terminal width without cutting a word that fits on a line."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from rich.text import Text

from bulksync.console.progress import Look, percent
from bulksync.text import clean, spell

COLOURS = {
    "updated": "green",
    "fetched": "green",
    "unchanged": "cyan",
    "rejected": "red",
    "invalid": "red",
    "failed": "yellow",
    "unknown": "magenta",
}
"""Each outcome's color; it only repeats what the word says."""

TOP = 6
"""Maximum number of dispositions shown, most frequent first."""

WORD = 40
"""Maximum length of a server's word as shown."""

SHORTEST_BAR = 10


class Lately:
    """Keeps the last few looks to compute the current speed: an average since the start would hide a pause."""

    def __init__(self, seconds: float = 15.0) -> None:
        self._seconds = seconds
        self._seen = deque([(0.0, 1, 0)])  # the first request starts the clock, so it does not count

    def speeds(self, look: Look) -> tuple[float, float]:
        """Record a look, and return requests and rows per second."""
        now = (look.elapsed, look.tally.requests, look.tally.done)
        self._seen.append(now)
        while self._seen[0][0] < look.elapsed - self._seconds:
            self._seen.popleft()
        then = self._seen[0]
        span = now[0] - then[0]
        return (max(0, now[1] - then[1]) / span, (now[2] - then[2]) / span) if span > 0 else (0.0, 0.0)


def frame(look: Look, requests: float, rows: float, width: int) -> list[Text]:
    """Return the lines for a terminal of this *width*, given the recent *requests* and *rows* per second."""
    return [
        *headed(look, rows, width),
        *flowed(work(look, requests), width),
        *flowed(dispositions(look.tally.dispositions), width),
        *flowed((Text(word, "yellow") for word in clean(look.waiting).split()), width, gap=" "),
    ]


def headed(look: Look, rows: float, width: int) -> list[Text]:
    """Return the rows done and the time left, with a bar if there is room for one."""
    done = look.tally.done
    total = done if look.total is None else look.total
    parts = [Text(percent(done, total), "bold"), Text(f"{done:,} of {total:,} rows")]
    pace = rows or (done / look.elapsed if look.elapsed > 0 else 0.0)
    if pace and done < total:
        parts.append(Text(f"{spell((total - done) / pace)} to go"))
    lines = flowed((part.copy() for part in parts), width)
    room = width - lines[0].cell_len - 2
    if len(lines) == 1 and room >= SHORTEST_BAR:
        return flowed([*parts[:2], bar(done, total, min(room, 60)), *parts[2:]], width)
    return lines


def bar(done: int, total: int, width: int) -> Text:
    """Return a progress bar that can be read without colors."""
    full = done * width // total if total else width
    return Text.assemble(("━" * full, "green"), ("─" * (width - full), "dim"))


def work(look: Look, requests: float) -> Iterator[Text]:
    """Yield the request rate, the requests in flight, and the outcomes so far."""
    yield Text(f"{requests:,.1f}/s of {look.rate}")
    yield Text(f"{look.in_flight:,} in flight")
    for outcome, count in look.tally.outcomes.most_common():
        yield Text(f"{outcome} {count:,}", COLOURS.get(outcome, ""))


def dispositions(counts: Mapping[str, int]) -> Iterator[Text]:
    """Yield the server's most frequent dispositions."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    for word, count in ranked[:TOP]:
        yield Text(f"{clean(word, WORD)} {count:,}")
    if others := sum(count for _, count in ranked[TOP:]):
        yield Text(f"others {others:,}", "dim")


def flowed(parts: Iterable[Text], width: int, gap: str = "  ") -> list[Text]:
    """Arrange parts side by side on as many lines as needed; none is broken, and one that is too long is cut."""
    lines: list[Text] = []
    for part in parts:
        part.truncate(width, overflow="ellipsis")
        if lines and lines[-1].cell_len + len(gap) + part.cell_len <= width:
            lines[-1].append(gap).append_text(part)
        else:
            lines.append(part)
    return lines
