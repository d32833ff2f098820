"""Make the AlpacaEval bank of docs/findings.md from a clone of `tatsu-lab/alpaca_eval`.

    python scripts/findings/make_bank.py CLONE --out FOLDER [--model NAME]

Each text is a prompt of at most 128 tokens, a blank line and the response, cut after 256 tokens; its embedding is
all-MiniLM-L6-v2's, scaled to unit length. Needs `pip install sentence-transformers`.
"""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import rmspace as rm

MODELS = Path(__file__).resolve().parents[2] / "configs" / "findings" / "alpacaeval_models.txt"
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PROMPT_TOKENS, TEXT_TOKENS, N_TRAIN = 128, 256, 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", help="folder of the clone")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bank")
    parser.add_argument("--model", default=MODEL, help=f"name or folder of the embedding model; {MODEL} by default")
    parser.add_argument("--overwrite", action="store_true", help="replace a bank in --out")
    options = parser.parse_args()
    encoder = load_encoder(options.model)
    bank = rm.read_alpaca_eval(
        options.clone,
        embed=lambda texts: encoder.encode(texts, batch_size=8, normalize_embeddings=True, show_progress_bar=True),
        models=MODELS.read_text(encoding="utf-8").split(),
        join=join_capped(encoder.tokenizer),
        n_train=N_TRAIN,
    )
    bank.save(options.out, overwrite=options.overwrite)
    print(f"{options.out}: {bank}")


def load_encoder(name: str) -> Any:
    encoder = import_module("sentence_transformers").SentenceTransformer(name, device="cpu")
    encoder.max_seq_length = TEXT_TOKENS
    return encoder


def join_capped(tokenizer: Any) -> Callable[[str, str], str]:
    """Return a function that cuts a prompt after its tokens and joins it to a response by a blank line."""

    def join(prompt: str, response: str) -> str:
        ends = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        cut = prompt if len(ends) <= PROMPT_TOKENS else prompt[: ends[PROMPT_TOKENS - 1][1]]
        return f"{cut}\n\n{response}"

    return join


if __name__ == "__main__":
    main()
