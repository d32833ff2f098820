"""A causal language model as a generator that vLLM runs in this process."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

from rmspace._typing import PathLike
from rmspace.text.generators.transformers import TransformersGenerator
from rmspace.text.records import Message
from rmspace.text.replies import Reply, cut_at

__all__ = ["VLLMGenerator"]


class VLLMGenerator(TransformersGenerator):
    """A causal language model that answers prompts by vLLM's `LLM`, each with a seed of its own.

    Prompts become tokens as in `TransformersGenerator`, and the arguments mean the same. vLLM draws the tokens itself,
    so the responses are others, and it does not promise the same ones in other batches. Its calls were compared with
    the source of vLLM 0.33 and tested with a stand-in; they did not run with vLLM itself.

    Args:
        model, temperature, top_p, max_new_tokens, stop, template, max_prompt, revision, trust_remote_code: as in
            `TransformersGenerator`.
        dtype: of the weights; "auto" is what the model names.
        gpus: number of GPUs that share the model.
        gpu_memory: the part of the memory of each GPU that may be used.

    Raises:
        ImportError: vLLM is not installed.
        FileNotFoundError, ValueError: as `TransformersGenerator`.

    >>> VLLMGenerator("HuggingFaceTB/SmolLM2-135M-Instruct")  # doctest: +SKIP
    VLLMGenerator('HuggingFaceTB/SmolLM2-135M-Instruct', temperature=1, top_p=1, max_new_tokens=128)
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
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        gpus: int = 1,
        gpu_memory: float = 0.9,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self._vllm = _vllm()
        super().__init__(
            model,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=max_new_tokens,
            stop=stop,
            template=template,
            max_prompt=max_prompt,
            device="cpu",  # of the tokenizer: where this process uses the GPU, vLLM cannot start its own
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        self._options = {
            "temperature": temperature,
            "top_p": top_p,
            "max_new_tokens": max_new_tokens,
            "stop": stop,
            "template": template,
            "dtype": dtype,
            "gpus": gpus,
            "gpu_memory": gpu_memory,
            "trust_remote_code": trust_remote_code,
        }
        self._engine_options = {
            "dtype": dtype,
            "tensor_parallel_size": gpus,
            "gpu_memory_utilization": gpu_memory,
            "trust_remote_code": trust_remote_code,
            "max_model_len": self.max_prompt + self.max_new_tokens,
        }

    def __repr__(self) -> str:
        return super().__repr__().replace("TransformersGenerator", "VLLMGenerator", 1)

    def describe(self) -> dict[str, Any]:
        """Return all that the responses depend on; what stands under "about" is recorded, but not compared."""
        found = super().describe()
        about = {**found["about"], "vllm": getattr(self._vllm, "__version__", "unknown")}
        return {**found, "kind": "vllm", "dtype": self._engine_options["dtype"], "about": about}

    def generate(self, prompts: Sequence[tuple[Message, ...]], seeds: Sequence[int], /) -> list[Reply]:
        """Answer each prompt once, in their order.

        Raises:
            ValueError: a prompt that `refusals` names, or another number of seeds.
        """
        rows = [{"prompt_token_ids": row} for row in self._rows(prompts, seeds)]
        settings = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_new_tokens,
            "stop": list(self.stop),
            "stop_token_ids": self._turn_ends(),
        }
        each = [self._vllm.SamplingParams(seed=seed, **settings) for seed in seeds]
        found = self._engine.generate(rows, each, use_tqdm=False) if rows else []
        return [self._reply(one.outputs[0]) for one in found]

    @cached_property
    def _engine(self) -> Any:
        """Load the weights: only here, since responses that a folder holds already need none."""
        return self._vllm.LLM(model=str(self._text_model.folder), **self._engine_options)

    def _reply(self, made: Any) -> Reply:
        text, _ = cut_at(made.text, self.stop)
        ids = list(made.token_ids)
        tokens = len(ids) - (ids[-1:] != [] and ids[-1] in self._turn_ends())
        return Reply(text.strip(), str(made.finish_reason), tokens)


def _vllm() -> Any:
    try:
        return importlib.import_module("vllm")
    except ModuleNotFoundError as error:
        raise ImportError(
            "VLLMGenerator needs vllm, which is not installed; run pip install vllm, or use EndpointGenerator"
        ) from error
