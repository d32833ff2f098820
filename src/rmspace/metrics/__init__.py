"""Metrics: one value per prompt from scores and gold rewards."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
