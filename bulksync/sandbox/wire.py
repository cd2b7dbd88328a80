"""Answers on the wire: an execution, a refusal, or what a fault turns them into."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson
from aiohttp import web

from bulksync.sandbox.checks import METHODS, Refusal
from bulksync.sandbox.draws import Draws

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "UNPROCESSABLE_ENTITY",
    429: "RATE_LIMITED",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}

LOGIN_PAGE = "<!doctype html><title>Sign in</title><p>Please sign in to continue.</p>"
PADDING = "x" * 65_536
NO_LINGER = struct.pack("ii", 1, 0)  # makes closing send a reset instead of a FIN


def encode(body: Any) -> bytes:
    """Return JSON, with datetimes as `2026-01-05T15:00:00Z`."""
    return orjson.dumps(body, option=orjson.OPT_UTC_Z)


def json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    return web.Response(body=encode(body), status=status, headers=headers, content_type="application/json")


def refuse(refusal: Refusal) -> web.Response:
    """Return a refusal in the API page's format; 429 and 503 may have a Retry-After, 405 lists the methods."""
    status, headers = refusal.status, {}
    code = CODES.get(status, f"HTTP_{status}")
    body = {"status": status, "message": refusal.message, "code": code, "success": False}
    if refusal.retry_after is not None:
        body["retry_after"] = refusal.retry_after
        headers["Retry-After"] = str(refusal.retry_after)
    if status == 405:
        headers["Allow"] = ", ".join(METHODS)
    return json(body, status, headers)


async def answer(
    request: web.BaseRequest, body: dict[str, Any], fault: str | int, redirect_to: str, hang: float
) -> web.StreamResponse:
    """Return the *body* as changed by the *fault*; an integer is the status of a refusal, *hang* is in seconds."""
    match fault:
        case int():
            return refuse(Refusal(fault, "refused by the script"))
        case "server_error":
            return refuse(Refusal(500, "something went wrong"))
        case "unavailable":
            return refuse(Refusal(503, "unavailable"))
        case "unavailable_retry_after":
            return refuse(Refusal(503, "unavailable", retry_after=1))
        case "not_json":
            return web.Response(text=LOGIN_PAGE, content_type="text/html")
        case "redirect":
            return web.Response(status=307, headers={"Location": redirect_to + request.raw_path})
        case "wrong_id":
            return json({**body, "id": Draws(body["id"], "another").id()})
        case "oversized":
            return json({**body, "padding": PADDING})
        case "truncated":
            await _break_off(request, encode(body))
        case "reset_before" | "reset_after":
            _reset(request)
        case "hang":
            await asyncio.sleep(hang)
            _hang_up()
        case "late_apply":
            _hang_up()
    return json(body)


async def _break_off(request: web.BaseRequest, data: bytes) -> NoReturn:
    """Send the headers, and half of the body they announce."""
    half = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(data))})
    await half.prepare(request)
    await half.write(data[: len(data) // 2])
    _hang_up()


def _reset(request: web.BaseRequest) -> NoReturn:
    """Close the connection so that the client gets a reset instead of a FIN."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        request.transport.abort()
    _hang_up()


def _hang_up() -> NoReturn:
    """Close the connection without sending more: aiohttp does so when the answering task is cancelled."""
    raise asyncio.CancelledError
