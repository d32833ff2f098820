"""Generators: each response has its own seed, prompts too long are refused, and a server that fails is asked again."""

import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from rmspace.text import (
    EndpointGenerator,
    EndpointGold,
    FunctionGenerator,
    JudgeGold,
    Message,
    TransformersGenerator,
    VLLMGenerator,
)
from rmspace.text.golds.endpoint import read_scores
from rmspace.text.ratings import check_ratings
from rmspace.text.records import items_of
from rmspace.text.serve import forms
from server_stub import Server, hurried, response_in, serving

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="pip install 'reward-space[text]'")

import text_models  # noqa: E402
from rmspace.text.generators._sampling import draw  # noqa: E402

PROMPTS = [(Message("user", text),) for text in ("Why is the sky blue?", "2 + 2?", "Name a colour of the light.", "hi")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose padding is its end of text, as after the paper's fine-tuning."""
    return text_models.save_causal(tmp_path_factory.mktemp("causal"), pad="</s>", chat=text_models.CHATML)


def generator(model: str, **options: Any) -> TransformersGenerator:
    return TransformersGenerator(model, **{"max_new_tokens": 8, **options})


# Drawing a token


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    scores = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    uniforms = (torch.arange(1000) + 0.5) / 1000
    count = Counter(draw(scores.expand(1000, 4), uniforms, 1.0, 1.0).tolist())
    assert [count[k] for k in range(4)] == pytest.approx([500, 300, 150, 50], abs=1)
    sharp = Counter(draw(scores.expand(1000, 4), uniforms, 0.5, 1.0).tolist())
    squares = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    assert [sharp[k] for k in range(4)] == pytest.approx((1000 * squares / squares.sum()).tolist(), abs=1)


def test_top_p_keeps_the_fewest_tokens() -> None:
    scores = torch.log(torch.tensor([0.05, 0.3, 0.5, 0.15]))
    uniforms = (torch.arange(1000) + 0.5) / 1000
    for top_p, kept in ((0.4, {2}), (0.6, {1, 2}), (0.9, {1, 2, 3}), (1.0, {0, 1, 2, 3})):
        assert set(draw(scores.expand(1000, 4), uniforms, 1.0, top_p).tolist()) == kept
    count = Counter(draw(scores.expand(1000, 4), uniforms, 1.0, 0.6).tolist())
    assert count[2] == pytest.approx(625, abs=1)


def test_the_limits_of_the_uniform_numbers() -> None:
    scores = torch.tensor([[0.0, 0.0, -torch.inf]]).expand(2, 3)
    assert draw(scores, torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64), 1.0, 1.0).tolist() == [0, 1]
    assert draw(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([0.0]), 0.0, 1.0).tolist() == [1]


# Models of transformers


def test_a_response_depends_on_its_prompt_and_seed_alone(model: str) -> None:
    made = generator(model)
    together = made.generate(PROMPTS * 2, list(range(8)))
    assert len({reply.text for reply in together}) == 8
    assert all(reply.tokens and reply.tokens <= 8 for reply in together)
    assert generator(model, batch_size=3).generate(PROMPTS[::-1], [3, 2, 1, 0]) == together[:4][::-1]
    assert made.generate(PROMPTS[1:2], [5]) == together[5:6]  # alone, so without padding


