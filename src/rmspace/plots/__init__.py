"""Figures, each a function of a tidy table."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
