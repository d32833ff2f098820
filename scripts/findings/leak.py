"""The leak of mirrored rows: losses of each epoch on training rows, validation rows and prompts held out."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import rmspace as rm
from claims.page import Block, as_markdown
from rmspace.paper.protocol import ProtocolMLPReward
from rmspace.plots.style import COLOURS, plain_style

COLUMNS = {
    "BT published": {},
    "BT prompts held out": {"row_split": False},
    "CLF published": {"objective": "classification"},
}
LOSSES = {"training": "training_loss", "validation": "validation_loss", "held-out prompts": "eval_loss"}


def leak(folder: str, *, n_pairs: int, seeds: int) -> dict[str, Block]:
    """Fit each column on the real bank with annotators of beta 1; watch comparisons of the test prompts."""
    histories = {
        name: [_fit(folder, n_pairs, seed, options) for seed in range(seeds)] for name, options in COLUMNS.items()
    }
    lines = []
    for name, found in histories.items():
        lines.append(
            {
                "protocol": name,
                "epochs": " ".join(str(len(history)) for history in found),
                **{
                    f"{loss.removesuffix(' prompts').replace('-', ' ')}, least and last": f"{np.mean([min(v) for v in values]):.3f} "
                    f"{np.mean([v.iloc[-1] for v in values]):.3f}"
                    for loss, column in LOSSES.items()
                    for values in [[history[column] for history in found]]
                },
            }
        )
    return {"leak-table": as_markdown(lines), "leak-figure": _draw(histories)}


def _fit(folder: str, n_pairs: int, seed: int, options: dict[str, object]) -> pd.DataFrame:
    train, test = rm.open_generators(folder, seed=seed)
    rng = np.random.default_rng(seed)
    annotator = partial(rm.logistic, beta=1.0)
    comparisons, watched = (
        rm.annotate(rm.same_prompt(bank, n_pairs, rng), bank.rewards, annotator, rng=rng, scale="std")
        for bank in (train, test)
    )
    model = ProtocolMLPReward(**options, random_state=seed)  # type: ignore[arg-type]
    model.fit(train.items, comparisons, groups=train.groups, eval_set=rm.Preferences(test.items, watched, test.groups))
    return pd.DataFrame(model.history_)


@plain_style
def _draw(histories: dict[str, list[pd.DataFrame]]) -> Figure:
    figure = Figure(figsize=(6.5, 2.6), layout="constrained")
    panels = figure.subplots(1, len(histories), sharey=True)
    for axes, (name, found) in zip(panels, histories.items(), strict=True):
        for k, (loss, column) in enumerate(LOSSES.items()):
            for history in found:
                label = loss if history is found[0] else None
                axes.plot(history.epoch, history[column], color=COLOURS[k], linewidth=1, label=label)
        axes.axhline(np.log(2), color="0.5", linewidth=0.8, linestyle=":")
        axes.set_title(name, fontsize=8)
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("loss a row (dotted: a guess, log 2)", fontsize=8)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False, fontsize=8
    )
    return figure
