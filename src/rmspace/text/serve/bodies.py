"""Bodies of requests: read within limits, and parsed as strict JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from starlette.requests import Request

from rmspace.text.serve.limits import Limits, Refused


class Bodies:
    """Reads bodies, each within the limits, and all together within `Limits.held_bytes`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[dict[str, Any]]:
        """Yield the object that the body holds; its bytes count as held until the block ends.

        Raises:
            Refused: 400 not JSON, 408 too slow, 413 too long, 415 another type, 422 no object, 429 too much at once.
        """
        _check_type(request)
        _check_length(request.headers.get("content-length"), self._limits.max_bytes)
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self._limits.body_seconds):
                    async for chunk in request.stream():
                        body += chunk
                        self._held += len(chunk)
                        self._check_room(len(body))
            except TimeoutError as error:
                raise Refused(
                    408, f"the body must come within {self._limits.body_seconds:g} s", {"Connection": "close"}
                ) from error
            yield parse(bytes(body))
        finally:
            self._held -= len(body)

    def _check_room(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise _too_long(self._limits.max_bytes)
        if self._held > self._limits.held_bytes:
            raise Refused(429, "too many bytes are being read at once; send it again later", {"Retry-After": "1"})


def parse(body: bytes) -> dict[str, Any]:
    """Return the object that a body holds.

    Raises:
        Refused: 400 not strict JSON in UTF-8, 422 something other than an object.

    >>> parse(b'{"prompt": "2 + 2?"}')
    {'prompt': '2 + 2?'}
    """
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise Refused(400, "the body must be UTF-8") from error
    except RecursionError as error:
        raise Refused(400, "the body must be JSON; it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise Refused(400, f"the body must be JSON; {error.msg} at character {error.pos}") from error
    except ValueError as error:  # a number of too many digits, nan, or a name twice
        raise Refused(400, f"the body must be JSON; {error}") from error
    if not isinstance(found, dict):
        raise Refused(422, "the body must be a JSON object")
    return found


def _check_type(request: Request) -> None:
    kind, _, rest = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json":
        raise Refused(415, "the body must be JSON, with the header Content-Type: application/json")
    charset = rest.lower().replace(" ", "").replace('"', "")
    if "charset=" in charset and "charset=utf-8" not in charset:
        raise Refused(415, "the body must be UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "the body must not be compressed")


def _check_length(declared: str | None, most: int) -> None:
    if declared is not None and declared.isdecimal() and (len(declared) > 18 or int(declared) > most):
        raise _too_long(most)


def _too_long(most: int) -> Refused:
    return Refused(413, f"the body must have at most {most:,} bytes; send the texts in several requests")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same name twice")
    return found
