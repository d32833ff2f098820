"""A server that speaks the OpenAI protocol as a generator: vLLM, llama.cpp, Ollama and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from rmspace._checks import check_int, check_number
from rmspace.text._endpoint import Endpoint
from rmspace.text._requests import shown
from rmspace.text.encoders._text_model import check_word
from rmspace.text.notes import clean
from rmspace.text.records import Message
from rmspace.text.replies import Reply, check_stop, cut_at
from rmspace.text.templates import find_template, opening, template_hash

__all__ = ["EndpointGenerator"]


class EndpointGenerator(Endpoint):
    """A server with `/v1/chat/completions` or `/v1/completions` of the OpenAI protocol as a generator.

    Each response is one request with its own seed. Whether the server keeps to it is the server's matter: where it does
    not, a stopped run still keeps what it has, but what it makes again differs. The protocol does not tell which
    weights answer. So the description has the address and the name of the model: where the server changes what it
    serves under that name, give another `identity`.

    Args:
        url: of the server, with or without the path.
        model: the name that the server gives the model.
        temperature, top_p, max_new_tokens, stop: as in `TransformersGenerator`.
        template: "chat" sends messages, and the server writes the prompt; "plain" and "hh" send one text.
        max_characters: prompts with more characters are refused; None leaves the limit to the server, which stops the
            run at the first prompt that it refuses.
        concurrency: requests at once.
        timeout: seconds for one request.
        retries: how often a request is tried again after an overload (429), an error of the server or no answer. One
            that failed so often is asked once more after the others, unless they all fail.
        api_key_env: the environment variable that holds the key, read at each call and written nowhere.
        identity: what stands for the server and its weights: what another one made is not mixed with this. None is the
            address. Where the same model moves to another address, give the old address, and a build goes on.

    Raises:
        ValueError: an address that is not http or https, or that holds a password; an option out of range.

    >>> EndpointGenerator("http://localhost:8000", "my-model").url
    'http://localhost:8000/v1/chat/completions'
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_new_tokens: int = 128,
        stop: Sequence[str] = (),
        template: Literal["chat", "plain", "hh"] = "chat",
        max_characters: int | None = None,
        concurrency: int = 8,
        timeout: float = 120.0,
        retries: int = 5,
        api_key_env: str = "OPENAI_API_KEY",
        identity: str | None = None,
    ) -> None:
        check_word("template", template, ("chat", "plain", "hh"))
        super().__init__(
            url,
            "/v1/chat/completions" if template == "chat" else "/v1/completions",
            model,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            api_key_env=api_key_env,
            identity=identity,
        )
        self.temperature = check_number("temperature", temperature, low=0.0)
        self.top_p = check_number("top_p", top_p, low=1e-6, high=1.0)
        self.max_new_tokens = check_int("max_new_tokens", max_new_tokens, low=1)
        self.stop, self.template = check_stop(stop), template
        self.max_characters = None if max_characters is None else check_int("max_characters", max_characters, low=1)

    def __repr__(self) -> str:
        return f"EndpointGenerator({shown(self.url)!r}, {self.model!r}, temperature={self.temperature:g})"

    def describe(self) -> dict[str, Any]:
        """Return all that the responses depend on, as far as the server tells; never the key."""
        names = ("model", "template", "temperature", "top_p", "max_new_tokens", "max_characters")
        return {
            "kind": "endpoint",
            "server": self.identity,
            **{name: getattr(self, name) for name in names},
            "template_sha256": None if self.template == "chat" else template_hash(self.template),
            "stop": list(self.stop),
            "about": {"url": shown(self.url), "api_key_env": self.api_key_env},
        }

    def refusals(self, prompts: Sequence[tuple[Message, ...]], /) -> list[str | None]:
        """Return why a prompt is not sent: it has more than `max_characters`."""
        sizes = [sum(len(turn.content) for turn in prompt) for prompt in prompts]
        most = self.max_characters
        return [
            f"the prompt is over max_characters={most}: {size} characters" if most is not None and size > most else None
            for size in sizes
        ]

    def generate(self, prompts: Sequence[tuple[Message, ...]], seeds: Sequence[int], /) -> list[Reply]:
        """Answer each prompt once, in their order.

        Raises:
            ConnectionError: the server did not answer after all tries.
            ValueError: the server refuses a request, or answers something else.
        """
        bodies = [self._body(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return self.ask(bodies, lambda answer, _: self._reply(answer))

    def _body(self, prompt: tuple[Message, ...], seed: int) -> dict[str, Any]:
        cleaned = tuple(Message(turn.role, clean(turn.content)[0]) for turn in prompt)
        if self.template == "chat":
            content: dict[str, Any] = {"messages": [turn._asdict() for turn in cleaned]}
        else:
            content = {"prompt": opening(find_template(self.template), cleaned)}
        stop = {"stop": list(self.stop)} if self.stop else {}
        settings = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_new_tokens}
        return {"model": self.model, **content, **settings, "seed": seed, **stop}

    def _reply(self, answer: Any) -> Reply:
        text, finish = read_choice(answer)
        kept, found = cut_at(text, self.stop)
        usage = answer.get("usage")
        tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
        return Reply(kept.strip(), "stop" if found else finish, tokens if isinstance(tokens, int) else None)


def read_choice(answer: Any) -> tuple[str, str]:
    """Return the text of the only choice of an answer, and why it ends; a content of null is an empty text.

    Raises:
        ValueError: something else than one choice with a text.

    >>> read_choice({"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]})
    ('4', 'stop')
    """
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise ValueError("an answer must have a list 'choices' of one object; got something else")
    choice = choices[0]
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text", ...)
    if text is not None and not isinstance(text, str):
        raise ValueError("the choice must have a text; got something else")
    return text or "", str(choice.get("finish_reason") or "stop")
