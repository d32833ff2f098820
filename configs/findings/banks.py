"""The real bank with one thing about it changed, to find out what a finding on it rests on."""

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

    Best-of-N chooses within prompts: `between` changes the labels of cross-prompt pairs and nothing that is measured.

    Args:
        folder, seed: as in `open_generators`.
        between: factor of the spread between prompts.
        centred_items: subtract the mean embedding of a prompt's responses, so that items say nothing about the prompt.
        n_generators: keep only so many, neighbours in mean training reward, around the middle: answers of like quality.
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
