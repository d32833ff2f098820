"""The folder of a model: found on the hub or the disk, checked, hashed, and loaded without running anything of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from rmspace.data.files import file_hash
from rmspace.text._extras import need

_WEIGHTS = ("*.safetensors",)
_TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json", "added_tokens.json")
_OTHER = ("config.json", "*.safetensors.index.json", "chat_template*", "sentence_bert_config.json", "1_Pooling/*.json")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_ADAPTER = "adapter_config.json"
_UNUSED = ("pooler.",)  # a layer that is not read here may be missing
_NO_LIMIT = 1 << 24  # transformers writes 10^30 where a tokenizer has no limit


def find_folder(model: str, revision: str | None, *, code: bool) -> Path:
    """Return the folder of a model: `model` itself, or the copy of a model of the hub, downloaded if need be.

    Only safetensors weights are downloaded, and Python files only where `code` says so.

    Raises:
        FileNotFoundError: there is no such folder, and the hub has no such model or cannot be reached.
        ValueError: a folder without safetensors weights, without a config or without a tokenizer.
    """
    folder = Path(model)
    if not folder.is_dir():
        folder = _download(model, revision, code=code)
    if not (folder / "config.json").is_file():
        if (folder / _ADAPTER).is_file():
            raise ValueError(
                f"{model} is an adapter for {_read(folder / _ADAPTER).get('base_model_name_or_path')!r} and not a "
                "whole model; merge it with that base first: rmspace.text.merge_adapter(adapter, base, folder)"
            )
        raise ValueError(f"{model} is not a model of transformers: it has no config.json")
    if not _matching(folder, _WEIGHTS):
        found = ", ".join(path.name for path in _matching(folder, _PICKLED)) or "no weights"
        raise ValueError(
            f"{model} has no .safetensors weights (it has {found}); pickled weights can run code and are not read: "
            "save the model again with safe_serialization"
        )
    if not _matching(folder, _TOKENIZER):
        raise ValueError(
            f"{model} has no tokenizer (no tokenizer.json, tokenizer_config.json or vocabulary); "
            "save the one that the model was trained with into the folder: tokenizer.save_pretrained(folder)"
        )
    return folder


def hashes(folder: Path) -> dict[str, dict[str, str]]:
    """Return the SHA-256 of the files of the weights, with the config, and of the tokenizer, by name."""
    return {
        "weights": {path.name: _hash(path) for path in _matching(folder, (*_WEIGHTS, "config.json"))},
        "tokenizer": {path.name: _hash(path) for path in _matching(folder, (*_TOKENIZER, "chat_template*"))},
    }


def copy_tokenizer(folder: Path, out: Path) -> None:
    """Copy the files of a tokenizer, so that it stays the same to the byte."""
    for path in _matching(folder, (*_TOKENIZER, "chat_template*")):
        shutil.copyfile(path, out / path.name)


def _hash(path: Path) -> str:
    state = path.stat()
    return _hash_once(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash_once(path: Path, size: int, changed: int) -> str:  # noqa: ARG001
    return file_hash(path)


def load_config(folder: Path, *, code: bool) -> Any:
    """Load the config of a model.

    Raises:
        ValueError: it cannot be loaded.
    """
    try:
        return need("transformers").AutoConfig.from_pretrained(str(folder), trust_remote_code=code)
    except Exception as error:
        raise ValueError(f"the model of {folder} cannot be loaded ({first_line(error)}){_of_code(error)}") from error


def load_tokenizer(folder: Path, *, code: bool) -> Any:
    """Load the tokenizer of a folder.

    Raises:
        ValueError: it cannot be loaded.
    """
    need("transformers")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=code)
    except Exception as error:  # a damaged file raises whatever its parser raises
        raise ValueError(f"the tokenizer of {folder} cannot be loaded ({first_line(error)})") from error


def load_model(folder: Path, dtype: Any, *, code: bool, head: str = "AutoModel") -> Any:
    """Load a model in evaluation mode: its body without a head, or with one, such as "AutoModelForCausalLM".

    Of an encoder-decoder, the body is the encoder.

    Raises:
        ValueError: it cannot be loaded, or lacks weights, such as those of the head.
    """
    auto: Any = getattr(need("transformers"), head)
    try:
        with no_progress_bar():
            model, found = auto.from_pretrained(
                str(folder), dtype=dtype, trust_remote_code=code, use_safetensors=True, output_loading_info=True
            )
    except Exception as error:
        raise ValueError(f"the model of {folder} cannot be loaded ({first_line(error)}){_of_code(error)}") from error
    is_body = head == "AutoModel"
    missing = [name for name in found["missing_keys"] if not (is_body and name.startswith(_UNUSED))]
    if missing or found.get("mismatched_keys"):
        raise ValueError(
            f"the weights of {folder} do not fit its config: {len(missing)} are missing, such as "
            f"{', '.join(sorted(missing)[:3])}; they would be random numbers"
        )
    if is_body and model.config.is_encoder_decoder:
        model = model.get_encoder()
    if is_body:
        model.config.use_cache = False
    return model.eval()


def most_tokens(folder: Path, config: Any, tokenizer: Any) -> tuple[int | None, int | None]:
    """Return (the limit that the model names, the positions that it has), None where it names none."""
    config = getattr(config, "text_config", None) or config
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if positions is not None and config.model_type in _FROM_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    named = [_read(folder / "sentence_bert_config.json").get("max_seq_length"), tokenizer.model_max_length, positions]
    limits = [int(limit) for limit in named if limit is not None and 0 < limit < _NO_LIMIT]
    return min(limits, default=None), positions


# Their positions begin after the id of the padding.
_FROM_PADDING = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "esm", "data2vec-text"}


def own_pooling(folder: Path) -> str | None:
    """Return the pooling that a sentence-transformers folder names: "mean", "last" or "cls"; None without one."""
    found = _read(folder / "1_Pooling" / "config.json")
    names = {"mean_tokens": "mean", "cls_token": "cls", "lasttoken": "last"}
    named = [pooling for key, pooling in names.items() if found.get(f"pooling_mode_{key}") is True]
    return named[0] if len(named) == 1 else None


def _download(model: str, revision: str | None, *, code: bool) -> Path:
    wanted = [*_WEIGHTS, *_TOKENIZER, *_OTHER, *(["*.py"] if code else [])]
    try:
        return Path(need("huggingface_hub").snapshot_download(model, revision=revision, allow_patterns=wanted))
    except ImportError:
        raise
    except Exception as error:
        raise FileNotFoundError(
            f"{model!r} is not a folder, and cannot be had from the hub ({first_line(error)}); "
            "give the folder of a model, or the id of one on the hub"
        ) from error


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing a bar for each file of weights."""
    logging = need("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _of_code(error: Exception) -> str:
    return "; it brings its own code: trust_remote_code=True runs it" if "remote" in str(error) else ""


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error})") from error
    return found if isinstance(found, dict) else {}


def first_line(error: Exception) -> str:
    """Return the type and the first line of an error, for a message."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0][:200]}"
