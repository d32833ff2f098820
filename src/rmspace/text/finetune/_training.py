"""Runs of TRL's trainers: their arguments, the adapters, and checks that nothing was dropped."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rmspace.text._extras import need
from rmspace.text.encoders._forward import bad_weights
from rmspace.text.finetune._checkpoints import Checkpoints
from rmspace.text.finetune.settings import FineTuning

_LOGGED = 20  # losses in the record of a run


def arguments(
    config: type, settings: FineTuning, n: int, folder: Path, *, device: torch.device, dtype: str, **others: Any
) -> Any:
    """Return the config of one of TRL's trainers, for `n` examples.

    TRL's own limits of length are off: they drop or cut examples in silence, and these are cut or listed before.
    """
    at_once = settings.at_once or settings.batch_size
    steps = settings.steps(n)
    known = {field.name for field in fields(config)}
    checkpointing = next(name for name in ("activation_checkpointing", "gradient_checkpointing") if name in known)
    given = {
        "output_dir": str(folder),
        "learning_rate": settings.learning_rate,
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": settings.batch_size // at_once,
        "lr_scheduler_type": settings.schedule if settings.warmup == 0 else _WARMED.get(settings.schedule),
        "warmup_steps": math.ceil(settings.warmup * steps),
        "weight_decay": settings.weight_decay,
        "optim": settings.optimizer,
        checkpointing: settings.checkpointing,
        "seed": settings.seed,
        "max_length": None,
        "bf16": dtype == "bfloat16",
        "use_cpu": device.type == "cpu",
        "dataloader_pin_memory": device.type != "cpu",
        "logging_steps": max(1, steps // _LOGGED),
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    return config(**given, **others)


_WARMED = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


def adapters(settings: FineTuning, *, head: str | None = None) -> Any:
    """Return the LoRA adapters of all linear layers; a `head` is trained whole. None where all weights are trained."""
    if settings.rank is None:
        return None
    whole = {} if head is None else {"modules_to_save": [head], "exclude_modules": [head]}
    return need("peft", "finetune").LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        **whole,
    )


def train(trainer: Any, n: int) -> dict[str, Any]:
    """Train, from the last checkpoint if there is one; return steps, seconds, and losses on the way with their steps.

    Raises:
        RuntimeError: the trainer has another number of examples than it was given.
        FloatingPointError: loss or weights are no longer finite.
    """
    if (held := len(trainer.train_dataset)) != n:
        raise RuntimeError(f"TRL must train on all {n} examples; it kept {held}, so it dropped some; this is a bug")
    trainer.remove_callback(need("transformers").PrinterCallback)
    checkpoints = Checkpoints(Path(trainer.args.output_dir))
    trainer.add_callback(checkpoints)
    trainer.train(resume_from_checkpoint=checkpoints.last and str(checkpoints.last))
    losses = [{"step": log["step"], "loss": log["loss"]} for log in trainer.state.log_history if "loss" in log]
    bad = [log["step"] for log in losses if not math.isfinite(log["loss"])]
    if bad or bad_weights(trainer.model):
        step = bad[0] if bad else trainer.state.global_step
        raise FloatingPointError(f"loss or weights are not finite from step {step} on; lower learning_rate")
    return {"losses": losses, "steps": trainer.state.global_step, "seconds": checkpoints.seconds}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, as TRL does; they are then as they were before."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002  # TRL seeds these
    with torch.random.fork_rng(), quiet():
        need("transformers").set_seed(seed)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002


@contextmanager
def quiet() -> Iterator[None]:
    """Hide bars for each small step, and the warnings of TRL, peft and transformers to one another, of new names."""
    bars = need("datasets.utils.logging")
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="trl|peft|accelerate|transformers")
            yield
    finally:
        if shown:
            bars.enable_progress_bar()
