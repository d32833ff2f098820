"""How often the intervals of `rmspace.mean_interval` hold the true mean: the tables of docs/intervals.md.

python scripts/interval_coverage.py > tables.md     # 2,000 data sets per entry, about five minutes
python scripts/interval_coverage.py --datasets 300  # a quick look
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri

import rmspace as rm

SIZES = (5, 10, 20, 50, 200)
Draw = Callable[[np.random.Generator, int], dict[str, Any]]


class Case(NamedTuple):
    """One kind of data: how n prompts are drawn, as arguments of `mean_interval`, and the true mean."""

    name: str
    draw: Draw
    mean: float


def independent(name: str, draw: Callable[[np.random.Generator, int], np.ndarray], mean: float) -> Case:
    return Case(name, lambda rng, n: {"values": draw(rng, n)}, mean)


def atoms(name: str, values: list[float], chances: list[float], **options: Any) -> Case:
    mean = float(np.dot(values, chances))
    return Case(name, lambda rng, n: {"values": rng.choice(values, p=chances, size=n), **options}, mean)


def repeated(
    name: str,
    count: Callable[[np.random.Generator, int], np.ndarray],
    draw: Callable[[np.random.Generator, np.ndarray, int], np.ndarray],
    mean: float,
) -> Case:
    """Several rows per prompt, which have something in common."""

    def rows(rng: np.random.Generator, n: int) -> dict[str, Any]:
        groups = np.repeat(np.arange(n), count(rng, n))
        return {"values": draw(rng, groups, n), "groups": groups}

    return Case(name, rows, mean)


def three(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.full(n, 3)


def unequal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.geometric(0.3, size=n)


def normal_rows(rng: np.random.Generator, groups: np.ndarray, n: int) -> np.ndarray:
    return rng.normal(size=n)[groups] + rng.normal(size=len(groups))


def exponential_rows(rng: np.random.Generator, groups: np.ndarray, n: int) -> np.ndarray:
    return rng.exponential(size=n)[groups] + rng.exponential(size=len(groups))


def outcome_rows(share: float) -> Callable[[np.random.Generator, np.ndarray, int], np.ndarray]:
    """0/1 outcomes of which those of one prompt are correlated."""
    return lambda rng, groups, n: (normal_rows(rng, groups, n) < np.sqrt(2) * ndtri(share)).astype(float)


def across(rng: np.random.Generator, n: int) -> dict[str, Any]:
    """3 n comparisons of two prompts each, with an effect of either prompt."""
    first = rng.integers(n, size=3 * n)
    second = (first + 1 + rng.integers(n - 1, size=3 * n)) % n
    effect = rng.normal(size=n)
    values = effect[first] + effect[second] + rng.normal(size=3 * n)
    return {"values": values, "groups": np.stack([first, second], axis=1)}


def across_outcomes(rng: np.random.Generator, n: int) -> dict[str, Any]:
    found = across(rng, n)
    return {**found, "values": (found["values"] > -2).astype(float)}


def weighted(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {"values": rng.exponential(size=n), "weights": rng.uniform(0.2, 2, size=n)}


INDEPENDENT = (
    independent("normal", lambda rng, n: rng.normal(size=n), 0.0),
    independent("uniform", lambda rng, n: rng.uniform(size=n), 0.5),
    independent("t with 3 degrees of freedom", lambda rng, n: rng.standard_t(3, size=n), 0.0),
    independent("exponential", lambda rng, n: rng.exponential(size=n), 1.0),
    independent("log-normal, sigma = 1", lambda rng, n: rng.lognormal(size=n), float(np.exp(0.5))),
    independent("1 - 0.3 exponential", lambda rng, n: 1 - rng.exponential(0.3, size=n), 0.7),
    atoms("0/1, share of ones 0.05", [0, 1], [0.95, 0.05]),
    atoms("0/1, share of ones 0.5", [0, 1], [0.5, 0.5]),
    atoms("0, 0.5, 1 with chances 0.1, 0.3, 0.6", [0, 0.5, 1], [0.1, 0.3, 0.6]),
    atoms("0, 0.5, 1 with chances 0.02, 0.08, 0.9", [0, 0.5, 1], [0.02, 0.08, 0.9]),
    atoms("0, 1/3, 2/3, 1 with chances 0.05, 0.1, 0.25, 0.6", [0, 1 / 3, 2 / 3, 1], [0.05, 0.1, 0.25, 0.6]),
    independent("60% zeros, else normal", lambda rng, n: rng.normal(size=n) * (rng.random(n) < 0.4), 0.0),
    independent("70% zeros, else exponential", lambda rng, n: rng.exponential(size=n) * (rng.random(n) < 0.3), 0.3),
    independent("90% zeros, else exponential", lambda rng, n: rng.exponential(size=n) * (rng.random(n) < 0.1), 0.1),
    atoms("differences -1, 0, 1 with chances 0.1, 0.7, 0.2", [-1, 0, 1], [0.1, 0.7, 0.2], binary=False),
    atoms("differences -1, 0, 1 with chances 0.02, 0.9, 0.08", [-1, 0, 1], [0.02, 0.9, 0.08], binary=False),
)
DEPENDENT = (
    repeated("3 rows per prompt, normal", three, normal_rows, 0.0),
    repeated("geometric numbers of rows per prompt, normal", unequal, normal_rows, 0.0),
    repeated("geometric numbers of rows per prompt, exponential", unequal, exponential_rows, 2.0),
    repeated("3 rows per prompt, 0/1, share of ones 0.05", three, outcome_rows(0.05), 0.05),
    repeated("geometric numbers of rows per prompt, 0/1, share of ones 0.5", unequal, outcome_rows(0.5), 0.5),
    Case("weights from 0.2 to 2, exponential", weighted, 1.0),
    Case("3 n comparisons across prompts, normal", across, 0.0),
    Case("3 n comparisons across prompts, 0/1, share of ones 0.88", across_outcomes, float(ndtr(2 / np.sqrt(3)))),
)


def misses(case: Case, n: int, datasets: int, interval: Callable[..., tuple[float, float]]) -> tuple[float, float]:
    """Return the percentages of data sets whose interval lies wholly above the mean, and wholly below."""
    drawn = (case.draw(np.random.default_rng([n, k]), n) for k in range(datasets))
    ends = np.array([interval(**data) for data in drawn])
    return 100 * float((ends[:, 0] > case.mean).mean()), 100 * float((ends[:, 1] < case.mean).mean())


def the_rule(**data: Any) -> tuple[float, float]:
    return rm.mean_interval(**data)[1:]


def bca(values: np.ndarray, **_: Any) -> tuple[float, float]:
    """The bias-corrected and accelerated bootstrap, with a point for equal values."""
    if np.ptp(values) == 0:
        return values[0], values[0]
    found = stats.bootstrap((values,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(0))
    return found.confidence_interval


def bootstrap_t(values: np.ndarray, **_: Any) -> tuple[float, float]:
    """The studentised bootstrap; resamples of equal values have an infinite t, and so may the interval."""
    n, mean = len(values), values.mean()
    drawn = values[np.random.default_rng(0).integers(n, size=(2000, n))]
    with np.errstate(all="ignore"):
        t = np.nan_to_num((drawn.mean(1) - mean) / drawn.std(1, ddof=1) * np.sqrt(n), nan=0, posinf=1e9, neginf=-1e9)
    low, high = np.quantile(t, [0.025, 0.975]) * values.std(ddof=1) / np.sqrt(n)
    return mean - high, mean - low


def plain_t(values: np.ndarray, **_: Any) -> tuple[float, float]:
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean() - half, values.mean() + half


def hall(values: np.ndarray, **_: Any) -> tuple[float, float]:
    """Hall's transformation alone, with the quantiles of t."""
    n, spread = len(values), values.std(ddof=1)
    skew = 0.0 if spread == 0 else float(stats.skew(values))
    ends = []
    for u in np.array([1, -1]) * stats.t.ppf(0.975, n - 1) / np.sqrt(n):
        shifted = u - skew / (6 * n)
        root = np.cbrt(1 + skew * shifted)
        ends.append(values.mean() - spread * 3 * shifted / (1 + root + root**2))
    return ends[0], ends[1]


