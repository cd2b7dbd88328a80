"""The body of a 200: an execution with every field of the API page, the same for the same IDs and seed.

A workflow has one definition. Its executions differ in how far the calls got and how they ended; fields for work that
has not happened yet are null.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from bulksync.sandbox.draws import Draws

STATUSES = ("CREATED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "PAUSED")
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})

REASONS = (
    "NO_ANSWER",
    "LEFT_VOICEMAIL",
    "BAD_NUMBER",
    "NOT_INTERESTED",
    "WARM_TRANSFER",
    "CALENDLY",
    "DNC",
    "ENDED",
    "FRAUD",
    "LINE_BUSY",
    "TEXT_CONSENT",
    "CALL_AGAIN",
)
DISPOSITIONS = (*REASONS, "COULD_NOT_CONNECT")
ALWAYS_FINAL = ("DNC", "BAD_NUMBER", "FRAUD")
OFTEN_FINAL = ("CALENDLY", "NOT_INTERESTED", "WARM_TRANSFER")

FIRST_NAMES = ("Amina", "Ben", "Chloé", "Diego", "Emi", "Farid", "Grace", "Hana")
LAST_NAMES = ("Abara", "Brooks", "Castro", "Dubois", "Evans", "Fujita", "Garcia", "Hansen")

EPOCH = datetime(2026, 1, 5, 15, tzinfo=UTC)
MONTH = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Stored:
    """The parts of an execution that updates change; everything else follows from its IDs."""

    status: str
    metadata: Mapping[str, Any]

    def updated(self, given: Mapping[str, Any], *, replaces: bool = False) -> "Stored":
        """Return the state after an update: its status replaces ours, its metadata *replaces* or extends ours."""
        metadata = given.get("metadata", {})
        kept = {} if replaces and "metadata" in given else self.metadata
        return Stored(given.get("status", self.status), {**kept, **metadata})


def untouched(seed: int, workflow_id: str, execution_id: str) -> Stored:
    """Return the state of an execution that has never been updated."""
    draws = Draws(seed, workflow_id, execution_id, "untouched")
    name = {"firstName": draws.choice(FIRST_NAMES), "lastName": draws.choice(LAST_NAMES)}
    return Stored(draws.choice(STATUSES), name)


def execution(seed: int, workflow_id: str, execution_id: str, stored: Stored, era: int = 0) -> dict[str, Any]:
    """Return the execution as on the API page, with datetimes in UTC; in another *era* its calls ended differently."""
    draws = Draws(seed, workflow_id, execution_id, *([era] if era else []))
    created = EPOCH + timedelta(seconds=draws.below(MONTH))
    temporal_id, lead_id = draws.id(), draws.id()
    steps = definition(seed, workflow_id)
    worked = len(steps) if stored.status == "COMPLETED" else draws.below(len(steps) + 1)
    step_executions = _step_executions(draws, steps, worked, execution_id, created)
    done = [step for step in step_executions if step["completedAt"]]
    return {
        "id": execution_id,
        "workflowId": workflow_id,
        "status": stored.status,
        "temporalWorkflowId": f"agent-workflow-{temporal_id}",
        "startedAt": done[0]["startedAt"] if done else None,
        "completedAt": done[-1]["completedAt"] if done and stored.status in ENDED else None,
        "customerLeadId": lead_id,
        "metadata": stored.metadata,
        "disposition": done[-1]["disposition"] if done else None,
        "definition": {"steps": steps},
        "stepExecutions": step_executions,
        "createdAt": created,
    }


@lru_cache(maxsize=1024)
def definition(seed: int, workflow_id: str) -> tuple[dict[str, Any], ...]:
    """Return the one to three steps of a workflow: a call, then calls and texts."""
    draws = Draws(seed, workflow_id)
    return tuple(_step(draws, order) for order in range(1, 2 + draws.below(3)))


def _step(draws: Draws, order: int) -> dict[str, Any]:
    return {
        "id": draws.id(),
        "type": "CALL" if order == 1 else draws.choice(("CALL", "CALL", "TEXT")),
        "order": order,
        "delayInSecs": 0 if order == 1 else draws.choice((300, 3600, 86400)),
        "needsTCPACompliance": draws.choice((True, False)),
        "finishOn": (*ALWAYS_FINAL, *OFTEN_FINAL[: draws.below(len(OFTEN_FINAL) + 1)]),
        "agentId": draws.id(),
        "leaveVoicemail": draws.choice((True, False)),
        "conditions": (),
    }


def _step_executions(
    draws: Draws, steps: tuple[dict[str, Any], ...], worked: int, execution_id: str, created: datetime
) -> list[dict[str, Any]]:
    """Return one execution per step; those after the first *worked*, or after a final disposition, never happened."""
    at, finished = created, False
    happened = []
    for step in steps:
        works = step["order"] <= worked and not finished
        disposition = draws.choice(DISPOSITIONS) if works else None
        finished = finished or disposition in step["finishOn"]
        started = at + timedelta(seconds=step["delayInSecs"] + draws.below(120))
        at = started + timedelta(seconds=5 + draws.below(240))
        happened.append(_step_execution(draws, step, execution_id, disposition, started, at))
    return happened


def _step_execution(
    draws: Draws, step: dict[str, Any], execution_id: str, disposition: str | None, started: datetime, ended: datetime
) -> dict[str, Any]:
    return {
        "id": draws.id(),
        "workflowExecutionId": execution_id,
        "status": "COMPLETED" if disposition else "PENDING",
        "type": step["type"],
        "order": step["order"],
        "delayInSecs": step["delayInSecs"],
        "needsTCPACompliance": step["needsTCPACompliance"],
        "finishOn": step["finishOn"],
        "startedAt": started if disposition else None,
        "completedAt": ended if disposition else None,
        "leaveVoicemail": step["leaveVoicemail"],
        "disposition": disposition,
        "agentId": step["agentId"],
        "agentCall": _agent_call(draws.id(), disposition, started, ended) if step["type"] == "CALL" else None,
    }


def _agent_call(call_id: str, disposition: str | None, started: datetime, ended: datetime) -> dict[str, Any]:
    """Return the call of a step; one that failed to connect has an end, but no duration, reason or recording."""
    talked = disposition in REASONS
    return {
        "id": call_id,
        "status": "COMPLETED" if talked else "FAILED" if disposition else "PENDING",
        "callStartedAt": started if disposition else None,
        "callEndedAt": ended if disposition else None,
        "callDuration": (ended - started).seconds if talked else None,
        "callEndedReason": disposition if talked else None,
        "recordingUrl": f"https://recordings.invalid/{call_id}.mp3" if talked else None,
        "summary": f"The call ended with {disposition}." if talked else None,
    }
