"""The 200 body of "Update workflow execution", as the API's own page shows it."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Word = Annotated[str | Any | None, Field(union_mode="left_to_right")]
"""The page shows a string, but what else may come instead is no reason to deny an acknowledgement."""


class Page(BaseModel):
    """An object of the API page: every field optional and nullable, unknown ones accepted, the vocabulary open."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class AgentCall(Page):
    """`stepExecutions[].agentCall`."""

    id: Word = None
    status: Word = None
    call_started_at: Word = None
    call_ended_at: Word = None
    call_duration: Any = None
    call_ended_reason: Word = None
    recording_url: Word = None
    summary: Word = None


class StepExecution(Page):
    """`stepExecutions[]`."""

    id: Word = None
    workflow_execution_id: Word = None
    status: Word = None
    type: Word = None
    order: Any = None
    delay_in_secs: Any = None
    needs_tcpa_compliance: Any = Field(default=None, alias="needsTCPACompliance")
    finish_on: Any = None
    started_at: Word = None
    completed_at: Word = None
    leave_voicemail: Any = None
    disposition: Word = None
    agent_id: Word = None
    agent_call: Annotated[AgentCall | Any | None, Field(union_mode="left_to_right")] = None


Steps = list[Annotated[StepExecution | Any, Field(union_mode="left_to_right")]]
"""An odd step is no reason to lose the others."""


class DefinitionStep(Page):
    """`definition.steps[]`."""

    id: Word = None
    type: Word = None
    order: Any = None
    delay_in_secs: Any = None
    needs_tcpa_compliance: Any = Field(default=None, alias="needsTCPACompliance")
    finish_on: Any = None
    agent_id: Word = None
    leave_voicemail: Any = None
    conditions: Any = None


class Definition(Page):
    """`definition`."""

    steps: Annotated[list[DefinitionStep] | Any | None, Field(union_mode="left_to_right")] = None


class WorkflowExecution(Page):
    """The 200 body; only what names the execution, and its status, must be there."""

    id: str
    workflow_id: str
    status: str
    temporal_workflow_id: Word = None
    started_at: Word = None
    completed_at: Word = None
    customer_lead_id: Word = None
    metadata: Any = None
    disposition: Word = None
    definition: Annotated[Definition | Any | None, Field(union_mode="left_to_right")] = None
    step_executions: Annotated[Steps | Any | None, Field(union_mode="left_to_right")] = None
    created_at: Word = None
