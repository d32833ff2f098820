"""How the page calls worlds, settings and judgements."""

from collections.abc import Iterable
from typing import Any

_JUDGEMENTS = {
    "choices": "who won",
    "strengths": "who won, and by how much",
    "ties": "who won, or neither",
    "votes": "three votes on each of a third of the pairs",
    "crowd": "who won, and which of six annotators judged",
    "biased": "who won, by judges who like length",
    "rankings": "the order of four responses",
    "ratings": "a rating of each response, 1 to 5",
    "labels": "good or bad, of each response",
    "mixed": "who won for half of the reports, ratings for the other half",
    "aspects": "who won, by judges who like length, and ratings of quality",
    "people": "PandaLM: which of three people judged, with ties",
}
WORLDS = {
    "alpacaeval": "AlpacaEval",
    "gsm8k": "GSM8K",
    "synthetic": "synthetic",
    "flipped": "synthetic, 30% flipped",
    "hh": "HH harmless",
    "pandalm": "PandaLM",
}


def judgements(section: str) -> str:
    return _JUDGEMENTS.get(section, section)


def setting_name(world: str, beta: Any) -> str:
    """Return the name of a world with its noise level, where it has one.

    >>> setting_name("gsm8k", 4.0), setting_name("hh", float("nan"))
    ('GSM8K, beta 4', 'HH harmless')
    """
    return WORLDS.get(world, world) + (f", beta {beta:g}" if beta >= 0 else "")


def listed(names: Iterable[str]) -> str:
    return "; ".join(names) or "none"


def shown_p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.4f}"
