"""`bulksync schema`: what a run writes for programs is what its schema says."""

from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from bulksync.report.schema import ReportLine
from bulksync.report.table import COLUMNS
from tests.support.pages import VALUES
from tests.support.program import bulksync, write_rows


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The two schemas as the program prints them; both are schemas themselves."""
    done = bulksync("schema", folder=tmp_path_factory.mktemp("schema"))
    assert (done.code, done.stderr) == (0, "")
    found = orjson.loads(done.stdout)
    assert isinstance(found, dict)
    for schema in found.values():
        Draft202012Validator.check_schema(schema)
    return found


def wrong(schema: dict[str, Any], value: dict[str, Any]) -> list[str]:
    """Return what a schema has against a value."""
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What a run with a valid and an invalid row writes, and what one writes that is refused."""
    folder = tmp_path_factory.mktemp("runs")
    path = write_rows(folder / "rows.csv", [1])
    path.write_text(path.read_text() + "no,ids,X,\n")
    found: dict[str, list[dict[str, Any]]] = {"summary": [], "report": []}
    for chosen in ("abort", "skip"):
        files = ("-o", "r.jsonl", "--summary", "s.json")
        bulksync("run", "rows.csv", "--sandbox", "--on-invalid", chosen, *files, folder=folder)
        found["summary"].append(orjson.loads((folder / "s.json").read_bytes()))
        found["report"] += map(orjson.loads, (folder / "r.jsonl").read_text().splitlines())
    return found


@pytest.mark.parametrize("what", ["summary", "report"])
def test_what_a_run_writes_is_valid(
    what: str, schemas: dict[str, dict[str, Any]], written: dict[str, list[dict[str, Any]]]
) -> None:
    """Real summaries and lines of real reports are what the schemas say, and have no key that these do not name."""
    assert [message for one in written[what] for message in wrong(schemas[what], one)] == []
    assert {name for one in written[what] for name in one} <= set(schemas[what]["properties"])


def test_the_summary_of_a_run_has_every_key(
    schemas: dict[str, dict[str, Any]], written: dict[str, list[dict[str, Any]]]
) -> None:
    """A run that ended leaves nothing out."""
    assert [set(one) for one in written["summary"]] == [set(schemas["summary"]["properties"])] * 2


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("summary", {"rows": "2"}),
        ("summary", {"rate": 10}),
        ("summary", {"timeWent": {"rate": "all"}}),
        ("report", {"httpStatus": "200"}),
        ("report", {"steps": [1]}),
    ],
)
def test_anything_else_is_not(
    what: str,
    change: dict[str, Any],
    schemas: dict[str, dict[str, Any]],
    written: dict[str, list[dict[str, Any]]],
) -> None:
    """A value of another type is no summary and no line of a report."""
    assert len(wrong(schemas[what], written[what][0] | change)) == 1


def test_summaries_of_other_times_are_valid(schemas: dict[str, dict[str, Any]]) -> None:
    """What an earlier bulksync did not know may be missing, and what a later one knows be there."""
    assert wrong(schemas["summary"], VALUES | {"later": 1}) == []


def test_both_reports_have_the_same_columns() -> None:
    """JSON has the columns of the CSV report in the same order, then the steps."""
    assert (*COLUMNS, "steps") == tuple(ReportLine.__annotations__)
