"""What an answer means for its row and for the run, and how long to wait before retrying.

Sources: RFC 9110 §9.2.2 (repeating a PUT), §10.2.3 (Retry-After), §15 (status codes); RFC 6585 §4 (429); RFC 8470 §5.2
(425). Everything here is a pure function: clocks and random numbers are arguments.
"""

from dataclasses import dataclass, replace

from bulksync.model import Outcome, Reply, Request, RunError

BACKOFF_BASE = 0.5
BACKOFF_CAP = 30.0

SHORTEST_HOLD = 0.5
"""Minimum seconds of a pause of all requests."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one reply means.

    *outcome* is the row's outcome if this reply is its last; *retry* says that another attempt may succeed; *sent* is
    False if nothing reached the server; *doubtful* says that the update may have been applied nevertheless; *away* says
    that the failure is the server's rather than the row's; *waits* says that the server, or the path to it, only asks
    for patience, so that no attempt is charged to the row; *stop* ends the run; *is_success* says that the reply is the
    one that was asked for.
    """

    outcome: Outcome
    retry: bool = False
    sent: bool = True
    doubtful: bool = False
    away: bool = False
    waits: bool = False
    stop: RunError | None = None
    is_success: bool = False


ACKNOWLEDGED = Verdict(Outcome.UPDATED, is_success=True)
NOT_SENT = Verdict(Outcome.UNSENT, retry=True, sent=False, away=True, waits=True)
NO_ADDRESS = Verdict(Outcome.UNSENT, sent=False, stop="aborted_outage")
UNTRUSTED = Verdict(Outcome.UNSENT, sent=False, stop="aborted_access")
TOO_MANY = Verdict(Outcome.FAILED, retry=True, waits=True)
NOT_AVAILABLE = Verdict(Outcome.FAILED, retry=True, away=True, waits=True)
NOT_PROCESSED = Verdict(Outcome.FAILED, retry=True, away=True)
AMBIGUOUS = Verdict(Outcome.UNKNOWN, retry=True, doubtful=True, away=True)
WRONG_ROW = Verdict(Outcome.UNKNOWN, doubtful=True, stop="aborted_outage")
NO_ACCESS = Verdict(Outcome.FAILED, stop="aborted_access")
REJECTED = Verdict(Outcome.REJECTED)

BY_ERROR = {
    "": ACKNOWLEDGED,
    "dns_failed": NOT_SENT,
    "connect_failed": NOT_SENT,
    "connect_timeout": NOT_SENT,
    "proxy_failed": NOT_SENT,
    "tls_failed": UNTRUSTED,
    "tls_verify_failed": UNTRUSTED,
    "request_timeout": AMBIGUOUS,
    "connection_lost": AMBIGUOUS,
    "response_truncated": AMBIGUOUS,
    "protocol_error": AMBIGUOUS,
    "response_too_large": AMBIGUOUS,
    "response_invalid": AMBIGUOUS,
    "response_mismatch": WRONG_ROW,
    "redirect_refused": NO_ACCESS,
}
BY_STATUS = {
    401: NO_ACCESS,
    407: NO_ACCESS,
    408: NOT_PROCESSED,
    425: NOT_PROCESSED,
    429: TOO_MANY,
    501: REJECTED,
    503: NOT_AVAILABLE,
    505: REJECTED,
    511: NO_ACCESS,
}


def judge(reply: Reply, *, is_proven: bool = False) -> Verdict:
    """Return what a reply means; every status and every error is covered.

    If access *is_proven*, a failed name lookup and a failed TLS handshake are outages, as both have worked before; an
    untrusted certificate remains final. A proxy that refuses by policy answers with a status; one that is unreachable
    does not.
    """
    if reply.error == "tls_failed" and is_proven:
        return NOT_SENT
    if reply.error == "dns_failed" and not is_proven:
        return NO_ADDRESS
    if reply.error == "proxy_failed" and reply.status is not None:
        return UNTRUSTED
    if (verdict := BY_ERROR.get(reply.error)) is not None:
        return verdict
    status = reply.status or 0
    if (verdict := BY_STATUS.get(status)) is not None:
        return verdict
    return AMBIGUOUS if status < 200 or 500 <= status < 600 else REJECTED


def judge_for(request: Request, verdict: Verdict) -> Verdict:
    """Adapt a verdict to the kind of request: a safe one cannot have been applied."""
    if verdict.is_success:
        return verdict if request.outcome is verdict.outcome else replace(verdict, outcome=request.outcome)
    if request.is_safe and verdict.doubtful:
        return replace(verdict, outcome=Outcome.FAILED, doubtful=False)
    return verdict


def holds_everyone(reply: Reply) -> bool:
    """Whether a reply pauses all requests: 429 always, 503 only with a Retry-After."""
    return reply.status == 429 or (reply.status == 503 and reply.retry_after is not None)


def is_too_fast(reply: Reply) -> bool:
    """Whether a reply may mean that requests come too fast: 429, and 503, which balancers use to limit rates."""
    return reply.error in ("http_429", "http_503")


def backoff(attempt: int, chance: float) -> float:
    """Return the seconds to wait after failed attempt *attempt* (from 1), with full jitter by *chance* in [0, 1).

    Source: "Exponential Backoff and Jitter", AWS Architecture Blog.
    """
    return chance * min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(attempt - 1, 16))


def hold(asked: float | None, nth: int, chance: float) -> float:
    """Return the seconds to pause all requests: what the server *asked* plus up to 10 %, else the *nth* hold's backoff.

    A shorter value than `SHORTEST_HOLD` is not usable: asked again at once, the server would give the same answer.
    """
    is_given = asked is not None and asked >= SHORTEST_HOLD
    return asked * (1 + chance / 10) if is_given and asked else SHORTEST_HOLD + backoff(nth, chance)


def over_budget(failures: int, done: int, budget: str) -> bool:
    """Whether *failures* of *done* rows exceed a budget of `N` rows, or of `P%`, which applies from 100 rows on."""
    if budget.endswith("%"):
        return done >= 100 and failures * 100 > done * float(budget[:-1])
    return failures > int(budget)
