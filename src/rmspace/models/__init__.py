"""Reward models: estimators that learn a score for items from comparisons."""
