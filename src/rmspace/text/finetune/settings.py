"""How a model is fine-tuned: the settings that both kinds of fine-tuning share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rmspace._checks import check_int, check_number
from rmspace.text.encoders._text_model import check_word

__all__ = ["FineTuning"]

_SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class FineTuning:
    """Settings of a fine-tuning run; the defaults are those of the published pipeline (see `configs/text/sft.yaml`).

    Args:
        rank: of the LoRA adapters in all linear layers; None trains all weights.
        alpha: the adapters are scaled by alpha / rank.
        dropout: of the adapters.
        learning_rate: the largest one of the schedule.
        epochs: passes over the data; a part of one is allowed.
        batch_size: examples per step of the optimiser.
        at_once: examples whose gradients are computed together; fewer need less memory, and give the same steps up to
            rounding. None is all of a batch.
        schedule: of the learning rate after the warm-up: "constant", "linear" or "cosine".
        warmup: share of the steps in which the learning rate rises.
        weight_decay: of AdamW.
        optimizer: of AdamW's versions in transformers, such as "paged_adamw_32bit", which needs bitsandbytes and a GPU.
        checkpointing: compute activations twice instead of keeping them, where memory is short.
        seed: of the order of the examples, and of new weights.

    Raises:
        ValueError, TypeError: a setting out of range.

    Source: Hu et al. 2021, LoRA (arXiv 2106.09685); Loshchilov and Hutter 2019, AdamW (arXiv 1711.05101).

    >>> FineTuning().steps(100)  # two epochs, one example per step
    200
    >>> FineTuning(rank=0)
    Traceback (most recent call last):
    ValueError: rank must be at least 1; got 0
    """

    rank: int | None = 32
    alpha: float = 32.0
    dropout: float = 0.0
    learning_rate: float = 5e-5
    epochs: float = 2.0
    batch_size: int = 1
    at_once: int | None = None
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: float = 0.0
    weight_decay: float = 0.0
    optimizer: str = "adamw_torch"
    checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rank is not None:
            check_int("rank", self.rank, low=1)
        for name in ("alpha", "learning_rate", "epochs"):
            if check_number(name, getattr(self, name), low=0.0) == 0:
                raise ValueError(f"{name} must be positive; got 0")
        check_number("dropout", self.dropout, low=0.0, high=0.999)
        check_int("batch_size", self.batch_size, low=1)
        if self.at_once is not None and self.batch_size % check_int("at_once", self.at_once, low=1):
            raise ValueError(f"at_once must divide batch_size, {self.batch_size}; got {self.at_once}")
        check_word("schedule", self.schedule, _SCHEDULES)
        check_number("warmup", self.warmup, low=0.0, high=1.0)
        check_number("weight_decay", self.weight_decay, low=0.0)
        check_int("seed", self.seed, low=0, high=2**31 - 1)

    def steps(self, n: int) -> int:
        """Return how many steps the optimiser takes for `n` examples."""
        return max(1, math.ceil(self.epochs * math.ceil(n / self.batch_size)))

    def describe(self) -> dict[str, Any]:
        """Return the settings, as JSON can hold them."""
        return asdict(self)
