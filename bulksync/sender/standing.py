"""Who is at fault for a bad answer: the row, the access (key, URL, proxy), or the server.

A single bad answer does not show that. So it is kept as *unexplained* until another answer explains it:

| the answer                     | while access is in doubt            | once access is proven                      |
|--------------------------------|-------------------------------------|--------------------------------------------|
| acknowledged                   | access is proven                    | earlier bad answers, from before this      |
|                                |                                     | request was sent, are the rows' own        |
| refused (4xx, 501) in JSON     | the `ENOUGH`th execution: no access | the `BLOCK`th in a row: access is in doubt |
| refused without a JSON object  | the `ENOUGH`th execution: no access | access is in doubt                         |
| not this API's (2xx, not HTTP) | the `ENOUGH`th execution: no API    | like 5xx                                   |
| 5xx, lost, no connection       | one request at a time, with pauses  | the `BLOCK`th execution: server unreachable |

Access is in doubt from the start unless (target, key) has worked before. While it is in doubt, or the server is
unreachable, one request at a time is sent, each time for another row: see `rank`. How a doubt is resolved:

- In doubt, then acknowledged: the earlier refusals are the rows' own; but a row that was refused without a JSON object
  is retried once, as a firewall or a deployment may have been the cause. Refused `ENOUGH` times: the run stops, and the
  refused rows are to be sent again.
- Unreachable, then acknowledged: the executions that failed are *found out*. They go behind the others, and their
  failures say nothing about the server until they succeed; so they use up their attempts, while other rows probe the
  server.
- Nothing left to ask: if access is in doubt, the run stops; everything else is the rows' own.

All functions are pure; times are seconds of one monotonic clock.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from bulksync.model import Key, Outcome, Reply, Row
from bulksync.sender.retry import Verdict

ENOUGH = 10
"""Executions asked before access counts as refused."""

BLOCK = 20
"""Executions in a row with bad answers that can no longer be coincidence."""


Rank = Callable[[Row, int], tuple[int, bool, bool, int]]
"""Sort key for rows waiting for a place, given a row and how often it was tried: the smallest goes first."""


class Kind(Enum):
    """The kind of a bad answer."""

    REFUSED = "refused"
    PAGE = "refused without a JSON object"
    STRANGER = "not this API's"
    LOST = "lost, as by who speaks another protocol"
    UNREACHED = "not sent"
    FAILED = "failed"
    CRASHED = "failed with 500"


REFUSALS = frozenset({Kind.REFUSED, Kind.PAGE})
STRANGERS = frozenset({Kind.STRANGER, Kind.LOST})
SUSPICIOUS = REFUSALS | STRANGERS
FAILURES = STRANGERS | {Kind.UNREACHED, Kind.FAILED, Kind.CRASHED}

STRANGE = frozenset({"response_invalid", "response_too_large", "protocol_error"})
"""Errors that mean the peer does not answer like this API."""

LOST = frozenset({"connection_lost", "response_truncated"})
"""Errors of a peer that speaks another protocol, such as TLS, as long as none has answered in this one."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A bad answer to a row: when its request was sent, and when the answer arrived."""

    row: int
    key: Key
    kind: Kind
    sent: float
    answered: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about access and server: *unexplained* bad answers, the last one of each execution.

    *doubted_since* is when access came into doubt, None if it is proven; *refusing* are the executions refused, or
    answered by another service, since then. *found_out* are executions and workflows that failed while others
    succeeded; *served* are the first two workflows that had an acknowledgement.
    """

    doubted_since: float | None = -math.inf
    unexplained: Mapping[Key, Bad] = field(default_factory=dict)
    refusing: frozenset[Key] = frozenset()
    found_out: frozenset[Key | str] = frozenset()
    served: tuple[str, ...] = ()
    has_succeeded: bool = False

    @property
    def is_doubted(self) -> bool:
        """Whether access is in doubt."""
        return self.doubted_since is not None

    @property
    def is_refused(self) -> bool:
        """Whether enough executions were asked to conclude that there is no access."""
        return len(self.refusing) >= ENOUGH

    @property
    def is_strange(self) -> bool:
        """Whether all answers since access came into doubt are not this API's."""
        kinds = {self.unexplained[key].kind for key in self.refusing if key in self.unexplained}
        return bool(kinds) and kinds <= STRANGERS

    @property
    def failing(self) -> list[Bad]:
        """Return the failures that count as evidence about the server."""
        return [bad for bad in self.unexplained.values() if bad.kind in FAILURES and not self.is_found_out(bad.key)]

    @property
    def is_away(self) -> bool:
        """Whether the server is unreachable: many executions fail in a row, and not just one workflow that crashes."""
        failing = self.failing
        return len(failing) >= BLOCK and not self._is_one_workflows(failing)

    @property
    def is_calm(self) -> bool:
        """Whether the full allowed number of requests may be in flight."""
        return not (self.is_doubted or self.is_away)

    @property
    def may_be_the_rows(self) -> bool:
        """Whether other rows could get a better answer: not if no row even reached the server."""
        return any(bad.kind is not Kind.UNREACHED for bad in self.unexplained.values())

    def is_found_out(self, key: Key) -> bool:
        """Whether an execution, or its workflow, has failed while others succeeded."""
        return bool(self.found_out) and (key in self.found_out or key[0] in self.found_out)

    def _is_one_workflows(self, failing: Iterable[Bad]) -> bool:
        """Whether one workflow answers 500, which the application itself produces, while another one was served."""
        workflows = {bad.key[0] for bad in failing}
        crashes = all(bad.kind is Kind.CRASHED for bad in failing)
        return crashes and len(workflows) == 1 and any(served not in workflows for served in self.served)


