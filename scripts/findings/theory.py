"""Claim 6: the closed forms beside simulation, and where a proposition's conditions are needed."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit

import rmspace as rm
from findings.page import Block, as_markdown
from rmspace.paper import theory

Z = 3.29  # 99.9%
FAMILIES: dict[str, tuple[Any, str]] = {
    "normal": (stats.norm, "one peak"),
    "logistic": (stats.logistic, "one peak"),
    "Laplace": (stats.laplace, "one peak"),
    "uniform": (stats.uniform(-0.5, 1), "one peak, flat"),
    "Student, 5 degrees": (stats.t(5), "one peak"),
    "Beta(.2, .2)": (stats.beta(0.2, 0.2), "two peaks"),
    "exponential": (stats.expon, "not symmetric"),
}


def propositions(folder: Path, *, draws: int, seed: int = 0) -> dict[str, Block]:
    """Return the tables of closed forms, of Theorem 11 over families, and of Proposition 24 on the real bank."""
    rng = np.random.default_rng(seed)
    return {
        "claim6-closed": as_markdown(_closed_forms(draws, rng)),
        "claim6-families": as_markdown(_families(draws, rng)),
        "claim6-logit": as_markdown(_win_logit(folder, rng)),
    }


def _row(what: str, formula: float, values: np.ndarray) -> dict[str, str]:
    mean, half = values.mean(), Z * values.std() / np.sqrt(len(values))
    return {
        "quantity": what,
        "formula": f"{formula:.5f}",
        "simulated": f"{mean:.5f} -+ {half:.5f}",
        "formula inside": "yes" if abs(formula - mean) <= half else "no",
    }


def _closed_forms(draws: int, rng: np.random.Generator) -> list[dict[str, str]]:
    gap = np.abs(rng.standard_normal(draws))
    rows = []
    for variance, printed in ((1, 0.6749), (2, 0.7251), (4, 0.7781)):
        quality = float(theory.annotation_quality(variance**0.5, gap_std=1.0))
        what = f"E sigma(beta gap), beta^2 Var = {variance} (the paper prints {printed})"
        rows.append(_row(what, quality, expit(variance**0.5 * gap)))
    for beta in (0.5, 1.0, 10.0):
        for name, scale in (("gap_std", 1.0), ("reward_std", 2**0.5)):
            error = float(theory.error_rate(beta, **{name: 1.0}))
            rows.append(_row(f"error rate, beta {beta:g}, {name} = 1", error, expit(-beta * scale * gap)))
    tau = expit(gap * 2**0.5)
    inside = ((tau >= 0.6) & (tau < 0.7)).astype(float)
    grid = np.linspace(0.6, 0.7, 2001)
    mass = float(np.trapezoid(theory.quality_density(grid, 1.0, reward_std=1.0), grid))
    rows.append(_row("P(.6 <= tau < .7), beta 1, reward_std 1", mass, inside))
    within, cross = theory.gap_designs([0.0, 1.0], [1.0, 1.0])
    first, second = rng.standard_normal((2, draws))
    rows.append(_row("Prop. 10: E gap of one prompt, N(0, 1)", within, np.abs(first - second)))
    rows.append(_row("Prop. 10: E gap of N(0, 1) against N(1, 1)", cross, np.abs(first - second + 1)))
    quality, error = 0.9, 0.2
    right, agrees = rng.random(draws) < quality, rng.random(draws) >= error
    true_order = (right == agrees).astype(float)
    exact = (1 - error) * quality + error * (1 - quality)
    rows.append(_row("Prop. 9: P(true order), xi .9, eps .2, independent", exact, true_order))
    bound = float(theory.agreement_bound(quality, error))
    rows.append({"quantity": "Prop. 9: its bound", "formula": f"{bound:.5f}", "simulated": "", "formula inside": ""})
    best = np.log(8) - 7 / 8
    drawn = rng.random((draws // 10, 8)).max(axis=1)  # the density of the largest of 8 against one is 8 u^7
    rows.append(_row("KL of Best-of-8", best, np.log(8 * drawn**7)))
    return rows


def _families(draws: int, rng: np.random.Generator) -> list[dict[str, str]]:
    """Two prompts of one family, some standard deviations apart, and annotators whose quality is concave or not."""
    annotators = {
        "1 apart, beta 1": (1.0, lambda gap: expit(gap)),
        "1 apart, beta 10": (1.0, lambda gap: expit(10 * gap)),
        "3 apart, beta 1": (3.0, lambda gap: expit(gap)),
        "1 apart, blind to gaps under about 1.5": (1.0, lambda gap: 0.5 + 0.5 * expit(8 * (gap - 1.5))),
    }
    rows = []
    for name, (family, shape) in FAMILIES.items():
        spread = family.std()
        line = {"family": name, "its density": shape}
        for which, (shift, annotator) in annotators.items():

            def quality(gap: Any, annotator: Any = annotator, spread: float = spread) -> Any:
                return annotator(gap / spread)

            within, cross = theory.gap_designs([0.0, shift * spread], [1.0, 1.0], value=quality, family=family)
            first, second = family.rvs(size=(2, draws), random_state=rng)
            simulated = quality(np.abs(first - second + shift * spread)) - quality(np.abs(first - second))
            half = Z * simulated.std() / np.sqrt(draws)
            inside = abs(simulated.mean() - (cross - within)) <= half
            line[which] = f"{cross - within:+.4f}{'' if inside else ' (not inside)'}"
        rows.append(line)
    return rows


def _win_logit(folder: Path, rng: np.random.Generator) -> list[dict[str, str]]:
    """Each test item of the real bank against all of its prompt, and against random items of other prompts."""
    _, test = rm.open_generators(str(folder))
    rewards = np.asarray(test.rewards, dtype=np.float64) / test.rewards.std()
    everyone = rng.choice(rewards.ravel(), 2000)
    rows = []
    for name, opponents in (("the prompt's own", None), ("all prompts'", everyone)):
        found = [
            (theory.win_logit(r, others), theory.win_logit_bound(r, others))
            for r in rewards
            for others in [r if opponents is None else opponents]
        ]
        logit, bound = (np.stack(side) for side in zip(*found, strict=True))
        ordered = [stats.spearmanr(a, r).statistic for a, r in zip(logit, rewards, strict=True)]
        overall = stats.spearmanr(logit.ravel(), rewards.ravel()).statistic
        rows.append(
            {
                "opponents": name,
                "logit at least the bound": f"{(logit >= bound - 1e-12).mean():.1%}",
                "mean slack": f"{(logit - bound).mean():.3f}",
                "rank correlation with reward, within prompts": f"{np.mean(ordered):.4f}",
                "over all items": f"{overall:.4f}",
            }
        )
    return rows
