"""Reward models: estimators that learn a score for items from comparisons."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
