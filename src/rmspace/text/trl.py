"""A reward model of text as the reward function of TRL's GRPO and RLOO trainers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rmspace.text.conversations import Prompt, Response
from rmspace.text.reward import TextReward

__all__ = ["as_trl_reward"]


class RewardFunction(Protocol):
    """What TRL calls: (prompts, completions, and further columns by name) -> one reward per completion."""

    __name__: str

    def __call__(
        self, prompts: Sequence[Prompt], completions: Sequence[Response], completion_ids: Any = None, **columns: Any
    ) -> list[float]:
        """Score the completions."""
        ...


def as_trl_reward(reward: TextReward, *, name: str = "rmspace_reward") -> RewardFunction:
    """Return a reward model as a function for `GRPOTrainer(reward_funcs=...)` or `RLOOTrainer(reward_funcs=...)`.

    Prompts and completions may be texts or, with a conversational data set, lists of messages. The token ids and the
    other columns that TRL passes are not used.

    Args:
        reward: the reward model.
        name: the name under which TRL logs the reward.

    >>> from rmspace import LinearReward
    >>> import numpy as np
    >>> class Length:
    ...     def describe(self):
    ...         return {"kind": "length"}
    ...
    ...     def encode(self, items):
    ...         return np.array([[len(item.response), 1.0] for item in items], dtype=np.float32)
    >>> model = LinearReward().fit(np.array([[9.0, 1.0], [1.0, 1.0]]), np.array([[0, 1]]))
    >>> function = as_trl_reward(TextReward(Length(), model))
    >>> rewards = function(prompts=["2 + 2?"] * 2, completions=["4", "four"], completion_ids=[[7], [8, 9]])
    >>> rewards[0] < rewards[1]
    True
    """

    def score(
        prompts: Sequence[Prompt],
        completions: Sequence[Response],
        completion_ids: Any = None,  # noqa: ARG001
        **columns: Any,  # noqa: ARG001
    ) -> list[float]:
        return reward.score(prompts, completions).tolist()

    score.__name__ = score.__qualname__ = name
    return score
