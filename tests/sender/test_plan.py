"""Planning: where the files stand, and whether a call continues the latest run or begins a new one."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from bulksync.errors import InputError, UsageError
from bulksync.ledger.store import Store
from bulksync.model import InvalidRow, Outcome, Result, Row, payload_digest
from bulksync.options.files import Files, files_for
from bulksync.options.models import RunOptions
from bulksync.reader.chunks import CHUNK, chunk_digest, chunks
from bulksync.reader.input import open_input
from bulksync.reader.locating import locate
from bulksync.sender.plan import Plan, check_output, plan_run, unknown_statuses
from bulksync.sender.settings import settings_of
from tests.support.program import API_KEY, KEY, WORKFLOW, execution, write_rows

TARGET = "https://api.invalid"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An open, empty ledger."""
    with closing(Store(tmp_path / "rows.ledger")) as opened:
        yield opened


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """An input of three rows."""
    return write_rows(tmp_path / "rows.csv", [1, 2, 3])


def plan(
    store: Store,
    path: Path,
    *,
    target: str = TARGET,
    stopping: Callable[[], bool] = lambda: False,
    delimiter: str | None = None,
    **options: object,
) -> Plan:
    """Plan a run of the input at *path*."""
    chosen = RunOptions.model_validate({"delimiter": delimiter} | options)
    return plan_run(
        store,
        locate(path, delimiter=delimiter),
        chosen,
        target=target,
        key=API_KEY,
        files=files_for(path, chosen),
        now=1_700_000_000.0,
        stopping=stopping,
    )


def done(store: Store, of: Plan, outcomes: dict[int, Outcome], exit_code: int = 0) -> None:
    """Bring rows of a plan to their outcome and end its run."""
    keys = {number: (WORKFLOW, execution(number)) for number in outcomes}
    store.commit(of.run.id, [Result(number, keys[number], outcome) for number, outcome in outcomes.items()])
    store.leave(of.run.id, error="interrupted", detail="")
    store.end(of.run.id, ended=1_700_000_001.0, exit_code=exit_code, summary="{}")


ALL_UPDATED = dict.fromkeys((1, 2, 3), Outcome.UPDATED)


# Files


