"""Readers of data, one file per source; each reader returns a bank, or (train, test)."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
