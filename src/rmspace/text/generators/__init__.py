"""Generators: from prompts to responses."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
