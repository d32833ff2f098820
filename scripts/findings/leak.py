"""The leak of mirrored rows: the loss after each epoch on training rows, validation rows and held-out prompts."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import rmspace as rm
from findings.page import Block, as_markdown
from rmspace.paper.protocol import ProtocolMLPReward
from rmspace.plots.style import COLOURS, plain_style

COLUMNS: dict[str, dict[str, Any]] = {
    "BT published": {},
    "BT prompts held out": {"row_split": False},
    "CLF published": {"objective": "classification"},
}
LOSSES = {"training": "training_loss", "validation": "validation_loss", "held out": "eval_loss"}


def leak(folder: Path, *, n_pairs: int, seeds: int) -> dict[str, Block]:
    """Fit each column on the real bank with annotators of beta 1; watch comparisons of the test prompts."""
    histories = {
        name: [_fit(folder, n_pairs, seed, options) for seed in range(seeds)] for name, options in COLUMNS.items()
    }
    lines = [
        {
            "protocol": name,
            "epochs": " ".join(str(len(history)) for history in found),
            **{f"{loss}, least and last": _least_and_last(found, column) for loss, column in LOSSES.items()},
        }
        for name, found in histories.items()
    ]
    return {"leak-table": as_markdown(lines), "leak-figure": _draw(histories)}


def _least_and_last(histories: list[pd.DataFrame], column: str) -> str:
    """Return the mean over seeds of the least loss, and of the last one."""
    losses = [history[column] for history in histories]
    return f"{np.mean([loss.min() for loss in losses]):.3f} {np.mean([loss.iloc[-1] for loss in losses]):.3f}"


def _fit(folder: Path, n_pairs: int, seed: int, options: dict[str, Any]) -> pd.DataFrame:
    train, test = rm.open_generators(str(folder), seed=seed)
    rng = np.random.default_rng(seed)
    annotator = partial(rm.logistic, beta=1.0)
    comparisons, watched = (
        rm.annotate(rm.same_prompt(bank, n_pairs, rng), bank.rewards, annotator, rng=rng, scale="std")
        for bank in (train, test)
    )
    model = ProtocolMLPReward(**options, random_state=seed)
    model.fit(train.items, comparisons, groups=train.groups, eval_set=rm.Preferences(test.items, watched, test.groups))
    return pd.DataFrame(model.history_)


@plain_style
def _draw(histories: dict[str, list[pd.DataFrame]]) -> Figure:
    figure = Figure(figsize=(6.5, 2.6), layout="constrained")
    panels = figure.subplots(1, len(histories), sharey=True)
    for axes, (name, found) in zip(panels, histories.items(), strict=True):
        for k, (loss, column) in enumerate(LOSSES.items()):
            for history in found:
                label = loss.replace("held out", "held-out prompts") if history is found[0] else None
                axes.plot(history.epoch, history[column], color=COLOURS[k], linewidth=1, label=label)
        axes.axhline(np.log(2), color="0.5", linewidth=0.8, linestyle=":")
        axes.set_title(name, fontsize=8)
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("loss per row (dotted: a guess, log 2)", fontsize=8)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False, fontsize=8
    )
    return figure
