"""Builds whose generator and golds are servers: complete whatever fails, nothing asked twice, no two servers mixed."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rmspace as rm
from build_stub import Writer, prompts_file, step, stub_recipe
from rmspace.text import EndpointGenerator, EndpointGold, JudgeGold, Recipe, build_banks
from rmspace.text.pipeline.estimating import estimate_build
from server_stub import Body, Server, hurried, response_in, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    yield from serving(monkeypatch)


def said(text: str, seed: int | None) -> str:
    """Answer a prompt with its seed; a judge reads the seed of a response, and prefers the larger one of two."""
    if seed is not None:
        return f"{seed} of {text}"
    one, two = (int(response_in(text, f"response {tag}").split()[0]) for tag in "AB")
    return "[[A]]" if one > two else "[[B]]"


def served(server: Server, path: Path, *, n: int = 3, **options: Any) -> Recipe:
    server.content = said
    golds = {
        "judge": hurried(JudgeGold(server.url, "j", mode="pairwise", **options)),
        "score": hurried(EndpointGold(server.url, "s", batch_size=2, **options)),
    }
    return stub_recipe(path, generator=hurried(EndpointGenerator(server.url, "g", **options)), golds=golds, n=n)


def asked(bodies: list[Body]) -> Counter[str]:
    return Counter(json.dumps(body, sort_keys=True) for body in bodies)


def same(one: tuple[rm.ResponseBank, ...], other: tuple[rm.ResponseBank, ...]) -> bool:
    return all(a.fingerprint() == b.fingerprint() for a, b in zip(one, other, strict=True))


# What fails


def test_a_build_whose_server_fails_a_fifth_of_its_calls(server: Server, tmp_path: Path) -> None:
    """Beside that, some requests fail so often that all their tries are used up."""
    path, tries = prompts_file(tmp_path, 24), Counter[str]()
    whole = build_banks(served(server, path), tmp_path / "whole")
    stubborn = set(list(asked(server.bodies))[::40])

    def breaks(body: Body) -> bool:
        (key,) = asked([body])
        tries[key] += 1
        return tries[key] <= 6 if key in stubborn else server.rng.random() < 0.2

    expected, server.bodies = asked(server.bodies), []
    server.breaks = breaks
    banks = build_banks(served(server, path), tmp_path / "out")
    assert all(tries[key] == 7 for key in stubborn)  # six tries, and one after the others
    assert asked(server.bodies) == expected  # complete, and nothing twice
    assert same(banks, whole)
    ids = [prompt for bank in banks for prompt in bank.prompt_ids.tolist()]
    assert len(set(ids)) == len(ids) == 24
    assert not list((tmp_path / "out" / "steps").glob("*.answers"))


@pytest.mark.parametrize("after", [50, 240])
def test_what_a_server_answered_before_it_died_is_not_asked_again(server: Server, tmp_path: Path, after: int) -> None:
    """It dies within a shard of the generator, of the first gold, or of the last one."""
    path = prompts_file(tmp_path, 24)
    whole = build_banks(served(server, path), tmp_path / "whole")
    expected, server.bodies = asked(server.bodies), []
    server.breaks = lambda body: len(server.bodies) >= after
    with pytest.raises(ConnectionError, match=r"failed 3 times; the last time: status 500"):
        build_banks(served(server, path, retries=2), tmp_path / "out")
    assert len(server.bodies) == after
    server.breaks = lambda body: False
    assert same(build_banks(served(server, path), tmp_path / "out"), whole)
    assert asked(server.bodies) == expected
    assert not list((tmp_path / "out" / "steps").glob("*.answers"))


def test_an_answer_that_was_cut_off_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    path, out = prompts_file(tmp_path, 24), tmp_path / "out"
    server.breaks = lambda body: len(server.bodies) >= 50
    with pytest.raises(ConnectionError):
        build_banks(served(server, path, retries=0), out)
    (kept,) = out.glob("steps/generate-*.answers")
    kept.write_bytes(kept.read_bytes()[:-5])
    server.breaks = lambda body: False
    build_banks(served(server, path), out)
    assert sorted(Counter(body["seed"] for body in server.bodies if "seed" in body).values()) == [1] * 71 + [2]


def test_an_answer_that_is_refused_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    path, out = prompts_file(tmp_path, 24), tmp_path / "out"
    recipe = served(server, path)
    server.content = lambda text, seed: 3
    with pytest.raises(ValueError, match="the choice must have a text"):
        build_banks(recipe, out)
    build_banks(served(server, path), out)


# Which server


def test_another_server_under_the_same_name_is_another_step(server: Server, tmp_path: Path) -> None:
    path, out, lines = prompts_file(tmp_path), tmp_path / "out", list[str]()
    build_banks(served(server, path), out)
    moved = f"{server.url}/moved"
    recipe = stub_recipe(path, generator=hurried(EndpointGenerator(moved, "g")), n=3)
    build_banks(recipe, out, say=lines.append)
    assert any(
        f"because of generator.server: '{server.url}/v1/chat/completions' -> '{moved}/v1/" in line for line in lines
    )
    assert len(list(out.glob("steps/generate-*"))) == 2


def test_a_server_that_moved_goes_on_under_its_old_address(server: Server, tmp_path: Path) -> None:
    path, out = prompts_file(tmp_path), tmp_path / "out"
    build_banks(served(server, path), out)
    n, old = len(server.bodies), server.url
    server.url += "/moved"
    build_banks(served(server, path, identity=old), out)
    assert len(server.bodies) == n
    made = EndpointGold("http://new", "m", identity="my weights, step 300")
    assert made.describe()["server"] == "my weights, step 300"


def test_what_a_server_calls_itself_is_recorded(server: Server, tmp_path: Path) -> None:
    path, out, lines = prompts_file(tmp_path, 24), tmp_path / "out", list[str]()
    server.fingerprint, server.breaks = "fp_1", lambda body: len(server.bodies) >= 68
    with pytest.raises(ConnectionError):
        build_banks(served(server, path, retries=0), out)
    server.fingerprint, server.breaks = "fp_2", lambda body: False
    build_banks(served(server, path), out, say=lines.append)
    (folder,) = out.glob("steps/generate-*")
    assert json.loads((folder / "manifest.json").read_text())["about"]["fingerprints"] == ["fp_1", "fp_2"]
    assert any(
        line.startswith("generate: ") and "; the server changed, it called itself fp_1, fp_2" in line for line in lines
    )
    assert not any("changed" in line for line in lines if line.startswith("gold"))


# What it will cost


@pytest.mark.parametrize(("n_prompts", "sample"), [(18, 32), (4, 6), (9, 1)])
@pytest.mark.parametrize("opponents", [None, 2])
def test_the_estimate_of_a_pairwise_judge(
    server: Server, tmp_path: Path, n_prompts: int, sample: int, opponents: int | None
) -> None:
    """The pretended clock counts the requests, so that each of them takes a second."""
    server.content = said
    judge = hurried(JudgeGold(server.url, "j", mode="pairwise", opponents=opponents))
    recipe = stub_recipe(prompts_file(tmp_path, n_prompts), golds={"judge": judge}, n=5, n_test=7)
    table = estimate_build(recipe, sample=sample, clock=lambda: float(len(server.bodies))).set_index("step")
    before = len(server.bodies)
    build_banks(recipe, tmp_path / "out")
    measured = len(server.bodies) - before
    assert max(table.seconds["gold judge"] / measured, measured / table.seconds["gold judge"]) < 1.5
    assert measured > 8 * n_prompts


# Answers that cannot be read


def test_answers_about_pairs_are_listed_once(server: Server, tmp_path: Path) -> None:
    path, out, lines = prompts_file(tmp_path), tmp_path / "out", list[str]()

    def silent(text: str, seed: int | None) -> str:
        first = int(response_in(text, "response A").split()[0])
        return "Both are good." if first % 5 == 0 else said(text, seed)

    server.content = silent
    golds = {"judge": hurried(JudgeGold(server.url, "j", mode="pairwise"))}
    train, test = build_banks(stub_recipe(path, generator=Writer(), golds=golds), out, say=lines.append)
    unread = step(out, "gold-judge", "unread.jsonl")
    expected = sum(
        int(response_in(b["messages"][0]["content"], "response A").split()[0]) % 5 == 0 for b in server.bodies
    )
    assert len(unread) == train.metadata["build"]["unread_answers"]["judge"] == expected > 0
    assert any(f"; {expected:,} answers could not be read" in line for line in lines)
    assert all(each["response"] != each["other"] for each in unread)
    responses = {line["id"]: line["responses"] for line in step(out, "generate", "responses.jsonl")}
    assert all(int(responses[each["id"]][each["response"]].split()[0]) % 5 == 0 for each in unread)
    assert test.n_prompts