def test_it_writes_what_the_model_would(model: str) -> None:
    """At temperature 0, token by token with the whole text each time, and without a cache or padding."""
    made = generator(model, temperature=0.0, template="plain")
    own = transformers.AutoModelForCausalLM.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    for prompt, reply in zip(PROMPTS, made.generate(PROMPTS, [0] * 4), strict=True):
        ids = tokenizer(f"{prompt[0].content}\n\n")["input_ids"]
        written: list[int] = []
        while len(written) < 8:
            with torch.no_grad():
                token = int(own(torch.tensor([ids + written])).logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            written.append(token)
        assert reply.text == tokenizer.decode(written, skip_special_tokens=True).strip()


def test_stop_strings_end_a_response(model: str) -> None:
    free = generator(model, max_new_tokens=20).generate(PROMPTS, [0, 1, 2, 3])
    stop = free[0].text[len(free[0].text) // 2]
    cut = generator(model, max_new_tokens=20, stop=[stop]).generate(PROMPTS, [0, 1, 2, 3])
    for one, other in zip(free, cut, strict=True):
        assert other.text == one.text.split(stop)[0].strip()
        assert other.finish == "stop" if stop in one.text else other.finish == one.finish
    assert (cut[0].tokens or 0) < 20


def test_prompts_that_are_too_long_are_refused_with_a_reason(model: str) -> None:
    made = generator(model, max_prompt=40)
    long = (Message("user", "sky " * 60),)
    reasons = made.refusals([PROMPTS[0], long])
    assert reasons[0] is None
    assert str(reasons[1]).startswith("the prompt is over max_prompt=40: ")
    with pytest.raises(ValueError, match=r"over max_prompt=40: .* leave such prompts out"):
        made.generate([long], [0])
    assert generator(model, max_new_tokens=100).max_prompt == 28  # what the places of the model leave


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be at least 0"),
        ({"top_p": 0.0}, "top_p must be in"),
        ({"stop": [""]}, "stop must hold no empty text"),
        ({"max_new_tokens": 128}, "max_prompt must be given"),
        ({"max_new_tokens": 100, "max_prompt": 29}, "must fit the 128 places of the model; got 29 and 100"),
        ({"template": "none"}, "template must be one of"),
    ],
)
def test_options_that_cannot_be(model: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generator(model, **options)


def test_a_description_says_what_responses_depend_on(model: str) -> None:
    one = generator(model).describe()
    others: list[dict[str, Any]] = [
        {"temperature": 0.5},
        {"top_p": 0.9},
        {"stop": ["a"]},
        {"template": "plain"},
        {"max_new_tokens": 9},
    ]
    assert len({json.dumps(generator(model, **each).describe()) for each in [{}, *others]}) == 6
    assert generator(model, batch_size=3).describe() == one
    assert one["weights"]["model.safetensors"]


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "other/base"}', encoding="utf-8")
    with pytest.raises(ValueError, match="is an adapter for 'other/base' and not a whole model; merge it"):
        TransformersGenerator(tmp_path)


def test_a_body_without_a_head_is_refused(tmp_path: Path) -> None:
    folder = text_models.save_model(tmp_path)  # of a model that embeds: it has no weights that choose words
    with pytest.raises(ValueError, match="they would be random numbers"):
        generator(folder).generate(PROMPTS, [0] * 4)


# vLLM


class SamplingParams:
    def __init__(
        self,
        *,
        seed: int,
        temperature: float,
        top_p: float,
        max_tokens: int,
        stop: list[str],
        stop_token_ids: list[int],
    ) -> None:
        self.seed, self.stop, self.stop_token_ids = seed, stop, stop_token_ids
        self.numbers = (temperature, top_p, max_tokens)


class LLM:
    """Stands in for vllm.LLM, with the arguments and results of its documentation: it repeats the prompt backwards."""

    made: ClassVar[list["LLM"]] = []

    def __init__(self, **options: Any) -> None:
        self.options, self.calls = options, list[list[SamplingParams]]()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(options["model"])
        LLM.made.append(self)

    def generate(
        self, prompts: list[dict[str, list[int]]], sampling_params: list[SamplingParams], *, use_tqdm: bool
    ) -> list[Any]:
        self.calls.append(sampling_params)
        return [self.answer(each["prompt_token_ids"], one) for each, one in zip(prompts, sampling_params, strict=True)]

    def answer(self, ids: list[int], params: SamplingParams) -> Any:
        text = f" {params.seed} {self.tokenizer.decode(ids)[::-1]} "
        ends = [] if params.seed % 2 else params.stop_token_ids[:1]
        finish = "stop" if ends else "length"
        one = SimpleNamespace(index=0, text=text, token_ids=(5, 6, *ends), finish_reason=finish, stop_reason=None)
        return SimpleNamespace(prompt_token_ids=ids, outputs=[one], finished=True)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    LLM.made = []
    stand_in = ModuleType("vllm")
    monkeypatch.setitem(sys.modules, "vllm", stand_in)
    for name, value in {"LLM": LLM, "SamplingParams": SamplingParams, "__version__": "0"}.items():
        setattr(stand_in, name, value)


