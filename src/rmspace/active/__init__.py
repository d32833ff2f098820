"""Active selection: which pairs to have judged next. A file in this folder adds the rules that its `__all__` lists."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
