"""A server of the OpenAI protocol: its address, its key, and several requests at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rmspace._checks import check_int, check_number
from rmspace.text._extras import need
from rmspace.text._requests import Policy, post, shown

T = TypeVar("T")


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
    """

    def __init__(
        self, url: str, path: str, model: str, *, concurrency: int, timeout: float, retries: int, api_key_env: str
    ) -> None:
        self.url, self.model = address(url, path), str(model)
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

        The first error ends all other requests. `done` is called with the number of each body that is answered.

        Raises:
            ConnectionError: the server did not answer after all tries.
            ValueError: the server refuses a request, or `read` refuses its answer.
        """
        headers, stop = self._headers(), threading.Event()
        with need("httpx").Client() as client, ThreadPoolExecutor(self.concurrency) as pool:
            places = {
                pool.submit(post, client, self.url, body, headers, self.policy, stop): k
                for k, body in enumerate(bodies)
            }
            found: dict[int, T] = {}
            try:
                for one in as_completed(places):
                    found[places[one]] = self._read(read, one.result(), places[one])
                    done(places[one])
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [found[k] for k in range(len(bodies))]

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
