"""A model of transformers with its tokenizer, template and limits: what encoders, generators and golds share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rmspace._checks import check_int
from rmspace.text.encoders import _folder
from rmspace.text.templates import TEMPLATES, ChatTemplate, Template, find_template, template_hash
from rmspace.text.truncation import Limits

# A date that a template may write; today's would change the numbers from day to day.
_DATE = "26 Jul 2024"
_NO_CLOCK = f"{{%- macro strftime_now(format) -%}}{_DATE}{{%- endmacro -%}}"
TEMPLATE_NAMES = ("auto", "chat", *TEMPLATES)
_DTYPES = ("auto", "float32", "bfloat16", "float16")


class TextModel:
    """The folder of a model; its weights are loaded at the first use.

    Args:
        model: a folder, or the id of a model on the hub.
        head: the class of transformers that loads it, such as "AutoModelForCausalLM".
        template, device, dtype, revision, trust_remote_code: as in `rmspace.text.TransformersEncoder`.
    """

    def __init__(
        self,
        model: str,
        head: str,
        *,
        template: str,
        device: str,
        dtype: str,
        revision: str | None,
        trust_remote_code: bool,
    ) -> None:
        check_word("template", template, TEMPLATE_NAMES)
        check_word("dtype", dtype, _DTYPES)
        self.model, self.revision, self._head, self._code = model, revision, head, trust_remote_code
        self.folder = _folder.find_folder(model, revision, code=trust_remote_code)
        self.tokenizer = _folder.load_tokenizer(self.folder, code=trust_remote_code)
        self.config = _folder.load_config(self.folder, code=trust_remote_code)
        self.device, self._precision, self.dtype = place(device, dtype)
        self.template_name, self.template = template_of(template, self.tokenizer)
        self.most, self.positions = _folder.most_tokens(self.folder, self.config, self.tokenizer)

    def describe(self) -> dict[str, Any]:
        """Return which model it is, as `rmspace.text.TransformersEncoder.describe` does."""
        at = str(self.folder.absolute()) if Path(self.model).is_dir() else self.model
        chat = self.template
        return {
            "kind": "transformers",
            **_folder.hashes(self.folder),
            "template": self.template_name,
            "template_sha256": chat.hash if isinstance(chat, ChatTemplate) else template_hash(self.template_name),
            "dtype": self.dtype,
            "about": {
                "model": at,
                "revision": self.revision,
                **{name: version(name) for name in ("torch", "transformers", "tokenizers")},
            },
        }

    @cached_property
    def weights(self) -> Any:
        """The model, in evaluation mode on its device."""
        loaded = _folder.load_model(self.folder, self._precision, code=self._code, head=self._head)
        return loaded.to(self.device)

    @property
    def pad_id(self) -> int:
        """An id that can fill a batch; it is masked."""
        known = (self.tokenizer.pad_token_id, self.config.get_text_config().pad_token_id, self.tokenizer.eos_token_id)
        return next((i for i in known if isinstance(i, int)), 0)


def check_word(name: str, value: object, words: Sequence[str]) -> None:
    """Raise ValueError where a value is not one of some words."""
    if value not in words:
        raise ValueError(f"{name} must be one of {', '.join(words)}; got {value!r}")


def place(device: str, dtype: str) -> tuple[Any, Any, str]:
    """Return the device, the dtype, and the name of the dtype."""
    import torch

    from rmspace.models.core.precision import find_device, find_precision

    found_place = find_device(device)
    found = torch.float16 if dtype == "float16" else find_precision(dtype, found_place)
    return found_place, found, str(found).removeprefix("torch.")


def limits_of(
    max_length: int | None, max_prompt: int | None, side: Literal["left", "right"], own: int | None, most: int | None
) -> Limits:
    """Return the limits, with the model's own where none was given; `most` is the number of its positions.

    Raises:
        ValueError: limits that the model or one another do not allow.
    """
    length = own if max_length is None else check_int("max_length", max_length, low=1, high=most)
    if length is None:
        raise ValueError("the model names no limit of its own; give max_length, the most tokens of a text")
    if max_prompt is not None:
        check_int("max_prompt", max_prompt, low=1)
    if side == "right" and (max_prompt is None or max_prompt >= length):
        raise ValueError(
            "with side='right', max_prompt must be given and below max_length, so that a long prompt leaves tokens "
            f"for the reply; got max_prompt={max_prompt} and max_length={length}"
        )
    return Limits(length, max_prompt, side)


def template_of(name: str, tokenizer: Any) -> tuple[str, Template]:
    """Return the name of the template, never "auto", and the template."""
    has_chat = bool(getattr(tokenizer, "chat_template", None))
    if name == "plain" or name == "hh" or (name == "auto" and not has_chat):
        name = "plain" if name == "auto" else name
        return name, find_template(name)
    if not has_chat:
        raise ValueError("template='chat' needs a chat template, and the tokenizer has none; use 'plain'")

    source = tokenizer.get_chat_template()

    def render(messages: Any, header: bool) -> str:
        return tokenizer.apply_chat_template(
            messages,
            chat_template=_NO_CLOCK + source,
            tokenize=False,
            add_generation_prompt=header,
            date_string=_DATE,
        )

    return "chat", ChatTemplate(render, source)