@pytest.mark.usefixtures("vllm")
@pytest.mark.parametrize("template", ["chat", "plain"])
def test_vllm_gets_tokens_settings_and_seeds(model: str, template: Any) -> None:
    made = VLLMGenerator(model, template=template, max_new_tokens=8, temperature=0.5, top_p=0.9, stop=["?"])
    assert LLM.made == []  # no weights are read before they are used
    found = made.generate(PROMPTS, [4, 5, 6, 7])
    (engine,) = LLM.made
    assert engine.options["model"] == model
    assert engine.options["max_model_len"] == 128
    own = generator(model, template=template)
    tokenizer = engine.tokenizer
    for seed, prompt, reply, params in zip((4, 5, 6, 7), PROMPTS, found, engine.calls[0], strict=True):
        backwards = tokenizer.decode(own.prompt_tokens(prompt))[::-1]
        assert reply.text == f" {seed} {backwards} ".split("?")[0].strip()
        assert (reply.finish, reply.tokens) == (("length", 2) if seed % 2 else ("stop", 2))
        assert params.numbers == (0.5, 0.9, 8)
        assert (params.seed, params.stop) == (seed, ["?"])
        assert set(params.stop_token_ids) == set(own._turn_ends())
    assert made.generate([], []) == []


@pytest.mark.usefixtures("vllm")
def test_vllm_is_another_generator(model: str) -> None:
    made = VLLMGenerator(model, max_new_tokens=8)
    one, other = made.describe(), generator(model).describe()
    assert {name for name in one if one[name] != other[name]} == {"kind", "dtype", "about"}
    assert one["kind"] == "vllm"
    assert repr(made).startswith("VLLMGenerator(")
    again = made.with_model(model).describe()
    assert again == made.describe()
    assert made.refusals([(Message("user", "sky " * 200),)])[0] is not None
    with pytest.raises(ValueError, match="one seed per prompt, 4; got 1"):
        made.generate(PROMPTS, [0])


def test_vllm_is_not_installed(model: str) -> None:
    if importlib.util.find_spec("vllm") is not None:
        pytest.skip("vllm is installed")
    with pytest.raises(ImportError, match="VLLMGenerator needs vllm, which is not installed; run pip install vllm"):
        VLLMGenerator(model)


# Servers


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    yield from serving(monkeypatch)


@pytest.mark.parametrize("template", ["chat", "plain"])
def test_a_server_that_fails_a_fifth_of_its_calls(server: Server, template: Any) -> None:
    server.failing = 0.2
    made = hurried(EndpointGenerator(server.url, "m", template=template, stop=["STOP"], retries=8))
    found = made.generate(PROMPTS * 20, list(range(80)))
    end = "" if template == "chat" else "\n\n"
    expected = [f"{seed} {prompt[0].content}{end}".strip() for seed, prompt in enumerate(PROMPTS * 20)]
    assert [reply.text for reply in found] == expected
    assert {(reply.finish, reply.tokens) for reply in found} == {("stop", 3)}
    assert Counter(body["seed"] for body in server.bodies) == Counter(range(80))  # complete, and nothing twice
    assert server.bodies[0]["temperature"] == 1.0
    assert server.bodies[0]["model"] == "m"


def test_answers_of_a_server_that_are_none(server: Server) -> None:
    made = hurried(EndpointGenerator(server.url, "m"))
    server.content = lambda text, seed: None
    assert made.generate(PROMPTS[:1], [0])[0].text == ""  # kept; the build counts it
    server.content = lambda text, seed: 3
    with pytest.raises(ValueError, match="model 'm': the choice must have a text"):
        made.generate(PROMPTS[:1], [0])
    assert made.refusals(PROMPTS) == [None] * 4
    short = EndpointGenerator(server.url, "m", max_characters=10)
    assert [reason is None for reason in short.refusals(PROMPTS)] == [False, True, False, True]


# Judges


def judge(server: Server, **options: Any) -> JudgeGold:
    return hurried(JudgeGold(server.url, "m", **options))


def test_ratings_are_read_and_never_guessed(server: Server) -> None:
    answers = {
        "a": "Fine. [[7]]",
        "b": "It is a 7.",
        "c": "[[11]]",
        "d": "[[3]] or [[4]]",
        "e": "[[3]], so [[3]]",
        "f": "",
    }
    server.content = lambda text, seed: answers[response_in(text)]
    found = judge(server).rate([items_of("Why?", list("abc")), items_of("How?", list("def"))])
    np.testing.assert_array_equal(found.columns[""], [7, np.nan, np.nan, np.nan, 3, np.nan])
    assert [(each.place, each.answer) for each in found.unread] == [(k, answers["abcdef"[k]]) for k in (1, 2, 3, 5)]
    assert server.bodies[0]["temperature"] == 0.0


