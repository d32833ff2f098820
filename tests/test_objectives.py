import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

import rmspace as rm
from rmspace import objectives
from rmspace._typing import FloatArray, IntArray
from rmspace.kinds import Objective
from rmspace.models.core.gradients import check_curvature, score_slope


def with_columns(objective: Callable[..., Tensor], **values: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Bind columns with one value for all pairs, in the number of the pairs."""
    return lambda w, o: objective(w, o, **{name: torch.full_like(w, value) for name, value in values.items()})


RATED = {"winner_rating": 3.0, "loser_rating": 1.0}
LABELLED = {"winner_label": 1.0, "loser_label": 0.0}
MIXED = {**RATED, **LABELLED}

SMOOTH: dict[str, Callable[..., Tensor]] = {
    "bradley_terry": rm.bradley_terry,
    "classification": rm.classification,
    "thurstone": rm.thurstone,
    "margin_bradley_terry": partial(rm.margin_bradley_terry, margin=0.7),
    "margin_bradley_terry, a tie": with_columns(partial(rm.margin_bradley_terry, margin=0.7), tie=1.0),
    "label_smoothed": partial(rm.label_smoothed, smoothing=0.2),
    "squared": lambda w, o: (1 - (w - o)).square(),
    "rao_kupper": partial(objectives.rao_kupper, theta=1.6),
    "rao_kupper, a tie": with_columns(partial(objectives.rao_kupper, theta=1.6), tie=1.0),
    "davidson": partial(objectives.davidson, nu=0.7),
    "davidson, a tie": with_columns(partial(objectives.davidson, nu=0.7), tie=1.0),
    "soft_labelled": with_columns(objectives.soft_labelled, probability=0.7),
    "forward_corrected": partial(objectives.forward_corrected, rate=0.2),
    "forward_corrected, no noise": partial(objectives.forward_corrected, rate=0.0),
    "class_corrected": with_columns(partial(objectives.class_corrected, rate_0=0.1, rate_1=0.3), winner_class=1.0),
    "class_corrected, a tie": with_columns(
        partial(objectives.class_corrected, rate_0=0.1, rate_1=0.3), winner_class=1.0, tie=1.0
    ),
    "backward_corrected": partial(objectives.backward_corrected, rate=0.2),
    "symmetric_cross_entropy": partial(objectives.symmetric_cross_entropy, alpha=0.5, beta=0.3),
    "generalized_cross_entropy": partial(objectives.generalized_cross_entropy, q=0.4),
    "absolute error": partial(objectives.generalized_cross_entropy, q=1.0),
    "centred": partial(objectives.centred, strength=0.1),
    "scaled": partial(objectives.scaled, beta=0.3, objective=rm.thurstone),
    "squared_rating": with_columns(objectives.squared_rating, **RATED),
    "ordinal_rating": with_columns(partial(objectives.ordinal_rating, thresholds=(-2.0, 0.5, 1.0)), **RATED),
    "quantile_rating": with_columns(partial(objectives.quantile_rating, quantile=0.8, smoothing=0.5), **RATED),
    "mixture, a pair": with_columns(partial(objectives.mixture, beta=1.5), source=0.0, **MIXED),
    "mixture, a tie": with_columns(partial(objectives.mixture, beta=1.5), source=0.0, tie=1.0, **MIXED),
    "mixture, ratings": with_columns(partial(objectives.mixture, weights=(1.0, 0.5, 2.0)), source=1.0, **MIXED),
    "mixture, labels": with_columns(partial(objectives.mixture, threshold=0.3), source=2.0, **MIXED),
    "good_or_bad": with_columns(objectives.good_or_bad, **LABELLED),
    "kahneman_tversky": with_columns(partial(objectives.kahneman_tversky, reference=0.3), **LABELLED),
    # with several alternatives, the curvature of the one that is taken is a bound: tests/test_pointwise.py
    "plackett_luce, one alternative": lambda w, o: objectives.plackett_luce(
        w, o, choice=torch.arange(len(w)), n_alternatives=torch.ones_like(w)
    ),
}
WITH_KINKS = {"hinge", "huber_rating"}
ALL: dict[str, Callable[..., Tensor]] = {
    **SMOOTH,
    "hinge": rm.hinge,
    "hinge, a tie": with_columns(rm.hinge, tie=1.0),
    "huber_rating": with_columns(objectives.huber_rating, **RATED),
}
# A likelihood of noisy labels, or a bounded loss, is not convex. A corrected one is not bounded below.
NOT_CONVEX = {
    *("forward_corrected", "class_corrected", "class_corrected, a tie", "symmetric_cross_entropy"),
    *("generalized_cross_entropy", "absolute error", "kahneman_tversky"),
}
NOT_FALLING = {
    *("squared", "label_smoothed", "rao_kupper, a tie", "davidson, a tie", "soft_labelled", "class_corrected, a tie"),
    *("backward_corrected", "centred", "squared_rating", "huber_rating", "ordinal_rating", "quantile_rating"),
    *("hinge, a tie", "margin_bradley_terry, a tie", "mixture, a tie", "mixture, ratings"),
}


def sigma(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


EXACT: dict[str, Callable[..., Any]] = {
    "bradley_terry": lambda w, o: -mpmath.log(sigma(w - o)),
    "classification": lambda w, o: -mpmath.log(sigma(w)) - mpmath.log(1 - sigma(o)),
    "thurstone": lambda w, o: -mpmath.log(mpmath.erfc((o - w) / mpmath.sqrt(2)) / 2),
    "margin_bradley_terry": lambda w, o: -mpmath.log(sigma(w - o - mpmath.mpf(0.7))),
    "label_smoothed": lambda w, o: (
        -mpmath.mpf(0.8) * mpmath.log(sigma(w - o)) - mpmath.mpf(0.2) * mpmath.log(sigma(o - w))
    ),
    "hinge": lambda w, o: max(mpmath.mpf(0), 1 - (w - o)),
    "soft_labelled": lambda w, o: (
        -mpmath.mpf(0.7) * mpmath.log(sigma(w - o)) - (1 - mpmath.mpf(0.7)) * mpmath.log(sigma(o - w))
    ),
    "forward_corrected": lambda w, o: (
        -mpmath.log((1 - mpmath.mpf(0.2)) * sigma(w - o) + mpmath.mpf(0.2) * sigma(o - w))
    ),
    "class_corrected": lambda w, o: -mpmath.log((1 - mpmath.mpf(0.3)) * sigma(w - o) + mpmath.mpf(0.1) * sigma(o - w)),
    "backward_corrected": lambda w, o: (
        (-mpmath.mpf(0.8) * mpmath.log(sigma(w - o)) + mpmath.mpf(0.2) * mpmath.log(sigma(o - w))) / mpmath.mpf(0.6)
    ),
    "symmetric_cross_entropy": lambda w, o: (
        -mpmath.mpf(0.5) * mpmath.log(sigma(w - o)) + mpmath.mpf(0.3) * 4 * (1 - sigma(w - o))
    ),
    "generalized_cross_entropy": lambda w, o: (1 - sigma(w - o) ** mpmath.mpf(0.4)) / mpmath.mpf(0.4),
    "absolute error": lambda w, o: 1 - sigma(w - o),
    "centred": lambda w, o: -mpmath.log(sigma(w - o)) + mpmath.mpf(0.1) * (w + o) ** 2,
    "scaled": lambda w, o: -mpmath.log(mpmath.erfc(mpmath.mpf(0.3) * (o - w) / mpmath.sqrt(2)) / 2),
    "squared_rating": lambda w, o: ((w - 3) ** 2 + (o - 1) ** 2) / 2,
    "huber_rating": lambda w, o: sum(e**2 / 2 if e < 1 else e - mpmath.mpf(0.5) for e in (abs(w - 3), abs(o - 1))),
    "ordinal_rating": lambda w, o: -mpmath.log(sigma(1 - w) - sigma(mpmath.mpf(0.5) - w)) - mpmath.log(sigma(-2 - o)),
    "quantile_rating": lambda w, o: sum(
        mpmath.mpf(0.8) * e + mpmath.log(1 + mpmath.exp(-e / mpmath.mpf(0.5))) / 2 for e in (3 - w, 1 - o)
    ),
    "mixture, a pair": lambda w, o: -mpmath.log(sigma(mpmath.mpf(1.5) * (w - o))),
    "mixture, a tie": lambda w, o: (
        -(mpmath.log(sigma(mpmath.mpf(1.5) * (w - o))) + mpmath.log(sigma(mpmath.mpf(1.5) * (o - w)))) / 2
    ),
    "mixture, ratings": lambda w, o: ((w - 3) ** 2 + (o - 1) ** 2) / 4,
    "mixture, labels": lambda w, o: -mpmath.log(sigma(w - mpmath.mpf(0.3))) - mpmath.log(sigma(mpmath.mpf(0.3) - o)),
    "plackett_luce, one alternative": lambda w, o: -mpmath.log(mpmath.exp(w) / (mpmath.exp(w) + mpmath.exp(o))),
    "rao_kupper": lambda w, o: -mpmath.log(mpmath.exp(w) / (mpmath.exp(w) + mpmath.mpf(1.6) * mpmath.exp(o))),
    "davidson": lambda w, o: (
        -mpmath.log(mpmath.exp(w) / (mpmath.exp(w) + mpmath.exp(o) + mpmath.mpf(0.7) * mpmath.exp((w + o) / 2)))
    ),
    "hinge, a tie": lambda w, o: (max(mpmath.mpf(0), 1 - (w - o)) + max(mpmath.mpf(0), 1 - (o - w))) / 2,
    "margin_bradley_terry, a tie": lambda w, o: (
        -(mpmath.log(sigma(w - o - mpmath.mpf(0.7))) + mpmath.log(sigma(o - w - mpmath.mpf(0.7)))) / 2
    ),
    "good_or_bad": lambda w, o: -mpmath.log(sigma(w)) - mpmath.log(1 - sigma(o)),
    "kahneman_tversky": lambda w, o: sigma(mpmath.mpf(0.3) - w) + sigma(o - mpmath.mpf(0.3)),
}


def test_the_tables_hold_every_objective() -> None:
    """A new objective must be in all tables: exact values, extreme gaps, and, where it is smooth, differences."""
    smooth, all_of, exact = ({name.partition(",")[0] for name in table} for table in (SMOOTH, ALL, EXACT))
    names = set(objectives.__all__)
    assert names <= all_of
    assert names <= exact
    assert names - smooth == WITH_KINKS


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("gap", [-60.0, -31.0, -29.9, -3.0, -0.1, 0.0, 0.5, 2.0, 8.5])
def test_values_against_arbitrary_precision(name: str, gap: float) -> None:
    mpmath.mp.dps = 60
    winner, loser = torch.tensor([gap + 0.25], dtype=torch.float64), torch.tensor([0.25], dtype=torch.float64)
    exact = float(EXACT[name](mpmath.mpf(gap) + 0.25, mpmath.mpf(0.25)))
    assert ALL[name](winner, loser).item() == pytest.approx(exact, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_gaps_are_safe(name: str, dtype: torch.dtype) -> None:
    gap = torch.tensor([-1e4, -1e3, -50.0, 0.0, 50.0, 1e3, 1e4], dtype=dtype)
    winner, loser = gap.clone().requires_grad_(), torch.zeros_like(gap).requires_grad_()
    losses = ALL[name](winner, loser)
    gradients = torch.autograd.grad(losses.sum(), [winner, loser])
    assert torch.isfinite(losses).all()
    assert all(torch.isfinite(g).all() for g in gradients)
    assert (losses >= -1e-6).all() or name == "backward_corrected"
    assert (losses[:-1] >= losses[1:] - 1e-6).all() or name in NOT_FALLING  # losing by more never costs less


def numeric_slope(
    objective: Objective, scores: FloatArray, pairs: IntArray, weights: FloatArray, item: int, step: float
) -> tuple[float, float]:
    def total(at: float) -> float:
        moved = scores.copy()
        moved[item] = at
        w, o = (torch.from_numpy(moved[pairs[:, k]]) for k in (0, 1))
        return float((torch.from_numpy(weights) * objective(w, o)).sum())

    s = scores[item]
    up, here, down = total(s + step), total(s), total(s - step)
    return (up - down) / (2 * step), (up - 2 * here + down) / step**2


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_and_curvature_against_finite_differences(name: str) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=6) * 2
    pairs = np.array([[0, 1], [2, 1], [0, 3], [3, 0], [4, 5], [1, 2], [0, 1]])  # items on both sides, a pair twice
    weights = rng.uniform(0.5, 2.0, size=len(pairs))
    slope = score_slope(SMOOTH[name], scores, pairs, weights, curvature=True)
    assert slope.curvature is not None
    for item in range(6):
        gradient, curvature = numeric_slope(SMOOTH[name], scores, pairs, weights, item, 1e-4)
        assert slope.gradient[item] == pytest.approx(gradient, rel=1e-6, abs=1e-7)
        assert slope.curvature[item] == pytest.approx(curvature, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in SMOOTH if name != "squared"])
def test_curvature_at_extreme_gaps(name: str) -> None:
    scores = np.array([-1e4, 0.0, 1e4])
    slope = score_slope(SMOOTH[name], scores, np.array([[0, 1], [1, 2], [2, 0], [0, 2]]), np.ones(4), curvature=True)
    assert slope.curvature is not None
    assert np.isfinite(slope.curvature).all()
    assert np.all(slope.curvature >= 0) or name in NOT_CONVEX


@pytest.mark.parametrize("name", ["bradley_terry", "thurstone", "hinge", "margin_bradley_terry", "label_smoothed"])
def test_only_differences_count(name: str) -> None:
    w, o = torch.randn(20, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    torch.testing.assert_close(ALL[name](w, o), ALL[name](w + 3.7, o + 3.7))


@pytest.mark.parametrize("objective", [f for n, f in ALL.items() if n != "squared"])
def test_shapes_must_agree(objective: Objective) -> None:
    with pytest.raises(ValueError, match="one shape"):
        objective(torch.zeros(3), torch.zeros(1))


@pytest.mark.parametrize(
    ("objective", "error", "message"),
    [
        (lambda w, o: rm.bradley_terry(w, o).mean(), ValueError, "one loss per pair.*do not reduce"),
        (lambda w, o: rm.bradley_terry(w, o)[:-1], ValueError, "one loss per pair"),
        (lambda w, o: 0.5, TypeError, "torch tensor; got float"),
        (lambda w, o: (w - o) * float("nan"), ValueError, "not finite"),
        (lambda w, o: torch.ones_like(w), ValueError, "do not depend on"),
    ],
)
def test_objectives_are_held_to_their_promise(objective: Objective, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        score_slope(objective, np.array([0.0, 1.0, 2.0]), np.array([[0, 1], [1, 2]]), np.ones(2), curvature=True)


@pytest.mark.parametrize("objective", [rm.hinge, lambda w, o: (o - w).abs(), lambda w, o: o - w])
def test_trees_need_curvature(objective: Objective) -> None:
    with pytest.raises(ValueError, match="no curvature, and trees are fitted by curvature"):
        check_curvature(objective)


@pytest.mark.parametrize("objective", [*SMOOTH.values(), lambda w, o: torch.relu(1 - w + o).square()])
def test_smooth_objectives_have_curvature(objective: Objective) -> None:
    check_curvature(objective)


def test_options_are_checked() -> None:
    w = torch.zeros(1)
    with pytest.raises(ValueError, match="margin must be at least 0"):
        rm.hinge(w, w, margin=-1.0)
    with pytest.raises(ValueError, match=r"smoothing must be below 0.5, where both orders cost the same; got 0.7"):
        rm.label_smoothed(w, w, smoothing=0.7)
    for objective in (rm.hinge, rm.margin_bradley_terry):
        with pytest.raises(ValueError, match=r"margin must be one number per pair, \(1,\); got shape \(3,\)"):
            objective(w, w, margin=torch.ones(3))


@pytest.mark.parametrize("objective", [rm.hinge, rm.margin_bradley_terry])
def test_a_tie_has_no_margin(objective: Objective) -> None:
    items, pairs = np.random.default_rng(0).normal(size=(8, 2)), np.arange(8).reshape(4, 2)
    tie, margin = np.array([True, False, False, False]), np.array([0.7, 1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"a tie has no margin: .* got 0\.7; set it to 0"):
        rm.LinearReward(objective).fit(items, pairs, columns={"tie": tie, "margin": margin})
    margin[0] = 0.0
    model = rm.LinearReward(objective, alpha=0.1, max_iter=100)
    twice = np.concatenate([pairs, pairs[:1, ::-1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # L-BFGS stops at kinks
        marked = model.fit(items, pairs, columns={"tie": tie, "margin": margin}).loss_
        by_hand = model.fit(items, twice, [0.5, 1, 1, 1, 0.5], columns={"margin": np.append(margin, 0.0)}).loss_
    assert marked == pytest.approx(by_hand, rel=1e-3)


@pytest.mark.parametrize("objective", [rm.hinge, rm.margin_bradley_terry])
def test_a_margin_per_pair_is_that_number_for_each(objective: Objective) -> None:
    winner, loser, margins = (
        torch.tensor([1.0, 0.2, -1.0]),
        torch.tensor([0.0, 0.1, 0.5]),
        torch.tensor([0.0, 0.5, 3.0]),
    )
    each = [objective(winner[k], loser[k], margin=float(margins[k])) for k in range(3)]
    torch.testing.assert_close(objective(winner, loser, margin=margins), torch.stack(each))
