"""The 200 body of "Update workflow execution" as documented by the API: the fields that the report uses.

Only the execution's IDs and its status are required; everything else may be missing or null. The vocabulary is open:
the documentation shows strings, but a value of another type is no reason to reject an acknowledgement. Its other fields
(`definition`, `metadata`, `customerLeadId`, …), and unknown ones, are ignored. These are dictionaries, as models of all
fields cost 15 µs more per answer (measured).
"""

from typing import (
    Annotated,
    Any,
    NotRequired,  # before Python 3.12, pydantic accepts only this one
)

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

CAMEL = ConfigDict(alias_generator=to_camel)


@with_config(CAMEL)
class AgentCall(TypedDict, total=False):
    """`stepExecutions[].agentCall`."""

    call_ended_reason: Any


@with_config(CAMEL)
class StepExecution(TypedDict, total=False):
    """`stepExecutions[]`."""

    id: Any
    type: Any
    order: Any
    status: Any
    disposition: Any
    agent_call: Annotated[AgentCall | Any, Field(union_mode="left_to_right")]


Steps = list[Annotated[StepExecution | Any, Field(union_mode="left_to_right")]]
"""A malformed step is no reason to lose the others."""


@with_config(CAMEL)
class WorkflowExecution(TypedDict):
    """The 200 body."""

    id: str
    workflow_id: str
    status: str
    disposition: NotRequired[Any]
    started_at: NotRequired[Any]
    completed_at: NotRequired[Any]
    step_executions: NotRequired[Annotated[Steps | Any, Field(union_mode="left_to_right")]]


BODY = TypeAdapter(WorkflowExecution)
