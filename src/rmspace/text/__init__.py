"""From text to a reward model: records, readers, encoders, generators, golds, banks, and models that score text."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(
    __name__,
    "rmspace.text.encoders",
    "rmspace.text.finetune",
    "rmspace.text.generators",
    "rmspace.text.golds",
    "rmspace.text.pipeline",
    "rmspace.text.rewardbench",
)
