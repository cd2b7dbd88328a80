"""`bulksync verify --live`: check that the server has what the last acknowledged row of each execution asked for."""

import csv
import json
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr

from bulksync.client.connection import Client
from bulksync.commands.job import Job
from bulksync.commands.verb import Verb
from bulksync.commands.verify import opened
from bulksync.errors import UsageError
from bulksync.ledger.store import Store
from bulksync.model import Execution, Key, Outcome, Reply, Request, Row, Turn, Way
from bulksync.options.files import Files
from bulksync.options.models import InputOptions, VerifyOptions
from bulksync.reader.input import open_input
from bulksync.reader.source import Source, fingerprint
from bulksync.report.atomic import written
from bulksync.report.table import guarded
from bulksync.sender.plan import Plan
from bulksync.text import counted

HELD = frozenset({Outcome.UPDATED, Outcome.UNCHANGED})
"""Outcomes that show that the server had what a row asked for."""


@dataclass(slots=True)
class Asked:
    """What an execution should contain: the last acknowledged row's request, and a later row that is `unknown`."""

    acknowledged: Row | None = None
    unknown: Row | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A value on the server that differs from what *row* asked for; *asked* and *held* are JSON, or empty."""

    kind: str
    row: Row
    field: str = ""
    asked: str = ""
    held: str = ""


@dataclass(slots=True)
class Found:
    """The server's answers: executions *read*, differences, and `unknown` rows whose state it has."""

    read: int = 0
    differences: list[Difference] = field(default_factory=list)
    applied: list[tuple[Row, int, Execution]] = field(default_factory=list)
    not_applied: list[Row] = field(default_factory=list)

    def take(self, asked: Asked, status: int, execution: Execution) -> None:
        """Compare an execution with what was asked for."""
        self.read += 1
        if asked.unknown is not None:
            if not [*compare(asked.unknown, execution)]:
                self.applied.append((asked.unknown, status, execution))
                return
            self.not_applied.append(asked.unknown)
        if asked.acknowledged is not None:
            self.differences += compare(asked.acknowledged, execution)


def gather(source: Source, report: Path) -> dict[Key, Asked]:
    """Return what each execution should contain, by first row. Raises InputError if a file cannot be read."""
    wanted: dict[Key, Asked] = {}
    with open_input(source) as content, opened(report) as lines:
        for row, line in zip(content.rows(), lines, strict=False):
            if not isinstance(row, Row):
                continue
            if line["outcome"] in HELD:
                wanted[row.key] = Asked(acknowledged=row)
            elif line["outcome"] == Outcome.UNKNOWN:
                wanted.setdefault(row.key, Asked()).unknown = row
    return wanted


