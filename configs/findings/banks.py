"""The real bank with one thing changed, to find the reason for a finding."""

from pathlib import Path

import numpy as np

import rmspace as rm


def changed_bank(
    folder: Path,
    *,
    seed: int | None = None,
    between: float = 1.0,
    centred_items: bool = False,
    n_generators: int | None = None,
) -> tuple[rm.ResponseBank, rm.ResponseBank]:
    """Open a bank of generators as (train, test) with its rewards, embeddings or generators changed.

        reward = between * (prompt's mean) + (reward - prompt's mean)

    Best-of-N chooses within prompts. `between` therefore changes the labels of cross-prompt pairs, but not the measure.

    Args:
        folder, seed: as in `open_generators`.
        between: factor of the spread between prompts.
        centred_items: subtract the mean embedding of each prompt, so that items say nothing about the prompt.
        n_generators: keep this number of generators, those in the middle by mean training reward: their responses are
            of similar quality.
    """
    train, test = rm.open_generators(str(folder), seed=seed)
    chosen = np.arange(train.n_responses)
    if n_generators is not None:
        first = (train.n_responses - n_generators) // 2
        chosen = np.sort(np.argsort(train.rewards.mean(axis=0))[first : first + n_generators])
    banks = []
    for bank in (train, test):
        items, rewards = bank.embeddings[:, chosen].astype(np.float32), bank.rewards[:, chosen].astype(np.float64)
        mean = rewards.mean(axis=1, keepdims=True)
        rewards = between * mean + (rewards - mean)
        if centred_items:
            items = items - items.mean(axis=1, keepdims=True)
        banks.append(rm.ResponseBank(items, rewards, prompt_ids=bank.prompt_ids))
    return banks[0], banks[1]
