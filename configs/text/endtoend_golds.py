"""Two stand-ins for a gold reward model: they need no model, and they do not follow people's choices."""

import math
import re

import numpy as np
import numpy.typing as npt

_KIND = frozenset({"best", "careful", "glad", "good", "great", "happy", "help", "please", "safe", "sure", "thanks"})
_UNKIND = frozenset({"angry", "awful", "bad", "boring", "hate", "never", "stupid", "terrible", "useless", "wrong"})
_PREFERRED_WORDS = 40


def lexicon(_prompts: list[str], responses: list[str]) -> npt.NDArray[np.float64]:
    """Score the share of kind words minus that of unkind words, less a penalty for the distance from 40 words."""
    return np.array([_lexicon(response) for response in responses])


def overlap(prompts: list[str], responses: list[str]) -> npt.NDArray[np.float64]:
    """Score the share of the words of the prompt that the response takes up, less a penalty for repeating words."""
    return np.array([_overlap(prompt, response) for prompt, response in zip(prompts, responses, strict=True)])


def _lexicon(response: str) -> float:
    words = _words(response)
    kind = sum(word in _KIND for word in words) - sum(word in _UNKIND for word in words)
    return kind / math.sqrt(len(words) + 1) - abs(math.log((len(words) + 1) / (_PREFERRED_WORDS + 1)))


def _overlap(prompt: str, response: str) -> float:
    asked, words = set(_words(prompt)), _words(response)
    taken = len(asked & set(words)) / (len(asked) + 1)
    return taken + len(set(words)) / (len(words) + 1)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())
