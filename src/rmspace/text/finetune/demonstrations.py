"""Fine-tuning of a generator on demonstrations: the first step of the published pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rmspace._checks import check_int
from rmspace._typing import PathLike
from rmspace.data.array_files import head_text
from rmspace.data.files import FolderKind, check_target, new_folder
from rmspace.text._extras import need
from rmspace.text.encoders._folder import copy_tokenizer, no_progress_bar
from rmspace.text.finetune.settings import FineTuning
from rmspace.text.generators.transformers import TransformersGenerator
from rmspace.text.line_store import json_lines
from rmspace.text.notes import clean_item
from rmspace.text.records import Record, TextItem
from rmspace.text.templates import opening

__all__ = ["demonstrations_of", "finetune_generator"]

KIND = FolderKind("rmspace-fine-tuned-generator", "manifest.json", r"manifest\.json|left_out\.jsonl|model|adapter")
MODEL, _ADAPTER, _LEFT_OUT, _BASE = "model", "adapter", "left_out.jsonl", "base.json"


class Example(NamedTuple):
    """The tokens of a demonstration, and how many of them are the prompt."""

    ids: list[int]
    n_prompt: int


def demonstrations_of(records: Iterable[Record]) -> list[TextItem]:
    """Return what a model may learn to say: the winners of comparisons, or all responses where nobody compared.

    Each text comes once. The two sides of a tie both count.

    >>> from rmspace.text.records import Comparison, items_of
    >>> record = Record(items_of("2 + 2?", ["4", "5"]), [Comparison(0, 1)])
    >>> [item.response for item in demonstrations_of([record])]
    ['4']
    """
    found: dict[TextItem, None] = {}
    for record in records:
        chosen = {pair.winner for pair in record.comparisons}
        chosen |= {pair.loser for pair in record.comparisons if pair.columns.get("tie")}
        places = sorted(chosen) if record.comparisons else range(len(record.items))
        found |= dict.fromkeys(record.items[k] for k in places)
    return list(found)


def finetune_generator(
    demonstrations: Sequence[TextItem],
    generator: TransformersGenerator,
    settings: FineTuning,
    *,
    out: PathLike,
    max_length: int | None = None,
    about: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> TransformersGenerator:
    """Train a generator on demonstrations, by TRL's `SFTTrainer`; the loss is that of the replies alone.

    The tokens of a prompt are those that the generator gets when it answers. After them come the tokens of the reply,
    and the token that ends it. Batches are filled with a token that is not the end of a text, so every reply teaches
    its end. Demonstrations over `max_length` are left out, never cut: `left_out.jsonl` lists them.

    Every ten minutes a checkpoint is written to the folder `OUT.unfinished` beside `out`. The same call goes on from it
    after a stop, with the steps that it would have taken. The folder is removed at the end.

    Args:
        demonstrations: prompts with the replies to learn; `demonstrations_of` reads them from records.
        generator: says which model is trained, and its template; it stays as it is.
        settings: of the training. With a rank, LoRA adapters are trained and then merged into the weights.
        out: a new folder. `model` is the whole model, for `TransformersGenerator`; `adapter` has the adapters, where
            there are any; `manifest.json` has the settings, the counts, the losses and the seconds of the training.
        max_length: the most tokens of prompt and reply; None is what the model has places for.
        about: what the manifest also says.
        overwrite: replace such a folder.

    Returns:
        The generator with the trained weights and its other settings.

    Raises:
        FileExistsError: `out` exists, or another training was stopped there, and `overwrite` is not set.
        BlockingIOError: another process trains there.
        ValueError: no demonstration is left; the model has no limit of its own and none is given.
        FloatingPointError: loss or weights are no longer finite.
        ImportError: TRL or peft is not installed.

    Source: TRL's `SFTTrainer` (https://github.com/huggingface/trl).

    >>> generator = TransformersGenerator("HuggingFaceTB/SmolLM2-135M-Instruct")  # doctest: +SKIP
    >>> tuned = finetune_generator(demonstrations, generator, FineTuning(), out="sft")  # doctest: +SKIP
    >>> tuned.generate([(Message("user", "2 + 2?"),)], seeds=[0])  # doctest: +SKIP
    [Reply(text='4', finish='stop', tokens=2)]
    """
    need("trl", "finetune")
    target = Path(out).absolute().resolve()
    check_target(target, KIND, overwrite=overwrite)
    from rmspace.text.finetune._checkpoints import run_of, unfinished
    from rmspace.text.finetune._training import seeded

    own = generator.with_model(generator.text_model.model, revision=generator.text_model.revision)
    examples, left_out = examples_of(demonstrations, own, max_length)
    run = run_of(own.text_model.describe(), settings, examples)
    with (
        seeded(settings.seed),
        unfinished(target, run, overwrite=overwrite) as checkpoints,
        new_folder(target, KIND, overwrite=overwrite) as staged,
    ):
        record = _train(examples, own, settings, checkpoints, staged)
        (staged / _LEFT_OUT).write_bytes(json_lines(left_out))
        counts = {"demonstrations": len(demonstrations), "trained": len(examples), "left_out": len(left_out)}
        known = {"base": own.describe(), "settings": settings.describe(), "counts": counts, **record}
        (staged / KIND.marker).write_text(head_text(KIND, 1, {**known, "about": dict(about or {})}), encoding="utf-8")
    return generator.with_model(target / MODEL)


def examples_of(
    demonstrations: Sequence[TextItem], generator: TransformersGenerator, max_length: int | None
) -> tuple[list[Example], list[dict[str, Any]]]:
    """Return the tokens of the demonstrations, and those that are left out, with the reason.

    Raises:
        ValueError: none is left.
    """
    positions = generator.text_model.positions
    if max_length is None and positions is None:
        raise ValueError("the model names no limit of its own; give max_length, the most tokens of a demonstration")
    most = positions if max_length is None else check_int("max_length", max_length, low=2, high=positions)
    ends = generator.ends()
    found: list[Example] = []
    left_out: list[dict[str, Any]] = []
    for item in demonstrations:
        example, reason = _example(clean_item(item)[0], generator, ends, int(most or 0))
        if example is None:
            left_out.append({"reason": reason, "prompt": [turn._asdict() for turn in item.prompt], **_said(item)})
        else:
            found.append(example)
    if not found:
        raise ValueError(
            f"no demonstration is left of {len(demonstrations)}"
            + (f": {left_out[0]['reason']}" if left_out else "")
            + "; give others, or raise max_length"
        )
    return found, left_out


def _said(item: TextItem) -> dict[str, str]:
    return {"response": item.response}


def _example(
    item: TextItem, generator: TransformersGenerator, ends: Sequence[int], most: int
) -> tuple[Example | None, str]:
    """Return the tokens of one demonstration, or the reason why it is left out."""
    if not item.response.strip():
        return None, "the reply is empty"
    model = generator.text_model
    try:
        prompt, rendered = generator.prompt_tokens(item.prompt), model.template(item)
        start = opening(model.template, item.prompt)
    except ValueError as error:
        return None, str(error)
    reply = rendered.text[len(start) :] if rendered.text.startswith(start) else rendered.reply + rendered.tail
    ids = model.tokenizer(reply, add_special_tokens=False, verbose=False)["input_ids"]
    if ids[-1] not in ends and model.tokenizer.eos_token_id is not None:
        ids = [*ids, model.tokenizer.eos_token_id]
    n = len(prompt) + len(ids)
    return (Example([*prompt, *ids], len(prompt)), "") if n <= most else (None, f"it is over {most} tokens: {n}")


def filling_token(tokenizer: Any) -> str:
    """Return a token to fill batches with that is not the end of a text; it is masked.

    Raises:
        ValueError: the tokenizer has no other token.
    """
    named = (tokenizer.pad_token, tokenizer.unk_token, *tokenizer.convert_ids_to_tokens(range(min(2, len(tokenizer)))))
    found = next((token for token in named if token is not None and token != tokenizer.eos_token), None)
    if found is None:
        raise ValueError("the tokenizer must have a token that is not the end of a text; it has none")
    return found


def _train(
    examples: Sequence[Example], generator: TransformersGenerator, settings: FineTuning, checkpoints: Path, staged: Path
) -> dict[str, Any]:
    """Train and write the model; return the record of the run."""
    from rmspace.text.finetune._training import adapters, arguments, train

    trl = need("trl", "finetune")
    model, tokenizer = generator.text_model.weights, generator.text_model.tokenizer
    config, generation = model.config.to_dict(), model.generation_config.to_dict()
    tokenizer.pad_token = filling_token(tokenizer)
    place = {"device": generator.text_model.device, "dtype": generator.text_model.dtype}
    columns = {
        "input_ids": [one.ids for one in examples],
        "completion_mask": [[0] * one.n_prompt + [1] * (len(one.ids) - one.n_prompt) for one in examples],
    }
    trainer = trl.SFTTrainer(
        model=model.train(),
        args=arguments(trl.SFTConfig, settings, len(examples), checkpoints, completion_only_loss=True, **place),
        train_dataset=need("datasets").Dataset.from_dict(columns),
        processing_class=tokenizer,
        peft_config=adapters(settings),
    )
    record = train(trainer, len(examples))
    tuned = trainer.accelerator.unwrap_model(trainer.model)
    if settings.rank is not None:
        tuned.save_pretrained(staged / _ADAPTER)
        (staged / _ADAPTER / _BASE).write_text(json.dumps(generator.text_model.describe(), indent=1), encoding="utf-8")
        tuned = tuned.merge_and_unload()
    save_whole(tuned, config, generation, generator.text_model.folder, staged / MODEL)
    return record


def save_whole(model: Any, config: Mapping[str, Any], generation: Mapping[str, Any], base: Path, folder: Path) -> None:
    """Write a whole model with its base's settings, which trainers change, and its base's tokenizer."""
    model.config = type(model.config).from_dict(dict(config))
    model.generation_config = type(model.generation_config).from_dict(dict(generation))
    with no_progress_bar():
        model.save_pretrained(folder)
    copy_tokenizer(base, folder)
