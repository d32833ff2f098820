"""An encoder for processes that the tests stop: slow, and it writes down what it embeds."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rmspace._typing import FloatArray
from rmspace.text.records import TextItem


class Stub:
    """Embeds "text 7" as cosines of multiples of 7; each text takes some seconds."""

    def __init__(self, *, log: str | None = None, seconds: float = 0.0) -> None:
        self.log, self.seconds = log, seconds

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "stub"}

    def encode(self, items: Sequence[TextItem], /) -> FloatArray:
        numbers = [int(item.response.split()[1]) for item in items]
        for number in numbers:
            time.sleep(self.seconds)
            if self.log is not None:
                with Path(self.log).open("a", encoding="utf-8") as file:
                    file.write(f"{number}\n")
        return np.cos(np.outer(numbers, np.arange(1, 6))).astype(np.float32)
