"""Columns that may have been meant for a field: what is asked about, and how many rows carry each."""

import json
from pathlib import Path

import pytest

from bulksync.reader.input import open_input
from bulksync.reader.locating import locate
from bulksync.reader.record import Column
from bulksync.reader.resembling import meant, nested, unsent

MEANT = {
    "metdata": "metadata", "Metadata (JSON)": "metadata", "metadata_json": "metadata", "meta": "metadata",
    "meta data": None, "metadata_firstName": "metadata.firstName", "metadataFirstName": "metadata.firstName",
    "metadata[first name]": "metadata.first name", "metadata/firstName": "metadata.firstName",
    "meta.firstName": "metadata.firstName", "metdata.firstName": "metadata.firstName",
    "exec_id": "executionId", "execution": "executionId", "Execution.ID": "executionId", "executoinId": "executionId",
    "workflow": "workflowId", "wf id": "workflowId", "Workflow ID (uuid)": "workflowId", "stauts": "status",
    "Status (new)": "status", "statut": "status", "new status": "status",
    "state": None, "lead status": None, "name": None, "id": None, "phone": None, "": None, "名前": None, "static": None,
    "metadata.x": None, "STATUS": None,
}  # fmt: skip


@pytest.mark.parametrize(("name", "field"), MEANT.items())
def test_near_misses(name: str, field: str | None) -> None:
    """A name is near if it has most letters of a field's, another word for it, or a prefix that means metadata."""
    assert meant(name) == field


def test_what_every_row_has_is_not_asked_about() -> None:
    """Where a field is in every row nothing is missing; in JSON lines some rows may have it under another name."""
    full, some = Column("workflowId", "workflowId", 3), Column("metadata", "metadata", 1)
    columns = [full, some, Column("workflow", "", 3), Column("metdata\n", "", 2)]
    assert list(unsent(columns, 3)) == [
        "the column 'metdata' (2 rows) is only echoed; did you mean metadata? To send it, rename it"
    ]
    assert list(unsent([full, Column("exec id", "", 1)], 1)) == [
        (
            "the column 'exec id' (1 row) is only echoed; did you mean executionId? To send it, add --map"
            " 'executionId=exec id'"
        )
    ]


def test_entries_that_look_like_paths() -> None:
    """A dot inside the name of an entry makes no object of it, which is said once."""
    columns = [Column(f"metadata.a.{number}", f"metadata.a.{number}", 1) for number in range(5)]
    assert list(nested([*columns, Column("metadata.b", "metadata.b", 1), Column("x.y", "", 1)])) == [
        (
            "sent as one entry of metadata each: 'a.0', 'a.1', 'a.2' and 2 more; for objects inside objects, use a"
            " metadata column with JSON"
        )
    ]


@pytest.mark.parametrize("more", [0, 1_100])
def test_rows_that_carry_a_column_are_counted(more: int, tmp_path: Path) -> None:
    """Empty cells, `null` and missing ones do not count, in whatever pattern they come; each column is counted once."""
    width = 12
    cells = [[("x", "")[(row >> at) & 1] for at in range(width)] for row in range(5 + more)]
    names = [f"c{at}" for at in range(width)]
    (tmp_path / "r.csv").write_text(
        ",".join(["workflowId", "executionId", "status", *names, ""])
        + "\n"
        + "".join(",".join(["w", "e", "S", *row, ""]) + "\n" for row in cells)
        + "w,e\n"
    )
    lines = [
        {"workflowId": "w", **{name: cell or None for name, cell in zip(names, row, strict=True)}} for row in cells
    ]
    for line in lines[::2]:
        line.pop("c0")  # another shape
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in ("r.csv", "r.jsonl"):
        with open_input(locate(tmp_path / name)) as content:
            assert len(list(content.rows())) == len(cells) + (name == "r.csv")
            carried = {column.name: column.rows for column in content.columns}
        wanted = {name: sum(bool(row[at]) for row in cells) for at, name in enumerate(names)}
        wanted["c0"] = wanted["c0"] if name == "r.csv" else sum(bool(line.get("c0")) for line in lines)
        assert {name: carried[name] for name in names} == wanted
        assert carried["workflowId"] == len(cells) + (name == "r.csv")