CANDIDATES: dict[str, Callable[..., tuple[float, float]]] = {
    "BCa bootstrap": bca,
    "bootstrap-t": bootstrap_t,
    "t": plain_t,
    "Hall": hall,
    "the rule": the_rule,
}


def table(cases: tuple[Case, ...], datasets: int) -> str:
    lines = ["| values | " + " | ".join(f"n = {n}" for n in SIZES) + " |", "|---" * (len(SIZES) + 1) + "|"]
    for case in cases:
        found = [misses(case, n, datasets, the_rule) for n in SIZES]
        lines.append(f"| {case.name} | " + " | ".join(f"{100 - a - b:.1f} ({a:.1f}, {b:.1f})" for a, b in found) + " |")
    return "\n".join(lines)


def candidates(n: int, datasets: int) -> str:
    lines = ["| values | " + " | ".join(CANDIDATES) + " |", "|---" * (len(CANDIDATES) + 1) + "|"]
    for case in INDEPENDENT:
        found = [100 - sum(misses(case, n, datasets, interval)) for interval in CANDIDATES.values()]
        lines.append(f"| {case.name} | " + " | ".join(f"{share:.1f}" for share in found) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=2000, help="data sets per entry of the tables (2000)")
    datasets = parser.parse_args().datasets
    warnings.simplefilter("ignore")  # of scipy, about bootstraps of few different values
    print("Independent prompts:\n\n" + table(INDEPENDENT, datasets), flush=True)
    print("\nPrompts with several rows, and weights:\n\n" + table(DEPENDENT, datasets), flush=True)
    print(f"\nCandidates at n = 20, {datasets:,} data sets:\n\n" + candidates(20, datasets))


if __name__ == "__main__":
    main()
