"""The HTML report of a run: one file that loads nothing and escapes all data."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from bulksync.ledger.line import NotDone
from bulksync.options.values import show_rate
from bulksync.report.atomic import written
from bulksync.report.charts import BOTTOM, LEFT, Chart, Slices, clock, histogram, number, over_time, percentile
from bulksync.report.grouping import Group
from bulksync.report.schema import Summary, iso
from bulksync.text import clean, counted, spell

MOST_ROWS = 3_000
"""Maximum number of rows listed: as many as a browser searches and sorts without a pause."""

MOST_WORDS = 20
"""Maximum number of dispositions listed one by one."""

MOST_GROUPS = 50
"""Maximum number of error groups listed."""

LONGEST = 2_000
"""Maximum number of characters shown of any text."""

MEANINGS = {
    "updated": ("acknowledged by the server and recorded", "no"),
    "fetched": ("read as the server holds it", "no"),
    "unchanged": ("not sent: the same payload is the last one acknowledged", "no"),
    "rejected": ("refused by the server for good", "with --retry-rejected"),
    "invalid": ("failed validation, never sent", "no: fix the row"),
    "failed": ("gave up: not processed, so far as the answers say", "yes"),
    "unknown": ("sent, and may or may not have been applied", "yes"),
    "unsent": ("the run ended before its turn", "yes"),
}
"""What each outcome means, and whether the next run of the same input sends such a row again."""

VERDICTS = {
    None: "killed before it could end",
    0: "all rows are done",
    1: "a fault of bulksync",
    3: "finished; some rows were rejected or are invalid",
    4: "finished; some rows failed or are unknown",
    5: "stopped: the key, the address or TLS was refused",
    6: "stopped: the server was unreachable, or does not speak this API",
    7: "stopped: the input cannot be used",
    8: "stopped: the ledger or the report could not be written",
    10: "stopped at a limit that was set",
    12: "stopped: too many rows were not updated",
}
"""What an exit code says about a run."""

WENT = {
    "rate": ("waiting for a turn", "the quota, --rate"),
    "hold": ("paused", "the server asked for it, or was unreachable"),
    "server": ("waiting for answers", "every slot in flight, --max-in-flight"),
    "retry": ("rows backing off", "nothing else was left to send"),
}
"""What each cause of waiting is, and what determines it."""

KINDS = {
    "acknowledged": "acknowledged",
    "throttled": "answered 429",
    "other": "other answers, or none",
    "finished": "rows finished",
}
"""What is counted over time."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a page shows besides a run's summary.

    *report* and *ledger* are paths, empty if there is none; *steps* counts step dispositions; *latencies* are
    (milliseconds, rows) in ascending order; *slices* counts answers, or finished rows, over time.
    """

    report: str
    ledger: str
    steps: Mapping[str, int]
    latencies: Sequence[tuple[int, int]]
    slices: Slices
    errors: Sequence[Group]
    rows: Sequence[NotDone]


@dataclass(frozen=True, slots=True)
class Share:
    """One line of a table of counts: what, how many, and its share of the whole, from 0 to 1."""

    word: str
    count: int
    share: float


def write_page(path: Path, summary: Summary, facts: Facts) -> None:
    """Write the page of a run. Raises StorageError if that fails."""
    text = rendered(summary, facts)
    with written(path, "page") as file:
        file.write(text)


def rendered(summary: Summary, facts: Facts) -> str:
    """Return the page of a run as HTML."""
    # Only here, as few runs write a page.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=shown, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "count": "{:,}".format,
        "share": share_of,
        "when": when,
        "iso": iso,
        "rate": show_rate,
        "spell": spell,
        "counted": counted,
        "number": number,
    }
    style, script = part("page.css"), part("page.js")
    return environment.from_string(part("page.html")).render(
        told(summary, facts),
        style=style,
        script=script,
        policy=f"default-src 'none'; style-src {hashed(style)}; script-src {hashed(script)}; base-uri 'none'; "
        "form-action 'none'",
    )


def shown(value: object) -> object:
    """Return a value made safe for the page, without control, ANSI and bidi characters; markup is kept."""
    return clean(value, LONGEST) if isinstance(value, str) and not hasattr(value, "__html__") else value


def part(name: str) -> str:
    """Return the text of a resource file in this folder."""
    return files("bulksync.report").joinpath(name).read_text(encoding="utf-8")


def hashed(text: str) -> str:
    """Return the CSP source expression that allows exactly this inline text (CSP level 3, 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def told(summary: Summary, facts: Facts) -> dict[str, Any]:
    """Return the values for the page's template."""
    outcomes = summary.outcomes
    shown_outcomes = shares({outcome: outcomes[outcome] for outcome in MEANINGS if outcome in outcomes})
    went = shares_went(summary)
    not_done = sum(count for outcome, count in outcomes.items() if outcome not in ("updated", "fetched", "unchanged"))
    return {
        "left": LEFT,
        "bottom": BOTTOM,
        "summary": summary,
        "facts": facts,
        "verdict": VERDICTS.get(summary.exit_code, "stopped by a signal"),
        "mood": mood(summary.exit_code),
        "measured": summary.requests > 0,
        "outcomes": shown_outcomes,
        "outcome_parts": [(one.word, one.share) for one in shown_outcomes],
        "meanings": MEANINGS,
        "dispositions": listed(
            with_rest(summary.dispositions, outcomes.get("updated", 0) + outcomes.get("fetched", 0))
        ),
        "steps": listed(facts.steps),
        "moved": summary.moved,
        "over_time": over_time(facts.slices, summary.rate) if facts.slices.used else None,
        "measured_over_time": "acknowledged" in facts.slices.counts,
        "kinds": KINDS,
        "slices": list(sliced_rows(facts.slices)),
        "latency": latency(facts.latencies),
        "went": went,
        "went_parts": [(cause, share) for cause, share, _ in went],
        "went_meanings": WENT,
        "groups": facts.errors[:MOST_GROUPS],
        "more_groups": len(facts.errors) - MOST_GROUPS,
        "not_done": not_done,
        "row_outcomes": [outcome for outcome in MEANINGS if any(row.outcome == outcome for row in facts.rows)],
        "row_errors": sorted({row.error for row in facts.rows if row.error}),
        "row_workflows": {row.workflow for row in facts.rows},
    }


def mood(code: int | None) -> str:
    """Return how good a result is: `good`, `fair` if rows are left to fix or to send, `bad` after a stop."""
    return "good" if code == 0 else "fair" if code in (3, 4, 10) else "bad"


def shares(counts: Mapping[str, int], whole: int = 0) -> list[Share]:
    """Return counts with their shares of *whole*, by default of their total."""
    whole = whole or sum(counts.values())
    return [Share(word, count, count / whole) for word, count in counts.items()]


def listed(counts: Mapping[str, int]) -> list[Share]:
    """Return the most frequent words one by one, and the rest as one line."""
    words = list(counts.items())
    shown, rest = dict(words[:MOST_WORDS]), words[MOST_WORDS:]
    if rest:
        shown[f"… {len(rest):,} others"] = sum(count for _, count in rest)
    return shares(shown)


def with_rest(dispositions: Mapping[str, int], updated: int) -> dict[str, int]:
    """Add the acknowledged rows without a disposition as `(none)`; return the counts, largest first."""
    rest = updated - sum(dispositions.values())
    counts = dict(dispositions) | ({"(none)": rest} if rest > 0 else {})
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def shares_went(summary: Summary) -> list[tuple[str, float, float]]:
    """Return cause, share and seconds of what kept requests waiting; none if nothing was sent."""
    if not summary.requests:
        return []
    return [(cause, share, share * summary.elapsed_seconds) for cause, share in summary.time_went if share]


def latency(latencies: Sequence[tuple[int, int]]) -> dict[str, Any] | None:
    """Return the latency chart with its percentiles marked; None without an answer."""
    if not latencies:
        return None
    marks = [(f"p{percent}", percentile(latencies, percent / 100)) for percent in (50, 95, 99)]
    chart: Chart = histogram(latencies, marks)
    return {"chart": chart, "marks": marks, "most": latencies[-1][0], "answers": sum(n for _, n in latencies)}


def sliced_rows(slices: Slices) -> Iterable[tuple[str, list[int]]]:
    """Yield the rows of the table behind the chart over time: the start of a slice, and its counts."""
    for index in range(slices.used):
        yield clock(slices.start + index * slices.width), [counts[index] for counts in slices.counts.values()]


def share_of(share: float) -> str:
    """Format a share so that 0 % means none and 100 % all."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{share * 100:.0f} %" if share in (0, 1) else f"{share * 100:.1f} %"


def when(moment: datetime) -> str:
    """Format a time for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
