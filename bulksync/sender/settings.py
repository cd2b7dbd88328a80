"""What the ledger keeps with each run: how its input was read, what was found in it, and how the report looks."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from bulksync.ledger.store import Run
from bulksync.reader.record import Column
from bulksync.reader.source import Format


class Kept(BaseModel):
    """A part of the settings; fields with a default were not stored by every earlier bulksync."""

    model_config = ConfigDict(frozen=True)


class HowRead(Kept):
    """The options that determine which rows the bytes of an input yield."""

    format: Format
    asked_delimiter: str | None
    encoding: str | None
    tsv_escapes: bool = False
    allow_status: tuple[str, ...] | None
    map: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    sheet: str | None = None


class Look(Kept):
    """The report's path, relative to the ledger's folder, and its format; the path is None for stdout.

    *verb* is what was asked for each row; *states* and *before* are the files that hold states read from the server.
    """

    report: str | None
    echo_metadata: bool
    guard_formulas: bool
    verb: str = "run"
    states: str = ""
    before: str | None = None


class Found(Kept):
    """What validating the whole input found; its *notes* are not stored, as they may quote the input."""

    rows: int
    invalid: int
    fatal: bool
    digest: str
    delimiter: str
    bom: bool
    echoed: tuple[str, ...]
    metadata_columns: tuple[str, ...]
    statuses: Mapping[str, int]
    acknowledged: int = 0
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = Field(default=(), exclude=True)


class RunSettings(HowRead, Look, Found):
    """All stored settings; *begun* is the option that requested a new run regardless of earlier ones, if any.

    A run that *reads* changes nothing at the server.
    """

    begun: str = ""
    reads: bool = False

    def reads_as(self, how: HowRead) -> bool:
        """Whether the input was read with these options."""
        return all(getattr(self, name) == value for name, value in how)

    def having(self, part: Look | Found) -> "RunSettings":
        """Return the same settings with one part replaced."""
        return self.model_copy(update=dict(part))


def settings_of(run: Run) -> RunSettings:
    """Return the settings of a run."""
    return RunSettings.model_validate_json(run.settings)
