"""A server that costs next to nothing: answers the API page's body naming the ids, refuses above a quota if told one.

Started as `python -m tests.benchmarks.sink PORT SECONDS [QUOTA [LOG]]`; ends by itself. The quota is strict: arrivals
in a sliding second, forgiving 10 ms. At its end (TERM) it writes every arrival's time to LOG, one a line.
"""

import asyncio
import json
import re
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import cast

import uvloop

ID = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
STEP = {"id": ID, "type": "CALL", "order": 2, "delayInSecs": 0, "needsTCPACompliance": True, "finishOn": []}
CALL = {
    "id": ID,
    "status": "COMPLETED",
    "callStartedAt": "2026-01-15T19:48:27Z",
    "callEndedAt": "2026-01-15T19:51:37Z",
    "callDuration": 123,
    "callEndedReason": "NO_ANSWER",
    "recordingUrl": "https://recordings.invalid/call.mp3",
    "summary": "Nobody answered.",
}
PAGE = {
    "id": "{execution}",
    "workflowId": "{workflow}",
    "status": "CREATED",
    "temporalWorkflowId": "agent-workflow",
    "startedAt": "2026-01-15T19:48:27Z",
    "completedAt": "2026-01-15T19:51:37Z",
    "customerLeadId": ID,
    "metadata": {"firstName": "Maya", "lastName": "Moretti"},
    "disposition": "NO_ANSWER",
    "definition": {"steps": [STEP | {"agentId": ID, "leaveVoicemail": False, "conditions": []}]},
    "stepExecutions": [
        STEP
        | {
            "workflowExecutionId": ID,
            "status": "PENDING",
            "finishOn": ["NO_ANSWER"],
            "startedAt": "2026-01-15T19:48:27Z",
            "completedAt": "2026-01-15T19:51:37Z",
            "leaveVoicemail": True,
            "disposition": "NO_ANSWER",
            "agentId": ID,
            "agentCall": CALL,
        }
    ],
    "createdAt": "2026-01-15T19:48:27Z",
}
"""The 200 body of the API page, its ids to be filled in."""

HEAD, MIDDLE, TAIL = re.split(r"\{execution\}|\{workflow\}", json.dumps(PAGE))
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class Quota:
    """Counts arrivals in a sliding second, forgiving 10 ms; *arrivals* are the times of all."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.arrivals: list[float] = []
        self._taken: deque[float] = deque()

    def takes(self, now: float) -> bool:
        """Whether one more may come now."""
        if self.limit is None:
            return True
        self.arrivals.append(now)
        while self._taken and self._taken[0] <= now - 0.99:
            self._taken.popleft()
        if len(self._taken) >= self.limit:
            return False
        self._taken.append(now)
        return True


class Sink(asyncio.Protocol):
    """One connection: answers each complete request."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class, alike but unrelated

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self._received, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < size:
                return
            path = self._received.split(b" ", 2)[1].decode()
            self._received = self._received[size:]
            self._transport.write(answer(path) if self._quota.takes(time.monotonic()) else REFUSAL)


def answer(path: str) -> bytes:
    """Return the 200 for `/api/v1/workflow/{workflow}/execution/{execution}`."""
    _, _, _, _, workflow, _, execution = path.split("/")
    body = f"{HEAD}{execution}{MIDDLE}{workflow}{TAIL}".encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def main(port: int, seconds: float, limit: int | None, log: Path | None) -> None:
    """Serve until TERM or for so long."""
    quota = Quota(limit)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.call_later(seconds, ended.set)
    async with await loop.create_server(lambda: Sink(quota), "127.0.0.1", port):
        await ended.wait()
    if log is not None:
        log.write_text("".join(f"{arrival:.6f}\n" for arrival in quota.arrivals))  # noqa: ASYNC240  nothing is served any more


if __name__ == "__main__":
    port, seconds, *more = sys.argv[1:]
    uvloop.run(main(int(port), float(seconds), int(more[0]) if more else None, Path(more[1]) if more[1:] else None))
