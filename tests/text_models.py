"""Tiny models of transformers with random weights, and items, for the tests of text."""

import json
import os
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from rmspace.text.records import Message, TextItem, items_of

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

CORPUS = ["The sky is blue because of the way that air scatters light.", "user assistant system human 2 + 2 = 4"] * 4
CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ITEMS = [
    *items_of("Why is the sky blue?", ["Because of the way that air scatters light.", "It is.", ""]),
    *items_of("2 + 2?", ["4", "The answer is four, because 2 + 2 = 4, as everybody knows."]),
    TextItem((Message("user", "Hi."), Message("assistant", "Hello!"), Message("user", "Name a colour.")), "Blue."),
    TextItem((), "A text without a prompt."),
]


def bpe_tokenizer(*, pad: str | None = None, chat: str | None = None, bos: bool = False) -> Any:
    """A byte-level BPE tokenizer, which can hold any text."""
    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"]
    own.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if bos:
        own.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    names = {"bos_token": "<s>", "eos_token": "</s>"} | ({} if pad is None else {"pad_token": pad})
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=own, model_max_length=128, **names)
    made.chat_template = chat
    return made


def word_tokenizer() -> Any:
    """A word-piece tokenizer that adds [CLS] and [SEP], as BERT's does."""
    own = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    own.train_from_iterator(
        CORPUS,
        trainers.WordPieceTrainer(
            vocab_size=200, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
        ),
    )
    own.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=own,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )


def _llama(n: int) -> Any:
    return transformers.LlamaModel(
        transformers.LlamaConfig(
            vocab_size=n,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=128,
        )
    )


def _gpt2(n: int) -> Any:
    return transformers.GPT2Model(
        transformers.GPT2Config(vocab_size=n, n_embd=16, n_layer=2, n_head=2, n_positions=128)
    )


def _bert(n: int, kind: str = "Bert", positions: int = 64) -> Any:
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=n,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=positions,
    )
    return getattr(transformers, f"{kind}Model")(config)


def save_model(folder: Path, kind: str = "llama", **options: Any) -> str:
    """Save a model with its tokenizer; weights are spread wider than usual, so that tokens differ clearly."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer() if kind == "bert" else bpe_tokenizer(**options)
    n = len(tokenizer)
    model = {
        "llama": _llama,
        "gpt2": _gpt2,
        "bert": _bert,
        "roberta": lambda size: _bert(size, "Roberta", 130),
    }[kind](n)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def save_causal(folder: Path, **options: Any) -> str:
    """Save a language model that writes text."""
    torch.manual_seed(0)
    tokenizer = bpe_tokenizer(**options)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=128,
        )
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def change_json(path: Path, **values: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    content = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")
