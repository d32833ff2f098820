"""A server: its address, its key, and several requests at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rmspace._checks import check_int, check_number
from rmspace.text._answers import Answers
from rmspace.text._extras import need
from rmspace.text._requests import Policy, post, shown

T = TypeVar("T")
_GIVE_UP = 8  # a server that fails so many requests in a row does not work


class Endpoint:
    """What encoders, generators and golds that are servers share.

    Args:
        url: of the server, with or without the path.
        path: what the address ends with, such as "/v1/embeddings".
        model: the name that the server gives the model.
        concurrency: requests at once.
        timeout: seconds for one request.
        retries: how often a request is tried again after an overload (429), an error of the server or no answer.
        api_key_env: the environment variable that holds the key, read at each call and written nowhere.
        identity: what stands for the server and its weights, because the protocol does not tell; None is the address.
    """

    answers: Answers | None = None
    """Where answers are kept until a step has committed them; see `keeping`."""

    def __init__(
        self,
        url: str,
        path: str,
        model: str,
        *,
        concurrency: int,
        timeout: float,
        retries: int,
        api_key_env: str,
        identity: str | None = None,
    ) -> None:
        self.url, self.model = address(url, path), str(model)
        self.identity = shown(self.url) if identity is None else _identity(identity, path)
        self.concurrency = check_int("concurrency", concurrency, low=1)
        self.policy = Policy(check_number("timeout", timeout, low=0.001), check_int("retries", retries, low=0))
        self.api_key_env = api_key_env

    def ask(
        self,
        bodies: Sequence[dict[str, Any]],
        read: Callable[[Any, int], T],
        done: Callable[[int], object] = lambda _: None,
    ) -> list[T]:
        """Return what `read(answer, k)` makes of the answer to each body, in their order.

        A request that used up its tries waits until the others are answered, and is asked once more then. So a server
        that fails now and then does not end a long run. A refusal ends all requests at once, and so does a server that
        fails several requests in a row, or all of them. `done` is called with the number of each body that is answered.

        Raises:
            ConnectionError: the server did not answer after all tries.
            ValueError: the server refuses a request, or `read` refuses its answer.
        """
        found: dict[int, T] = {}

        def take(k: int, answer: Any) -> None:
            found[k] = self._read(read, answer, k)
            if self.answers is not None:  # after `read`, so that an answer that it refuses is asked for again
                self.answers.add(bodies[k], answer)
            done(k)

        waiting: dict[int, dict[str, Any]] = {}
        for k, body in enumerate(bodies):
            if self.answers is not None and (answer := self.answers.find(body)) is not None:
                take(k, answer)
            else:
                waiting[k] = body
        if failed := self._ask_for(waiting, take, give_up=_GIVE_UP if self.policy.retries else 1):
            time.sleep(self.policy.wait(self.policy.retries))
            self._ask_for(failed, take, give_up=1)
        return [found[k] for k in range(len(bodies))]

    def _ask_for(
        self, waiting: dict[int, dict[str, Any]], take: Callable[[int, Any], None], *, give_up: int
    ) -> dict[int, dict[str, Any]]:
        """Take the answers to some bodies, and return those that failed; raise after `give_up` failures in a row."""
        headers, stop = self._headers(), threading.Event()
        failed, in_a_row = dict[int, dict[str, Any]](), 0
        with need("httpx").Client() as client, ThreadPoolExecutor(self.concurrency) as pool:
            places = {
                pool.submit(post, client, self.url, body, headers, self.policy, stop): k for k, body in waiting.items()
            }
            try:
                for one in as_completed(list(places)):
                    k = places.pop(one)
                    try:
                        answer = one.result()
                    except ConnectionError:
                        failed[k], in_a_row = waiting[k], in_a_row + 1
                        if in_a_row >= give_up or len(failed) == len(waiting):
                            raise
                        continue
                    in_a_row = 0
                    take(k, answer)
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)  # which waits for the requests that are out
                for one, k in places.items():
                    if not one.cancelled() and one.exception() is None:
                        with suppress(ValueError):
                            take(k, one.result())
                raise
        return failed

    def _read(self, read: Callable[[Any, int], T], answer: Any, k: int) -> T:
        try:
            return read(answer, k)
        except ValueError as error:
            raise ValueError(f"{shown(self.url)}, model {self.model!r}: {error}") from error

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(self.api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ValueError(f"the key in {self.api_key_env} must be printable ASCII; it holds other characters")
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})


@contextmanager
def keeping(maker: object, path: Path) -> Iterator[Answers | None]:
    """Let a generator or gold that is a server keep its answers in a file; yields None where it is no server.

    >>> with keeping(print, Path("nothing")) as answers:
    ...     print(answers)
    None
    """
    if not isinstance(maker, Endpoint):
        yield None
        return
    maker.answers = Answers(path)
    try:
        yield maker.answers
    finally:
        maker.answers = None


def address(url: str, path: str) -> str:
    """Return the whole address of a server; `path` such as "/v1/embeddings" is added where it is missing.

    Raises:
        ValueError: an address that is not http or https, or that holds a password.

    >>> address("http://localhost:8000/v1", "/v1/chat/completions")
    'http://localhost:8000/v1/chat/completions'
    """
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url must be the http or https address of a server; got {shown(str(url))!r}")
    if parts.username or parts.password:
        raise ValueError("url must not hold a password, because it is written down; put the key in the environment")
    start, rest = ("/v1", path.removeprefix("/v1")) if path.startswith("/v1/") else ("", path)
    own = parts.path.rstrip("/")
    if not own.endswith(rest):
        own += rest if start and own.endswith(start) else path
    return parts._replace(path=own, fragment="").geturl()


def _identity(given: str, path: str) -> str:
    """Return what stands for a server; an address is completed, as that of the server itself."""
    return shown(address(given, path)) if given.startswith(("http://", "https://")) else given