@pytest.mark.parametrize(
    ("path", "options", "output", "ledger"),
    [
        ("rows.csv", {}, "rows.csv.report.csv", "rows.csv.report.csv.ledger"),
        ("in/rows.jsonl.gz", {}, "in/rows.jsonl.gz.report.csv", "in/rows.jsonl.gz.report.csv.ledger"),
        ("in/rows.csv", {"output": "out/r.jsonl"}, "out/r.jsonl", "out/r.jsonl.ledger"),
        ("in/rows.csv", {"output": "-"}, "-", "in/rows.csv.report.csv.ledger"),
        ("in/rows.csv", {"output": "r.csv", "ledger": "l/shared"}, "r.csv", "l/shared"),
        ("-", {}, "stdin.report.csv", "stdin.report.csv.ledger"),
        ("-", {"output": "-"}, "-", "stdin.report.csv.ledger"),
        ("-", {"output": "out/r.csv"}, "out/r.csv", "out/r.csv.ledger"),
    ],
)
def test_where_the_files_stand(path: str, options: dict[str, str], output: str, ledger: str) -> None:
    """The report stands beside the input, the ledger beside the report, what came by stdin beside the ledger."""
    files = files_for(Path(path), RunOptions.model_validate(options))
    assert files == Files(Path(output), Path(ledger), Path(f"{ledger}.stdin"), files.states)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "rows.csv"}, "--output rows.csv is the input too"),
        ({"output": "./x/../rows.csv"}, "--output x/../rows.csv is the input too"),
        ({"ledger": "rows.csv"}, "--ledger rows.csv is the input too"),
        ({"output": "r.csv", "ledger": "r.csv"}, "--ledger r.csv is --output too"),
        ({"retry_file": "rows.csv.report.csv"}, "--retry-file rows.csv.report.csv is --output too"),
        ({"retry_file": "again.csv", "summary": "again.csv"}, "--summary again.csv is --retry-file too"),
        ({"summary": "rows.csv.report.csv.ledger"}, "--summary rows.csv.report.csv.ledger is --ledger too"),
        ({"html": "rows.csv"}, "--html rows.csv is the input too"),
        ({"html": "x.html", "summary": "x.html"}, "--html x.html is --summary too"),
    ],
)
def test_no_file_takes_the_place_of_another(
    options: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files of the same name are a wrong call."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    with pytest.raises(UsageError) as caught:
        files_for(Path("rows.csv"), RunOptions.model_validate(options))
    assert (caught.value.what, caught.value.next_step) == (message, "give each file a name of its own")


def test_only_a_report_of_this_ledger_is_replaced(store: Store, rows: Path) -> None:
    """A report that the ledger wrote is replaced; any other file only with --overwrite."""
    output = rows.with_name("rows.csv.report.csv")
    check_output(store, output, overwrite=False)
    output.write_text("somebody's")
    with pytest.raises(UsageError) as caught:
        check_output(store, output, overwrite=False)
    assert caught.value.what == f"{output} was not written by this ledger, so it is not replaced"
    check_output(store, output, overwrite=True)
    plan(store, rows)
    check_output(store, output, overwrite=False)


def test_a_report_is_a_plain_file_in_a_folder(store: Store, tmp_path: Path) -> None:
    """Links, folders and devices are never replaced, not even with --overwrite; stdout always may be."""
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    for path, message in (
        (tmp_path / "link.csv", "is not a plain file"),
        (tmp_path, "is not a plain file"),
        (Path("/dev/null"), "is not a plain file"),
    ):
        with pytest.raises(UsageError) as caught:
            check_output(store, path, overwrite=True)
        assert caught.value.what == f"{path} {message}"
    with pytest.raises(UsageError) as caught:
        check_output(store, tmp_path / "no" / "r.csv", overwrite=True)
    assert caught.value.what == f"the folder {tmp_path / 'no'} does not exist"
    check_output(store, Path("-"), overwrite=False)


# A new run, or the latest one continued


def test_a_new_run(store: Store, rows: Path) -> None:
    """The first call validates the whole input and makes every valid row due."""
    found = plan(store, rows)
    run = found.run
    assert (found.due, found.invalid, found.fatal, found.continued, found.is_finished) == (3, 0, False, False, False)
    assert (run.target, run.input, run.path, run.rows) == (TARGET, str(rows), "rows.csv", 3)
    assert run.name.startswith("20231114T221320Z-")
    assert found.settings == settings_of(run)
    assert orjson.loads(run.settings) == {
        "format": "csv", "asked_delimiter": None, "encoding": None, "allow_status": None, "tsv_escapes": False,
        "map": [], "set": [], "sheet": None, "columns": [
            {"name": name, "field": name, "rows": 3} for name in ("workflowId", "executionId", "status", "metadata")
        ],
        "report": "rows.csv.report.csv", "begun": "", "echo_metadata": False,
        "guard_formulas": False, "rows": 3, "invalid": 0, "fatal": False, "digest": run.digest, "delimiter": ",",
        "bom": False, "echoed": [], "metadata_columns": ["metadata"], "statuses": {"COMPLETED": 3}, "acknowledged": 0,
        "verb": "run", "reads": False, "states": "rows.csv.report.csv.states", "before": None,
    }  # fmt: skip


def test_the_same_call_continues(store: Store, rows: Path) -> None:
    """The bytes and the target of the latest run continue it: only what is undone is due."""
    first = plan(store, rows)
    done(store, first, {1: Outcome.UPDATED, 2: Outcome.REJECTED, 3: Outcome.UNKNOWN}, 4)
    again = plan(store, rows)
    assert (again.run.id, again.due, again.continued, again.is_finished) == (first.run.id, 1, True, False)
    assert store.due(first.run.id, 1, 3) == {3}


def test_a_finished_run_is_said_to_be_finished(store: Store, rows: Path) -> None:
    """With nothing left the plan is finished, and the run stays as it ended."""
    done(store, plan(store, rows), ALL_UPDATED)
    again = plan(store, rows)
    assert (again.due, again.is_finished, again.run.exit_code) == (0, True, 0)


def test_a_copy_of_the_input_continues(store: Store, rows: Path) -> None:
    """It is the bytes that count, not the name."""
    first = plan(store, rows)
    copy = rows.with_name("copy.csv")
    copy.write_bytes(rows.read_bytes())
    assert plan(store, copy).run.id == first.run.id


def test_how_a_report_looks_follows_the_latest_call(store: Store, rows: Path) -> None:
    """Where the report stands and how it looks is no part of what a run is."""
    first = plan(store, rows)
    again = plan(store, rows, output=str(rows.with_name("other.csv")), guard_formulas=True, echo_metadata=True)
    assert again.run.id == first.run.id
    look = {"report": "other.csv", "states": "other.csv.states", "guard_formulas": True, "echo_metadata": True}
    assert again.settings == first.settings.model_copy(update=look)
    assert store.runs()[0].settings == again.run.settings


def edited(path: Path) -> None:
    """Change a byte of the input."""
    path.write_text(path.read_text().replace("COMPLETED", "CANCELLED", 1))


@pytest.mark.fault(45, "repeat with edited input or another target")
def test_an_edited_input_is_a_new_run(store: Store, rows: Path) -> None:
    """Other bytes are another run: every row is due."""
    done(store, plan(store, rows), ALL_UPDATED)
    edited(rows)
    again = plan(store, rows)
    assert (again.run.id, again.due, again.continued) == (2, 3, False)


@pytest.mark.parametrize(
    "options",
    [
        {"target": "https://other.invalid"},
        {"restart": True},
        {"resend": True},
        {"allow_status": "CREATED"},
    ],
    ids=str,
)
def test_another_way_to_read_or_send_is_a_new_run(options: dict[str, str], store: Store, rows: Path) -> None:
    """Another target, another way to read, --restart and --resend begin anew, with every row due."""
    done(store, plan(store, rows), ALL_UPDATED)
    target = options.get("target", TARGET)
    source = replace(locate(rows, delimiter=options.get("delimiter")), encoding=options.get("encoding"))
    chosen = RunOptions.model_validate({name: value for name, value in options.items() if name != "target"})
    files = files_for(rows, chosen)
    again = plan_run(store, source, chosen, target=target, files=files, now=0.0, key=API_KEY, stopping=lambda: False)
    assert (again.run.id, again.continued) == (2, False)
    if target == TARGET and not (chosen.restart or chosen.resend):
        repeated = plan_run(
            store, source, chosen, target=target, files=files, now=0.0, key=API_KEY, stopping=lambda: False
        )
        assert (repeated.run.id, repeated.continued) == (2, True)


@pytest.mark.fault("D3", "the same said in other words")
@pytest.mark.parametrize(
    "options",
    [{"delimiter": ","}, {"encoding": "utf-8"}, {"encoding": "UTF8"}, {"allow_status": "COMPLETED,FAILED"}],
    ids=str,
)
def test_what_reads_the_same_is_the_same(options: dict[str, str], store: Store, rows: Path) -> None:
    """An option that says what was found anyway, or excludes nothing, is no difference."""
    done(store, plan(store, rows), ALL_UPDATED)
    source = replace(locate(rows, delimiter=options.get("delimiter")), encoding=options.get("encoding"))
    chosen = RunOptions.model_validate(options)
    files = files_for(rows, chosen)
    again = plan_run(store, source, chosen, target=TARGET, key=API_KEY, files=files, now=0.0, stopping=lambda: False)
    assert (again.run.id, again.is_finished) == (1, True)


@pytest.mark.fault("D1", "two inputs by turns on one ledger")
def test_an_input_continues_its_own_run(store: Store, rows: Path) -> None:
    """Whichever input came since: the latest run of these bytes is continued, run by run."""
    other = write_rows(rows.with_name("other.csv"), [9])
    done(store, plan(store, rows), {1: Outcome.UPDATED}, 10)
    done(store, plan(store, other), {1: Outcome.UPDATED})
    again = plan(store, rows)
    assert (again.run.id, again.due, again.superseded) == (1, 2, 0)
    done(store, again, {2: Outcome.UPDATED, 3: Outcome.UPDATED})
    assert (plan(store, other).run.id, plan(store, rows).run.id) == (2, 1)


@pytest.mark.fault("D1", "executions that a later run has updated")
@pytest.mark.parametrize("outcome", [Outcome.UPDATED, Outcome.UNKNOWN])
@pytest.mark.parametrize("before", [None, Outcome.UNKNOWN, Outcome.FAILED])
def test_what_a_later_run_has_updated_is_not_sent(
    before: Outcome | None, outcome: Outcome, store: Store, rows: Path
) -> None:
    """Rows of executions that a later run has updated, or may have, are superseded; only the others are due."""
    other = write_rows(rows.with_name("other.csv"), [2], status="FAILED")
    first = plan(store, rows)
    done(store, first, {1: Outcome.UPDATED} | ({2: before} if before else {}), 10)
    later = plan(store, other)
    key = (WORKFLOW, execution(2))
    store.commit(later.run.id, [Result(1, key, outcome, attempts=1, doubtful=outcome is Outcome.UNKNOWN)])
    store.leave(later.run.id, error="interrupted", detail="")
    again = plan(store, rows)
    assert (again.run.id, again.due, again.superseded) == (first.run.id, 1, 1)
    assert store.due(first.run.id, 1, 3) == {3}
    line = [*store.lines(first.run.id)][1]
    detail = f"run {later.run.name} has updated this execution since, in row 1; --resend sends this one too"
    assert (line[5], line[-2:]) == (before or Outcome.UNSENT, ("superseded", detail))
    assert plan(store, rows, resend=True).due == 3


@pytest.mark.fault("D5", "--resend and --restart, repeated")
@pytest.mark.parametrize("how", [{"resend": True}, {"restart": True}], ids=str)
def test_a_new_run_is_asked_for_once(how: dict[str, Any], store: Store, rows: Path) -> None:
    """What --resend or --restart has begun goes on with the same call until it is done; then the call begins anew."""
    done(store, plan(store, rows), ALL_UPDATED)
    seen = []
    for outcomes in ({1: Outcome.UPDATED}, {2: Outcome.UPDATED}, {3: Outcome.UPDATED}, {1: Outcome.UPDATED}):
        begun = plan(store, rows, **how)
        seen.append((begun.run.id, begun.due))
        done(store, begun, outcomes, 10)
    assert seen == [(2, 3), (2, 2), (2, 1), (3, 3)]
    assert plan(store, rows).run.id == 3


@pytest.mark.fault("D2", "an input of which a cell was changed")
def test_what_is_acknowledged_already_is_counted(store: Store, rows: Path) -> None:
    """A new run knows how many of its rows have the last acknowledged payload of their execution."""
    first = plan(store, rows)
    digests = {row.row: payload_digest(row.body) for row in open_rows(rows)}
    results = [
        Result(number, (WORKFLOW, execution(number)), Outcome.UPDATED, attempts=1, digest=digests[number])
        for number in (1, 2, 3)
    ]
    store.commit(first.run.id, results)
    store.leave(first.run.id, error="", detail="")
    rows.write_text(rows.read_text().replace('"turn"": 1', '"turn"": 7') + "\n")
    assert (first.acknowledged, plan(store, rows).acknowledged) == (0, 2)
    assert plan(store, rows, restart=True, only_changed=True).acknowledged == 0


@pytest.mark.fault("B5", "another key")
def test_access_belongs_to_target_and_key(store: Store, rows: Path) -> None:
    """What a key has reached says nothing of another key, nor of another target."""
    store.prove(TARGET, KEY)
    elsewhere = plan(store, rows, target="https://other.invalid")
    assert [plan(store, rows).is_known, elsewhere.is_known] == [True, False]
    assert [store.is_proven(TARGET, KEY), store.is_proven(TARGET, f"{KEY}x")] == [True, False]


@pytest.mark.fault("D4", "a folder that was moved")
def test_a_ledger_knows_its_report_wherever_both_stand(rows: Path, tmp_path: Path) -> None:
    """Moved together, a ledger and its report still belong together."""
    folder = tmp_path / "here"
    folder.mkdir()
    rows = rows.rename(folder / "rows.csv")
    files = files_for(rows, RunOptions())
    assert files.output
    assert files.ledger
    with closing(Store(files.ledger)) as store:
        plan(store, rows)
    files.output.write_text("a report")
    there = folder.rename(tmp_path / "there")
    with closing(Store(there / files.ledger.name)) as store:
        check_output(store, there / files.output.name, overwrite=False)


def open_rows(path: Path) -> list[Row]:
    """Return the rows of an input, all of which are valid."""
    with open_input(locate(path)) as content:
        return [row for row in content.rows() if isinstance(row, Row)]


def test_retry_rejected_makes_rejected_rows_due(store: Store, rows: Path) -> None:
    """On request rejected rows are sent again."""
    done(store, plan(store, rows), {1: Outcome.REJECTED, 2: Outcome.UPDATED, 3: Outcome.UPDATED}, 3)
    assert plan(store, rows).is_finished
    again = plan(store, rows, retry_rejected=True)
    assert (again.due, again.is_finished) == (1, False)


def test_a_run_undone_is_not_forgotten(store: Store, rows: Path) -> None:
    """However few runs are kept, the latest of a target is continued, never taken for done."""
    first = plan(store, rows)
    done(store, first, {1: Outcome.UPDATED}, 10)
    for _ in range(3):
        done(store, plan(store, rows, target="https://other.invalid", restart=True, keep_runs=1), ALL_UPDATED)
    again = plan(store, rows)
    assert (again.run.id, again.due) == (first.run.id, 2)


# Only what changed


def sent(store: Store, path: Path) -> Plan:
    """Run an input to its end: every due row is acknowledged."""
    found = plan(store, path)
    due = store.due(found.run.id, 1, found.run.rows)
    with open_input(locate(path)) as content:
        valid = [row for row in content.rows(None) if isinstance(row, Row) and row.row in due]
    digests = [Result(row.row, row.key, Outcome.UPDATED, digest=payload_digest(row.body)) for row in valid]
    store.commit(found.run.id, digests)
    done(store, found, {})
    return found


def outcomes(store: Store, of: Plan) -> list[str | None]:
    """Return the outcome of each row of a plan so far."""
    return [line[5] for line in store.lines(of.run.id)]


def test_only_what_changed_is_due(store: Store, rows: Path) -> None:
    """In a new run with --only-changed a row with the payload that was acknowledged last is unchanged, and not due."""
    sent(store, rows)
    edited(rows)
    found = plan(store, rows, only_changed=True)
    assert (found.due, found.continued, outcomes(store, found)) == (1, False, [None, "unchanged", "unchanged"])


def test_without_a_change_nothing_is_due(store: Store, rows: Path) -> None:
    """A new run in which everything is unchanged is no earlier run that was finished."""
    sent(store, rows)
    found = plan(store, rows, only_changed=True, restart=True)
    assert (found.due, found.is_finished, outcomes(store, found)) == (0, False, ["unchanged"] * 3)


def test_what_is_asked_for_decides_not_what_was(store: Store, rows: Path) -> None:
    """Without --only-changed every row of a new run is due."""
    sent(store, rows)
    edited(rows)
    assert plan(store, rows).due == 3


def test_an_earlier_run_is_continued_with_what_changed(store: Store, rows: Path) -> None:
    """What an earlier run, begun without it, has still to send is compared too; what it did send stays as it is."""
    sent(store, rows)
    edited(rows)
    begun = plan(store, rows)
    done(store, begun, {3: Outcome.FAILED}, 10)
    found = plan(store, rows, only_changed=True)
    assert (found.run.id, found.continued, found.due) == (begun.run.id, True, 2)
    assert outcomes(store, found) == ["unsent", "unchanged", "failed"]


def test_a_repeat_with_nothing_changed_is_finished(store: Store, rows: Path) -> None:
    """An earlier run that has only unchanged rows left has nothing to do."""
    sent(store, rows)
    again = plan(store, rows, restart=True)
    done(store, again, {}, 10)
    found = plan(store, rows, only_changed=True)
    assert (found.run.id, found.due, found.is_finished) == (again.run.id, 0, True)


def test_invalid_rows_keep_the_others_unsent(store: Store, rows: Path) -> None:
    """Where invalid rows refuse the input nothing is called unchanged, neither at first nor when it is repeated."""
    sent(store, rows)
    rows.write_text(rows.read_text() + "no,ids,X,\n")
    for _ in range(2):
        found = plan(store, rows, only_changed=True)
        assert (found.due, found.is_refused("abort"), outcomes(store, found)[-1]) == (3, True, "invalid")
        done(store, found, {}, 7)
        assert outcomes(store, found) == ["unsent", "unsent", "unsent", "invalid"]
    found = plan(store, rows, only_changed=True, on_invalid="skip")
    assert (found.due, outcomes(store, found)) == (0, ["unchanged", "unchanged", "unchanged", "invalid"])


def test_an_input_that_changes_before_it_is_compared_is_refused(store: Store, rows: Path) -> None:
    """What was planned is compared, or nothing is."""
    write_rows(rows, range(1, CHUNK + 500))
    sent(store, rows)
    begun = plan(store, rows, restart=True)
    done(store, begun, {}, 10)

    def change() -> bool:
        with rows.open("a") as file:
            file.write(f"{WORKFLOW},{execution(9)},COMPLETED,\n")
        return False

    with pytest.raises(InputError) as caught:
        plan(store, rows, only_changed=True, stopping=change)
    assert caught.value.what == f"{rows} changed while it was read"
    assert set(outcomes(store, begun)) == {"unsent"}


def test_a_comparison_ends_when_asked_to(store: Store, rows: Path) -> None:
    """A signal ends it between two chunks, and leaves nothing out."""
    begun = plan(store, rows)
    done(store, begun, {}, 10)
    with pytest.raises(InterruptedError):
        plan(store, rows, only_changed=True, stopping=lambda: True)
    assert outcomes(store, begun) == ["unsent"] * 3


# Refusals


@pytest.mark.parametrize(
    ("due", "invalid", "rows", "fatal", "on_invalid", "refused"),
    [
        (3, 0, 3, False, "abort", False),
        (2, 1, 3, False, "abort", True),
        (2, 1, 3, False, "skip", False),
        (2, 1, 3, True, "skip", True),
        (0, 3, 3, False, "abort", True),
        (0, 3, 3, False, "skip", False),
        (0, 1, 1, True, "skip", True),
        (0, 1, 3, False, "abort", False),
        (0, 0, 0, False, "abort", False),
    ],
)
def test_invalid_rows_refuse_the_others(
    due: int, invalid: int, rows: int, fatal: bool, on_invalid: str, refused: bool, store: Store, tmp_path: Path
) -> None:
    """Any invalid row refuses what is still due, or with `skip` only one behind which rows cannot be told apart."""
    planned = plan(store, write_rows(tmp_path / "rows.csv", [1]))
    found = Plan(replace(planned.run, rows=rows), planned.settings, due, invalid, fatal)
    assert found.is_refused(on_invalid) is refused


def test_invalid_rows_are_counted(store: Store, tmp_path: Path) -> None:
    """Invalid rows are no part of what is due."""
    path = write_rows(tmp_path / "rows.csv", [1, 2])
    path.write_text(path.read_text() + "no,ids,X,\n")
    found = plan(store, path)
    assert (found.due, found.invalid, found.fatal, found.run.rows) == (2, 1, False, 3)
    edited(path)
    path.write_text(path.read_text() + f'{WORKFLOW},{execution(3)},"A,\n{WORKFLOW},{execution(4)},A,\n')
    found = plan(store, path)
    assert (found.due, found.invalid, found.fatal, found.run.rows) == (2, 2, True, 4)


def test_an_input_that_cannot_be_read_leaves_no_run(store: Store, tmp_path: Path) -> None:
    """An input that is refused as a whole is not planned."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError):
        plan(store, path)
    assert store.runs() == []


def test_an_input_that_grows_while_it_is_read_is_refused(store: Store, rows: Path) -> None:
    """What changes between the first look and the last is not complete yet, and no run."""

    def grow() -> bool:
        with rows.open("a") as file:
            file.write(f"{WORKFLOW},{execution(9)},COMPLETED,\n")
        return False

    write_rows(rows, range(1, CHUNK + 500))
    with pytest.raises(InputError) as caught:
        plan(store, rows, stopping=grow)
    assert (caught.value.what, caught.value.next_step) == (
        f"{rows} changed while it was read",
        "wait until it is complete, then run again",
    )
    assert store.runs() == []


def test_validation_ends_when_asked_to(store: Store, rows: Path) -> None:
    """A signal ends validation between two chunks, and leaves no run."""
    with pytest.raises(InterruptedError):
        plan(store, rows, stopping=lambda: True)
    assert store.runs() == []


# Chunks


def test_rows_are_read_a_chunk_at_a_time() -> None:
    """Every chunk but the last is full, and none is empty."""
    assert [len(chunk) for chunk in chunks(range(2 * CHUNK + 1))] == [CHUNK, CHUNK, 1]
    assert list(chunks([])) == []


ROW = Row(1, 2, WORKFLOW, execution(1), "COMPLETED", b'{"status":"COMPLETED"}')


@pytest.mark.parametrize(
    "changed",
    [
        [],
        [replace(ROW, row=2)],
        [replace(ROW, workflow_id=execution(1))],
        [replace(ROW, execution_id=execution(2))],
        [replace(ROW, body=b'{"status":"CANCELLED"}')],
        [InvalidRow(1, 2, "id_invalid", "", WORKFLOW, execution(1))],
        [ROW, replace(ROW, row=2)],
    ],
    ids=repr,
)
def test_a_changed_chunk_has_another_digest(changed: list[Row | InvalidRow]) -> None:
    """Anything that would be sent, or that a row is missing, changes the digest; where it stands does not."""
    assert chunk_digest(changed) != chunk_digest([ROW])
    assert chunk_digest([replace(ROW, line=99)]) == chunk_digest([ROW])


def test_statuses_that_no_page_names_are_told() -> None:
    """Only statuses outside the API's list are worth a warning."""
    assert unknown_statuses({"COMPLETED": 3, "NEW": 2}) == {"NEW": 2}
