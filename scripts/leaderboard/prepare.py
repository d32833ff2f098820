"""The data of the leaderboard: texts embedded once, and banks, in one folder that `worlds.py` reads."""

from collections.abc import Iterable
from pathlib import Path

import rmspace as rm

TEXTS = {
    "hh": "hh_harmless/pairs.jsonl.gz",
    "pandalm": "pandalm/pairs.jsonl.gz",
    "gsm8k": "gsm8k_solutions/solutions.jsonl.gz",
}
SCORES = {"gsm8k": "correct"}  # the gold reward
SYNTHETIC = ("synthetic", "flipped")
MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def prepare(out: Path, source: Path, encoder: str, worlds: Iterable[str]) -> None:
    """Write the data of each world that is not in `out` yet; a stopped call goes on where it was."""
    for world in worlds:
        if world in SYNTHETIC or (out / world).is_dir():
            continue
        print(f"preparing {world}", flush=True)
        if world == "alpacaeval":
            rm.read_generators(source / world).save(out / world)
        else:
            _embedded(source / TEXTS[world], SCORES.get(world), encoder, out / "vectors").save(out / world)


def _embedded(path: Path, score: str | None, encoder: str, vectors: Path) -> rm.Preferences | rm.ResponseBank:
    """Embed a file of texts; those with a score become a bank, and the others stay comparisons."""
    texts = rm.text.read_preferences(path, score=score, ties=True, verbose=False)
    made = rm.text.TransformersEncoder(encoder, pooling="mean", template="plain", normalize=True)
    data = rm.text.embed(texts, made, out=vectors)
    return data if score is None else rm.text.to_bank(data, score)
