"""The ceiling: aiohttp, uvloop and orjson doing nothing but send and parse. `python -m … URL ROWS IN_FLIGHT`."""

import asyncio
import csv
import sys

import aiohttp
import orjson
import uvloop


async def main(url: str, path: str, in_flight: int) -> None:
    """Send every row; nothing is kept, retried, paced or recorded."""
    with open(path, newline="") as file:  # noqa: ASYNC230  before anything is sent
        rows = iter(list(csv.DictReader(file)))
    headers = {"X-API-Key": "key", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=in_flight)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, headers=headers) as session:

        async def work() -> None:
            for row in rows:
                data = orjson.dumps({"status": row["status"], "metadata": orjson.loads(row["metadata"])})
                path = f"/api/v1/workflow/{row['workflowId']}/execution/{row['executionId']}"
                async with session.put(url + path, data=data) as response:
                    orjson.loads(await response.read())

        await asyncio.gather(*(work() for _ in range(in_flight)))


uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
