"""From prompts to banks: read, generate, rate, embed; each step a folder that a stopped run goes on with."""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
