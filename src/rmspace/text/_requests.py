"""Requests to a server that may be slow, busy or broken: tried again where that can help, and one message otherwise."""

from __future__ import annotations

import email.utils
import json
import random
import threading
import time
from typing import Any, NamedTuple

from rmspace.text._extras import need

_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}
_SECRET = {401, 403}  # a server may repeat a part of the key in its answer
_LONGEST_WAIT = 600.0


class Policy(NamedTuple):
    """How long to wait for an answer, and how often to ask again."""

    timeout: float
    retries: int
    backoff: float = 0.5
    """Seconds before the second try; each later wait is twice as long, and at most a minute."""

    def wait(self, tried: int) -> float:
        """Return the seconds to wait after so many tries and the first one: a random part from a half to the whole."""
        return min(self.backoff * 2**tried, 60.0) * random.uniform(0.5, 1.0)


class _Failed(Exception):
    """A try that failed, and how long the server asks to wait."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def post(client: Any, url: str, body: object, headers: dict[str, str], policy: Policy, stop: threading.Event) -> Any:
    """Return the JSON that a server answers.

    Overload (429), errors of the server (5xx), broken connections and timeouts are tried again, after a random wait
    that doubles each time, or after what Retry-After asks for; `stop` ends the waiting.

    Raises:
        ConnectionError: the server did not answer properly after all tries.
        ValueError: the server refuses the request, or its answer is not JSON.
    """
    content = json.dumps(body).encode()
    for tried in range(policy.retries + 1):
        try:
            return _try(client, url, content, headers, policy.timeout)
        except _Failed as failed:
            if tried == policy.retries:
                times = "1 time" if tried == 0 else f"{tried + 1} times"
                raise ConnectionError(f"{shown(url)} failed {times}; the last time: {failed}") from failed
            wait = policy.wait(tried) if failed.wait is None else failed.wait + random.uniform(0, policy.backoff)
            if stop.wait(wait):
                raise ConnectionError("another request failed") from failed
    raise AssertionError("not reached")


def shown(url: str) -> str:
    """Return an address without its query, which may hold a secret."""
    return url.partition("?")[0]


def _try(client: Any, url: str, content: bytes, headers: dict[str, str], timeout: float) -> Any:
    httpx = need("httpx")
    deadline = time.monotonic() + timeout
    try:
        with client.stream("POST", url, content=content, headers=headers, timeout=timeout) as response:
            data = bytearray()
            for chunk in response.iter_bytes():
                data += chunk
                if time.monotonic() > deadline:  # a server that sends a little now and then never times out
                    raise _Failed(f"no whole answer within {timeout:g} seconds; raise timeout, or lower batch_size")
    except httpx.TimeoutException as error:
        raise _Failed(f"no answer within {timeout:g} seconds; raise timeout, or lower batch_size") from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise _Failed(f"{type(error).__name__}: {error}; is the server running?") from error
    return _answer(url, response, bytes(data), headers)


def _answer(url: str, response: Any, data: bytes, headers: dict[str, str]) -> Any:
    status = response.status_code
    if status in _TRY_AGAIN:
        raise _Failed(f"status {status}{_said(data, headers)}", _wait(response.headers.get("retry-after")))
    if status in _SECRET:
        raise ValueError(f"{shown(url)} refuses the key (status {status}); is api_key_env the variable that holds it?")
    if status != 200:
        raise ValueError(f"{shown(url)} refuses the request: status {status}{_said(data, headers)}")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        kind = response.headers.get("content-type", "no content type")
        raise ValueError(f"{shown(url)} must answer JSON; got {len(data):,} bytes of {kind} that are not") from error


def _said(data: bytes, headers: dict[str, str]) -> str:
    """Return the beginning of what the server said, without the key."""
    text = " ".join(data[:2000].decode("utf-8", "replace").split())
    key = headers.get("Authorization", "").removeprefix("Bearer ")
    return f": {(text.replace(key, '***') if key else text)[:200]}" if text else ""


def _wait(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which may be a date; None where there is none that makes sense."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT) if seconds == seconds else None
