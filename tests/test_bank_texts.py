"""The texts of a bank beside its rows, and the command that compares them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from build_stub import stub_recipe
from rmspace.cli.main import main
from rmspace.text import build_banks, read_preferences
from rmspace.text.bank_texts import match_texts, missing_prompts, missing_texts, read_prompt_ids
from text_models import save_model
from text_stubs import CountEncoder

WORDS = ["the", "sky", "is", "blue", "because", "of", "way", "that", "air", "scatters", "light", "human", "system"]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


def rated(n: int = 12) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)

    def words(k: int) -> str:
        return " ".join(rng.choice(WORDS, k))

    return [
        {"prompt": words(12), "responses": [words(k) for k in (3, 4, 5, 6)], "score": rng.permutation(4).tolist()}
        for _ in range(n)
    ]


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("model") / "bert", "bert")


def test_the_rows_of_a_build_are_those_of_its_responses(tmp_path: Path) -> None:
    """A prompt that the generator refuses is in neither bank."""
    prompts = write(
        tmp_path / "prompts.jsonl", [{"prompt": f"{k} + 1?"} for k in range(12)] + [{"prompt": "a long one"}]
    )
    banks = build_banks(stub_recipe(prompts, n=3), tmp_path / "out")
    (path,) = (tmp_path / "out" / "steps").glob("generate-*/responses.jsonl")
    texts = read_preferences(path, verbose=False)
    for bank in banks:
        rows = match_texts(bank, texts)
        assert sorted(rows[rows >= 0]) == list(range(bank.n_items))
        lengths = texts.features["length"][rows >= 0]
        assert bank.features["length"].ravel()[rows[rows >= 0]].tolist() == lengths.tolist()
        assert not list(missing_texts(bank, rows))
    ids = read_prompt_ids(str(prompts))
    (lost,) = missing_prompts(banks, ids)
    assert (lost.check, lost.n_found, lost.n_checked) == ("missing_prompts", 1, 13)
    assert not list(missing_prompts(banks, read_prompt_ids(str(path))))
    (lost,) = missing_prompts(banks[:1], ids)
    assert lost.n_found == 1 + banks[1].n_prompts
    with pytest.raises(ValueError, match="none of the 2 prompts is in the banks: give their file of prompts"):
        list(missing_prompts(banks, ["0123456789abcdef", "f" * 16]))


def test_prompts_with_other_responses_are_not_matched(tmp_path: Path) -> None:
    """Equal responses are one text, so their rows cannot be told apart."""
    rows = rated(6)
    rows[2]["responses"][1] = rows[2]["responses"][0]
    texts = read_preferences(write(tmp_path / "rows.jsonl", rows), verbose=False)
    ids = texts.groups[np.sort(np.unique(texts.groups, return_index=True)[1])]
    bank = rm.ResponseBank(np.zeros((6, 4, 3), np.float32), prompt_ids=ids)
    matched = match_texts(bank, texts)
    assert sorted(matched[matched >= 0]) == [*range(8), *range(12, 24)]
    (left,) = missing_texts(bank, matched)
    assert (left.check, left.n_found, left.n_checked) == ("rows_without_texts", 4, 24)


def test_prompts_are_matched_by_order_where_ids_say_nothing(tmp_path: Path) -> None:
    texts = read_preferences(write(tmp_path / "rows.jsonl", rated(5)), verbose=False)
    bank = rm.ResponseBank(np.zeros((5, 4, 3), np.float32))
    assert match_texts(bank, texts).tolist() == list(range(20))
    with pytest.raises(ValueError, match=r"no prompt of the bank has its responses .*\(0 of its 20 texts"):
        match_texts(rm.ResponseBank(np.zeros((4, 4, 3), np.float32)), texts)
    with pytest.raises(ValueError, match="the 8 items are not those of the file, which has 20"):
        match_texts(rm.Preferences(np.ones((8, 3), np.float32), [[0, 1]], np.zeros(8, int)), texts)
    pairs = texts.compare_scores("score")
    data = rm.text.embed(pairs, CountEncoder(), progress=False)
    assert match_texts(data, pairs).tolist() == list(range(20))


def test_the_command(tmp_path: Path, encoder_folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write(tmp_path / "rows.jsonl", rated()), tmp_path / "out"
    words = ["--encoder", encoder_folder, "--template", "plain"]
    assert main(["bank", str(path), *words, "--reward", "score", "--out", str(out), "--test-size", "3"]) == 0
    folders = [str(out / "train"), str(out / "test")]
    capsys.readouterr()
    given = ["--texts", str(path), "--prompts", str(path)]
    assert main(["health", *folders, *given, *words]) == 0
    said = capsys.readouterr().out
    assert said.count("no findings") == 6, said  # of both banks, the prompts, the texts, and both banks again
    assert main(["health", folders[0], *given, *words[:2], "--template", "hh"]) == 0
    said = capsys.readouterr().out
    assert "missing_prompts" in said
    assert "other_embeddings" in said
    assert main(["health", folders[0], "--texts", str(path)]) == 0
    assert capsys.readouterr().out.count("no findings") == 3
    assert main(["health", folders[0], *words]) == 2
    assert "--encoder embeds texts again, so it needs --texts FILE" in capsys.readouterr().err
