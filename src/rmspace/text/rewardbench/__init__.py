"""RewardBench, versions 1 and 2: from scores to the numbers that it publishes."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