def sample(wanted: dict[Key, Asked], count: int | None) -> dict[Key, Asked]:
    """Return *count* executions from all over the input, or all of them."""
    if count is None or count >= len(wanted):
        return wanted
    places = {number * len(wanted) // count for number in range(count)}
    return {key: asked for place, (key, asked) in enumerate(wanted.items()) if place in places}


def compare(row: Row, execution: Execution) -> Iterator[Difference]:
    """Yield where an execution differs from a row's request; entries that the row does not set are ignored."""
    asked = json.loads(row.body)
    if "status" in asked and asked["status"] != execution.status:
        yield Difference("status", row, "status", as_json(asked["status"]), as_json(execution.status))
    holds = json.loads(execution.metadata or "{}")
    for name, value in asked.get("metadata", {}).items():
        where = f"metadata.{name}"
        if name not in holds:
            yield Difference("metadata missing", row, where, as_json(value))
        elif not is_same(value, holds[name]):
            yield Difference("metadata", row, where, as_json(value), as_json(holds[name]))


def is_same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are the same; 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def as_json(value: Any) -> str:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def comparing(wanted: dict[Key, Asked], found: Found) -> Verb:
    """Return the job for each of these executions: one GET, whose answer is compared."""

    @asynccontextmanager
    async def open_comparing(client: Client, _: Files, __: Plan) -> AsyncGenerator[Way, None]:
        async def read(row: Row, turn: Turn) -> Reply | None:
            reply = await client.get(row, turn)
            if reply is not None and reply.execution is not None:
                found.take(wanted[row.key], reply.status or 0, reply.execution)
            return reply

        requests = (Request(read, Outcome.FETCHED, is_safe=True),)
        yield lambda _: requests

    def write(store: Store, run: Any, *_: Any) -> str:
        """Count executions unknown to the server as differences; nothing else has to be written."""
        with closing(store.lines(run.id)) as lines:
            for line in lines:
                asked = wanted[line[2], line[3]]
                if line[6] in (404, 410) and (row := asked.acknowledged or asked.unknown) is not None:
                    found.differences.append(Difference("not found", row, held=f"HTTP {line[6]}"))
        return ""

    return Verb("verify", open_comparing, write, reads=True, saying="fetching")


def job_for(
    source: Source,
    wanted: dict[Key, Asked],
    found: Found,
    options: VerifyOptions,
    folder: Path,
    *,
    target: str,
    key: SecretStr,
    command: str,
) -> Job:
    """Return the job that gets each of the *wanted* executions into *found*; its files are in *folder*."""
    path = folder / "executions.jsonl"
    write_keys(path, wanted)
    plain = {name: field.default for name, field in InputOptions.model_fields.items() if name != "rate"}
    return Job(
        input=path,
        options=options.model_copy(update=plain),  # how the caller's input is read says nothing of this one
        files=Files(None, None, folder / "stdin", folder / "states"),
        target=target,
        key=key,
        command=command,
        name=f"the executions of {source.name}",
        verb=comparing(wanted, found),
    )


def write_keys(path: Path, wanted: Iterable[Key]) -> None:
    """Write an input that names these executions; its statuses are placeholders that are never sent."""
    with path.open("wb") as file:
        for workflow, execution in wanted:
            line = {"workflowId": workflow, "executionId": execution, "status": "ASKED"}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def settle(ledger: Path, source: Source, target: str, applied: list[tuple[Row, int, Execution]]) -> int:
    """Mark `unknown` rows of the latest run of an input as updated in the ledger; return how many changed.

    Raises UsageError if there is no such run; StorageError or LockedError if the ledger cannot be written.
    """
    with closing(Store(ledger)) as store:
        run = store.latest(target, fingerprint(source.path))
        if run is None:
            raise UsageError(f"{ledger} has no run of {source.name} against {target}", "name its ledger with --ledger")
        return store.settle(run.id, applied)


def first_of_each(differences: Iterable[Difference]) -> dict[str, tuple[int, Difference]]:
    """Return, for each kind of difference, how many there are and the first in input order."""
    kinds: dict[str, tuple[int, Difference]] = {}
    for one in sorted(differences, key=lambda difference: difference.row.row):
        count, first = kinds.get(one.kind, (0, one))
        kinds[one.kind] = count + 1, first
    return kinds


def live_lines(found: Found, wanted: int) -> list[str]:
    """Return lines on the result: each kind of difference, where the first one is, and what was asked for."""
    lines = [
        f"{kind}: {count:,}, first row {first.row.row} (line {first.row.line})"
        + (f": {first.field} asked {first.asked}, held {first.held or 'nothing'}" if first.field else f": {first.held}")
        for kind, (count, first) in first_of_each(found.differences).items()
    ]
    if found.applied:
        first = min(row.row for row, *_ in found.applied)
        lines.append(f"unknown, but applied: {len(found.applied):,}, first row {first}; --settle makes them updated")
    if found.not_applied:
        first = min(row.row for row in found.not_applied)
        lines.append(f"unknown, and not applied: {len(found.not_applied):,}, first row {first}")
    executions = len({one.row.key for one in found.differences})
    verdict = (
        "the server holds what was asked for"
        if not executions
        else f"{counted(executions, 'execution differs', 'executions differ')}"
    )
    return [*lines, f"{found.read:,} of {wanted:,} executions read: {verdict}"]


def live_code(code: int, found: Found) -> int:
    """Return the exit code; a stop takes precedence over differences, and these over executions that were not read."""
    if code not in (0, 3, 4):
        return code
    return 11 if found.differences else code if code == 4 else 0


def write_differences(path: Path, differences: Iterable[Difference]) -> None:
    """Write every difference as CSV. Raises StorageError if that fails."""
    with written(path, "differences") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "line", "workflowId", "executionId", "kind", "field", "asked", "held"])
        for one in sorted(differences, key=lambda difference: difference.row.row):
            words = map(guarded, (one.field, one.asked, one.held))
            writer.writerow([one.row.row, one.row.line, *one.row.key, one.kind, *words])


def live_json(found: Found, wanted: int) -> str:
    """Return the result as JSON."""
    kinds = [
        {
            "kind": kind,
            "count": count,
            "row": first.row.row,
            "line": first.row.line,
            "field": first.field,
            "asked": first.asked,
            "held": first.held,
        }
        for kind, (count, first) in first_of_each(found.differences).items()
    ]
    summary = {
        "executions": wanted,
        "read": found.read,
        "differing": len({one.row.key for one in found.differences}),
        "differences": kinds,
        "unknownApplied": sorted(row.row for row, *_ in found.applied),
        "unknownNotApplied": sorted(row.row for row in found.not_applied),
    }
    return orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode()
