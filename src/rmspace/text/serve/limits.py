"""How much the server takes at once, and the answer to what it does not take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rmspace._checks import check_int, check_number


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the server takes at once.

    Args:
        max_batch: the most texts that the encoder gets at once.
        max_wait_ms: how long the first text of a batch waits for others, in milliseconds.
        queue: the most texts that wait; more are answered with 429. No request may have more texts than this.
        max_bytes: the most bytes of the body of a request.
        body_seconds: how long a client may take to send its body.

    Raises:
        TypeError, ValueError: a limit that is no number, or too small.

    >>> Limits(max_batch=8).queue
    4096
    """

    max_batch: int = 32
    max_wait_ms: float = 5.0
    queue: int = 4096
    max_bytes: int = 4 << 20
    body_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_batch", "queue", "max_bytes"):
            check_int(name, getattr(self, name), low=1)
        check_number("max_wait_ms", self.max_wait_ms, low=0.0)
        check_number("body_seconds", self.body_seconds, low=0.001)

    @property
    def held_bytes(self) -> int:
        """The most bytes of all bodies together that are not answered yet."""
        return 16 * self.max_bytes


class Refused(Exception):
    """A request that is not answered with scores: its HTTP status, and why."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message)
        self.status, self.message, self.headers = status, message, dict(headers or {})
