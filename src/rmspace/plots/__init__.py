"""Figures of a tidy table, one function per form. A file in this folder adds the forms that its `__all__` lists."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