@pytest.mark.parametrize(("opponents", "n_games"), [(None, 12 + 2), (1, 8 + 2)])
def test_pairs_are_judged_in_both_orders(server: Server, opponents: int | None, n_games: int) -> None:
    """This judge always takes the first one it is shown: that tells nothing, so all responses get 1/2."""
    server.content = lambda text, seed: "[[A]]"
    groups = [items_of("Why?", list("abcd")), items_of("How?", list("ef"))]
    made = judge(server, mode="pairwise", opponents=opponents)
    found = made.rate(groups)
    assert found.columns[""].tolist() == [0.5] * 6
    assert len(server.bodies) == n_games == sum(made.requests_for(len(group)) for group in groups)


def test_wins_and_ties_are_counted(server: Server) -> None:
    def longer(text: str, seed: Any) -> str:
        a, b = (len(response_in(text, f"response {tag}")) for tag in "AB")
        return "no idea" if a + b == 5 else "[[A]]" if a > b else "[[B]]" if b > a else "[[C]]"

    server.content = longer
    found = judge(server, mode="pairwise").rate([items_of("Why?", ["aa", "bb", "ccc", "d"])])
    # aa: ties bb, beats d; ccc: beats d; the games of aa and bb against ccc cannot be read
    assert found.columns[""].tolist() == [0.75, 0.75, 1.0, 0.0]
    assert Counter((each.place, each.other) for each in found.unread) == {(0, 2): 1, (2, 0): 1, (1, 2): 1, (2, 1): 1}
    with pytest.raises(ValueError, match="needs at least two responses"):
        judge(server, mode="pairwise").rate([items_of("Why?", ["a"])])


def test_one_order_alone_does_not_count(server: Server) -> None:
    """This judge takes what it is shown first, and cannot be read where "b" comes first and "c" second."""

    def first(text: str, seed: Any) -> str:
        return "no idea" if [response_in(text, f"response {tag}") for tag in "AB"] == ["b", "c"] else "[[A]]"

    server.content = first
    found = judge(server, mode="pairwise").rate([items_of("Why?", ["a", "b", "c"])])
    assert found.columns[""].tolist() == [0.5] * 3  # the places of b and c do not decide
    assert [(each.place, each.other, each.answer) for each in found.unread] == [(1, 2, "no idea")]
    alone = judge(server, mode="pairwise").rate([items_of("Why?", ["b", "c"])])
    assert np.isnan(check_ratings("judge", alone, 2).columns[""]).all()
    assert len(alone.unread) == 1


def test_a_server_of_scores(server: Server) -> None:
    server.failing = 0.2
    made = hurried(EndpointGold(server.url, "m", batch_size=2, retries=8))
    groups = [items_of("Why?", ["a", "bb", ""]), items_of("How?", ["ccc"])]
    assert made.rate(groups).columns[""].tolist() == [1, 2, 0, 3]
    bodies = [{name: value for name, value in body.items() if name != "path"} for body in server.bodies]
    assert sum(len(forms.score(body).items) for body in bodies) == 4  # what `rmspace serve` takes
    with pytest.raises(ValueError, match="must have a list 'scores' of 2 numbers"):
        read_scores({"scores": [1.0, None]}, 2)


@pytest.mark.parametrize("question", ["Rate it.", "{prompt} {response} {x}", "{prompt", "{prompt} {{response}}"])
def test_questions_that_cannot_be(question: str) -> None:
    with pytest.raises(ValueError, match="question"):
        JudgeGold("http://localhost:1", "m", question=question)


def test_functions() -> None:
    made = FunctionGenerator(
        lambda prompts, seeds: [f" {p} {s} " for p, s in zip(prompts, seeds, strict=True)], name="f"
    )
    assert made.generate(PROMPTS[:1], [3])[0].text == "Why is the sky blue?\n\n 3"
    with pytest.raises(ValueError, match="f must return one text per prompt, 1; got one text"):
        FunctionGenerator(lambda prompts, seeds: "text", name="f").generate(PROMPTS[:1], [0])
