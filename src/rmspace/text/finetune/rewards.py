"""A fine-tuned reward model: an encoder that is trained on preferences, with a linear head."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rmspace._typing import IntArray, PathLike
from rmspace.data.array_files import head_text
from rmspace.data.files import FolderKind, check_target, new_folder
from rmspace.models.linear import LinearReward
from rmspace.text._extras import need
from rmspace.text.encoders._folder import copy_tokenizer, no_progress_bar
from rmspace.text.encoders.transformers import TransformersEncoder
from rmspace.text.finetune.settings import FineTuning
from rmspace.text.notes import count_notes, say_notes
from rmspace.text.preferences import TextPreferences
from rmspace.text.reward import TextReward
from rmspace.text.reward_folder import write_reward

__all__ = ["finetune_reward"]

_KIND = FolderKind("rmspace-fine-tuned-reward", "finetune.json", r"finetune\.json|encoder|reward")
_REWARD, _ENCODER = "reward", "encoder"


def finetune_reward(
    data: TextPreferences,
    encoder: TransformersEncoder,
    settings: FineTuning,
    *,
    out: PathLike,
    overwrite: bool = False,
) -> TextReward:
    """Train an encoder and a linear head on comparisons, by TRL's `RewardTrainer`.

        reward = w . pool(states of the last layer),   loss = -log sigma(reward of the winner - reward of the loser)

    The result scores text as any `TextReward` does, because it is one: the trained encoder, and w as a linear reward
    model. `encoder` says how texts are read, and stays as it is. A text over its `max_length` loses the beginning of
    its prompt, as when it is embedded, and a warning counts these. No comparison is left out.

    Every ten minutes a checkpoint is written to the folder `OUT.unfinished` beside `out`. The same call goes on from it
    after a stop, with the steps that it would have taken. The folder is removed at the end.

    Args:
        data: comparisons as text. Their margins are not used.
        encoder: a frozen encoder that reads the last layer. The trained one has its pooling, template and lengths, but
            does not scale embeddings to unit length.
        settings: of the training. With a rank, LoRA adapters are trained and then merged into the weights.
        out: a new folder: `reward` is for `TextReward.load`, `encoder` for `TransformersEncoder`, and `finetune.json`
            has the settings, the counts and the losses.
        overwrite: replace such a folder.

    Returns:
        The reward model that `TextReward.load(out / "reward")` loads.

    Raises:
        FileExistsError: `out` exists, or another training was stopped there, and `overwrite` is not set.
        BlockingIOError: another process trains there.
        ValueError: comparisons with ties or weights, which TRL does not take; an encoder of another layer, or one half
            of an encoder-decoder.
        FloatingPointError: loss or weights are no longer finite.
        ImportError: TRL or peft is not installed.

    Source: Bradley and Terry 1952; TRL's `RewardTrainer` (https://github.com/huggingface/trl).

    >>> encoder = TransformersEncoder("sentence-transformers/all-MiniLM-L6-v2")  # doctest: +SKIP
    >>> settings = FineTuning(rank=None, learning_rate=1e-4, epochs=1, batch_size=8)  # doctest: +SKIP
    >>> reward = finetune_reward(data, encoder, settings, out="tuned")  # doctest: +SKIP
    >>> reward.best_of(["2 + 2?"], [["4", "5"]]).responses  # doctest: +SKIP
    ['4']
    """
    trl = need("trl", "finetune")
    _check_data(data)
    if encoder.layer != -1:
        raise ValueError(f"fine-tuning needs an encoder of the last layer, layer=-1; got layer={encoder.layer}")
    target = Path(out).absolute().resolve()
    check_target(target, _KIND, overwrite=overwrite)
    from rmspace.text.finetune._checkpoints import run_of, unfinished
    from rmspace.text.finetune._training import seeded

    with (
        seeded(settings.seed),
        unfinished(target, run_of(encoder.describe(), settings, _texts(data)), overwrite=overwrite) as checkpoints,
        new_folder(target, _KIND, overwrite=overwrite) as staged,
    ):
        model, record = _trained(trl, data, encoder, settings, checkpoints)
        with no_progress_bar():
            model.body.save_pretrained(staged / _ENCODER)
        copy_tokenizer(encoder.folder, staged / _ENCODER)
        described = encoder.with_model(staged / _ENCODER, normalize=False).describe()
        described["about"]["model"] = str(target / _ENCODER)  # where it will be
        write_reward(staged / _REWARD, described, _linear(model.weights.numpy(), record["losses"][-1]["loss"]))
        record |= {"base": encoder.describe(), "settings": settings.describe()}
        (staged / _KIND.marker).write_text(head_text(_KIND, 1, record), encoding="utf-8")
    return TextReward.load(target / _REWARD, encoder=encoder.with_model(target / _ENCODER, normalize=False))


def _trained(
    trl: Any, data: TextPreferences, encoder: TransformersEncoder, settings: FineTuning, checkpoints: Path
) -> tuple[Any, dict[str, Any]]:
    """Return the trained model, and the record of the run."""
    from rmspace.text.finetune._scalar_head import ScalarHead
    from rmspace.text.finetune._training import adapters, arguments, train

    tokens, body = encoder.with_model(encoder.model, revision=encoder.revision).load()  # weights that nobody shares
    if body.config.is_encoder_decoder:
        raise ValueError("fine-tuning needs an encoder or a decoder; got one half of an encoder-decoder")
    rows, notes = tokens(data.items)
    _warn(rows, notes, data.comparisons)
    chosen, rejected = ([rows[k] for k in column] for column in data.comparisons.T)
    n = len(data)
    trainer = trl.RewardTrainer(
        model=ScalarHead(body, encoder.pooling).to(body.device),
        args=arguments(trl.RewardConfig, settings, n, checkpoints, device=body.device, dtype=encoder.dtype),
        train_dataset=need("datasets").Dataset.from_dict({"chosen_ids": chosen, "rejected_ids": rejected}),
        processing_class=tokens.tokenizer,
        peft_config=adapters(settings, head="score"),
    )
    record = train(trainer, n)
    model = trainer.accelerator.unwrap_model(trainer.model)
    whole = model if settings.rank is None else model.merge_and_unload()
    counts = {"comparisons": n, "items": len(data.items), "steps": record.pop("steps")}
    return whole.eval(), {"counts": counts, "notes": count_notes(notes), **record}


def _texts(data: TextPreferences) -> list[Any]:
    """Return what is trained on, as JSON can hold it."""
    return [[item.prompt, item.response] for item in data.items] + data.comparisons.tolist()


def _check_data(data: TextPreferences) -> None:
    """Raise ValueError where comparisons say what TRL would not learn from."""
    data.check_comparisons()
    tie = np.asarray(data.columns.get("tie", np.zeros(len(data))), dtype=bool)
    weight = np.asarray(data.columns.get("weight", np.ones(len(data))), dtype=float)
    if tie.any() or (weight != weight[0]).any():
        what = f"{int(tie.sum())} ties" if tie.any() else "different weights"
        raise ValueError(f"TRL's RewardTrainer takes no ties and no weights; got {what}; leave such comparisons out")


def _warn(rows: Sequence[Sequence[int]], notes: IntArray, comparisons: IntArray) -> None:
    said = say_notes(notes)
    same = sum(rows[winner] == rows[loser] for winner, loser in comparisons)
    if same:
        said = f"{said}; {same:,} of {len(comparisons):,} comparisons are of two texts that are now equal".lstrip("; ")
    if said:
        warnings.warn(f"texts were changed before the training; {said}", stacklevel=4)


def _linear(weights: Any, loss: float) -> LinearReward:
    """Return a fitted linear reward model with these weights."""
    model = LinearReward()
    model.coef_, model.intercept_, model.mean_ = weights, 0.0, np.zeros(len(weights))
    model.loss_, model.n_features_in_ = loss, len(weights)
    return model
