"""The metrics file: what a run came to, for Prometheus; never yesterday's success after a night that failed."""

import os
from pathlib import Path

import pytest

from bulksync import __version__
from bulksync.errors import StorageError
from bulksync.model import Outcome, Reply
from bulksync.report.metrics import last_success, write_metrics
from bulksync.report.schema import Summary
from bulksync.report.summary import measured
from bulksync.sender.tally import Tally
from tests.support.endings import Series, ending, series
from tests.support.pages import summary_with
from tests.support.program import KEY, Done, bulksync, write_rows

ROWS = {"updated": 2, "failed": 1, "rejected": 1}


def summary(tally: Tally) -> Summary:
    """Return what a run of four rows came to."""
    errors = {"http_503": 1, "http_422": 1}
    counted = measured(tally, 10.0).model_dump(mode="json", by_alias=True)
    return summary_with(target="https://api.example.com", outcomes=ROWS, errors=errors, **counted)


def four() -> Tally:
    """Return what was counted of four requests."""
    tally = Tally(time_went={"rate": 2.0, "hold": 1.5, "server": 0.0, "retry": 0.0}, holds=1)
    for number, status in enumerate((200, 200, 429, 503)):
        tally.count(Reply(status, ""), sent=100.0 + number, duration=0.25, is_retry=number > 2)
    return tally


def test_a_run_in_numbers(tmp_path: Path) -> None:
    """Every outcome has a series, also one of no rows, so that an alert on it has something to look at."""
    path = tmp_path / "night.prom"
    write_metrics(path, summary(four()), exit_code=0, now=1_000.5)
    outcomes = dict.fromkeys(Outcome, 0) | ROWS
    expected: Series = {
        ("bulksync_last_run_timestamp_seconds", ()): 1_000.5,
        ("bulksync_last_success_timestamp_seconds", ()): 1_000.5,
        ("bulksync_exit_code", ()): 0,
        ("bulksync_run_info", (("target", "https://api.example.com"), ("version", __version__))): 1,
        **{("bulksync_rows", (("outcome", str(outcome)),)): count for outcome, count in outcomes.items()},
        ("bulksync_row_errors", (("error", "http_503"),)): 1,
        ("bulksync_row_errors", (("error", "http_422"),)): 1,
        ("bulksync_requests", ()): 4,
        ("bulksync_retries", ()): 1,
        ("bulksync_throttled_requests", ()): 1,
        ("bulksync_pauses", ()): 1,
        ("bulksync_pause_seconds", ()): 1.5,
        ("bulksync_duration_seconds", ()): 3.25,
        ("bulksync_latency_seconds", (("percentile", "50"),)): 0.25,
        ("bulksync_latency_seconds", (("percentile", "95"),)): 0.25,
        ("bulksync_latency_seconds", (("percentile", "99"),)): 0.25,
    }
    assert series(path) == expected


@pytest.mark.parametrize("code", [1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 143])
def test_a_failure_keeps_the_last_success(tmp_path: Path, code: int) -> None:
    """After a run that failed only its code and time are new, and the time of the last success stays."""
    path = tmp_path / "night.prom"
    write_metrics(path, summary(four()), exit_code=0, now=1_000.0)
    for now in (2_000.0, 3_000.0):
        write_metrics(path, None, exit_code=code, now=now)
    assert series(path) == {
        ("bulksync_last_run_timestamp_seconds", ()): 3_000.0,
        ("bulksync_last_success_timestamp_seconds", ()): 1_000.0,
        ("bulksync_exit_code", ()): code,
    }


@pytest.mark.parametrize("content", [None, b"", b"other_metric 5\n", b"{not metrics", b"\xff\xfe", b"# HELP x"])
def test_no_success_is_a_success_long_ago(tmp_path: Path, content: bytes | None) -> None:
    """Where no file tells of a success the time is 0: an alert on its age fires, as it would not without a series."""
    path = tmp_path / "night.prom"
    if content is not None:
        path.write_bytes(content)
    assert last_success(path) == 0.0
    write_metrics(path, None, exit_code=5, now=2_000.0)
    assert ending(path) == (5, False, False)


def test_no_answer_is_no_latency(tmp_path: Path) -> None:
    """A run without requests has no latency, not one of 0."""
    path = tmp_path / "night.prom"
    write_metrics(path, summary(Tally()), exit_code=7, now=1.0)
    assert not any("latency" in name for name, _ in series(path))


