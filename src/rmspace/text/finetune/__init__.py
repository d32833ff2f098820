"""Fine-tuning by TRL: language models on demonstrations, and encoders on preferences."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
