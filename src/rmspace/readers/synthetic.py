"""Synthetic banks whose true reward is known: low-rank embeddings and a nonlinear gold reward."""

from __future__ import annotations

import numpy as np

from rmspace._checks import check_int, check_number
from rmspace._typing import Float64Array, FloatArray
from rmspace.data.bank import ResponseBank

__all__ = ["make_synthetic_banks", "make_synthetic_paper_banks"]


def make_synthetic_banks(
    n_prompts: int = 500,
    n_test_prompts: int = 100,
    n_responses: int = 10,
    dim: int = 64,
    *,
    within_std: float = 1.0,
    between_std: float = 1.0,
    noise_std: float = 0.5,
    n_test_responses: int | None = None,
    latent_dim: int = 8,
    seed: int = 0,
) -> tuple[ResponseBank, ResponseBank]:
    """Make (train, test) banks with different prompts and the same map from embedding to reward.

    Each prompt has a latent u and each response a latent v, both standard normal in `latent_dim` numbers, and

        reward = between_std g(u) + within_std f(u, v) + noise_std e,         e ~ N(0, 1),
        g(u) = (u1 + h(u2)) / sqrt(2),    f(u, v) = (v1 + h(v2) + u1 v3) / sqrt(3),    h(x) = (x^2 - 1) / sqrt(2).

    The terms are orthonormal Hermite polynomials, so g and f have mean 0 and variance 1 exactly. `between_std` and
    `within_std` are the standard deviations of the explainable reward between and within prompts. `noise_std` is that
    of the part that no embedding explains. The third term of f makes the best response depend on the prompt. An
    embedding is a fixed rotation of (u, v) with decaying scales, plus a common offset and small isotropic noise. It is
    low-rank and anisotropic, like the embeddings of a language model, and its rows have a length of about 1.

    Args:
        n_prompts, n_test_prompts: prompts of the two banks.
        n_responses: responses per prompt.
        dim: length of an embedding, at least `2 * latent_dim`.
        within_std, between_std, noise_std: the standard deviations above.
        n_test_responses: responses per test prompt; `n_responses` when None.
        latent_dim: numbers in u and in v, at least 3.
        seed: of the map and of all draws.

    Returns:
        (train, test); `features["explainable"]` is the reward without its noise.

    Raises:
        ValueError, TypeError: a size that is too small, or a negative standard deviation.

    >>> train, test = make_synthetic_banks(50, 20, 8, 32, noise_std=0.0, seed=0)
    >>> train, test.n_prompts
    (ResponseBank(n_prompts=50, n_responses=8, dim=32, dtype=float32, rewards=True), 20)
    >>> bool(np.allclose(train.rewards, train.features["explainable"]))
    True
    """
    sizes = check_int("n_prompts", n_prompts, low=1), check_int("n_test_prompts", n_test_prompts, low=1)
    widths = (
        check_int("n_responses", n_responses, low=1),
        n_responses if n_test_responses is None else check_int("n_test_responses", n_test_responses, low=1),
    )
    latent_dim = check_int("latent_dim", latent_dim, low=3)
    dim = check_int("dim", dim, low=2 * latent_dim)
    spreads = {"within_std": within_std, "between_std": between_std, "noise_std": noise_std}
    for name, value in spreads.items():
        check_number(name, value, low=0.0)
    streams = np.random.default_rng(check_int("seed", seed, low=0)).spawn(3)
    embed = _Embedding(streams[0], latent_dim, dim)
    banks = []
    for rng, size, width, name in zip(streams[1:], sizes, widths, ("train", "test"), strict=True):
        u, v = rng.standard_normal((size, 1, latent_dim)), rng.standard_normal((size, width, latent_dim))
        explainable = between_std * _between(u) + within_std * _within(u, v)
        rewards = explainable + noise_std * rng.standard_normal((size, width))
        latents = np.concatenate([np.broadcast_to(u, v.shape), v], axis=2)
        # The ids of the two banks differ, so that no prompt of one is taken for a prompt of the other.
        ids = np.arange(size) + (0 if name == "train" else sizes[0])
        banks.append(
            ResponseBank(
                embed(latents, rng),
                rewards,
                features={"explainable": explainable},
                prompt_ids=ids,
                metadata={
                    "source": "make_synthetic_banks",
                    "side": name,
                    "seed": seed,
                    "latent_dim": latent_dim,
                    **spreads,
                },
            )
        )
    return banks[0], banks[1]


