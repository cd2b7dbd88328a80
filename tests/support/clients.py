"""A client under test, and what it is asked for."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from bulksync.client.connection import connect
from bulksync.model import Execution, Reply, Row, Send
from tests.support.fault_server import Behaviour, serve
from tests.support.program import KEY, WORKFLOW, execution

PutNow = Callable[[Row], Awaitable[Reply]]


ACKNOWLEDGED = Reply(200, "", execution=Execution("COMPLETED", "", "", "", []))


def row(number: int = 1, body: bytes = b'{"status":"COMPLETED"}') -> Row:
    """Return the row of a made-up execution."""
    return Row(number, number + 1, WORKFLOW, execution(number), "COMPLETED", body)


async def granted() -> bool:
    """Give a turn at once."""
    return True


@asynccontextmanager
async def paced(url: str, *, timeout: float = 5.0, key: str = KEY, **options: Any) -> AsyncIterator[Send]:  # noqa: ASYNC109  it is passed on
    """Yield what puts a row in its turn, with short times."""
    given = {"max_in_flight": 4, "connect_timeout": 5.0, "keepalive": 10.0} | options
    async with connect(url, SecretStr(key), timeout=timeout, **given) as client:
        yield client.put


@asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[PutNow]:
    """Yield what puts a row at once, with short times."""
    async with paced(url, **options) as put:

        async def put_now(sent: Row) -> Reply:
            reply = await put(sent, granted)
            assert reply is not None
            return reply

        yield put_now


async def reply_to(behaviour: Behaviour, sent: Row | None = None, **options: Any) -> Reply:
    """Put one row to a server that behaves so, and see it arrive once."""
    async with serve(behaviour) as server, client(server.url, **options) as put:
        reply = await put(sent or row())
        assert len(server.requests) == 1
    return reply


NO_HTTP = Reply(None, "protocol_error", "the answer is not HTTP", stranger=True)
