"""A reward model of text as a folder: what its encoder is, and the saved model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rmspace._typing import PathLike
from rmspace.data.array_files import check_json, head_text, read_head
from rmspace.data.files import FolderKind, file_hash, new_folder
from rmspace.kinds import Encoder
from rmspace.text.descriptions import differences

_VERSION, _MODEL = 1, "model"
_KIND = FolderKind("rmspace-text-reward", "reward.json", r"reward\.json|model")
_TYPES = {"encoder": dict, "temperature": float, "model_sha256": str}


def write_reward(
    folder: PathLike, encoder: Mapping[str, Any], model: Any, *, temperature: float = 1.0, overwrite: bool = False
) -> None:
    """Write a reward model of text, from the description of its encoder; see `TextReward.save`."""
    from rmspace.models.io.format import save

    description = check_json(dict(encoder))
    with new_folder(folder, _KIND, overwrite=overwrite) as staged:
        save(model, staged / _MODEL)
        head = {
            "encoder": description,
            "dim": _dim(model),
            "temperature": temperature,
            "model_sha256": file_hash(staged / _MODEL / "model.json"),
        }
        (staged / _KIND.marker).write_text(head_text(_KIND, _VERSION, head), encoding="utf-8")


def read_reward(
    folder: PathLike, *, encoder: Encoder | None, trusted: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Read the arguments of a `TextReward`; see `TextReward.load`."""
    from rmspace.models.io.format import load

    path = Path(folder)
    head = _read_head(path)
    model = load(path / _MODEL, trusted=trusted)
    if head.get("dim") != _dim(model):
        raise ValueError(
            f"{path} is damaged: its model takes {_dim(model)} numbers, {_KIND.marker} says {head.get('dim')}"
        )
    if encoder is None:
        encoder = _make_encoder(path, head["encoder"], options)
    elif options:
        raise TypeError(f"{', '.join(options)} are options of an encoder that is made again; encoder= was given")
    if found := differences(head["encoder"], encoder.describe()):
        raise ValueError(
            f"{path} was saved with another encoder, so its model would give wrong scores; saved -> now: "
            f"{'; '.join(found)}; use the encoder that the model was fitted with"
        )
    return {"encoder": encoder, "model": model, "temperature": head["temperature"]}


def _make_encoder(path: Path, description: Mapping[str, Any], options: Mapping[str, Any]) -> Encoder:
    import rmspace.text

    _check_url(path, description, options)
    try:
        return rmspace.text.encoder_from(description, **options)
    except (TypeError, ValueError, LookupError, OSError) as error:
        raise ValueError(
            f"the encoder of {path} cannot be made again here ({error}); load it with encoder=, the encoder that the "
            "model was fitted with"
        ) from error


def _check_url(path: Path, description: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raise ValueError where the folder alone would decide which server gets the texts and the key."""
    about = description.get("about")
    url = about.get("url") if isinstance(about, dict) else None
    if (url is not None or description.get("kind") == "endpoint") and "url" not in options:
        raise ValueError(
            f"the encoder of {path} is the server {url!r}, which would get all texts, and a key from the environment; "
            "if you trust it, name it yourself: load with url=..., or --encoder-url on the command line"
        )


def _read_head(path: Path) -> dict[str, Any]:
    """Read and check `reward.json`, and that nothing else lies beside it and the model."""
    head = read_head(path, _KIND, _VERSION, _TYPES)
    if foreign := sorted(p.name for p in path.iterdir() if p.name not in (_KIND.marker, _MODEL) or p.is_symlink()):
        raise ValueError(f"{path} also holds {', '.join(foreign)}, which rmspace did not write; move that elsewhere")
    part = path / _MODEL / "model.json"
    if not part.is_file():
        raise ValueError(f"{path} is cut short: {_MODEL}/{part.name} is missing")
    if file_hash(part) != head["model_sha256"]:
        raise ValueError(f"{path} is damaged: its model is not the one that {_KIND.marker} was written with")
    return head


def _dim(model: Any) -> int | None:
    """Return the numbers per item that a model takes; None where it does not say."""
    found = getattr(model, "n_features_in_", None)
    return None if found is None else int(found)
