"""Parse the options about columns: `--map FIELD=COLUMN` and `--set FIELD=VALUE`."""

from collections.abc import Iterable, Mapping

from bulksync.errors import UsageError
from bulksync.model import InvalidRow
from bulksync.reader.fields import Fields, own_field
from bulksync.reader.jsontext import parse
from bulksync.reader.record import NESTING_LIMIT, Flaw
from bulksync.reader.validation import judge
from bulksync.text import clean, quoted

_FIELDS = "workflowId, executionId, status, metadata or metadata.NAME"
_SOME_ID = "00000000-0000-4000-8000-000000000000"


def parse_fields(maps: Iterable[str], sets: Iterable[str]) -> Fields:
    """Parse each `--map` (FIELD=COLUMN) and each `--set` (FIELD=VALUE). Raises UsageError if one is invalid."""
    mapped: dict[str, str] = {}
    fixed: dict[str, str] = {}
    for text in maps:
        name, column = _pair("--map", text)
        if name in mapped.values() or column in mapped:
            what = name if name in mapped.values() else f"the column '{clean(column, 60)}'"
            raise UsageError(f"--map {quoted(text)}: {what} is given twice", "leave one of them out")
        mapped[column] = name
    for text in sets:
        name, value = _pair("--set", text)
        if name in fixed or name in mapped.values():
            raise UsageError(f"--set {quoted(text)}: {name} is given twice", "leave one of them out")
        fixed[name] = value
    _check_fixed(fixed)
    return Fields(mapped, fixed)


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    found = own_field(name.strip())
    if not equals or found is None or (option == "--map" and not value.strip()):
        what = "VALUE" if option == "--set" else "COLUMN"
        raise UsageError(
            f"{option} {quoted(text)} is not FIELD={what}", f"before the = write {_FIELDS}; after it the {what.lower()}"
        )
    return found, value.strip()


def _check_fixed(fixed: Mapping[str, str]) -> None:
    """Raise UsageError if a fixed value would be invalid in any row."""
    metadata = parse(fixed["metadata"], NESTING_LIMIT) if fixed.get("metadata") else {}
    if not isinstance(metadata, dict | Flaw):
        metadata = Flaw("metadata_invalid", "metadata is not a JSON object")
    workflow, execution = (fixed.get(name, _SOME_ID) for name in ("workflowId", "executionId"))
    row = judge(1, 1, workflow, execution, fixed.get("status"), metadata, None)
    if isinstance(row, InvalidRow):
        raise UsageError(f"--set: {clean(row.detail)}", "correct the value")
