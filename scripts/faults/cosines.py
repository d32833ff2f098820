"""An encoder for attacks. It stands alone, so that a process that embeds starts quickly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmspace._typing import FloatArray
from rmspace.text.records import TextItem


class Cosines:
    """Embeds "text 7" as cosines of multiples of 7."""

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "cosines", "version": 1}

    def encode(self, items: Sequence[TextItem], /) -> FloatArray:
        numbers = [int(item.response.split()[1]) for item in items]
        return np.cos(np.outer(numbers, np.arange(1, 5))).astype(np.float32)
