"""Which field of a request each column of an input is sent as: by its own name, or as the caller says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_NAMES = {"workflowid": "workflowId", "executionid": "executionId", "status": "status", "metadata": "metadata"}


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
