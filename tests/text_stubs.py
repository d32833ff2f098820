"""Encoders and reward models for the tests of text: small, exact, and without a language model."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import rmspace as rm
from rmspace._typing import FloatArray
from rmspace.text.records import TextItem
from rmspace.text.reward import TextReward


class CountEncoder:
    """Embeds an item as (characters of the response, letters a, characters of the prompt)."""

    def __init__(self, name: str = "counts", template: str = "plain") -> None:
        self.name, self.template = name, template

    def describe(self) -> dict[str, Any]:
        return {"kind": "counts", "name": self.name, "template": {"name": self.template}, "about": {"model": "here"}}

    def encode(self, items: Sequence[TextItem], /) -> FloatArray:
        return np.array(
            [
                [len(item.response), item.response.count("a"), sum(len(turn.content) for turn in item.prompt)]
                for item in items
            ],
            dtype=np.float32,
        ).reshape(len(items), 3)


class SlowEncoder(CountEncoder):
    """Waits for `gate` before each batch, sleeps, counts its batches, and fails on responses that contain "poison"."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds, self.sizes = seconds, list[int]()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def encode(self, items: Sequence[TextItem], /) -> FloatArray:
        self.sizes.append(len(items))
        self.entered.set()
        self.gate.wait(30)
        time.sleep(self.seconds)
        if any("poison" in item.response for item in items):
            raise ValueError(f"cannot encode {[item.response for item in items]}")
        return super().encode(items)


def linear(weights: Sequence[float]) -> rm.LinearReward:
    """Return a linear reward model with these weights."""
    model = rm.LinearReward().fit(np.eye(len(weights), dtype=np.float32), np.array([[0, 1]]))
    model.coef_, model.mean_, model.intercept_ = np.asarray(weights), np.zeros(len(weights)), 0.0
    return model


def count_reward(encoder: CountEncoder | None = None, **options: Any) -> TextReward:
    """Score = characters of the response + 100 per letter a + characters of the prompt / 1024."""
    return TextReward(encoder or CountEncoder(), linear([1.0, 100.0, 2.0**-10]), **options)


def expected(prompt: str, response: str) -> float:
    return len(response) + 100 * response.count("a") + len(prompt) / 1024


def make_counts(description: Mapping[str, Any], **options: Any) -> CountEncoder:
    """Stand in for `encoder_from`."""
    return CountEncoder(description["name"], description["template"]["name"], **options)