# Standard deviations of the explainable reward within and between prompts. They are made up; what matters is that they
# differ.
_BASE_MODELS = {
    "Gemma2b": (1.0, 0.8),
    "Gemma2b-SFT": (0.8, 1.0),
    "Gemma7b": (0.7, 0.7),
    "Gemma7b-SFT": (0.55, 1.0),
    "LLaMA3-8b": (0.4, 0.8),
    "LLaMA3-8b-SFT": (0.3, 1.2),
}
_DATASETS = {"Harmless": 1.0, "Helpful": 6.0, "HelpSteer": 0.5, "UltraFeedback": 2.0}  # unit of the reward


def make_synthetic_paper_banks(
    base_model: str,
    dataset: str,
    n_prompts: int = 1000,
    n_test_prompts: int = 100,
    n_responses: int = 10,
    n_test_responses: int = 50,
    dim: int = 64,
    seed: int = 0,
) -> tuple[ResponseBank, ResponseBank]:
    """Make (train, test) banks that stand in for one base model on one dataset of the paper.

    There are six base models, which differ in the spread of their rewards within and between prompts, and four
    datasets, which differ in the unit of reward; see `make_synthetic_banks`. The numbers are made up. They serve to try
    a study's configs, figures and report without data. They say nothing about the models with these names.

    Raises:
        ValueError, TypeError: another name; see `make_synthetic_banks`.

    >>> train, test = make_synthetic_paper_banks("Gemma2b", "Helpful", n_prompts=20, n_test_prompts=5)
    >>> train.n_prompts, test.n_responses, train.metadata["source"]
    (20, 50, 'make_synthetic_paper_banks')
    """
    for name, value, known in (("base_model", base_model, _BASE_MODELS), ("dataset", dataset, _DATASETS)):
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    within, between = _BASE_MODELS[base_model]
    unit = _DATASETS[dataset]
    banks = make_synthetic_banks(
        n_prompts,
        n_test_prompts,
        n_responses,
        dim,
        within_std=within * unit,
        between_std=between * unit,
        noise_std=0.3 * within * unit,
        n_test_responses=n_test_responses,
        seed=check_int("seed", seed, low=0) * 1000
        + 10 * list(_BASE_MODELS).index(base_model)
        + list(_DATASETS).index(dataset),
    )
    for bank in banks:
        bank.metadata.update(source="make_synthetic_paper_banks", base_model=base_model, dataset=dataset)
    return banks


def _hermite2(x: Float64Array) -> Float64Array:
    return (x**2 - 1) / np.sqrt(2)


def _between(u: Float64Array) -> Float64Array:
    return (u[..., 0] + _hermite2(u[..., 1])) / np.sqrt(2)


def _within(u: Float64Array, v: Float64Array) -> Float64Array:
    return (v[..., 0] + _hermite2(v[..., 1]) + u[..., 0] * v[..., 2]) / np.sqrt(3)


class _Embedding:
    """Latents (..., 2 latent_dim) -> float32 embeddings (..., dim), by a map drawn once."""

    def __init__(self, rng: np.random.Generator, latent_dim: int, dim: int) -> None:
        k = 2 * latent_dim
        mixing = np.linalg.qr(rng.standard_normal((k, k)))[0]
        scales = np.arange(1, k + 1) ** -0.5
        directions = np.linalg.qr(rng.standard_normal((dim, k)))[0]
        length = np.sqrt(2 * (scales**2).sum())
        self.map = (mixing * scales) @ directions.T / length
        self.offset = rng.standard_normal(dim) / np.sqrt(2 * dim)
        self.jitter = 0.02 / np.sqrt(dim)

    def __call__(self, latents: Float64Array, rng: np.random.Generator) -> FloatArray:
        clean = latents @ self.map + self.offset
        noise = rng.standard_normal(clean.shape, dtype=np.float32) * np.float32(self.jitter)
        return clean.astype(np.float32) + noise
