"""The data of the leaderboard: six worlds, and what one model of an annotator says about their responses.

An annotator perceives the utility beta * reward / s + noise of a response; s is the standard deviation of the rewards.
All kinds of feedback are functions of such utilities, so they differ in what is reported, and not in who reports. With
logistic noise in the difference of two responses, a choice follows the Bradley-Terry model exactly.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import rmspace as rm

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]

FLIPPED = {"flipped": 0.3}  # share of the reports that are reversed
PEOPLE = ("hh", "pandalm")  # worlds that people judged
RANKED = 4  # responses in a ranking, and rated responses of a prompt
TIE_BELOW = 1.0  # perceived differences that are reported as a tie
VOTES = 3
CROWD = 4.0 ** np.linspace(-1, 1, 6)  # how much more than beta each annotator sees; the geometric mean is 1
BIAS = 1.0  # utility of a length that is one standard deviation larger


def judged(
    world: str,
    *,
    folder: str,
    feedback: str = "choices",
    beta: float | None = None,
    n_comparisons: int = 1500,
    test_share: float = 0.25,
    seed: int = 0,
) -> tuple[rm.Preferences, rm.ResponseBank | rm.Preferences]:
    """Return the judged comparisons of the training prompts, and the test prompts.

    Where the world has gold rewards, the test side is a bank. Its rewards are the utilities of the annotator, so that
    sigma of a difference is the probability of a choice without flips.

    Args:
        world: alpacaeval, gsm8k, hh, pandalm, synthetic or flipped.
        folder: where the data lie that `python scripts/leaderboard.py` prepared.
        feedback: a name in `FEEDBACK`; people gave choices only.
        beta: how sure the annotator is; None where people judged.
        n_comparisons: the number of comparisons, or of ratings, at most.
        test_share: of the prompts.
        seed: of the split, the pairs and the annotator.
    """
    rng = np.random.default_rng([seed, 17])
    if world in PEOPLE:
        if beta is not None or feedback != "choices":
            raise ValueError(f"people judged {world}, so it has choices and no beta; got {feedback!r} and {beta!r}")
        train, test = rm.split_prompts(rm.Preferences.open(Path(folder, world)), test_share, seed)
        rows = np.sort(rng.permutation(len(train))[:n_comparisons])
        return _with_class(train[rows]), test
    if beta is None:
        raise ValueError(f"the annotator of {world} needs a beta")
    bank, held_out = _banks(world, folder, test_share, seed)
    scale = beta / float(np.nanstd(bank.rewards))
    length = np.ravel(bank.features["length"])
    task = _Task(
        bank,
        scale * bank.item_rewards,
        (length - length.mean()) / length.std(),
        FLIPPED.get(world, 0.0),
        rng,
    )
    report = FEEDBACK[feedback](task, n_comparisons)
    data = rm.Preferences(
        bank.items,
        report.comparisons,
        np.repeat(bank.prompt_ids, bank.counts),
        columns=report.columns,
        features={"length": length},
    )
    return _with_class(data[np.arange(len(data))]), _in_units_of_the_annotator(held_out, scale)


class _Task(NamedTuple):
    """What is judged, and by whom."""

    bank: rm.ResponseBank
    utility: Floats  # (n_items,) without noise
    length: Floats  # (n_items,) in standard deviations
    flipped: float
    rng: np.random.Generator


class _Report(NamedTuple):
    comparisons: Ints
    columns: Mapping[str, npt.NDArray[Any]]


def _choices(task: _Task, n: int) -> _Report:
    pairs = _pairs(task, n)
    return _ordered(pairs, _perceived(task, pairs))


def _strengths(task: _Task, n: int) -> _Report:
    """How much better the winner is, with the mean 1."""
    pairs = _pairs(task, n)
    gap = _perceived(task, pairs)
    return _ordered(pairs, gap, margin=np.abs(gap) / np.abs(gap).mean())


def _ties(task: _Task, n: int) -> _Report:
    pairs = _pairs(task, n)
    gap = _perceived(task, pairs)
    return _ordered(pairs, gap, tie=np.abs(gap) < TIE_BELOW)


def _votes(task: _Task, n: int) -> _Report:
    """Three annotators on a third of the pairs: the winner is that of the majority."""
    pairs = _pairs(task, n // VOTES)
    won = np.mean([_perceived(task, pairs) > 0 for _ in range(VOTES)], axis=0)
    return _ordered(pairs, won - 0.5, probability=np.maximum(won, 1 - won))


def _crowd(task: _Task, n: int) -> _Report:
    pairs = _pairs(task, n)
    who = task.rng.integers(len(CROWD), size=len(pairs))
    return _ordered(pairs, _perceived(task, pairs, CROWD[who]), annotator=who, beta=CROWD[who])


def _biased(task: _Task, n: int) -> _Report:
    """Judges like long responses; the gold reward does not change."""
    pairs = _pairs(task, n)
    return _ordered(pairs, _perceived(task._replace(utility=task.utility + BIAS * task.length), pairs))


def _aspects(task: _Task, n: int) -> _Report:
    """Judges like long responses; others rate the quality of the same responses, from 1 to 5."""
    report = _biased(task, n)
    rating = np.zeros(len(task.utility))
    items = np.unique(report.comparisons)
    rating[items] = _fifths(_noisy(task, items))
    winner, loser = rating[report.comparisons].T
    return report._replace(columns={"winner_quality": winner, "loser_quality": loser})


def _mixed(task: _Task, n: int) -> _Report:
    """Choices for half of the reports, and ratings of other responses for the other half."""
    bank, choices = task.bank, _choices(task, n // 2)
    rated, noisy = _rated(task, n // 2)
    data = rm.mix(
        pairs=rm.Preferences(bank.items, choices.comparisons, bank.groups),
        ratings=rm.pair_up(bank.items[rated], _fifths(noisy), bank.groups[rated]),
    )
    return _Report(np.append(np.arange(len(bank.items)), rated)[data.comparisons], data.columns)


def _coin(task: _Task, n: int) -> _Report:
    pairs = _pairs(task, n)
    return _ordered(pairs, task.rng.standard_normal(len(pairs)))


def _rankings(task: _Task, n: int) -> _Report:
    """Rankings of four responses, each of six comparisons."""
    sets = _sets(task, n // (RANKED * (RANKED - 1) // 2))
    noisy = task.utility[sets] + task.rng.gumbel(size=sets.shape)
    noisy[task.rng.random(len(sets)) < task.flipped] *= -1
    order = np.take_along_axis(sets, np.argsort(-noisy, axis=1), axis=1)
    return _Report(*rm.choices_of(order.tolist()))


def _ratings(task: _Task, n: int) -> _Report:
    rated, noisy = _rated(task, n)
    return _paired_up(task, rated, _fifths(noisy), "rating")


def _labels(task: _Task, n: int) -> _Report:
    """Good is the better half of the responses."""
    rated, noisy = _rated(task, n)
    return _paired_up(task, rated, (noisy > np.median(noisy)).astype(np.float64), "label")


FEEDBACK: dict[str, Callable[[_Task, int], _Report]] = {
    "choices": _choices,
    "strengths": _strengths,
    "ties": _ties,
    "votes": _votes,
    "crowd": _crowd,
    "biased": _biased,
    "rankings": _rankings,
    "ratings": _ratings,
    "labels": _labels,
    "mixed": _mixed,
    "aspects": _aspects,
    "coin": _coin,
}


def _banks(world: str, folder: str, test_share: float, seed: int) -> tuple[rm.ResponseBank, rm.ResponseBank]:
    """Open a world, or make a synthetic one, in which the length is the first number of the embedding."""
    if world in ("alpacaeval", "gsm8k"):
        return rm.split_prompts(rm.ResponseBank.open(Path(folder, world)), test_share, seed)
    if world not in ("synthetic", "flipped"):
        raise ValueError(f"there is no world {world!r}")
    first, second = rm.make_synthetic_banks(600, 200, 8, 64, seed=1000 + 2 * seed + (world == "flipped"))
    return _with_length(first), _with_length(second)


def _with_length(bank: rm.ResponseBank) -> rm.ResponseBank:
    length = bank.embeddings[:, :, 0].astype(np.float64)
    return rm.ResponseBank(bank.embeddings, bank.rewards, features={"length": length}, prompt_ids=bank.prompt_ids)


def _pairs(task: _Task, n: int) -> Ints:
    """Draw at most n pairs within prompts, whose rewards differ."""
    counts = task.bank.counts
    most = int((counts * (counts - 1) // 2).sum())
    pairs = rm.same_prompt(task.bank, min(4 * n, most), task.rng)
    return pairs[task.utility[pairs[:, 0]] != task.utility[pairs[:, 1]]][:n]


def _sets(task: _Task, n: int) -> Ints:
    """Draw n sets of four responses of one prompt, (n, 4); each prompt comes once before any comes again."""
    starts, counts = task.bank.offsets[:-1], task.bank.counts
    usable = np.flatnonzero(counts >= RANKED)
    turns = [task.rng.permutation(usable) for _ in range(-(-n // len(usable)))]
    return np.stack([starts[k] + task.rng.choice(counts[k], RANKED, replace=False) for k in np.concatenate(turns)[:n]])


def _rated(task: _Task, n: int) -> tuple[Ints, Floats]:
    """Return the items that are rated, and their perceived utilities."""
    items = np.unique(_sets(task, n // RANKED))
    return items, _noisy(task, items)


def _noisy(task: _Task, items: Ints) -> Floats:
    """Return the perceived utilities of items that are judged one by one."""
    noisy = task.utility[items] + task.rng.gumbel(size=len(items))
    reversed_ = 2 * np.median(noisy) - noisy
    return np.where(task.rng.random(len(items)) < task.flipped, reversed_, noisy)


def _fifths(values: Floats) -> Floats:
    """Return ratings from 1 to 5, each of a fifth of the values."""
    return 1.0 + np.searchsorted(np.quantile(values, [0.2, 0.4, 0.6, 0.8]), values)


def _paired_up(task: _Task, items: Ints, values: Floats, name: str) -> _Report:
    data = rm.pair_up(task.bank.items[items], values, task.bank.groups[items], name=name)
    return _Report(items[data.comparisons], data.columns)


def _perceived(task: _Task, pairs: Ints, times: Floats | float = 1.0) -> Floats:
    """Return how much better the first of each pair looks."""
    gap = times * (task.utility[pairs[:, 0]] - task.utility[pairs[:, 1]]) + task.rng.logistic(size=len(pairs))
    return np.where(task.rng.random(len(pairs)) < task.flipped, -gap, gap)


def _ordered(pairs: Ints, gap: Floats, **columns: npt.NDArray[Any]) -> _Report:
    return _Report(np.where((gap > 0)[:, None], pairs, pairs[:, ::-1]), columns)


def _with_class(data: rm.Preferences) -> rm.Preferences:
    """Add the column `winner_class`: 1 where the winner is the longer one; where both are as long, the later item."""
    length = data.features["length"][data.comparisons]
    longer = np.where(
        length[:, 0] == length[:, 1], data.comparisons[:, 0] > data.comparisons[:, 1], length[:, 0] > length[:, 1]
    )
    return rm.Preferences(
        data.items,
        data.comparisons,
        data.groups,
        columns={**data.columns, "winner_class": longer.astype(np.int64)},
        features=data.features,
    )


def _in_units_of_the_annotator(bank: rm.ResponseBank, scale: float) -> rm.ResponseBank:
    return rm.ResponseBank(
        bank.items,
        scale * bank.item_rewards,
        offsets=bank.offsets,
        features={"length": np.ravel(bank.features["length"])},
        prompt_ids=bank.prompt_ids,
    )
