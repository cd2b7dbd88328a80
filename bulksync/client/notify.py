"""Posts a summary to a URL chosen by the user, with few attempts and short timeouts."""

from pathlib import Path

import aiohttp
import anyio
from aiohttp import hdrs

from bulksync import __version__
from bulksync.client.failure import named, unsent
from bulksync.client.tls import tls

ATTEMPTS = 3

TIMEOUT = aiohttp.ClientTimeout(total=3.0)
"""Timeout of one attempt: the receiver has little to do but accept the post."""

PAUSE = 1.0
"""Seconds between two attempts."""

HEADERS = {hdrs.CONTENT_TYPE: "application/json", hdrs.USER_AGENT: f"bulksync/{__version__}"}


async def post(url: str, body: bytes, *, proxy: str | None = None, ca_file: Path | None = None) -> str:
    """Post a body until it is accepted, refused permanently, or the attempts are used up; return why it failed.

    Redirects, cookies and proxy settings in the environment are ignored. Raises UsageError if *ca_file* cannot be used.
    """
    connector = aiohttp.TCPConnector(ssl=tls(ca_file))
    async with aiohttp.ClientSession(
        connector=connector, timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        for attempt in range(1, ATTEMPTS + 1):
            why, is_final = await post_once(session, url, body, proxy)
            if is_final or attempt == ATTEMPTS:
                return why
            await anyio.sleep(PAUSE)
    return ""


async def post_once(session: aiohttp.ClientSession, url: str, body: bytes, proxy: str | None) -> tuple[str, bool]:
    """Post a body once; return why it was not accepted, and whether another attempt would be pointless."""
    try:
        async with session.post(url, data=body, headers=HEADERS, proxy=proxy, allow_redirects=False) as answer:
            status = answer.status
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return unsent(error, proxy and "of --proxy", has_cert=False).detail, False
    if 200 <= status < 300:
        return "", True
    return f"the answer is {named(status)}", status < 500 and status not in (408, 425, 429)