def kind_of(reply: Reply, verdict: Verdict, standing: Standing, pages: int = 1) -> Kind | None:
    """Return the kind of a bad answer; None for an acknowledgement, for 429, and for what stops the run at once.

    Of the *pages* that a row received instead of an answer, only the first counts as evidence for everyone.
    """
    if verdict.outcome is Outcome.REJECTED:
        return Kind.PAGE if reply.stranger and pages == 1 else Kind.REFUSED
    if not verdict.away:
        return None
    if not verdict.sent:
        return Kind.UNREACHED
    if reply.error in STRANGE:
        return Kind.STRANGER
    if reply.error in LOST and not standing.has_succeeded and standing.is_doubted:
        return Kind.LOST
    return Kind.CRASHED if reply.status == 500 else Kind.FAILED


def note_failure(standing: Standing, bad: Bad) -> Standing:
    """Return the standing after a bad answer."""
    unexplained = {**standing.unexplained, bad.key: bad}
    after = replace(standing, unexplained=unexplained)
    if standing.doubted_since is None:
        refused = [one for one in unexplained.values() if one.kind in REFUSALS]
        is_doubtful = bad.kind is Kind.PAGE or len(refused) >= BLOCK
        return replace(after, doubted_since=bad.answered, refusing=frozenset()) if is_doubtful else after
    counts = bad.sent >= standing.doubted_since and bad.kind in SUSPICIOUS
    return replace(after, refusing=standing.refusing | {bad.key}) if counts else after


def note_success(standing: Standing, key: Key, sent: float) -> Standing:
    """Return the standing after the acknowledgement of a request *sent* at that time."""
    is_known = key[0] in standing.served or len(standing.served) > 1
    if is_known and standing.doubted_since is None and not standing.unexplained and not standing.found_out:
        return standing  # the usual case
    explained = [bad for bad in standing.unexplained.values() if bad.answered < sent or bad.key == key]
    others = {bad.key: bad for bad in standing.unexplained.values() if bad.answered >= sent and bad.key != key}
    is_doubted = standing.doubted_since is not None and standing.doubted_since > sent
    return replace(
        standing,
        doubted_since=standing.doubted_since if is_doubted else None,
        unexplained=others,
        refusing=standing.refusing if is_doubted else frozenset(),
        found_out=(standing.found_out | find_at_fault(standing, explained, key)) - {key, key[0]},
        served=standing.served if key[0] in standing.served else (*standing.served, key[0])[:2],
        has_succeeded=True,
    )


def trust(standing: Standing) -> Standing:
    """Return a standing in which every refusal counts as the row's own."""
    return replace(standing, doubted_since=None, refusing=frozenset())


def find_at_fault(standing: Standing, explained: Iterable[Bad], key: Key) -> frozenset[Key | str]:
    """Return which executions, and perhaps which workflow, are themselves at fault, as *key* succeeded after them."""
    failed = [bad for bad in explained if bad.kind in FAILURES and bad.key != key]
    workflows = {bad.key[0] for bad in failed}
    is_one = standing.is_away and len(workflows) == 1 and key[0] not in workflows
    return frozenset({bad.key for bad in failed} | (workflows if is_one else set()))


def note_settled(standing: Standing, key: Key) -> Standing:
    """Return the standing once a row of an execution is settled: none of its answers is left as evidence."""
    if key not in standing.unexplained and key not in standing.found_out:
        return standing
    others = {other: bad for other, bad in standing.unexplained.items() if other != key}
    return replace(standing, unexplained=others, found_out=standing.found_out - {key})


def rank(standing: Standing, row: Row, tried: int) -> tuple[int, bool, bool, int]:
    """Return the sort key of a row while rows are asked one at a time, the most informative first.

    First come rows *tried* least often, then those whose execution, and then those whose workflow, has no unexplained
    answers, then those farthest in the input from rows with unexplained answers.
    """
    bad = standing.unexplained
    workflows = {key[0] for key in bad}
    away = min((abs(one.row - row.row) for one in bad.values()), default=-row.row)
    return tried, row.key in bad, row.workflow_id in workflows or standing.is_found_out(row.key), -away
