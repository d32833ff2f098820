"""Names that differ between checkouts of this project. `against_stages` otherwise uses only names that both have."""

from inspect import signature
from typing import Any

import rmspace as rm


def either(*names: str) -> Any:
    """Return the first of these names that rmspace has."""
    for name in names:
        if (found := getattr(rm, name, None)) is not None:
            return found
    raise AttributeError(f"rmspace has none of {', '.join(names)}")


make_synthetic_banks = either("make_synthetic_banks", "make_reward_world")
SYNTHETIC = "make_synthetic_banks" if hasattr(rm, "make_synthetic_banks") else "make_reward_world"

# The fewest resamples that were allowed, where intervals were made by resampling.
INTERVALS = "n_resamples: 100" if "n_resamples" in signature(rm.run).parameters else "confidence: 0.95"


def ensemble(member: Any, size: int) -> Any:
    """Return an ensemble whose members train as one program."""
    keyword = "batched" if "batched" in signature(rm.EnsembleReward).parameters else "together"
    options: dict[str, Any] = {keyword: True, "random_state": 0}
    return rm.EnsembleReward(member, size, **options)
