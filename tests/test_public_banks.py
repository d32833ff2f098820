"""From public data to banks and preferences with one command, tested on small files in the form of each data set."""

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from rmspace._typing import FloatArray
from rmspace.cli.main import main
from rmspace.text import read_preferences
from rmspace.text.embedding_cost import estimate_embedding
from rmspace.text.records import TextItem, items_of
from rmspace.text.templates import find_template
from test_alpaca_eval import PROMPTS, row, write_model
from text_models import save_model
from text_stubs import CountEncoder


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("model") / "bert", "bert")


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


def completion(text: str, score: Any, rating: str = "4") -> dict[str, Any]:
    names = ("instruction_following", "truthfulness", "honesty", "helpfulness")
    notes = {name: {"Rating": rating, "Rationale": "..."} for name in names}
    return {"model": "m", "response": text, "annotations": notes, "overall_score": score, "fine-grained_score": 4.0}


def ultrafeedback(n: int = 10) -> list[dict[str, Any]]:
    """A suspect score (10 where all aspects are rated 1), a missing one, and a row with two completions."""
    four = [completion("red", 7.5), completion("blue sky", 10, "1"), completion("", None, "N/A"), completion("air", 3)]
    rows = [
        {"source": "stub", "instruction": f"Name {k}.", "models": ["m"] * 4, "completions": four} for k in range(n - 1)
    ]
    return [*rows, {"source": "stub", "instruction": "Few?", "models": ["m"] * 2, "completions": four[:2]}]


def helpsteer2(n: int = 10) -> list[dict[str, Any]]:
    names = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
    return [
        {"prompt": f"Name {k}.", "response": text, **dict.fromkeys(names, rating)}
        for k in range(n)
        for text, rating in (("red", 4), ("blue sky", None if k == 3 else 1))
    ]


def command(name: str, source: Path, encoder: str, *more: str) -> list[str]:
    return [name, str(source), "--encoder", encoder, *more]


# Rated responses become banks


