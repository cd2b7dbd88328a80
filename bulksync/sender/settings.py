"""How a run's input was read, what was found in it, and how the report looks: what the ledger keeps with each run."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from bulksync.ledger.store import Run
from bulksync.reader.record import Column
from bulksync.reader.source import Format


class Kept(BaseModel):
    """A part of the settings; what has a default was not kept by every bulksync before."""

    model_config = ConfigDict(frozen=True)


class HowRead(Kept):
    """What makes the same bytes mean the same rows."""

    format: Format
    asked_delimiter: str | None
    encoding: str | None
    tsv_escapes: bool = False
    allow_status: tuple[str, ...] | None
    map: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    sheet: str | None = None


class Look(Kept):
    """Where the report stands, seen from the ledger's folder, and how it looks; None where it went to stdout.

    *verb* is what was asked for each row, *states* and *before* are where states that were read are kept.
    """

    report: str | None
    echo_metadata: bool
    guard_formulas: bool
    verb: str = "run"
    states: str = ""
    before: str | None = None


class Found(Kept):
    """What a look at the whole input found; its *notes* are not kept, as they may quote what is in it."""

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
    """All that is kept; *begun* is the option that asked for a new run whatever there was before, if one did.

    One that *reads* changes nothing at the server.
    """

    begun: str = ""
    reads: bool = False

    def reads_as(self, how: HowRead) -> bool:
        """Whether the input was read in this way."""
        return all(getattr(self, name) == value for name, value in how)

    def having(self, part: Look | Found) -> "RunSettings":
        """Return the same settings with another part."""
        return self.model_copy(update=dict(part))


def settings_of(run: Run) -> RunSettings:
    """Return the settings of a run."""
    return RunSettings.model_validate_json(run.settings)
