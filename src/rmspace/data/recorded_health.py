"""Checks of what the metadata of a bank records about how the bank was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rmspace.data.finding import Finding

_LIMITS = ("max_length", "max_prompt")
_CUTS = ("prompt_cut", "reply_cut")


def recorded_findings(metadata: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what the metadata of a bank says; keys that are not there, or not what they must be, say nothing.

    `build` has what `rmspace build` counts in all steps, so of train and test bank together: `prompts`, `responses`,
    `left_out_prompts`, `finish` (why responses end, with counts), `prompt_cut` and `reply_cut` of the encoder, and
    `gold_cuts`, the same by gold. `golds` and `encoder` describe the models. `left_out` lists prompts that a reader of
    public data left out.

    >>> [found.check for found in recorded_findings({"build": {"prompts": 9, "left_out_prompts": 1}})]
    ['left_out_prompts']
    """
    build = _mapping(metadata.get("build"))
    yield from _left_out(build, metadata)
    yield from _unfinished(build)
    yield from _cuts(build, metadata)


def _left_out(build: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[Finding]:
    if left := _count(build.get("left_out_prompts")):
        detail = "prompts of the build without responses, such as those over the limit; its left_out.jsonl lists them"
        yield Finding("left_out_prompts", "note", left, left + _count(build.get("prompts")), detail)
    listed, kept = _mapping(metadata.get("left_out")).get("prompts"), metadata.get("prompts")
    if isinstance(listed, Mapping | list) and listed:
        n_kept = len(kept) if isinstance(kept, list) else 0
        detail = "prompts of the source that are not in the bank; metadata['left_out'] lists them"
        yield Finding("left_out_prompts", "note", len(listed), len(listed) + n_kept, detail)


def _unfinished(build: Mapping[str, Any]) -> Iterator[Finding]:
    ends = {name: _count(value) for name, value in _mapping(build.get("finish")).items()}
    if stopped := ends.get("length", 0):
        n = sum(ends.values())
        detail = (
            f"responses ({stopped / n:.0%}) that ended at the limit of tokens; a model that was trained with the end "
            "of a text as padding never ends one by itself"
        )
        yield Finding("unfinished_responses", "warning" if 2 * stopped > n else "note", stopped, n, detail)


def _cuts(build: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[Finding]:
    golds = {name: _mapping(about) for name, about in _mapping(metadata.get("golds")).items()}
    counted = _mapping(build.get("gold_cuts"))
    for name, cuts in counted.items():
        gap = max(abs(_count(_mapping(cuts).get(cut)) - _count(build.get(cut))) for cut in _CUTS)
        if gap:
            detail = f"texts, or more, that only one of gold {name!r} and encoder cut; give both the same limits"
            yield Finding("texts_cut_differently", "warning", gap, _count(build.get("responses")), detail)
    encoder = _mapping(metadata.get("encoder"))
    limited = [name for name, about in golds.items() if "max_length" in about and name not in counted]
    if "max_length" in encoder and (
        other := [name for name in limited if any(golds[name].get(k) != encoder.get(k) for k in _LIMITS)]
    ):
        first = golds[other[0]]["max_length"]
        detail = (
            f"golds whose limits are not those of the encoder ({other[0]!r}: {first} tokens, encoder: "
            f"{encoder['max_length']}), so that a long text is not the same for both"
        )
        yield Finding("different_limits", "note", len(other), len(limited), detail)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
