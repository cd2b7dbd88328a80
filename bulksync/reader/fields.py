"""Decide which request field each input column is sent as: by its own name, or as the caller says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_NAMES = {"workflowid": "workflowId", "executionid": "executionId", "status": "status", "metadata": "metadata"}


@dataclass(frozen=True, slots=True)
class Fields:
    """The caller's choice of fields: *mapped* is the field by column, *fixed* the text of a field for every row.

    A field that the caller maps or fixes is no longer matched by column name, and a mapped column has no other
    meaning.
    """

    mapped: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str | None:
        """Return the field that the column *name* is sent as; None if it is only echoed."""
        if name in self.mapped:
            return self.mapped[name]
        own = own_field(name)
        return None if own in self.fixed or own in self.mapped.values() else own

    @property
    def given(self) -> dict[str, str]:
        """The fixed fields of every row; a field whose text is empty is omitted from all rows."""
        return {name: text for name, text in self.fixed.items() if text}


def known_name(name: str) -> str | None:
    """Return which of the four names *name* means, ignoring case, spaces, `_` and `-`."""
    return _NAMES.get(normal(name))


def own_field(name: str) -> str | None:
    """Return the field that *name* means by default: one of the four, or `metadata.` and a member as spelled."""
    return known_name(name) or (f"metadata.{member}" if (member := member_of(name)) else None)


def member_of(name: str) -> str | None:
    """Return what follows the dot in a `metadata.` column, as spelled."""
    head, dot, member = name.partition(".")
    return member.strip() if dot and normal(head) == "metadata" else None


def is_metadata(field: str | None) -> bool:
    """Return whether a field is metadata or one of its entries."""
    return field is not None and field.startswith("metadata")


def normal(name: str) -> str:
    """Return *name* in lower case, without spaces, `_` and `-`."""
    return re.sub(r"[\s_-]", "", name).lower()
