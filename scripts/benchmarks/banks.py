"""Synthetic banks on disk."""

import math
from functools import partial
from pathlib import Path

import numpy as np

import rmspace as rm


def make_bank(folder: Path, n_items: int, dim: int) -> Path:
    """Write a float16 bank of 10 responses per prompt, block by block; a few noisy directions carry the reward."""
    path = folder / f"bank-{n_items}x{dim}"
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    base = rng.standard_normal((2000, dim), dtype=np.float32) / math.sqrt(dim)
    path.mkdir()
    embeddings = np.lib.format.open_memmap(path / "embeddings.npy", "w+", np.float16, (n_items // 10, 10, dim))
    rows = embeddings.reshape(-1, dim)
    for start in range(0, n_items, len(base)):
        block = np.roll(base, start // len(base) * 7 + 1, axis=1)[: n_items - start]
        rows[start : start + len(base)] = block * (1 + 0.1 * rng.standard_normal((len(block), 1), dtype=np.float32))
    embeddings.flush()
    direction = rng.standard_normal(dim)
    rewards = np.concatenate(
        [np.asarray(rows[k : k + 50_000], dtype=np.float32) @ direction for k in range(0, n_items, 50_000)]
    )
    np.save(path / "rewards.npy", rewards.reshape(-1, 10) + 0.3 * rng.standard_normal((n_items // 10, 10)))
    return path


def open_bank(path: Path) -> rm.ResponseBank:
    return rm.read_published(str(path / "embeddings.npy"), str(path / "rewards.npy"), layout="prompts_first")


def compare_items(bank: rm.ResponseBank, n_pairs: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    pairs = rm.same_prompt(bank, n_pairs, rng)
    return rm.annotate(pairs, bank.rewards, partial(rm.logistic, beta=1.0), rng=rng, scale="std")
