"""Any causal language model of transformers as a generator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from rmspace._checks import check_int, check_number
from rmspace._typing import PathLike
from rmspace.text.encoders._text_model import TextModel
from rmspace.text.notes import clean
from rmspace.text.records import Message, TextItem
from rmspace.text.replies import Reply, check_stop
from rmspace.text.templates import opening

if TYPE_CHECKING:
    from rmspace.text.generators._sampling import Sampler

__all__ = ["TransformersGenerator"]

Prompt = tuple[Message, ...]
_CPU_TOKENS, _GPU_TOKENS = 1 << 15, 1 << 18  # of a batch, with those that are still to be made


class TransformersGenerator:
    """A causal language model that answers prompts, each with a seed of its own.

    The tokens of a response are drawn from uniform numbers that its seed gives. So a response does not depend on the
    batch that it is made in, except for rounding: batches change a probability by about 1e-7. The settings that come
    with a model, such as a penalty for repetitions, are not used.

    Args:
        model: a folder with a model and its tokenizer, or the id of one on the Hugging Face hub; only safetensors
            weights are read.
        temperature: divides the scores of the tokens; 0 takes the most likely token.
        top_p: draw from the fewest tokens that together have this probability.
        max_new_tokens: the most tokens of a response.
        stop: texts that end a response; the response has what stands before the first of them.
        template: "chat" is the tokenizer's chat template; "plain" joins the turns by blank lines; "hh" writes
            "Human: " and "Assistant:"; "auto" is "chat" where the tokenizer has one, else "plain".
        max_prompt: prompts with more tokens are refused; None is what the model has places for.
        batch_size: the most prompts at once.
        device, dtype, revision, trust_remote_code: as in `TransformersEncoder`.

    Raises:
        FileNotFoundError: no such folder or model.
        ValueError: a folder without weights in safetensors or without a tokenizer; an option out of range; prompt and
            response together are longer than the model has places for.

    >>> generator = TransformersGenerator("HuggingFaceTB/SmolLM2-135M-Instruct")  # doctest: +SKIP
    >>> generator.generate([(Message("user", "2 + 2?"),)], seeds=[0])  # doctest: +SKIP
    [Reply(text='4', finish='stop', tokens=2)]
    """

    def __init__(
        self,
        model: PathLike,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_new_tokens: int = 128,
        stop: Sequence[str] = (),
        template: Literal["auto", "chat", "plain", "hh"] = "auto",
        max_prompt: int | None = None,
        batch_size: int = 64,
        device: str = "auto",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32",
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self._options: dict[str, Any] = {
            "temperature": temperature,
            "top_p": top_p,
            "max_new_tokens": max_new_tokens,
            "stop": stop,
            "template": template,
            "batch_size": batch_size,
            "device": device,
            "dtype": dtype,
            "trust_remote_code": trust_remote_code,
        }
        self.temperature = check_number("temperature", temperature, low=0.0)
        self.top_p = check_number("top_p", top_p, low=1e-6, high=1.0)
        self.max_new_tokens = check_int("max_new_tokens", max_new_tokens, low=1)
        self.stop = check_stop(stop)
        self.batch_size = check_int("batch_size", batch_size, low=1)
        self._text_model = TextModel(
            str(model),
            "AutoModelForCausalLM",
            template=template,
            device=device,
            dtype=dtype,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        self.max_prompt = _most(max_prompt, self.max_new_tokens, self._text_model.positions)

    def __repr__(self) -> str:
        return (
            f"TransformersGenerator({self._text_model.model!r}, temperature={self.temperature:g}, "
            f"top_p={self.top_p:g}, max_new_tokens={self.max_new_tokens})"
        )

    def with_model(self, model: PathLike, *, revision: str | None = None) -> TransformersGenerator:
        """Return a generator of another model, or of a new copy of this one, with the same settings."""
        return type(self)(model, revision=revision, **self._options, max_prompt=self.max_prompt)

    @property
    def text_model(self) -> TextModel:
        """The model with its tokenizer and template."""
        return self._text_model

    def describe(self) -> dict[str, Any]:
        """Return all that the responses depend on; what stands under "about" is recorded, but not compared."""
        names = ("temperature", "top_p", "max_new_tokens", "max_prompt")
        own = {name: getattr(self, name) for name in names}
        return {**self._text_model.describe(), **own, "stop": list(self.stop)}

    def refusals(self, prompts: Sequence[Prompt], /) -> list[str | None]:
        """Return why a prompt cannot be answered: it is too long or empty, or the template refuses it."""
        return [self._refusal(prompt) for prompt in prompts]

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int], /) -> list[Reply]:
        """Answer each prompt once, in their order.

        Raises:
            ValueError: a prompt that `refusals` names, or another number of seeds.
        """
        from rmspace.text.encoders._forward import batches

        rows = self._rows(prompts, seeds)
        budget = _CPU_TOKENS if self._text_model.device.type == "cpu" else _GPU_TOKENS
        found: dict[int, Reply] = {}
        for batch in batches([len(row) + self.max_new_tokens for row in rows], self.batch_size, budget):
            found |= zip(batch, self._sampler([rows[k] for k in batch], [seeds[k] for k in batch]), strict=True)
        return [found[k] for k in range(len(rows))]

    def prompt_tokens(self, prompt: Prompt) -> list[int]:
        """Return the token ids after which the model writes a reply.

        Raises:
            ValueError: the template refuses the prompt.
        """
        cleaned = tuple(Message(turn.role, clean(turn.content)[0]) for turn in prompt)
        tokenizer, template = self._text_model.tokenizer, self._text_model.template
        writes_special = self._text_model.template_name == "chat"  # then the tokenizer adds none
        ids = tokenizer(opening(template, cleaned), add_special_tokens=not writes_special, verbose=False)["input_ids"]
        return list(ids[:-1] if not writes_special and ids[-1:] == [tokenizer.eos_token_id] else ids)

    def ends(self) -> list[int]:
        """Return the ids that end a reply: those of the model and the tokenizer, and the end of a turn."""
        own = self._text_model.weights.generation_config.eos_token_id
        many = own if isinstance(own, Iterable) else [own]
        return sorted({one for one in (*many, *self._turn_ends()) if one is not None})

    def _rows(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[list[int]]:
        """Return the tokens of each prompt."""
        if len(seeds) != len(prompts):
            raise ValueError(f"there must be one seed per prompt, {len(prompts)}; got {len(seeds)}")
        known = {prompt: self.prompt_tokens(prompt) for prompt in dict.fromkeys(prompts)}
        if bad := next((reason for p in known if (reason := self._refusal(p))), None):
            raise ValueError(f"{bad}; leave such prompts out")
        return [known[prompt] for prompt in prompts]

    def _refusal(self, prompt: Prompt) -> str | None:
        try:
            n = len(self.prompt_tokens(prompt))
        except ValueError as error:
            return str(error)
        if n == 0:
            return "the prompt has no tokens"
        return f"the prompt is over max_prompt={self.max_prompt}: {n} tokens" if n > self.max_prompt else None

    @cached_property
    def _sampler(self) -> Sampler:
        """Load the weights: only here, since responses that a folder holds already need none."""
        from rmspace.text.generators._sampling import Sampler

        return Sampler(
            self._text_model.weights,
            self._text_model.tokenizer,
            pad_id=self._text_model.pad_id,
            ends=self.ends(),
            temperature=self.temperature,
            top_p=self.top_p,
            max_new_tokens=self.max_new_tokens,
            stop=self.stop,
        )

    def _turn_ends(self) -> list[int]:
        """Return the ids that end a reply by the tokenizer and its chat template."""
        tokenizer = self._text_model.tokenizer
        turn: list[int] = []
        if self._text_model.template_name == "chat":
            tail = self._text_model.template(TextItem((Message("user", "?"),), "!")).tail
            turn = tokenizer(tail, add_special_tokens=False)["input_ids"][:1] if tail else []
            turn = [one for one in turn if one in tokenizer.all_special_ids or one in tokenizer.added_tokens_decoder]
        return sorted({one for one in (*turn, tokenizer.eos_token_id) if one is not None})


def _most(max_prompt: int | None, max_new_tokens: int, positions: int | None) -> int:
    """Return the most tokens of a prompt.

    Raises:
        ValueError: prompt and response do not fit the model.
    """
    free = None if positions is None else positions - max_new_tokens
    if max_prompt is None:
        if free is None or free < 1:
            raise ValueError(
                "max_prompt must be given where the model names no number of places, and max_new_tokens be below it; "
                f"got max_new_tokens={max_new_tokens}, places {positions}"
            )
        return free
    check_int("max_prompt", max_prompt, low=1)
    if free is not None and max_prompt > free:
        raise ValueError(
            f"max_prompt and max_new_tokens must fit the {positions} places of the model; got {max_prompt} and "
            f"{max_new_tokens}"
        )
    return max_prompt
