"""Banks of the paper's size for one base model, with a learnable reward: `python paper_banks.py ROOT` (6.5 GB)."""

import sys
from pathlib import Path

import numpy as np

import rmspace as rm
from rmspace.readers.synthetic import _between, _Embedding, _within

SIZES = {"train": (42_846, 10), "test": (2_292, 500)}  # Helpful, in the paper
DIM, LATENT, UNIT, BLOCK = 2048, 8, 6.0, 20_000


def make_paper_banks(root: Path) -> Path:
    """Write `root/Gemma2b/Helpful/train` and `.../test`, block by block, as `make_synthetic_paper_banks` draws them."""
    folder = root / "Gemma2b" / "Helpful"
    embed = _Embedding(np.random.default_rng(0), LATENT, DIM)
    for side, (n_prompts, n_responses) in SIZES.items():
        if (folder / side).exists():
            continue
        rng = np.random.default_rng(1 + list(SIZES).index(side))
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{side}.npy"
        shape = (n_prompts, n_responses)
        embeddings = np.lib.format.open_memmap(part, "w+", np.float16, (*shape, DIM))
        rewards = np.empty(shape)
        step = max(1, BLOCK // n_responses)
        for start in range(0, n_prompts, step):
            some = slice(start, min(start + step, n_prompts))
            u = rng.standard_normal((some.stop - start, 1, LATENT))
            v = rng.standard_normal((some.stop - start, n_responses, LATENT))
            latents = np.concatenate([np.broadcast_to(u, v.shape), v], axis=2)
            embeddings[some] = embed(latents, rng)
            noise = 0.3 * rng.standard_normal(v.shape[:2])
            rewards[some] = UNIT * (0.8 * _between(u) + _within(u, v) + noise)
        embeddings.flush()
        rm.ResponseBank(embeddings, rewards).save(folder / side)
        del embeddings
        part.unlink()
    return root


if __name__ == "__main__":
    make_paper_banks(Path(sys.argv[1]))
