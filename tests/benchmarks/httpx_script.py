"""What the web teaches: asyncio, httpx and a semaphore. `python … URL ROWS IN_FLIGHT`."""

import asyncio
import csv
import json
import sys

import httpx  # type: ignore[import-not-found]  # of the peers' own environment


async def main(url: str, path: str, in_flight: int) -> None:
    """Send every row."""
    with open(path, newline="") as file:  # noqa: ASYNC230  before anything is sent
        rows = list(csv.DictReader(file))
    semaphore = asyncio.Semaphore(in_flight)
    limits = httpx.Limits(max_connections=in_flight)
    async with httpx.AsyncClient(headers={"X-API-Key": "key"}, limits=limits, timeout=30) as client:

        async def send(row: dict[str, str]) -> None:
            async with semaphore:
                body = {"status": row["status"], "metadata": json.loads(row["metadata"])}
                path = f"/api/v1/workflow/{row['workflowId']}/execution/{row['executionId']}"
                (await client.put(url + path, json=body)).json()

        await asyncio.gather(*(send(row) for row in rows))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
