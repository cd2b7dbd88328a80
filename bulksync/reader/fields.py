"""Which field of a request each column of an input is sent as: by its own name, or as the caller says."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bulksync.errors import UsageError
from bulksync.model import InvalidRow
from bulksync.reader.jsontext import parse
from bulksync.reader.record import NESTING_LIMIT, Flaw
from bulksync.reader.validation import judge
from bulksync.text import clean, quoted

_NAMES = {"workflowid": "workflowId", "executionid": "executionId", "status": "status", "metadata": "metadata"}
_FIELDS = "workflowId, executionId, status, metadata or metadata.NAME"
_SOME_ID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Fields:
    """What the caller says of fields: *mapped* has the field of a column, *fixed* the text of a field for every row.

    A field that the caller speaks of is no column's by its name any more, and a mapped column means nothing else.
    """

    mapped: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str | None:
        """The field that the column called *name* is sent as; None where it is only echoed."""
        if name in self.mapped:
            return self.mapped[name]
        own = own_field(name)
        return None if own in self.fixed or own in self.mapped.values() else own

    @property
    def given(self) -> dict[str, str]:
        """The fixed fields that every row has; one whose text is empty is left out of all."""
        return {name: text for name, text in self.fixed.items() if text}


def known_name(name: str) -> str | None:
    """Which of the four names *name* means, ignoring case, spaces, `_` and `-`."""
    return _NAMES.get(normal(name))


def own_field(name: str) -> str | None:
    """The field that *name* means by itself: one of the four, or `metadata.` and a member in its own spelling."""
    return known_name(name) or (f"metadata.{member}" if (member := member_of(name)) else None)


def member_of(name: str) -> str | None:
    """What follows the dot of a `metadata.` column, in its own spelling."""
    head, dot, member = name.partition(".")
    return member.strip() if dot and normal(head) == "metadata" else None


def is_metadata(field: str | None) -> bool:
    """Whether a field is metadata, or an entry of it."""
    return field is not None and field.startswith("metadata")


def normal(name: str) -> str:
    """*name* in lower case, without spaces, `_` and `-`."""
    return re.sub(r"[\s_-]", "", name).lower()


def parse_fields(maps: Iterable[str], sets: Iterable[str]) -> Fields:
    """Read what follows each `--map` (FIELD=COLUMN) and each `--set` (FIELD=VALUE); UsageError where it is wrong."""
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
    """Raise UsageError where a value is one that no row could have."""
    metadata = parse(fixed["metadata"], NESTING_LIMIT) if fixed.get("metadata") else {}
    if not isinstance(metadata, dict | Flaw):
        metadata = Flaw("metadata_invalid", "metadata is not a JSON object")
    workflow, execution = (fixed.get(name, _SOME_ID) for name in ("workflowId", "executionId"))
    row = judge(1, 1, workflow, execution, fixed.get("status"), metadata, None)
    if isinstance(row, InvalidRow):
        raise UsageError(f"--set: {clean(row.detail)}", "correct the value")
