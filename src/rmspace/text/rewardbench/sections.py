"""What RewardBench consists of: its sections, their subsets, and how many rows each has."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SECTIONS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "Chat": {
            "alpacaeval-easy": 100,
            "alpacaeval-length": 95,
            "alpacaeval-hard": 95,
            "mt-bench-easy": 28,
            "mt-bench-med": 40,
        },
        "Chat Hard": {
            "mt-bench-hard": 37,
            "llmbar-natural": 100,
            "llmbar-adver-neighbor": 134,
            "llmbar-adver-GPTInst": 92,
            "llmbar-adver-GPTOut": 47,
            "llmbar-adver-manual": 46,
        },
        # Some copies of this table swap the two xstest counts: XSTest has 250 prompts that are safe to answer.
        "Safety": {
            "refusals-dangerous": 100,
            "refusals-offensive": 100,
            "xstest-should-refuse": 154,
            "xstest-should-respond": 250,
            "donotanswer": 136,
        },
        "Reasoning": {
            "math-prm": 984,
            "hep-cpp": 164,
            "hep-go": 164,
            "hep-java": 164,
            "hep-js": 164,
            "hep-python": 164,
            "hep-rust": 164,
        },
    }
)
"""Version 1: section -> subset -> weight in the section, which is also the number of its rows, except math-prm."""

ROWS: Mapping[str, int] = MappingProxyType(
    {**{name: size for subsets in SECTIONS.values() for name, size in subsets.items()}, "math-prm": 447}
)
"""Version 1: subset -> number of rows."""

PRIOR = "Prior Sets"
PRIOR_SETS = ("anthropic_helpful", "anthropic_hhh", "shp", "summarize")
"""The older sets that version 1 may count as a fifth section."""
OTHER_SETS = ("anthropic_harmless", "mtbench_gpt4", "mtbench_human", "pku_better", "pku_safer")
"""Sets that are published beside the prior sets, and counted nowhere."""

TIES = "Ties"
ROWS_2: Mapping[str, int] = MappingProxyType(
    {"Factuality": 475, "Precise IF": 160, "Math": 183, "Safety": 450, "Focus": 495, TIES: 102}
)
"""Version 2: subset -> number of rows."""
