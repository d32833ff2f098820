"""LoRA adapters: merged into the model that they were trained for, and into no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rmspace._typing import PathLike
from rmspace.text._extras import need
from rmspace.text.descriptions import differences
from rmspace.text.encoders._folder import copy_tokenizer, first_line, no_progress_bar
from rmspace.text.encoders._text_model import TextModel

__all__ = ["merge_adapter"]

_CONFIG, _BASE = "adapter_config.json", "base.json"


def merge_adapter(adapter: PathLike, base: PathLike, out: PathLike, *, trained_for: str | None = None) -> Path:
    """Merge LoRA adapters of a language model into its weights, as a folder that `TransformersGenerator` takes.

    Args:
        adapter: a folder of peft's, or the folder `adapter` of `finetune_generator`.
        base: the model that the adapters were trained for. Adapters of `finetune_generator` know its hashes, and any
            other weights are refused. Adapters of others must fit in their names and shapes.
        out: a new folder.

    Returns:
        `out`.

    Raises:
        FileExistsError: `out` exists.
        ValueError: no adapters, adapters for another model, or adapters that do not state for which.
        ImportError: peft is not installed.

    >>> merge_adapter("sft/adapter", "HuggingFaceTB/SmolLM2-135M-Instruct", "merged")  # doctest: +SKIP
    """
    peft = need("peft", "finetune")
    folder, target = Path(adapter), Path(out)
    if not (folder / _CONFIG).is_file():
        raise ValueError(f"{folder} has no adapters: it has no {_CONFIG}")
    if target.exists():
        raise FileExistsError(f"{target} exists already; choose another folder")
    options: dict[str, Any] = {"template": "auto", "device": "cpu", "dtype": "float32", "revision": None}
    model = TextModel(str(base), "AutoModelForCausalLM", trust_remote_code=False, **options)
    stated = json.loads((folder / _CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path") or None
    wrong = f"the adapters of {folder} were trained for {stated!r} and not for {base}"
    if (folder / _BASE).is_file():
        _check_hashes(folder, model, wrong)
    else:
        _check_name(stated, base, trained_for, wrong)
    from rmspace.text.finetune._training import quiet

    try:
        with quiet():
            found = peft.PeftModel.from_pretrained(model.weights, str(folder))
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"{wrong} ({first_line(error)}); give the base that they were trained for") from error
    if missing := _missing(peft, found, folder):
        raise ValueError(f"{wrong}, which has no place for {missing[0]}; give the base that they were trained for")
    with no_progress_bar():
        found.merge_and_unload().save_pretrained(target)
    copy_tokenizer(model.folder, target)
    return target


def _check_name(stated: str | None, base: PathLike, trained_for: str | None, wrong: str) -> None:
    """Raise ValueError unless the stated model is `base`; shapes cannot tell a model from its fine-tuned copy."""
    if stated is None and trained_for is None:
        raise ValueError(
            f"{wrong}: they state no model; give the name of the one that they were trained for, trained_for="
        )
    if trained_for not in (None, stated or trained_for):
        raise ValueError(f"{wrong}; trained_for must be the name that they state, {stated!r}; got {trained_for!r}")
    if stated is None or trained_for is not None or stated == str(base):
        return
    there, here = Path(stated), Path(base)
    if here.is_dir() and (here.samefile(there) if there.exists() else here.resolve().name == there.name):
        return
    raise ValueError(
        f"{wrong}; give the base that they were trained for, or, where this is that model under another name, "
        f"trained_for={stated!r}"
    )


def _check_hashes(folder: Path, model: TextModel, wrong: str) -> None:
    known = json.loads((folder / _BASE).read_text(encoding="utf-8"))
    now = model.describe()
    if found := differences({"weights": known.get("weights")}, {"weights": now["weights"]}):
        raise ValueError(f"{wrong}: {found[0]}; give the base that they were trained for")


def _missing(peft: Any, model: Any, folder: Path) -> list[str]:
    """Return the names of adapters in the file that the model did not take."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="np") as file:
        held = set(file.keys())
    for whole in (False, True):  # peft's "auto" asks the hub for the base that the adapters name
        missing = held - set(peft.get_peft_model_state_dict(model, save_embedding_layers=whole))
        if not missing:
            break
    return sorted(missing)
