"""How long servers ask to wait, in their several ways."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.client.retry_after import RESETS, asked_wait
from bulksync.model import Reply
from tests.support.clients import reply_to
from tests.support.fault_server import answer

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 2094 08:49:37 GMT"
THEN = 3_939_871_777

WAITS: dict[str, tuple[Mapping[str, str], float | None]] = {
    "a fraction": ({"Retry-After": "60.0"}, 60.0),
    "a small fraction": ({"Retry-After": "0.25"}, 0.25),
    "no number": ({"Retry-After": "1e3"}, None),
    "negative": ({"Retry-After": "-1.5"}, None),
    "seconds": ({"X-RateLimit-Reset": "30"}, 30.0),
    "seconds, another name": ({"X-Rate-Limit-Reset": "30"}, 30.0),
    "seconds, a third name": ({"RateLimit-Reset": "30.5"}, 30.5),
    "a time": ({"X-RateLimit-Reset": str(THEN + 30), "Date": LATER}, 30.0),
    "a time with a fraction": ({"X-RateLimit-Reset": f"{THEN + 30}.5", "Date": LATER}, 30.5),
    "a time in milliseconds": ({"X-RateLimit-Reset": str((THEN + 30) * 1000), "Date": LATER}, 30.0),
    "a time that is past": ({"X-RateLimit-Reset": str(THEN - 30), "Date": LATER}, 0.0),
    "a time in a hundred years": ({"X-RateLimit-Reset": str(THEN), "Date": DATE}, None),
    "a reset that is no number": ({"X-RateLimit-Reset": "soon"}, None),
    "a negative reset": ({"X-RateLimit-Reset": "-30"}, None),
    "a reset in ten years": ({"X-RateLimit-Reset": "315360000"}, None),
    "too many digits": ({"X-RateLimit-Reset": "9" * 40}, None),
    "something is left": ({"X-RateLimit-Reset": "30", "X-RateLimit-Remaining": "12"}, None),
    "nothing is left": ({"X-RateLimit-Reset": "30", "X-RateLimit-Remaining": "0"}, 30.0),
    "Retry-After goes first": ({"X-RateLimit-Reset": "30", "Retry-After": "2", "RateLimit": '"a";r=0;t=5'}, 2.0),
    "a useless Retry-After": ({"X-RateLimit-Reset": "30", "Retry-After": "soon"}, 30.0),
    "the draft": ({"RateLimit": '"default";r=0;t=30'}, 30.0),
    "the draft with blanks": ({"RateLimit": '"default" ; r=0 ; t=30'}, 30.0),
    "the draft, two quotas": ({"RateLimit": '"hour";r=0;t=30, "day";r=0;t=90, "second";r=5;t=999'}, 90.0),
    "the draft, something is left": ({"RateLimit": '"default";r=50;t=30'}, None),
    "the draft without a time": ({"RateLimit": '"default";r=0'}, None),
    "the draft, absurd": ({"RateLimit": '"default";r=0;t=999999999'}, None),
    "an older draft": ({"RateLimit": "limit=100, remaining=0, reset=30"}, 30.0),
    "an older draft, something is left": ({"RateLimit": "limit=100, remaining=7, reset=30"}, None),
    "garbage": ({"RateLimit": ";;==,,t=,r=0;t=-1"}, None),
}


@pytest.mark.fault("B7", "fractions, quota resets and the RateLimit draft")
@pytest.mark.parametrize(("headers", "seconds"), WAITS.values(), ids=WAITS)
def test_how_long_a_server_asks_to_wait(headers: Mapping[str, str], seconds: float | None) -> None:
    """Each usual way to say when to come back is read; garbage, the past and the absurd are not."""
    assert asked_wait(headers, None) == seconds
    assert asked_wait(headers, {"retry_after": 7}) == (7.0 if seconds is None else seconds)


@pytest.mark.fault("B7", "quota resets on 429 and 503")
@pytest.mark.parametrize(("status", "wait"), [(429, 30.0), (503, 30.0), (500, None), (403, None)])
async def test_whose_reset_is_read(status: int, wait: float | None) -> None:
    """A quota's reset is a wait where the server says that it was too much, whatever the header's case."""
    limited = answer(status, b"{}", {"x-ratelimit-reset": "30"})
    assert await reply_to(limited) == Reply(status, f"http_{status}", "{}", retry_after=wait)


@given(name=st.sampled_from([*RESETS, "RateLimit"]), value=st.text() | st.floats().map(str) | st.integers().map(str))
def test_a_wait_is_never_negative(name: str, value: str) -> None:
    """Whatever stands in a header, it is a wait of a year at most, or nothing."""
    seconds = asked_wait({name: value, "Date": DATE}, json.loads('{"retry_after": null}'))
    assert seconds is None or 0 <= seconds <= 366 * 86_400
