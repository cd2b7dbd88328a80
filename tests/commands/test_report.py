"""Rendering: a report is written again from the ledger, byte for byte where the input is what it was."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from bulksync import __version__
from bulksync.commands.report import history_of, print_moves, render_again
from bulksync.errors import BulksyncError, InputError, LockedError, StorageError, UsageError
from bulksync.ledger.store import Run, Store
from bulksync.model import Execution, Outcome, Result, Stop
from bulksync.options.files import Files, files_for
from bulksync.options.models import RenderOptions, RunOptions
from bulksync.reader.locating import locate
from bulksync.report.render import render
from bulksync.report.schema import Transition
from bulksync.report.summary import close_run
from bulksync.sender.plan import Plan, plan_run
from bulksync.sender.tally import Tally
from tests.support.endings import ending
from tests.support.program import API_KEY, WORKFLOW, execution, rows_of

INPUT = "workflowId;executionId;status;city\n" + "".join(
    f"{WORKFLOW};{execution(number)};COMPLETED;{city}\n" for number, city in ((1, "Rome"), (2, "Zürich"))
)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """An input of two rows with a column of its own."""
    path = tmp_path / "rows.csv"
    path.write_text(INPUT)
    return path


def ran(rows: Path, outcome: Outcome = Outcome.UPDATED, **about: Any) -> tuple[Run, Path]:
    """Have a run of which row 1 came to *outcome*; return it and its ledger."""
    options = RunOptions.model_validate(about)
    files = files_for(rows, options)
    with closing(Store(files.ledger)) as store:
        plan = plan_run(
            store, locate(rows), options, target="t", files=files, now=0.0, key=API_KEY, stopping=lambda: False
        )
        store.commit(plan.run.id, [Result(1, (WORKFLOW, execution(1)), outcome, attempts=1)])
        stop = Stop(10, "deadline_exceeded", "out of time")
        run = close_run(store, plan.run, stop, Tally(), now=1.0, command="bulksync run rows.csv", rate=1.0)
        render(store, run, locate(rows), files.output, options)
    return run, ledger_of(files)


def killed(rows: Path) -> tuple[Plan, Files]:
    """Have a run that was killed when its first row may have been sent; return its plan and where its files stand."""
    options = RunOptions()
    files = files_for(rows, options)
    with closing(Store(files.ledger)) as store:
        plan = plan_run(
            store, locate(rows), options, target="t", files=files, now=0.0, key=API_KEY, stopping=lambda: False
        )
        store.mark(plan.run.id, 1)
    return plan, files


def ledger_of(files: Files) -> Path:
    """Return where the ledger stands; an input with a path always has one."""
    assert files.ledger is not None
    return files.ledger


def again(ledger: Path, **about: Any) -> tuple[Run, Path, str]:
    """Render a run again."""
    return render_again(ledger, RenderOptions.model_validate(about))


def refused(kind: type[BulksyncError], ledger: Path, **about: Any) -> tuple[str, str]:
    """Return what is said where rendering is refused."""
    with pytest.raises(kind) as caught:
        again(ledger, **about)
    return caught.value.what, caught.value.next_step


def test_the_same_report_again(rows: Path) -> None:
    """From an input that is what it was the report is the same, byte for byte, in its place or elsewhere."""
    run, ledger = ran(rows)
    report = rows.with_name("rows.csv.report.csv")
    before = report.read_bytes()
    report.unlink()
    assert again(ledger) == (run, report, "")
    assert report.read_bytes() == before
    other = rows.with_name("other.csv")
    assert again(ledger, output=str(other)) == (run, other, "")
    assert other.read_bytes() == before
    assert [row["city"] for row in rows_of(other, ";")] == ["Rome", "Zürich"]


def test_the_retry_file_and_the_summary_again(rows: Path) -> None:
    """What was not asked for when the run ended can be had later."""
    run, ledger = ran(rows)
    again(ledger, retry_file=str(rows.with_name("again.csv")), summary=str(rows.with_name("s.json")))
    assert rows.with_name("again.csv").read_text() == INPUT.replace(INPUT.splitlines(keepends=True)[1], "")
    assert f'"run": "{run.name}"' in rows.with_name("s.json").read_text()


def test_an_input_that_has_moved_is_named(rows: Path) -> None:
    """With --input the same bytes are read elsewhere."""
    _, ledger = ran(rows)
    report = rows.with_name("rows.csv.report.csv")
    before = report.read_bytes()
    moved = rows.rename(rows.with_name("moved.csv"))
    assert again(ledger, input=str(moved))[2] == ""
    assert report.read_bytes() == before


def changed(rows: Path) -> str:
    """Change the input."""
    rows.write_text(INPUT + "\n")
    return f"{rows} has changed since the run read it"


def deleted(rows: Path) -> str:
    """Delete the input."""
    rows.unlink()
    return f"cannot read {rows}: No such file or directory"


@pytest.mark.parametrize("harm", [changed, deleted], ids=lambda harm: harm.__name__)
def test_without_the_input_its_columns_are_missing(harm: Any, rows: Path) -> None:
    """An input that changed or is gone costs its columns, which is said, and a retry file is refused."""
    _, ledger = ran(rows)
    report = rows.with_name("rows.csv.report.csv")
    before = rows_of(report, ";")
    why = harm(rows)
    assert again(ledger)[2] == f"{why}; the report lacks the input's other columns"
    for row in before:
        del row["city"]
    assert rows_of(report, ";") == before
    path = rows.with_name("again.csv")
    said = refused(InputError, ledger, retry_file=str(path))
    assert said == (why, f"without the input there is no retry file; the report is {report}")
    assert InputError.exit_code == 7
    assert not path.exists()


def test_an_older_run_by_its_name(rows: Path) -> None:
    """With --run an older run is rendered, without it the latest."""
    first, ledger = ran(rows)
    second, _ = ran(rows, Outcome.REJECTED, restart=True)
    output = rows.with_name("old.csv")
    assert again(ledger, run=first.name, output=str(output))[0] == first
    assert [row["outcome"] for row in rows_of(output, ";")] == ["updated", "unsent"]
    output.unlink()
    assert again(ledger, output=str(output))[0] == second
    assert [row["outcome"] for row in rows_of(output, ";")] == ["rejected", "unsent"]


def test_a_run_that_is_not_there(rows: Path) -> None:
    """An unknown name is a wrong call, and the latest names are said."""
    first, ledger = ran(rows)
    assert refused(UsageError, ledger, run="x") == (
        "there is no run x in this ledger",
        f"name one with --run; the latest are: {first.name}",
    )


def test_a_run_whose_rows_were_forgotten(rows: Path) -> None:
    """A run that was pruned has no report any more."""
    first, ledger = ran(rows)
    second, _ = ran(rows, restart=True)
    with closing(Store(ledger)) as store:
        store.prune(1)
    assert refused(UsageError, ledger, run=first.name) == (
        f"there is no run {first.name} in this ledger",
        f"name one with --run; the latest are: {second.name}",
    )


def test_a_ledger_that_is_not_there(tmp_path: Path) -> None:
    """No ledger is made by looking for one."""
    ledger = tmp_path / "no.ledger"
    assert refused(UsageError, ledger) == (f"there is no ledger {ledger}", "name the .ledger file next to the report")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["", ".report.csv"], ids=["the input", "its report"])
def test_another_file_than_the_ledger(ending: str, rows: Path) -> None:
    """Who names an input, or its report, learns which file its ledger is; the file stays as it is."""
    _, ledger = ran(rows)
    other = rows.with_name(f"{rows.name}{ending}")
    before = other.read_bytes()
    assert refused(UsageError, other) == (f"{other} is not a ledger", f"name its ledger: {ledger}")
    assert other.read_bytes() == before


def test_a_reader_is_told_what_a_reader_can_do(rows: Path) -> None:
    """A ledger in use, or a damaged one, is no reason to name an option that only a run has."""
    _, ledger = ran(rows)
    with closing(Store(ledger)):
        held = refused(LockedError, ledger)
    with ledger.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    damaged = refused(StorageError, ledger)
    assert held == (
        f"another run holds the ledger {ledger}",
        "wait until it has ended, then run the same command again",
    )
    assert damaged[1] == "restore it from a copy"


def test_a_ledger_without_runs(tmp_path: Path) -> None:
    """There is nothing to render yet."""
    Store(tmp_path / "x.ledger").close()
    assert refused(UsageError, tmp_path / "x.ledger")[0] == "there is no run in this ledger"


def test_somebodys_file_is_not_overwritten(rows: Path) -> None:
    """A file that the ledger did not write is replaced with --overwrite only."""
    _, ledger = ran(rows)
    other = rows.with_name("theirs.csv")
    other.write_text("theirs")
    said = refused(UsageError, ledger, output=str(other))
    assert said[0] == f"{other} was not written by this ledger, so it is not replaced"
    assert other.read_text() == "theirs"
    again(ledger, output=str(other), overwrite=True)
    assert len(rows_of(other, ";")) == 2


def test_no_file_takes_the_place_of_another(rows: Path) -> None:
    """What is written again never replaces the input, the ledger or the report."""
    _, ledger = ran(rows)
    report = rows.with_name("rows.csv.report.csv")
    for path, what in ((rows, "the input"), (ledger, "--ledger"), (report, "--output")):
        said = refused(UsageError, ledger, html=str(path))
        assert said == (f"--html {path} is {what} too", "give each file a name of its own")
    assert refused(UsageError, ledger, summary=str(rows))[0] == f"--summary {rows} is the input too"
    assert rows.read_text() == INPUT


def test_the_page_again(rows: Path) -> None:
    """A page can be had later, also where the input is gone."""
    run, ledger = ran(rows)
    page = rows.with_name("page.html")
    again(ledger, html=str(page))
    first = page.read_text()
    assert f"bulksync run {run.name}" in first
    rows.unlink()
    again(ledger, html=str(page))
    assert page.read_text() == first


def test_a_run_that_was_killed_has_a_page_and_a_summary(rows: Path) -> None:
    """What the ledger knows of a run that was killed is shown, and that it was."""
    plan, files = killed(rows)
    again(ledger_of(files), html=str(rows.with_name("page.html")), summary=str(rows.with_name("s.json")))
    assert "killed before it could end" in rows.with_name("page.html").read_text()
    summary = orjson.loads(rows.with_name("s.json").read_bytes())
    assert datetime.fromisoformat(summary.pop("ended")) > datetime(2026, 1, 1, tzinfo=UTC)
    assert summary == {
        "run": plan.run.name,
        "input": str(rows),
        "target": "t",
        "rows": 2,
        "started": "1970-01-01T00:00:00.000Z",
        "outcomes": {"unknown": 1, "unsent": 1},
        "httpStatuses": {},
        "dispositions": {},
        "moved": [],
        "errors": {"interrupted": 2},
        "stopped": "the run was killed",
        "exitCode": None,
        "nextStep": "to resume, run the same command as before",
        "version": __version__,
        "schemaVersion": 1,
    }


BEGUN = ("begun", "acknowledged")
"""What it did not keep of how a run began."""

NOT_KNOWN = ("version", "schemaVersion", "timeBreakdown", "timeline", "unavailable", "maxInFlight", "advice", "moved")
"""What the summary of the first bulksync did not have, beside `ended`."""


def test_the_ledger_of_an_earlier_bulksync_has_everything(rows: Path) -> None:
    """Report, page, summary, metrics and history are made of what it kept; the summary is the same, but for its end."""
    run, ledger = ran(rows)
    summary = orjson.loads(run.summary or "")
    then = {name: value for name, value in summary.items() if name not in ("ended", *NOT_KNOWN)}
    settings = {name: value for name, value in orjson.loads(run.settings).items() if name not in BEGUN}
    with closing(Store(ledger)) as store, store.transaction() as db:
        db.execute("UPDATE run SET summary = ?, reading = ?", [orjson.dumps(one).decode() for one in (then, settings)])
    named = {"summary": "s.json", "html": "page.html", "metrics_file": "night.prom"}
    again(ledger, **{option: str(rows.with_name(name)) for option, name in named.items()})
    assert orjson.loads(rows.with_name("s.json").read_bytes()) == then | {"ended": run.ended}
    assert "stopped at a limit that was set" in rows.with_name("page.html").read_text()
    assert ending(rows.with_name("night.prom")) == (10, False, False)
    assert history_of(ledger)[0][0]["outcomes"] == {"updated": 1, "unsent": 1}


def test_what_moved_is_printed(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--diff prints the rows that moved since an earlier run, guarded against formulas, and writes no file."""
    options = RunOptions(restart=True)
    files = files_for(rows, options)
    names = []
    assert files.ledger is not None
    with closing(Store(files.ledger)) as store:
        for words in (("NO_ANSWER", "DNC"), ("=1+1", "DNC")):
            plan = plan_run(
                store, locate(rows), options, target="t", files=files, now=0.0, key=API_KEY, stopping=lambda: False
            )
            for number, word in enumerate(words, 1):
                said = Execution("COMPLETED", word, "", "", [])
                answer = Result(number, (WORKFLOW, execution(number)), Outcome.UPDATED, execution=said)
                store.commit(plan.run.id, [answer])
            names.append(close_run(store, plan.run, None, Tally(), now=1.0, command="c", rate=1.0).name)
    before = sorted(rows.parent.iterdir())
    moved = (Transition(old="NO_ANSWER", new="=1+1", count=1),)
    assert print_moves(files.ledger, RenderOptions(diff=True)) == (names[1], 2, moved)
    assert capsys.readouterr().out.splitlines() == [
        "row,line,workflowId,executionId,from,to,previousRun",
        f"1,2,{WORKFLOW},{execution(1)},NO_ANSWER,'=1+1,{names[0]}",
    ]
    assert print_moves(files.ledger, RenderOptions(diff=True, run=names[0])) == (names[0], 0, ())
    assert sorted(rows.parent.iterdir()) == before


def test_a_run_that_was_killed_has_a_report(rows: Path) -> None:
    """The ledger knows of every row, also where a kill kept the run from reporting."""
    plan, files = killed(rows)
    run, output, note = again(ledger_of(files))
    assert (replace(run, ended=None), output, note) == (plan.run, files.output, "")
    assert [(row["outcome"], row["dispositionCertain"], row["city"]) for row in rows_of(output, ";")] == [
        ("unknown", "false", "Rome"),
        ("unsent", "", "Zürich"),
    ]
