"""The web application: from requests to the batcher and back."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rmspace._typing import Float64Array
from rmspace.text.notes import count_notes
from rmspace.text.records import TextItem
from rmspace.text.reward import TextReward
from rmspace.text.serve.batching import Batcher, QueueClosed, QueueFull
from rmspace.text.serve.bodies import Bodies
from rmspace.text.serve.forms import FORMS, Body, Question
from rmspace.text.serve.limits import Limits, Refused
from rmspace.text.serve.metrics import Metrics

_LOG = logging.getLogger("rmspace.serve")
_LEFT = 499  # the usual mark in logs for a client that closed its connection


def make_app(reward: TextReward, limits: Limits | None = None, *, token: str | None = None) -> Starlette:
    """Return the application that serves a reward model of text.

    Paths: POST /score, /rank and /get_reward; GET /health and /metrics. Neither texts nor tokens are logged.

    Args:
        reward: the reward model; it is used by one thread only.
        limits: how much is taken at once.
        token: what clients must send as `Authorization: Bearer TOKEN`, except to /health; None for no check.
    """
    service = _Service(reward, limits or Limits(), token)
    posts = [Route(path, service.answering(path, form), methods=["POST"]) for path, form in FORMS.items()]
    gets = [Route("/health", service.health, methods=["GET"]), Route("/metrics", service.metrics, methods=["GET"])]
    return Starlette(routes=[*posts, *gets], lifespan=service.lifespan, exception_handlers={HTTPException: _no_route})


class _Service:
    """What the paths share."""

    def __init__(self, reward: TextReward, limits: Limits, token: str | None) -> None:
        self._reward, self._limits = reward, limits
        self._header = None if token is None else b"Bearer " + token.encode()
        self._meters = Metrics({"rmspace_waiting_texts": lambda: self._batcher.waiting})
        self._batcher = Batcher(self._score_batch, limits, on_batch=self._count_batch)
        self._bodies = Bodies(limits)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:  # noqa: ARG002
        """Finish what was taken when the server stops."""
        yield
        await asyncio.to_thread(self._batcher.close)

    def answering(self, path: str, form: Callable[[Body], Question]) -> Callable[[Request], Any]:
        """Return the endpoint of a form."""

        async def endpoint(request: Request) -> Response:
            start = time.perf_counter()
            response = await self._respond(request, form)
            self._meters.count("rmspace_requests_total", path=path, status=str(response.status_code))
            self._meters.observe("rmspace_request_seconds", time.perf_counter() - start)
            return response

        return endpoint

    async def health(self, request: Request) -> Response:  # noqa: ARG002
        """Say whether texts are scored."""
        alive = self._batcher.alive
        content = {"status": "ok" if alive else "stopping", "waiting_texts": self._batcher.waiting}
        return JSONResponse(content, status_code=200 if alive else 503)

    async def metrics(self, request: Request) -> Response:
        """Return the metrics in Prometheus' format."""
        try:
            self._authorize(request)
        except Refused as refused:
            return _refusal(refused)
        return PlainTextResponse(self._meters.text(), media_type="text/plain; version=0.0.4")

    async def _respond(self, request: Request, form: Callable[[Body], Question]) -> Response:
        try:
            self._authorize(request)
            async with self._bodies.read(request) as body:
                question = form(body)
                return JSONResponse(question.answer(await self._score(request, question)))
        except Refused as refused:
            return _refusal(refused)
        except ClientDisconnect:
            return Response(status_code=_LEFT)
        except Exception as error:
            _LOG.error("the reward model failed on a request: %s", _place(error))
            return _refusal(Refused(500, f"the reward model failed on this request ({type(error).__name__})"))

    async def _score(self, request: Request, question: Question) -> Float64Array:
        """Have the texts scored; where the client leaves first, those that still wait are left out."""
        scores = asyncio.wrap_future(self._submit(question))
        left = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({scores, left}, return_when=asyncio.FIRST_COMPLETED)
            if not scores.done():
                raise ClientDisconnect
            return scores.result()
        finally:
            left.cancel()
            scores.cancel()

    def _submit(self, question: Question) -> Any:
        if len(question.items) > self._limits.queue:
            raise Refused(413, f"a request must have at most {self._limits.queue:,} texts; got {len(question.items):,}")
        try:
            return self._batcher.submit(question.items)
        except QueueFull as error:
            raise Refused(429, "the queue is full; send it again later", {"Retry-After": "1"}) from error
        except QueueClosed as error:
            raise Refused(503, "the server is stopping") from error

    def _authorize(self, request: Request) -> None:
        if self._header is None:
            return
        given = next((value for name, value in request.scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, self._header):
            raise Refused(401, "send the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    def _score_batch(self, items: Sequence[TextItem]) -> Float64Array:
        scores, notes = self._reward.score_items(items)
        for name, count in count_notes(notes).items():
            if count:
                self._meters.count("rmspace_changed_texts_total", count, change=name)
        return scores

    def _count_batch(self, size: int, seconds: float) -> None:
        self._meters.count("rmspace_batches_total")
        self._meters.count("rmspace_texts_total", size)
        self._meters.observe("rmspace_batch_seconds", seconds)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _no_route(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, HTTPException)
    paths = ", ".join([*FORMS, "/health", "/metrics"])
    message = f"the paths are {paths}" if error.status_code == 404 else error.detail
    return _refusal(Refused(error.status_code, message, error.headers or {}))


def _refusal(refused: Refused) -> Response:
    return JSONResponse({"error": refused.message}, status_code=refused.status, headers=dict(refused.headers))


def _place(error: BaseException) -> str:
    """Name an error by its type and place; its message may hold a text of a user."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
