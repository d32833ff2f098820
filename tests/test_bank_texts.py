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
from rmspace.text.bank_texts import match_texts, missing_prompts, missing_texts
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
    prompts = write(tmp_path / "prompts.jsonl", [{"prompt": f"{k} + 1?"} for k in range(12)])
    train, test = build_banks(stub_recipe(prompts, n=3), tmp_path / "out")
    (path,) = (tmp_path / "out" / "steps").glob("generate-*/responses.jsonl")
    texts = read_preferences(path, verbose=False)
    matches = [match_texts(bank, texts) for bank in (train, test)]
    for bank, matched in zip((train, test), matches, strict=True):
        mine = matched.rows >= 0
        assert sorted(matched.rows[mine]) == list(range(bank.n_items))
        lengths = texts.features["length"][mine]
        assert bank.features["length"].ravel()[matched.rows[mine]].tolist() == lengths.tolist()
        assert not list(missing_texts(bank, matched))
    assert not list(missing_prompts(matches, texts))
    (lost,) = missing_prompts(matches[:1], texts)
    assert (lost.check, lost.n_found, lost.n_checked) == ("missing_prompts", test.n_prompts, 12)


def test_prompts_with_other_responses_are_not_matched(tmp_path: Path) -> None:
    """Equal responses are one text, so their rows cannot be told apart."""
    rows = rated(6)
    rows[2]["responses"][1] = rows[2]["responses"][0]
    texts = read_preferences(write(tmp_path / "rows.jsonl", rows), verbose=False)
    ids = texts.groups[np.sort(np.unique(texts.groups, return_index=True)[1])]
    bank = rm.ResponseBank(np.zeros((6, 4, 3), np.float32), prompt_ids=ids)
    matched = match_texts(bank, texts)
    assert matched.known.all()
    assert sorted(matched.rows[matched.rows >= 0]) == [*range(8), *range(12, 24)]
    (left,) = missing_texts(bank, matched)
    assert (left.check, left.n_found, left.n_checked) == ("rows_without_texts", 4, 24)


def test_prompts_are_matched_by_order_where_ids_say_nothing(tmp_path: Path) -> None:
    texts = read_preferences(write(tmp_path / "rows.jsonl", rated(5)), verbose=False)
    bank = rm.ResponseBank(np.zeros((5, 4, 3), np.float32))
    assert match_texts(bank, texts).rows.tolist() == list(range(20))
    with pytest.raises(ValueError, match=r"no prompt of the bank has its responses .*\(0 of its 20 texts"):
        match_texts(rm.ResponseBank(np.zeros((4, 4, 3), np.float32)), texts)
    with pytest.raises(ValueError, match="the 8 items are not those of the file, which has 20"):
        match_texts(rm.Preferences(np.ones((8, 3), np.float32), [[0, 1]], np.zeros(8, int)), texts)
    pairs = texts.compare_scores("score")
    data = rm.text.embed(pairs, CountEncoder(), progress=False)
    assert match_texts(data, pairs).rows.tolist() == list(range(20))


def test_the_command(tmp_path: Path, encoder_folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write(tmp_path / "rows.jsonl", rated()), tmp_path / "out"
    words = ["--encoder", encoder_folder, "--template", "plain"]
    assert main(["bank", str(path), *words, "--reward", "score", "--out", str(out), "--test-size", "3"]) == 0
    folders = [str(out / "train"), str(out / "test")]
    capsys.readouterr()
    assert main(["health", *folders, "--texts", str(path), *words]) == 0
    said = capsys.readouterr().out
    assert said.count("no findings") == 6, said  # of both banks, the texts, the prompts, and both banks again
    assert main(["health", folders[0], "--texts", str(path), *words[:2], "--template", "hh"]) == 0
    said = capsys.readouterr().out
    assert "missing_prompts" in said
    assert "other_embeddings" in said
    assert main(["health", folders[0], *words]) == 2
    assert "--encoder embeds texts again, so it needs --texts FILE" in capsys.readouterr().err
