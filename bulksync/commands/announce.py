"""What is logged before the first request: the plan, what is sent, what is left out, and how long it will take."""

from bulksync.commands.job import Job
from bulksync.console.lines import columns_said
from bulksync.model import Tell
from bulksync.options.files import Files
from bulksync.options.values import show_rate
from bulksync.sender.plan import Plan, unknown_statuses
from bulksync.text import spell


def tell_plan(tell: Tell, plan: Plan, files: Files, seconds: float) -> None:
    """Log what will be done, and where the results are written, for verbose output."""
    run = plan.run
    tell(
        "planned", run=run.name, input=run.input, rows=run.rows, invalid=plan.invalid, due=plan.due,
        seconds=round(seconds, 3), report=str(files.output or "none"), ledger=str(files.ledger or "none"),
    )  # fmt: skip


def tell_sending(tell: Tell, job: Job, plan: Plan, seconds: float) -> None:
    """Log what will be sent within about so many *seconds*, and what of it may surprise."""
    if job.files.before is not None:
        tell("saving before", path=str(job.files.before))
    sends_columns = not job.verb.reads  # a GET names the execution, and sends nothing else of the row
    if sends_columns and (columns := plan.settings.columns):  # not recorded by old versions
        tell("columns", **columns_said(columns))
    if plan.acknowledged:
        tell("acknowledged already", known=plan.acknowledged, rows=plan.due, command=f"{job.command} --only-changed")
    if plan.superseded:
        tell("superseded", rows=plan.superseded)
    if begun := plan.continued and plan.settings.begun:
        tell("continuing", name=plan.run.name, begun=begun)
    rate, about = show_rate(job.options.rate), spell(seconds)
    tell(job.verb.saying, rows=plan.due, target=job.target, rate=rate, about=about, etaSeconds=round(seconds, 3))
    if sends_columns and (unknown := unknown_statuses(plan.settings.statuses)):
        tell("unknown statuses", statuses=unknown)