def test_ultrafeedback(tmp_path: Path, encoder_folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = command("bank", write(tmp_path / "uf.jsonl", ultrafeedback()), encoder_folder)
    assert main([*words, "--reward", "overall_score", "--out", str(tmp_path / "out"), "--test-size", "3"]) == 0
    said = capsys.readouterr().out
    assert "texts: warning: suspicious_overall_scores: 10 of 38" in said
    assert "unrated_responses" in said
    train, test = rm.open_banks(str(tmp_path / "out" / "train"), str(tmp_path / "out" / "test"))
    assert (train.n_prompts, test.n_prompts) == (7, 3)
    assert not set(train.prompt_ids) & set(test.prompt_ids)
    sizes = [*train.counts, *test.counts]
    assert sorted(sizes) == [2, *[4] * 9]  # ragged, and the response without a rating is there
    rewards = np.concatenate([train.item_rewards, test.item_rewards])
    assert sorted(rewards[~np.isnan(rewards)]) == [*[3.0] * 9, *[7.5] * 10, *[10.0] * 10]
    assert np.isnan(rewards).sum() == 9
    assert set(train.features) == {"fine_grained_score", "length", "honesty", "truthfulness"} | {
        "helpfulness",
        "instruction_following",
    }
    assert train.metadata["embedding"]["empty"] == 0
    assert train.metadata["encoder"]["pooling"] == "mean"


def test_helpsteer2_joins_the_rows_of_a_prompt(tmp_path: Path, encoder_folder: str) -> None:
    words = command("bank", write(tmp_path / "train.jsonl", helpsteer2()), encoder_folder)
    assert main([*words, "--reward", "helpfulness", "--out", str(tmp_path / "out"), "--dtype", "float16"]) == 0
    train, test = rm.open_banks(str(tmp_path / "out" / "train"), str(tmp_path / "out" / "test"))
    assert (train.n_prompts, test.n_prompts, train.n_responses) == (8, 2, 2)
    assert train.items.dtype == np.float16
    assert np.nansum(np.concatenate([train.item_rewards, test.item_rewards])) == 10 * 4 + 9


def test_the_rows_are_those_of_the_texts(tmp_path: Path, encoder_folder: str) -> None:
    """Each row of a bank is the embedding of its own text, also where prompts come again later in the file."""
    rows = [{"prompt": f"Name {k % 5}.", "response": " ".join(["red"] * (k + 1)), "helpfulness": k} for k in range(15)]
    path = write(tmp_path / "rows.jsonl", [{**helpsteer2()[0], **each} for each in rows])
    encoder = rm.text.TransformersEncoder(encoder_folder)
    train, test = rm.readers.embed_bank(path, encoder, reward="helpfulness", out=tmp_path / "e", test_size=2)
    for bank in (train, test):
        for item, reward in zip(np.asarray(bank.items), bank.item_rewards, strict=True):
            text = rows[int(reward)]
            expected = encoder.encode(items_of(str(text["prompt"]), [str(text["response"])]))
            np.testing.assert_allclose(item, expected[0], atol=1e-5)


def test_alpaca_eval(tmp_path: Path, encoder_folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    clone = tmp_path / "alpaca_eval"
    for k, name in enumerate(("small", "large", "other")):
        write_model(clone, name, [row(p, f"{name} sky", 1.2 + 0.3 * k) for p in PROMPTS])
    (tmp_path / "models.txt").write_text("small\nlarge\n", encoding="utf-8")
    words = command("bank", clone, encoder_folder, "--models", str(tmp_path / "models.txt"), "--test-size", "1")
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    train, test = rm.open_banks(str(tmp_path / "out" / "train"), str(tmp_path / "out" / "test"))
    assert train.metadata["generators"] == ["large", "small"]
    np.testing.assert_allclose(train.rewards, [[0, np.log(0.2 / 0.8)]] * 3, atol=1e-6)
    whole = rm.read_alpaca_eval(
        clone, encoder=rm.text.TransformersEncoder(encoder_folder), models=["small", "large"], n_train=3
    )
    sides = np.array(whole.metadata["split"])
    for side, bank in (("train", train), ("test", test)):
        np.testing.assert_allclose(bank.items, whole[sides == side].items, atol=1e-3)
        assert bank.prompt_ids.tolist() == np.flatnonzero(sides == side).tolist()
    assert main([*words, "--reward", "x", "--out", str(tmp_path / "out")]) == 2
    assert "is a clone of AlpacaEval: leave out --reward" in capsys.readouterr().err
    with pytest.raises(ValueError, match="either embed, a function of texts, or encoder"):
        rm.read_alpaca_eval(clone)


# Comparisons become preferences


HH = [
    {"chosen": f"\n\nHuman: Name {k}.\n\nAssistant: red", "rejected": f"\n\nHuman: Name {k}.\n\nAssistant: sky"}
    for k in range(5)
]
BINARIZED = [
    {
        "prompt": f"Name {k}.",
        "prompt_id": str(k),
        "chosen": [{"role": "user", "content": f"Name {k}."}, {"role": "assistant", "content": "red"}],
        "rejected": [{"role": "user", "content": f"Name {k}."}, {"role": "assistant", "content": "sky"}],
        "score_chosen": 8.0,
        "score_rejected": 5.0,
    }
    for k in range(5)
]
PAIRS = [{"prompt": f"Name {k}.", "chosen": "red", "rejected": "sky"} for k in range(5)]


@pytest.mark.parametrize("rows", [HH, BINARIZED, PAIRS], ids=["hh", "binarized", "pairs"])
def test_pairs(tmp_path: Path, encoder_folder: str, rows: list[dict[str, Any]]) -> None:
    words = command("embed", write(tmp_path / "pairs.jsonl", rows), encoder_folder)
    assert main([*words, "--out", str(tmp_path / "embedded"), "--save", str(tmp_path / "saved")]) == 0
    data = rm.Preferences.open(tmp_path / "saved")
    assert (data.n_comparisons, data.n_prompts) == (5, 5)
    assert rm.LinearReward().fit(data).predict(data.items).shape == (10,)


def test_ratings_become_comparisons(tmp_path: Path, encoder_folder: str) -> None:
    words = command("embed", write(tmp_path / "uf.jsonl", ultrafeedback()), encoder_folder, "--score", "overall_score")
    assert main([*words, "--out", str(tmp_path / "embedded"), "--save", str(tmp_path / "saved")]) == 0
    data = rm.Preferences.open(tmp_path / "saved")
    assert data.n_comparisons == 9 * 3 + 1
    assert sorted(set(data.columns["margin"])) == [2.5, 4.5, 7.0]


def test_a_set_in_three_parts(tmp_path: Path, encoder_folder: str) -> None:
    """UltraFeedback cut into parts, as UFB_xai is: one folder of embeddings for all of them."""
    folder = tmp_path / "ufb"
    folder.mkdir()
    rows = ultrafeedback(12)
    for part, own in {"train": rows[:6], "validation": rows[6:9], "test": rows[9:]}.items():
        write(folder / f"{part}.jsonl", own)
    for part, n in {"train": 6 * 3, "validation": 3 * 3, "test": 2 * 3 + 1}.items():
        words = command("embed", folder, encoder_folder, "--split", part, "--score", "overall_score")
        assert main([*words, "--out", str(tmp_path / "embedded"), "--save", str(tmp_path / part)]) == 0
        assert rm.Preferences.open(tmp_path / part).n_comparisons == n


def test_own_names_of_columns(tmp_path: Path, encoder_folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"question": f"Name {k}.", "chosen": "red", "rejected": "sky"} for k in range(5)]
    words = command("embed", write(tmp_path / "pairs.jsonl", rows), encoder_folder, "--out", str(tmp_path / "e"))
    assert main([*words, "--columns", "prompt=question"]) == 0
    assert "n_comparisons=5" in capsys.readouterr().out
    assert main([*words, "--columns", "question"]) == 2
    assert "--columns must be NAME=COLUMN, such as prompt=question; got 'question'" in capsys.readouterr().err


# What cannot be


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "the reward must be one of the ratings of the file, fine_grained_score, helpfulness, honesty"),
        (["--reward", "quality"], "truthfulness; got 'quality'"),
        (["--reward", "overall_score", "--models", "m.txt"], "--models belongs to AlpacaEval"),
        (["--reward", "overall_score", "--test-size", "10"], "test_size must leave"),
    ],
)
def test_bad_options(
    tmp_path: Path, encoder_folder: str, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    words = command("bank", write(tmp_path / "uf.jsonl", ultrafeedback()), encoder_folder, *more)
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()  # nothing was embedded before the error


def test_pairs_have_no_ratings(tmp_path: Path, encoder_folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = command("bank", write(tmp_path / "pairs.jsonl", PAIRS), encoder_folder, "--reward", "length")
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "a bank needs ratings, and the file has none; `rmspace embed` makes" in capsys.readouterr().err


# Large files


def test_a_stopped_bank_goes_on(tmp_path: Path) -> None:
    class Stopping(CountEncoder):
        left, seen = 2, 0

        def encode(self, items: Sequence[TextItem], /) -> FloatArray:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            self.seen += len(items)
            return super().encode(items)

    rows = [{**each, "response": f"{each['response']} {k}"} for k, each in enumerate(helpsteer2(1200))]
    path, first, second = write(tmp_path / "rows.jsonl", rows), Stopping(), Stopping()
    with pytest.raises(KeyboardInterrupt):
        rm.readers.embed_bank(path, first, reward="helpfulness", out=tmp_path / "e")
    train, test = rm.readers.embed_bank(path, second, reward="helpfulness", out=tmp_path / "e")
    assert (first.seen, second.seen) == (2048, 2400 - 2048)
    whole = rm.readers.embed_bank(path, CountEncoder(), reward="helpfulness", out=tmp_path / "whole")
    assert [train.fingerprint(), test.fingerprint()] == [bank.fingerprint() for bank in whole]


@pytest.mark.filterwarnings("ignore:.*kept although the response is empty")
def test_texts_that_are_not_kept_give_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "uf.jsonl", [*ultrafeedback(30), *ultrafeedback(3)])
    kept = read_preferences(path)
    data = read_preferences(path, keep_texts=False)
    assert list(data.items) == list(kept.items)
    assert data.items[3] == kept.items[3]
    assert data.items[2:5] == list(kept.items[2:5])
    assert data.groups.tolist() == kept.groups.tolist()
    assert data.features.keys() == kept.features.keys()
    for name, values in data.features.items():
        np.testing.assert_array_equal(values, kept.features[name])
    pairs, others = data.compare_scores("overall_score"), kept.compare_scores("overall_score")
    assert pairs.comparisons.tolist() == others.comparisons.tolist()
    assert list(pairs[5:9].items) == list(others[5:9].items)
    assert pairs.health().equals(others.health())
    one, other = (rm.text.embed(each, CountEncoder(), progress=False) for each in (pairs, others))
    np.testing.assert_array_equal(np.asarray(one.items), np.asarray(other.items))


def test_a_source_that_changes_or_is_gone_after_one_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.jsonl", PAIRS)
    data = read_preferences(path, keep_texts=False)
    write(path, PAIRS[::-1])
    with pytest.raises(RuntimeError, match="the source changed after it was read"):
        list(data.items)
    write(path, PAIRS[:3])
    with pytest.raises(RuntimeError, match="the source changed after it was read"):
        list(data.items)
    with pytest.raises(TypeError, match="keep_texts=False reads the source several times; give its path"):
        read_preferences(iter(PAIRS), keep_texts=False)


def test_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    def peak(words: int) -> int:
        rows = [{**each, "response": f"{k:04} " * words} for k, each in enumerate(helpsteer2(200))]
        path = write(tmp_path / f"{words}.jsonl", rows)
        del rows
        tracemalloc.start()
        items = read_preferences(path, keep_texts=False, verbose=False).items
        rm.text.embed(items, CountEncoder(), out=tmp_path / str(words), shard=20, progress=False)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # what is imported counts once
    assert peak(10_000) - peak(10) < 20 * 50_000 * 3  # some copies of one shard; all texts are 20 MB


# What it will cost


def test_the_estimate_of_embedding() -> None:
    """Each text takes as many seconds of a pretended clock as its response has words."""
    now = [0.0]

    class Timed(CountEncoder):
        def encode(self, items: Sequence[TextItem], /) -> FloatArray:
            now[0] += sum(len(item.response.split()) for item in items)
            return super().encode(items)

    items = items_of("Name one.", ["red " * (k % 97 + 1) + str(k) for k in range(3000)])
    found = estimate_embedding(items, Timed(), clock=lambda: now[0], copies=2).iloc[0]
    now[0] = 0.0
    rm.text.embed(items, Timed(), progress=False)
    assert max(found.seconds / now[0], now[0] / found.seconds) < 1.1
    assert found.rows == 3000
    assert found.bytes == 3000 * (2 * 3 * 4 + 33)
    with pytest.raises(ValueError, match="at least one text"):
        estimate_embedding([], Timed())


@pytest.mark.parametrize("name", ["bank", "embed"])
def test_a_dry_run_writes_nothing(
    tmp_path: Path, encoder_folder: str, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    option = {"bank": "--reward", "embed": "--score"}[name]
    words = command(name, write(tmp_path / "uf.jsonl", ultrafeedback()), encoder_folder, option, "overall_score")
    assert main([*words, "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "embed    38" in said
    assert "together about" in said
    assert not (tmp_path / "out").exists()
    encoder = rm.text.TransformersEncoder(encoder_folder)
    items = items_of("Name a colour.", ["red", "the blue sky"])
    ids = encoder._tokenizer([find_template("plain")(item).text for item in items])["input_ids"]
    assert encoder.count_tokens(items).tolist() == [len(each) for each in ids]


def test_a_folder_that_is_no_clone(tmp_path: Path, encoder_folder: str) -> None:
    (tmp_path / "results").mkdir()
    write(tmp_path / "results" / "rows.jsonl", helpsteer2())
    words = command("bank", tmp_path, encoder_folder, "--reward", "helpfulness")
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
