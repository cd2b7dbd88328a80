"""The page: whole, self-contained, and deaf to markup in whatever others wrote."""

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bulksync.ledger.line import NotDone
from bulksync.report.charts import sliced
from bulksync.report.grouping import Group
from bulksync.report.page import (
    MEANINGS,
    MOST_GROUPS,
    MOST_WORDS,
    Facts,
    Share,
    hashed,
    listed,
    mood,
    part,
    rendered,
    share_of,
    when,
    with_rest,
    write_page,
)
from bulksync.report.schema import Summary
from tests.support.pages import FACTS, HARM, NOON, ROWS, SUMMARY, VALUES, harmed, summary_with
from tests.support.program import WORKFLOW, execution

NOTHING = Facts(report="", ledger="", steps={}, latencies=[], slices=sliced([]), errors=[], rows=[])

EMPTY = frozenset({"meta", "input", "col"})
"""Elements without an end (HTML standard, 13.1.2) that the page has."""


@dataclass(slots=True)
class Page(HTMLParser):
    """A page as a browser takes it apart: its tags, its tables by the id that names them, and each section's text."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    table: str = ""
    section: str = "top"

    def __post_init__(self) -> None:
        HTMLParser.__init__(self, convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag into account."""
        about = dict(attrs)
        self.tags.append((tag, about))
        if tag not in EMPTY:
            self.open.append(tag)
        if tag in ("section", "footer"):
            self.section = about.get("aria-labelledby") or tag
        if tag == "table":
            self.table = about.get("aria-labelledby") or f"{self.section} numbers"
            self.tables[self.table] = []
        if tag == "tr":
            self.tables[self.table].append([])
        if tag in ("th", "td"):
            self.tables[self.table][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag that ends at once into account; only SVG has any."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """See that tags are closed in the order they were opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take a text to its cell, its section and its tag."""
        if {"th", "td"} & set(self.open):
            self.tables[self.table][-1][-1] += data
        elif self.open and self.open[-1] not in ("script", "style", "html", "body"):
            self.said[self.section] = " ".join(f"{self.said.get(self.section, '')} {data}".split())


def page_of(summary: Summary, facts: Facts) -> Page:
    """Render a page and take it apart; every tag in it is closed."""
    page = Page()
    page.feed(rendered(summary, facts))
    page.close()
    assert page.open == []
    return page


def test_the_headline_says_what_came_of_the_run() -> None:
    """Input, run, exit code, why it stopped, what to do next, the key figures, target, times and files."""
    assert page_of(SUMMARY, FACTS).said["top"] == (
        "rows.csv: bulksync run 20231114T120000Z-ab12 To the outcomes bulksync run 20231114T120000Z-ab12 rows.csv "
        "exit 130 stopped by a signal Why: stopped by SIGINT "
        "Next to resume, run the same command: bulksync run rows.csv "
        "Rows 6 Done 3 50.0 % of all Requests 7 2 retries, 1 answered 429 Rate 2/s of 10/s "
        "Time sending 4.0s 1 pause, 1.0s "
        "Sent to https://api.invalid Started 2023-11-14 12:00:00 UTC Ended 2023-11-14 12:00:05 UTC "
        "Report rows.csv.report.csv Ledger rows.csv.report.csv.ledger"
    )


def test_every_number_stands_in_a_table() -> None:
    """Outcomes, dispositions, times, errors and rows are tables, those behind the pictures too."""
    tables = page_of(SUMMARY, FACTS).tables
    again = {outcome: list(MEANINGS[outcome]) for outcome in MEANINGS}
    assert tables == {
        "outcomes": [
            ["Outcome", "Rows", "Share", "Meaning", "Sent again by the next run"],
            ["updated", "3", "50.0 %", *again["updated"]],
            ["rejected", "2", "33.3 %", *again["rejected"]],
            ["unsent", "1", "16.7 %", *again["unsent"]],
        ],
        "execution-dispositions": [
            ["Disposition", "Count", "Share", ""],
            ["VOICEMAIL", "2", "66.7 %", ""],
            ["(none)", "1", "33.3 %", ""],
        ],
        "step-dispositions": [
            ["Disposition", "Count", "Share", ""],
            ["VOICEMAIL", "2", "66.7 %", ""],
            ["SENT", "1", "33.3 %", ""],
        ],
        "time numbers": [
            ["From (UTC)", "acknowledged", "answered 429", "other answers, or none"],
            ["12:00:00", "1", "1", "2"],
            ["12:00:01", "2", "0", "0"],
        ],
        "latency numbers": [["Latency", "Answers"], ["10 ms", "3"], ["13 ms", "2"]],
        "went": [
            ["Cause", "Set by", "Time", "Share"],
            ["waiting for a turn", "the quota, --rate", "3.0s", "75.0 %"],
            ["paused", "the server asked for it, or was unreachable", "1.0s", "25.0 %"],
        ],
        "errors": [
            ["Rows", "Error", "What was said", "First row", "Line"],
            ["2", "http_404", "no execution …", "2", "3"],
            ["1", "interrupted", "stopped by SIGINT", "6", "7"],
        ],
        "rows": [
            ["Row", "Line", "Outcome", "Error", "Detail", "Execution", "Status asked", "HTTP", "Attempts"],
            ["2", "3", "rejected", "http_404", "no execution 2", execution(2), "COMPLETED", "404", "1"],
            ["5", "6", "rejected", "http_404", "no execution 5", execution(5), "", "404", "3"],
            ["6", "7", "unsent", "interrupted", "stopped by SIGINT", execution(6), "PAUSED", "", "0"],
        ],
    }


def test_the_sections_say_what_they_show() -> None:
    """Each picture says what it counts, since when, and in which unit."""
    said = page_of(SUMMARY, FACTS).said
    assert said["time"].startswith(
        "Over time Requests by their answer per second, in slices of 1 s, times in UTC; the quota is 10/s. "
        "From the last call of bulksync on this run."
    )
    assert said["latency"].startswith("Latency Answers by milliseconds: the last one to each of 5 rows.")
    assert "p50 10 ms p95 13 ms p99 13 ms slowest 13 ms" in said["latency"]
    assert said["rows"].startswith(f"Rows not done All 3. The workflow is {WORKFLOW} . Search Outcome any")


def test_where_to_find_what() -> None:
    """One main part with labelled sections; columns have a scope; pictures have a text, or are hidden from readers."""
    tags = page_of(SUMMARY, FACTS).tags
    ids = [about["id"] for _, about in tags if "id" in about]
    assert len(ids) == len(set(ids))
    named = {about["aria-labelledby"] for _, about in tags if "aria-labelledby" in about}
    assert named <= set(ids)
    counted = [tag for tag, _ in tags]
    assert [counted.count(tag) for tag in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    assert all(about.get("scope") in ("col", "row") for tag, about in tags if tag == "th")
    assert all({"aria-hidden", "aria-label"} & about.keys() for tag, about in tags if tag == "svg")


def test_a_run_of_several_workflows_names_them() -> None:
    """The rows have a column of workflows only where there are several."""
    other = ROWS[0]._replace(row=7, line=8, workflow=execution(99))
    rows = page_of(SUMMARY, replace(FACTS, rows=(*ROWS, other))).tables["rows"]
    assert [row[-1] for row in rows] == ["Workflow", WORKFLOW, WORKFLOW, WORKFLOW, execution(99)]


def test_what_is_cut_says_so() -> None:
    """Too many rows, errors or dispositions are cut, and the page says of how many."""
    summary = summary_with(
        rows=5_003,
        outcomes={"updated": 3, "unsent": 5_000},
        dispositions={f"D{n}": 30 - n for n in range(25)},
    )
    groups = [Group(f"http_{code}", "", 1, code, code) for code in range(400, 400 + MOST_GROUPS + 7)]
    page = page_of(summary, replace(FACTS, errors=groups))
    assert page.said["rows"].startswith(
        "Rows not done Cut: 3 of 5,000 rows, failed ones before those never sent; the report has them all."
    )
    assert page.said["errors"].endswith("The 50 most frequent of 57.")
    assert len(page.tables["errors"]) == MOST_GROUPS + 1
    assert page.tables["execution-dispositions"][-1] == ["… 5 others", "40", "8.9 %", ""]
    assert len(page.tables["execution-dispositions"]) == MOST_WORDS + 2


def killed() -> tuple[Summary, Facts]:
    """Return what is known of a run that was killed: no measurements, and rows by the time they were finished."""
    names = ("run", "input", "target", "rows", "started", "ended", "outcomes", "httpStatuses", "dispositions", "errors")
    summary = {name: VALUES[name] for name in names}
    summary |= {
        "stopped": "the run was killed",
        "exitCode": None,
        "nextStep": "to resume, run the same command as before",
    }
    return Summary.model_validate(summary), replace(FACTS, slices=sliced([(NOON, 5), (NOON + 2, 1)]))


def test_a_run_that_was_killed_has_a_page() -> None:
    """What was not measured is not shown, and the page says why."""
    page = page_of(*killed())
    assert "no exit code killed before it could end Why: the run was killed Next to resume, run" in page.said["top"]
    assert "Rows 6 Done 3 50.0 % of all Sent to" in page.said["top"]
    assert page.said["time"].startswith(
        "Over time Rows finished per second, in slices of 1 s, times in UTC. "
        "Without repeats and 429s: the run was killed before it could write those down."
    )
    assert page.tables["time numbers"] == [
        ["From (UTC)", "rows finished"],
        ["12:00:00", "5"],
        ["12:00:01", "0"],
        ["12:00:02", "1"],
    ]
    assert page.said["went"] == "Where the time went Not known: see above."


def test_a_run_that_sent_nothing_has_a_page() -> None:
    """An input that was refused is all errors, and the rest says that nothing was sent."""
    row = NotDone(1, 2, "w", "5.5E+11", "A", "invalid", None, 0, "id_invalid", "no UUID")
    summary = summary_with(rows=1, outcomes={"invalid": 1}, dispositions={}, requests=0, exitCode=7)
    facts = replace(NOTHING, errors=[Group("id_invalid", "no UUID", 1, 1, 2)], rows=[row])
    page = page_of(summary, facts)
    assert {name: page.said[name] for name in ("dispositions", "time", "latency", "went", "errors")} == {
        "dispositions": "Dispositions In the server's own words, as it answered each update. "
        "Executions No update was acknowledged. Steps No step has a disposition.",
        "time": "Over time Nothing was sent.",
        "latency": "Latency No answer came.",
        "went": "Where the time went Nothing was sent.",
        "errors": "Errors Errors that differ only in IDs or numbers (…) are grouped.",
    }
    assert set(page.tables) == {"outcomes", "errors", "rows"}


def test_a_run_without_rows_or_left_rows_has_a_page() -> None:
    """Nothing to do is well too."""
    none = page_of(summary_with(rows=0, outcomes={}, dispositions={}, requests=0), NOTHING)
    assert none.said["outcomes"] == "Outcomes The input has no rows."
    done = {"rows": 3, "outcomes": {"updated": 3}, "errors": {}, "exitCode": 0, "stopped": "", "nextStep": ""}
    page = page_of(summary_with(**done), replace(FACTS, errors=[], rows=[]))
    assert (page.said["errors"], page.said["rows"]) == ("Errors None.", "Rows not done None: every row is done.")
    assert "exit 0 all rows are done Rows 3" in page.said["top"]


MOVED = [{"from": "VOICEMAIL", "to": "", "count": 1_200}, {"from": "", "to": "WARM_TRANSFER", "count": 3}]


def test_what_moved_has_a_section() -> None:
    """Where dispositions moved, a section after theirs says from which to which; no disposition is `none`."""
    page = page_of(summary_with(moved=MOVED), FACTS)
    assert page.said["moved"] == (
        "Dispositions that moved "
        "Executions whose disposition is another one than in an earlier run, the most frequent moves."
    )
    assert page.tables["moved"] == [
        ["From", "To", "Count", ""],
        ["VOICEMAIL", "none", "1,200", ""],
        ["none", "WARM_TRANSFER", "3", ""],
    ]
    assert list(page.said).index("moved") == list(page.said).index("dispositions") + 1


def test_advice_stands_where_the_time_went() -> None:
    """The sentence of advice is the first thing said of where the time went."""
    said = page_of(summary_with(advice="75 % limited by --rate"), FACTS).said["went"]
    assert said == "Where the time went 75 % limited by --rate What kept the next request from starting."


@pytest.mark.parametrize("more", [{}, {"moved": [], "advice": ""}])
def test_nothing_moved_and_no_advice(more: dict[str, Any]) -> None:
    """Without them, as in summaries of older versions, the page has no section and no sentence of theirs."""
    page = page_of(summary_with(**more), FACTS)
    assert ("moved" in page.said, "moved" in page.tables) == (False, False)
    assert page.said["went"] == "Where the time went What kept the next request from starting."


HIDDEN = "a\u202eb\u2066c\x1b[31md\x00e\u200bf\ud800"
"""Bidi, ANSI and control characters, and half a surrogate pair."""


def test_markup_of_others_stays_text() -> None:
    """Whatever stands in a text, the page has the same tags, and the text is read as it was written."""
    plain, harmful = page_of(*harmed("harmless")), page_of(*harmed(HARM))
    assert [tag for tag, _ in harmful.tags] == [tag for tag, _ in plain.tags]
    assert [set(about) for _, about in harmful.tags] == [set(about) for _, about in plain.tags]
    assert harmful.tables["rows"][1] == ["1", "2", "rejected", HARM, HARM, HARM, HARM, "404", "1", HARM]
    assert harmful.tables["moved"][1] == [HARM, HARM, "1", ""]
    assert harmful.said["top"] == plain.said["top"].replace("harmless", HARM)


def test_hidden_characters_of_others_are_gone() -> None:
    """Bidi, ANSI and control characters of others do not reach the page."""
    assert page_of(*harmed(HIDDEN)).tables["rows"][1][4] == "abcdef"
    text = rendered(*harmed(HIDDEN))
    assert [character for character in text if not (character.isprintable() or character == "\n")] == []


def test_the_page_needs_nothing_else() -> None:
    """It names no other address, has no inline handler, and its policy allows its own style and script only."""
    page = page_of(SUMMARY, FACTS)
    names = {name for _, about in page.tags for name in about}
    assert {name for name in names if name in ("src", "style", "action", "srcset") or name.startswith("on")} == set()
    assert {about["href"] for _, about in page.tags if "href" in about} <= {"#outcomes", "#rows"}
    (policy,) = (about["content"] for _, about in page.tags if about.get("http-equiv") == "Content-Security-Policy")
    assert policy == (
        f"default-src 'none'; style-src {hashed(part('page.css'))}; script-src {hashed(part('page.js'))}; "
        "base-uri 'none'; form-action 'none'"
    )
    text = rendered(SUMMARY, FACTS)
    assert re.findall(r"<style>(.*?)</style>", text, re.DOTALL) == [part("page.css")]
    assert re.findall(r"<script>(.*?)</script>", text, re.DOTALL) == [part("page.js")]
    assert re.findall(r"url\(|@import|fetch\(|XMLHttp", text) == []


def test_a_hash_is_what_browsers_reckon() -> None:
    """The example of CSP level 3, section 8.4.2, has this hash."""
    assert hashed("alert('Hello, world.');") == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"


def test_the_page_is_a_private_file(tmp_path: Path) -> None:
    """It is written like every file of ours, and the same values make the same page."""
    path = tmp_path / "page.html"
    write_page(path, SUMMARY, FACTS)
    assert path.read_text(encoding="utf-8") == rendered(SUMMARY, FACTS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0004, "< 0.1 %"), (0.25, "25.0 %"), (0.999, "99.9 %"), (0.9996, "> 99.9 %"), (1, "100 %")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float, text: str) -> None:
    """0 % means none, and 100 % all."""
    assert share_of(share) == text


def test_times_for_people() -> None:
    """Moments are in UTC."""
    assert when(datetime(2023, 11, 14, 12, 0, 0, 123_000, UTC)) == "2023-11-14 12:00:00 UTC"


def test_how_good_an_ending_is() -> None:
    """Rows to mend or to send are fair; stops, and a kill, are bad."""
    assert {code: mood(code) for code in (0, 3, 4, 10, 5, 130, None)} == {
        0: "good", 3: "fair", 4: "fair", 10: "fair", 5: "bad", 130: "bad", None: "bad",
    }  # fmt: skip


def test_counts_of_words() -> None:
    """Rows without a disposition are counted where there are any, and the rare words together."""
    assert with_rest({"A": 2, "B": 1}, 5) == {"A": 2, "(none)": 2, "B": 1}
    assert with_rest({"A": 2}, 2) == {"A": 2}
    assert listed({"A": 3, "B": 1}) == [Share("A", 3, 0.75), Share("B", 1, 0.25)]
    assert listed({}) == []


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2, "relative luminance")."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_and_pictures_stand_out(theme: int) -> None:
    """In each theme text has a contrast of 4.5 to 1, also on the soft ground, and a colour that tells something 3 to 1.

    WCAG 2.2, 1.4.3 and 1.4.11. The bar for `unchanged` and the last one of a histogram are named beside them.
    """
    block = part("page.css").split(":root {")[theme + 1].split("}")[0]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    grounds = ("page", "soft")
    texts = ("text", "muted", "link", "good", "fair", "bad")
    told = ("updated", "rejected", "invalid", "failed", "unknown", "unsent", "plain")
    assert {
        (name, ground)
        for names, least in ((texts, 4.5), (told, 3.0))
        for name in names
        for ground in grounds
        if contrast(colours[name], colours[ground]) < least
    } == set()
