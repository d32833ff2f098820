"""The reward model of text that a command works with: its argument, and how it is loaded."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmspace.text.reward import TextReward


def add_reward(parser: argparse.ArgumentParser, what: str = "the folder of a reward model of text") -> None:
    """Declare the argument MODEL, and the option that its encoder may need."""
    parser.add_argument("model", metavar="MODEL", help=what)
    parser.add_argument("--encoder-url", metavar="URL", help="the server that embeds, where the encoder is one")


def load_reward(options: argparse.Namespace) -> TextReward:
    """Load the reward model."""
    from rmspace.text.reward import TextReward

    url = {} if options.encoder_url is None else {"url": options.encoder_url}
    return TextReward.load(options.model, **url)
