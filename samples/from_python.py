"""Updates workflow executions from a program: every row comes back with what the server answered.

Rows are a path or dicts; here dicts, sent to an emulated API. For real: api_key=… (or FEATHER_API_KEY), no sandbox.
"""

import asyncio

from bulksync import sync

ROWS = [
    {
        "workflowId": "cbf27734-4313-4d2a-9fb0-6e4a1f8b1c11",
        "executionId": f"918c40bf-0000-4000-8000-{number:012d}",
        "status": "COMPLETED",
        "metadata": {"leadId": f"L-{number}"},
    }
    for number in range(3)
]


async def main() -> None:
    """Send the rows, show each as it finishes, and what the run came to."""
    async with sync(ROWS, rate="10/s", sandbox=True) as results:
        async for result in results:
            print(result.row, result.outcome, result.disposition)
    print(results.exit_code, results.summary["outcomes"])


asyncio.run(main())
