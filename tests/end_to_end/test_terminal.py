"""What a person sees who runs the program at a terminal: a real one, but for who reads it."""

import io
import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from anyio import to_thread

from bulksync.console.terminal import Terminal, rows_taken
from bulksync.sandbox.server import Settings, serve
from tests.support.program import execution, rows_of, write_rows
from tests.support.terminals import Seat, masked, seated

REPORT = "rows.csv.report.csv"
RUN = ("run", "rows.csv", "--sandbox", "--rate", "20/s")
BRIEF = ("run", "rows.csv", "--sandbox", "--rate", "60/s")
FAST = ("run", "rows.csv", "--sandbox", "--rate", "unlimited")

COLOUR = re.compile(rb"\x1b\[[\d;]*m")
MOVE = re.compile(rb"\x1b\[\d*[A-H]|\x1b\[\??\d*[JKhl]")

SENT = "bulksync: columns sent: workflowId 30, executionId 30, status 30, metadata 30; only echoed: none"
COLUMNS = "bulksync: columns sent: workflowId N, executionId N, status N, metadata N; only echoed: none"
SENDING = "bulksync: sending N rows to sandbox at N/s, about N"
BAR = "N %  N of N rows  ━  N to go"
WORK = "N/s of N/s  N in flight  updated N"
WAITING = "waiting N more, until N: the server answers N, giving up at N"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an input of thirty rows: one and a half seconds of watching."""
    write_rows(tmp_path / "rows.csv", range(30))
    return tmp_path


def is_over(seat: Seat) -> bool:
    """Whether nothing is left of the live lines, and the cursor can be seen where the shell goes on."""
    return not any("to go" in line or "N in flight" in line for line in masked(seat.lines)) and seat.shows_cursor


# While it runs


@pytest.mark.parametrize(
    ("columns", "head", "dispositions"),
    [
        (120, [SENDING, BAR, WORK], 1),
        (40, ["bulksync: sending N rows to sandbox at", "N/s, about N", "N %  N of N rows  N to go", WORK], 9),
        (20, ["bulksync: sending N", " rows to sandbox at", "N/s, about N", "N %  N of N rows", "N to go"], 99),
    ],
)
def test_a_run_at_a_terminal(columns: int, head: list[str], dispositions: int, folder: Path) -> None:
    """How far, how fast, how long still, what became of rows and what the server said; nothing of it stays."""
    first = [SENT[at : at + columns].rstrip() for at in range(0, len(SENT), columns)]
    head = masked(first) + head
    with seated(*RUN, folder=folder, columns=columns) as seat:
        seat.until(lambda lines: masked(lines)[: len(head)] == head and 0 < len(lines) - len(head) <= dispositions)
        assert any("WARM_TRANSFER" in line for line in seat.until_word("WARM_TRANSFER")[len(head) :])
        assert seat.done() == 0
        assert is_over(seat)
        assert b"\x1b[?25l" not in seat.written


def test_the_closing_table(folder: Path) -> None:
    """Outcomes, requests, where the time went, what the server said, and where to look."""
    with seated(*RUN, folder=folder) as seat:
        assert seat.done() == 0
        assert [line for line in masked(seat.lines) if not line.startswith(" ")] == [
            COLUMNS,
            SENDING,
            "input  rows.csv, N rows",
            "outcomes  updated  N  N %",
            "sent  N requests, N/s of N/s, latency pN N ms, pN N ms",
            "time  N % limited by --rate; at N/s this takes N instead of N",
            "dispositions  WARM_TRANSFER  N  N %",
            "report  rows.csv.report.csv",
            "ledger  rows.csv.report.csv.ledger",
        ]


def test_a_narrow_terminal_gets_lines(folder: Path) -> None:
    """Below sixty columns the end is said in the lines that a file gets."""
    with seated(*FAST, folder=folder, columns=59) as seat:
        assert seat.done() == 0
        assert "bulksync: rows.csv: 30 rows, updated 30" in seat.lines


def test_resized(folder: Path) -> None:
    """Made narrower and wider again, the live lines fit each time, and stand there once."""
    write_rows(folder / "rows.csv", range(400))
    with seated(*RUN, folder=folder) as seat:
        seat.until_word("to go")
        seat.resize(40, 30)
        seat.until(lambda lines: [line for line in masked(lines) if "to go" in line] == ["N %  N of N rows  N to go"])
        seat.resize(100, 30)
        seat.until(lambda lines: [line for line in masked(lines) if "to go" in line] == [BAR])
        seat.press(b"\x03")
        assert seat.done() == 130
        assert is_over(seat)


def test_a_terminal_lower_than_the_live_lines(folder: Path) -> None:
    """What has no room is left out, whatever LINES says, and what stands above is not touched again and again."""
    write_rows(folder / "rows.csv", range(400))
    with seated(*RUN, folder=folder, lines=3, variables={"LINES": "24"}) as seat:
        seat.until(lambda lines: masked(lines)[-2:] == [BAR, WORK])
        seat.press(b"\x03")
        assert seat.done() == 130
        assert is_over(seat)


async def test_what_is_said_meanwhile_stands_above(folder: Path) -> None:
    """A retry and a hold are said above the live lines, which say how long the hold lasts and why."""
    write_rows(folder / "rows.csv", range(8))
    script: dict[str, list[str | int]] = {execution(3): ["server_error"], execution(5): ["unavailable_retry_after"]}
    async with serve(Settings(script=script)) as sandbox:
        call = ("run", "rows.csv", "--base-url", sandbox.url, "--rate", "5/s", "--quota", "own", "-v")
        with seated(*call, folder=folder) as seat:
            await to_thread.run_sync(seat.until_word, "again in")
            seen = await to_thread.run_sync(seat.until, lambda lines: masked(lines[-1:]) == [WAITING])
            said = [line for line in seen if line.startswith("bulksync: ")]
            assert seen[: len(said)] == said
            assert sum("to go" in line for line in seen) == 1
            assert await to_thread.run_sync(seat.done) == 0
            kept = [line for line in seat.lines if line.startswith("bulksync: ")]
            after = next(number for number, line in enumerate(kept, 1) if line.startswith("bulksync: sending"))
            assert masked(kept[after : after + 2]) == [
                "bulksync: row N (line N): http_N; attempt N, again in N",
                "bulksync: waiting N, until N: the server answers N",
            ]
            assert is_over(seat)


def test_nothing_is_shown_before_there_is_something(tmp_path: Path) -> None:
    """While a large input is read it is said what is done, and for how long."""
    write_rows(tmp_path / "rows.csv", range(60_000))
    with seated(*RUN, "--limit", 1, folder=tmp_path) as seat:
        seat.until(lambda lines: masked(lines) == ["reading rows.csv, nothing is sent yet, for N"])
        assert seat.done() == 10


# Who asked for it


def test_no_colour(folder: Path) -> None:
    """With NO_COLOR set nothing is coloured, bold or dim; without, it is."""
    with seated(*RUN, folder=folder, variables={"NO_COLOR": "1"}) as seat:
        seat.until(lambda lines: masked(lines[2:3]) == [BAR])
        assert seat.done() == 0
        assert COLOUR.search(seat.written) is None
    with seated(*BRIEF, "--restart", folder=folder) as seat:
        assert seat.done() == 0
        assert COLOUR.search(seat.written)


PLAIN = [
    COLUMNS,
    SENDING,
    "bulksync: N of N rows (N %), N/s of N/s, N in flight, N to go, updated N",
    "bulksync: rows.csv: N rows, updated N",
]
STATED = ("run", "rows.csv", "--sandbox", "--rate", "40/s", "--stats", "400ms")


def kinds(lines: list[str]) -> list[str]:
    """Return masked lines, each once: how many lines of progress there are is a matter of how busy the machine is."""
    return list(dict.fromkeys(masked(lines)))


@pytest.mark.parametrize(("more", "term"), [((), "dumb"), ((), ""), (("--no-progress",), "xterm")])
def test_lines_instead(more: tuple[str, ...], term: str, folder: Path) -> None:
    """A terminal that cannot move its cursor, or a user who does not want that, gets a line every --stats."""
    with seated(*STATED, *more, folder=folder, variables={"TERM": term}) as seat:
        assert seat.done() == 0
        assert MOVE.search(seat.written) is None
        seen = kinds(seat.lines)
        assert seen[:3] == PLAIN[:3]
        assert (seen[3] == PLAIN[3]) is (term != "xterm")


@pytest.mark.parametrize(
    ("more", "live"),
    [
        (["--quiet"], False),
        (["--quiet", "--progress"], True),
        (["--log-format", "json"], False),
        (["--log-format", "json", "--progress"], True),
        (["--output", "-"], False),
    ],
)
def test_live_lines_by_default_and_on_demand(more: list[str], live: bool, folder: Path) -> None:
    """Quiet and JSON have none unless asked for, and none is drawn into a report."""
    with seated(*BRIEF, *more, folder=folder) as seat:
        assert seat.done() == 0
        assert bool(MOVE.search(seat.written)) is live


def test_quiet_with_live_lines_leaves_nothing(folder: Path) -> None:
    """They are shown while it runs; all is well, so nothing is said."""
    with seated(*RUN, "--quiet", "--progress", folder=folder) as seat:
        seat.until(lambda lines: masked(lines[:2]) == [BAR, WORK])
        assert (seat.done(), seat.lines) == (0, [])


# Other places for stderr


def test_stderr_to_a_file(folder: Path) -> None:
    """A file gets lines and no escape sequence, though a terminal is there; not even with --progress."""
    with seated(*STATED, "--progress", folder=folder, through="exec {} 2>said") as seat:
        assert (seat.done(), seat.written) == (0, b"")
    said = (folder / "said").read_text().splitlines()
    assert kinds(said)[:4] == PLAIN
    assert "\x1b" not in "".join(said)


def test_a_reader_who_has_seen_enough(folder: Path) -> None:
    """`2>&1 | head -n 1` shows the first line, and every row is sent."""
    with seated(*BRIEF, folder=folder, through="{{ {}; echo $? >code; }} 2>&1 | head -n 1") as seat:
        assert seat.done() == 0
        assert masked(seat.lines) == [COLUMNS]
    assert ((folder / "code").read_text(), len(rows_of(folder / REPORT))) == ("0\n", 30)


def test_stderr_closed(folder: Path) -> None:
    """Nothing is said, and every row is sent."""
    with seated(*FAST, "--progress", folder=folder, through="exec {} 2>&-") as seat:
        assert (seat.done(), seat.written) == (0, b"")
    assert {row["outcome"] for row in rows_of(folder / REPORT)} == {"updated"}


def test_json_above_live_lines(folder: Path) -> None:
    """With both asked for, every event is a line of its own, whole."""
    with seated(*BRIEF, "--log-format", "json", "--progress", folder=folder, columns=2_000) as seat:
        assert seat.done() == 0
        assert [json.loads(line)["event"] for line in seat.lines] == ["columns", "sending", "ended"]


# However it ends


@pytest.mark.parametrize("presses", [1, 2])
async def test_ctrl_c(presses: int, tmp_path: Path) -> None:
    """The first lets requests finish, the second cancels them; either leaves the terminal as it was."""
    write_rows(tmp_path / "rows.csv", range(40))
    script = {execution(number): ["hang"] if presses == 2 else ["ok"] for number in range(3, 40)}
    async with serve(Settings(script=script)) as sandbox:
        call = ("run", "rows.csv", "--base-url", sandbox.url, "--rate", "10/s", "--max-in-flight", 4)
        with seated(*call, folder=tmp_path) as seat:
            await to_thread.run_sync(seat.until_word, "to go", "4 in flight" if presses == 2 else "in flight")
            seat.press(b"\x03")
            if presses == 2:
                await to_thread.run_sync(seat.until_word, "stopping: stopped by SIGINT")
                seat.press(b"\x03")
            assert await to_thread.run_sync(seat.done) == 130
            assert is_over(seat)
            assert "stopped       stopped by SIGINT" in seat.lines
            assert ("unknown" in " ".join(seat.lines)) is (presses == 2)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_any_other_end(number: signal.Signals, folder: Path) -> None:
    """Even a kill leaves the cursor to be seen, on a line of its own."""
    with seated(*RUN, folder=folder) as seat:
        seat.until_word("to go")
        seat.process.send_signal(number)
        assert seat.done() == (-9 if number is signal.SIGKILL else 128 + number)
        assert seat.shows_cursor


def test_three_at_once(folder: Path) -> None:
    """The third signal leaves at once; what was drawn stands there, and the cursor below it."""
    with seated(*RUN, folder=folder) as seat:
        seat.until_word("to go")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            seat.process.send_signal(number)
        # one that comes when all is written and the run has ended finds nobody who listens: 128 more, as the shell says
        assert seat.done() in (129, 130, 143, -signal.SIGTERM, -signal.SIGHUP)
        assert seat.shows_cursor


# Its parts


@pytest.mark.parametrize(("widths", "columns", "rows"), [([], 80, 0), ([80, 0, 10], 80, 3), ([80, 81, 10], 40, 6)])
def test_rows_of_lines_that_were_drawn(widths: list[int], columns: int, rows: int) -> None:
    """A terminal made narrower breaks what was drawn before: it takes more rows then."""
    assert rows_taken(widths, columns) == rows


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Terminal, list[str]]]:
    """Return what makes a terminal of 80 columns, and the list of what is written there."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    written: list[str] = []
    return lambda: (Terminal(written.append), written)


def test_nothing_is_drawn_that_was_not_asked_for(terminal: Callable[[], tuple[Terminal, list[str]]]) -> None:
    """Without live lines what is said is written as it is, and there is nothing to clear."""
    seen, written = terminal()
    seen.say("[bold]as it is[/bold] \x1b[1m")
    seen.clear()
    assert written == ["[bold]as it is[/bold] \x1b[1m\n", ""]
