"""Golds: from prompts and responses to gold rewards."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
