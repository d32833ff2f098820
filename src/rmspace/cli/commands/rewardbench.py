"""`rmspace rewardbench`: score RewardBench with a saved reward model of text, or from a file of scores."""

from __future__ import annotations

import argparse
from pathlib import Path

from rmspace.cli.reward_folder import add_reward, load_reward

HELP = "score RewardBench 1 or 2 with a reward model of text"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_reward(parser, "the folder of a reward model of text, or a file of its scores")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="the benchmark: JSON Lines or Parquet")
    parser.add_argument("--version", type=int, choices=(1, 2), help="of the benchmark (told by its rows)")
    parser.add_argument("--out", metavar="DIR", help="folder for the result, in RewardBench's form")


def run(options: argparse.Namespace) -> int:
    """Print the table, and write the files where that is asked for."""
    from rmspace.text.rewardbench.benchmark import (
        read_rewardbench,
        read_rewardbench_scores,
        run_rewardbench,
        score_rewardbench,
    )
    from rmspace.text.rewardbench.reports import write_rewardbench

    rows = read_rewardbench(options.data)
    template = ""
    if Path(options.model).is_file():
        scores = read_rewardbench_scores(options.model, rows)
        result = score_rewardbench(rows, scores, version=options.version)
    else:
        reward = load_reward(options)
        template = str(reward.encoder.describe().get("template", ""))
        result, scores = run_rewardbench(reward.score, rows, version=options.version)
    print(result)
    if options.out:
        name = Path(options.model).resolve().name
        write_rewardbench(options.out, result, rows, scores, model=name, chat_template=template)
    return 0
