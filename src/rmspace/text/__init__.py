"""From text to a reward model: records, readers, encoders, embeddings, and models that score text."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__, "rmspace.text.encoders", "rmspace.text.rewardbench")