def test_the_collector_can_read_it(tmp_path: Path) -> None:
    """The file is for all to read whatever the umask, as the collector is another user, and stands alone."""
    path = tmp_path / "night.prom"
    before = os.umask(0o077)
    try:
        write_metrics(path, summary(four()), exit_code=0, now=1.0)
    finally:
        os.umask(before)
    assert (path.stat().st_mode & 0o777, os.listdir(tmp_path)) == (0o644, ["night.prom"])


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Metrics that cannot be written are an error like any file that was asked for."""
    with pytest.raises(StorageError, match=r"^the metrics file .* cannot be written: No such file or directory$"):
        write_metrics(tmp_path / "missing" / "night.prom", None, exit_code=0, now=1.0)


def run(folder: Path, *arguments: object) -> Done:
    """Run the program in *folder*, with metrics; its key is the test's, so that some arguments choose a sandbox."""
    return bulksync("run", "rows.csv", "--quiet", "--metrics-file", "night.prom", *arguments, folder=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three rows in it, and the metrics of a night that went well."""
    write_rows(tmp_path / "rows.csv", range(3))
    assert run(tmp_path, "--sandbox").code == 0
    assert ending(tmp_path / "night.prom") == (0, True, True)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--api-key-file", "missing"), 2),
        (("--base-url", "http://127.0.0.1:9", "--max-outage", "0s"), 6),
        (("--sandbox", "--delimiter", ";"), 7),
        (("--sandbox", "--restart", "--summary", "missing/summary.json"), 8),
        (("--sandbox", "--restart", "--limit", "1"), 10),
    ],
)
def test_every_ending_is_told(folder: Path, arguments: tuple[str, ...], code: int) -> None:
    """However a night ends, the metrics tell its exit code, and that the last success was another night's."""
    done = run(folder, *arguments)
    assert (done.code, ending(folder / "night.prom")) == (code, (code, False, True))


def test_an_input_that_is_gone_is_told(folder: Path) -> None:
    """A night without its export is no success."""
    (folder / "rows.csv").unlink()
    assert run(folder, "--sandbox").code == 7
    assert ending(folder / "night.prom") == (7, False, True)


def test_nothing_left_to_do_is_a_success(folder: Path) -> None:
    """The same file again, all of it done, is a night that went well, and its time is now."""
    before = series(folder / "night.prom")
    assert run(folder, "--sandbox").code == 0
    after = series(folder / "night.prom")
    stamp = ("bulksync_last_success_timestamp_seconds", ())
    assert after[stamp] > before[stamp]
    assert after["bulksync_rows", (("outcome", "updated"),)] == 3


def test_metrics_of_an_older_run(folder: Path) -> None:
    """`bulksync report` writes them from the ledger, with the time at which the run ended."""
    at_the_time = series(folder / "night.prom")
    (folder / "night.prom").unlink()
    done = bulksync("report", "rows.csv.report.csv.ledger", "--metrics-file", "night.prom", folder=folder)
    again = series(folder / "night.prom")
    times = [key for key in again if "timestamp" in key[0]]
    assert (done.code, [abs(at_the_time[key] - again[key]) < 5 for key in times]) == (0, [True, True])
    assert {key: value for key, value in again.items() if key not in times} == {
        key: value for key, value in at_the_time.items() if key not in times
    }


def test_metrics_take_no_other_files_place(folder: Path) -> None:
    """Where the path is that of another file the call is refused, and that file is left as it was."""
    before = (folder / "rows.csv").read_bytes()
    done = bulksync("run", "rows.csv", "--sandbox", "--metrics-file", "rows.csv", folder=folder)
    assert (done.code, done.stderr.splitlines()[0]) == (2, "bulksync: --metrics-file rows.csv is the input too")
    assert (folder / "rows.csv").read_bytes() == before


def test_a_dry_run_leaves_no_metrics(folder: Path) -> None:
    """What `--dry-run` finds is no night."""
    before = (folder / "night.prom").read_bytes()
    assert run(folder, "--sandbox", "--dry-run", "--encoding", "no-such-encoding").code != 0
    assert (folder / "night.prom").read_bytes() == before


def test_metrics_hold_no_row_and_no_key(folder: Path) -> None:
    """Nothing of a row, and no secret, stands in a file that all may read."""
    text = (folder / "night.prom").read_text()
    assert KEY not in text
    assert "canary" not in text
    assert "00000000-0000" not in text
