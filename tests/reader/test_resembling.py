"""Names that look as if they were meant for a field: what is asked about, and what is left alone."""

import pytest

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
