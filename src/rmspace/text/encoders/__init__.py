"""Encoders: from prompt-response pairs as text to embeddings."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
