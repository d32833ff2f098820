"""The server: answers, limits, batches, clients that leave, and its end."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from build_stub import Rater, stub_recipe
from rmspace._typing import Float64Array
from rmspace.cli.commands.serve import _token
from rmspace.text import EndpointGold, build_banks
from rmspace.text.notes import Note, clean_item
from rmspace.text.records import Message, TextItem, items_of
from rmspace.text.reward import TextReward
from rmspace.text.serve.app import make_app
from rmspace.text.serve.batching import Batcher, QueueClosed, QueueFull
from rmspace.text.serve.bodies import parse
from rmspace.text.serve.limits import Limits, Refused
from rmspace.text.serve.special_tokens import split_query, turns_of, without_end
from text_stubs import SlowEncoder, count_reward, expected

QUICK = Limits(max_wait_ms=0.0)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(
        make_app(count_reward(SlowEncoder()), Limits(max_wait_ms=0.0, queue=50, max_bytes=20_000))
    ) as found:
        yield found


@contextmanager
def running(reward: TextReward, limits: Limits = QUICK, **options: Any) -> Iterator[str]:
    """Serve on a free port of this machine, in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = make_app(reward, limits, **options)
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


# --- answers ---


def test_scores(client: TestClient) -> None:
    chat = [{"role": "user", "content": "p"}]
    body = {"prompts": ["p", chat], "responses": ["aa", [{"role": "assistant", "content": "b"}]]}
    found = client.post("/score", json=body)
    assert found.status_code == 200
    assert found.json() == {"scores": [expected("p", "aa"), expected("p", "b")]}
    assert client.post("/score", json={"prompts": [], "responses": []}).json() == {"scores": []}


def test_ranks(client: TestClient) -> None:
    found = client.post("/rank", json={"prompt": "p", "responses": ["bb", "a", "cc"]}).json()
    assert found == {"order": [1, 0, 2], "scores": [expected("p", text) for text in ("bb", "a", "cc")]}


def test_rewards_in_the_form_of_openrlhf(client: TestClient) -> None:
    prompt = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    body = {
        "query": [f"<pad><pad>{prompt}aha<|im_end|>\n", "Why? ab</s>"],
        "prompts": [prompt, "Why?"],
        "labels": ["", ""],
    }
    found = client.post("/get_reward", json=body).json()
    scores = [expected("Why?", "aha"), expected("Why?", " ab")]
    assert found == {"rewards": scores, "scores": scores, "extra_logs": {}}
    wrong = client.post("/get_reward", json={"query": ["else"], "prompts": ["Why?"]})
    assert (wrong.status_code, "query[0]: the query must begin with its prompt" in wrong.text) == (422, True)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("", ""), ("a", "a"), ("a \n", "a \n"), ("a</s>", "a"), ("a <|eot_id|> \n<pad><pad>\n", "a "),
        ("</s></s>", ""), ("a<|im_end|>b", "a<|im_end|>b"), ("1 < 2 |>", "1 < 2 |>"), ("[PAD]" * 999, ""),
        ("a</s>" + " " * 500, "a</s>" + " " * 500),
    ],
)  # fmt: skip
def test_special_tokens_at_the_end(text: str, bare: str) -> None:
    assert without_end(text) == bare


def test_chat_templates_are_read_back() -> None:
    turns = (
        Message("system", "Be brief."),
        Message("user", "Hi\n\nthere"),
        Message("assistant", "Yes?"),
        Message("user", "x"),
    )
    chatml = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
    llama = "".join(f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>" for role, text in turns)
    assert turns_of(chatml + "<|im_start|>assistant\n") == turns
    assert turns_of("<|begin_of_text|>" + llama + "<|start_header_id|>assistant<|end_header_id|>\n\n") == turns
    plain = "text <|im_start|>user\nHi<|im_end|>"
    assert turns_of(plain) == (Message("user", plain),)
    assert split_query("<s>" + plain + "reply", plain) == TextItem((Message("user", plain),), "reply")


# --- what is refused ---


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/score", {"responses": []}, "prompts is missing"),
        ("/score", {"prompts": "p", "responses": []}, "prompts must be a list; got a text"),
        ("/score", {"prompts": None, "responses": []}, "prompts must be a list; got null"),
        ("/score", {"prompts": ["p"], "responses": []}, "prompts and responses must have the same length; got 1 and 0"),
        ("/score", {"prompts": [1], "responses": ["r"]}, "text 0: prompt must be a text or a list of messages"),
        ("/score", {"prompts": ["p"], "responses": [[{"role": "user", "content": "r"}]]}, "role 'assistant'"),
        ("/score", {"prompts": [], "responses": [], "lables": []}, "got also 'lables'"),
        ("/rank", {"responses": ["r"]}, "prompt is missing"),
        ("/rank", {"prompt": {}, "responses": ["r"]}, "text 0: prompt must be"),
        ("/get_reward", {"query": ["q"]}, "prompts is missing"),
        ("/get_reward", {"query": [True], "prompts": ["q"]}, "query[0] must be a text; got a boolean"),
        ("/score", [], "must be a JSON object"),
    ],
)
def test_wrong_fields_are_named(client: TestClient, path: str, body: Any, message: str) -> None:
    found = client.post(path, json=body)
    assert found.status_code == 422
    assert message in found.json()["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe{}", b'{"prompts": [NaN]}', b'{"a": -Infinity}', b'{"a": 1, "a": 2}', b"[" * 9000,
     b'{"a":' * 3000, b'{"a": ' + b"9" * 9000 + b"}", '{"a": 1}'.encode("utf-16")],
)  # fmt: skip
def test_what_is_not_json_is_400(client: TestClient, body: bytes) -> None:
    found = client.post("/score", content=body, headers=JSON)
    assert found.status_code == 400
    assert found.json()["error"]


@settings(max_examples=40)
@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["prompts", "responses", "x"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_body_breaks_the_parser(body: bytes) -> None:
    from rmspace.text.serve.forms import FORMS

    for form in FORMS.values():
        try:
            form(parse(body))
        except Refused as refused:
            assert refused.status in (400, 422)


def test_odd_texts_are_scored(client: TestClient) -> None:
    body = rb'{"prompts": ["\ud800", "\u0000", ""], "responses": ["a\udfff", "\u0000\u0000", "  "]}'
    found = client.post("/score", content=body, headers={"Content-Type": "application/json; charset=UTF-8"})
    assert found.json() == {"scores": [expected(".", "a."), expected(".", ".."), expected("", "  ")]}
    assert 'rmspace_changed_texts_total{change="replaced"} 1' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415), ({}, 415), ({**JSON, "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415), ({"Content-Type": "Application/JSON"}, 200),
    ],
)  # fmt: skip
def test_content_types(client: TestClient, headers: dict[str, str], status: int) -> None:
    found = client.post("/score", content=b'{"prompts": [], "responses": []}', headers=headers)
    assert found.status_code == status


def test_requests_that_are_too_large(client: TestClient) -> None:
    large = client.post("/score", json={"prompts": ["p"], "responses": ["r" * 20_000]})
    assert (large.status_code, "at most 20,000 bytes" in large.text) == (413, True)
    chunks = (b" " * 1000 for _ in range(30))
    assert client.post("/score", content=chunks, headers=JSON).status_code == 413  # no length was declared
    many = client.post("/score", json={"prompts": ["p"] * 51, "responses": ["r"] * 51})
    assert (many.status_code, "at most 50 texts; got 51" in many.text) == (413, True)


def test_paths_and_methods(client: TestClient) -> None:
    assert client.get("/none").json() == {"error": "the paths are /score, /rank, /get_reward, /health, /metrics"}
    found = client.get("/score")
    assert (found.status_code, found.headers["allow"]) == (405, "POST")
    assert client.get("/health").json() == {"status": "ok", "waiting_texts": 0}


def test_a_token_is_asked_for() -> None:
    body = {"prompts": ["p"], "responses": ["a"]}
    with TestClient(make_app(count_reward(), QUICK, token="secret-é")) as client:
        right = {"Authorization": "Bearer secret-é".encode()}
        for headers in ({}, {"Authorization": "Bearer secret"}, {"Authorization": "secret-é".encode()}):
            found = client.post("/score", json=body, headers=headers)  # type: ignore[arg-type]
            assert (found.status_code, found.headers["www-authenticate"]) == (401, "Bearer")
            assert "secret" not in found.text
        assert client.get("/metrics").status_code == 401
        assert client.get("/health").status_code == 200
        assert client.post("/score", json=body, headers=right).status_code == 200  # type: ignore[arg-type]
        assert client.get("/metrics", headers=right).status_code == 200  # type: ignore[arg-type]


def test_a_token_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _token(None) is None
    for wrong in ("", " x", "x\n"):
        monkeypatch.setenv("RMSPACE_TEST_TOKEN", wrong)
        with pytest.raises(ValueError, match="RMSPACE_TEST_TOKEN must hold a token"):
            _token("RMSPACE_TEST_TOKEN")
    monkeypatch.setenv("RMSPACE_TEST_TOKEN", "x")
    assert _token("RMSPACE_TEST_TOKEN") == "x"


@pytest.mark.parametrize("wrong", [{"max_batch": 0}, {"queue": 0}, {"max_bytes": 1.5}, {"max_wait_ms": -1.0}])
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=f"{next(iter(wrong))} must be"):
        Limits(**wrong)


def test_a_failure_costs_only_its_own_request_and_no_text_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    encoder = SlowEncoder()
    with TestClient(make_app(count_reward(encoder), Limits(max_wait_ms=0.0), token="hidden")) as client:
        client.headers["Authorization"] = "Bearer hidden"
        encoder.gate.clear()
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(client.post, "/score", json={"prompts": ["p"], "responses": ["a"]})
            encoder.entered.wait(30)  # the next three are one batch
            texts = ("aa", "poison", "aaa")
            others = [pool.submit(client.post, "/score", json={"prompts": ["p"], "responses": [t]}) for t in texts]
            until(lambda: client.get("/health").json()["waiting_texts"] == 3)
            encoder.gate.set()
            found = [one.result() for one in (first, *others)]
        assert [one.status_code for one in found] == [200, 200, 500, 200]
        assert found[3].json() == {"scores": [expected("p", "aaa")]}
        assert found[2].json() == {"error": "the reward model failed on this request (ValueError)"}
        assert encoder.sizes[:2] == [1, 3]
        assert client.post("/score", json={"prompts": ["p"], "responses": ["a"]}).status_code == 200
    mine = [record for record in caplog.records if record.name.startswith(("rmspace", "uvicorn", "starlette"))]
    assert any("ValueError in" in record.getMessage() for record in mine)
    logged = caplog.text
    assert "poison" not in logged and "hidden" not in logged


# --- batches ---


def items(*texts: str) -> list[TextItem]:
    return [TextItem((), text) for text in texts]


def scores_of(encoder: SlowEncoder) -> Callable[[Sequence[TextItem]], Float64Array]:
    reward = count_reward(encoder)
    return lambda some: reward.score_items(some)[0]


def lengths(some: Any) -> Any:
    return np.array([float(len(item.response)) for item in some])


@settings(max_examples=25)
@given(st.lists(st.lists(st.text(max_size=3), max_size=9), max_size=12), st.integers(1, 7))
def test_every_request_gets_its_own_scores(requests: list[list[str]], max_batch: int) -> None:
    sizes: list[int] = []

    def score(some: Any) -> Any:
        sizes.append(len(some))
        return lengths(some)

    batcher = Batcher(score, Limits(max_batch=max_batch, max_wait_ms=0.0))
    futures = [batcher.submit(items(*texts)) for texts in requests]
    for texts, future in zip(requests, futures, strict=True):
        assert future.result(30).tolist() == [len(text) for text in texts]
    batcher.close()
    assert sum(sizes) == sum(map(len, requests))
    assert max(sizes, default=0) <= max_batch
    assert batcher.waiting == 0


def test_batches_are_full_while_texts_wait() -> None:
    encoder = SlowEncoder()
    encoder.gate.clear()
    batcher = Batcher(scores_of(encoder), Limits(max_batch=4, max_wait_ms=0.0))
    first = batcher.submit(items("a"))
    encoder.entered.wait(30)
    others = [batcher.submit(items("a", "b", "c")) for _ in range(3)]
    assert batcher.waiting == 9
    encoder.gate.set()
    for future in (first, *others):
        future.result(30)
    batcher.close()
    assert encoder.sizes == [1, 4, 4, 1]


def test_a_batch_waits_for_others_but_not_for_ever() -> None:
    for wait, sizes in ((60_000.0, [3]), (0.0, None)):
        encoder = SlowEncoder()
        batcher = Batcher(scores_of(encoder), Limits(max_batch=3, max_wait_ms=wait))
        futures = [batcher.submit(items(text)) for text in "abc"]
        assert len([future.result(30) for future in futures]) == 3
        assert sizes is None or encoder.sizes == sizes
        batcher.close()
    encoder = SlowEncoder()
    batcher = Batcher(scores_of(encoder), Limits(max_batch=3, max_wait_ms=60_000.0))
    last = batcher.submit(items("a"))
    batcher.close()  # what was taken is finished, without the rest of the wait
    assert last.result(0).shape == (1,)


def test_the_queue_has_an_end_and_those_who_left_make_room() -> None:
    encoder = SlowEncoder()
    encoder.gate.clear()
    batcher = Batcher(scores_of(encoder), Limits(max_batch=2, max_wait_ms=0.0, queue=4))
    first = batcher.submit(items("a"))
    encoder.entered.wait(30)
    second, third = batcher.submit(items("a", "a")), batcher.submit(items("b", "b"))
    with pytest.raises(QueueFull):
        batcher.submit(items("c"))
    assert second.cancel()
    fourth = batcher.submit(items("ccc"))
    encoder.gate.set()
    assert [len(future.result(30)) for future in (first, third, fourth)] == [1, 2, 1]
    batcher.close()
    assert sum(encoder.sizes) == 4  # the texts of the second were never scored
    with pytest.raises(QueueClosed):
        batcher.submit(items("a"))


def test_a_large_request_that_fails_or_leaves_is_not_scored_further() -> None:
    encoder = SlowEncoder()
    batcher = Batcher(scores_of(encoder), Limits(max_batch=1, max_wait_ms=0.0))
    failing = batcher.submit(items("poison", *"abcdef"))
    with pytest.raises(ValueError, match="cannot encode"):
        failing.result(30)
    encoder.gate.clear()
    encoder.entered.clear()
    leaving = batcher.submit(items(*"abcdef"))
    encoder.entered.wait(30)
    leaving.cancel()
    encoder.gate.set()
    assert batcher.submit(items("aa")).result(30).shape == (1,)
    batcher.close()
    assert len(encoder.sizes) <= 4
    assert batcher.waiting == 0


def test_whatever_an_encoder_raises_the_batcher_goes_on() -> None:
    def score(some: Any) -> Any:
        if some[0].response == "exit":
            raise SystemExit
        return lengths(some)

    batcher = Batcher(score, QUICK)
    with pytest.raises(SystemExit):
        batcher.submit(items("exit")).result(30)
    assert batcher.alive
    assert batcher.submit(items("four")).result(30).tolist() == [4.0]
    batcher.close()
    assert not batcher.alive


# --- over a socket ---


def test_a_full_queue_is_429_and_metrics_count_it() -> None:
    encoder = SlowEncoder()
    encoder.gate.clear()
    with (
        running(count_reward(encoder), Limits(max_batch=1, max_wait_ms=0.0, queue=2)) as url,
        ThreadPoolExecutor(3) as pool,
    ):
        body = {"prompts": ["p"], "responses": ["a"]}
        taken = [pool.submit(httpx.post, f"{url}/score", json=body, timeout=60)]
        encoder.entered.wait(30)
        taken += [pool.submit(httpx.post, f"{url}/score", json=body, timeout=60) for _ in range(2)]
        until(lambda: httpx.get(f"{url}/health").json()["waiting_texts"] == 2)
        full = httpx.post(f"{url}/score", json=body)
        assert (full.status_code, full.headers["retry-after"]) == (429, "1")
        encoder.gate.set()
        assert [one.result().status_code for one in taken] == [200] * 3
        text = httpx.get(f"{url}/metrics").text
    for line in (
        'rmspace_requests_total{path="/score",status="200"} 3',
        'rmspace_requests_total{path="/score",status="429"} 1',
        "rmspace_texts_total 3",
        "rmspace_batches_total 3",
        "rmspace_request_seconds_count 4",
        'rmspace_batch_seconds_bucket{le="+Inf"} 3',
        "rmspace_waiting_texts 0",
    ):
        assert line in text.splitlines()


def _raw(url: str, head: str, body: bytes = b"") -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    found = socket.create_connection((host, int(port)), timeout=30)
    found.sendall(
        f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}\r\n\r\n".encode() + body
    )
    return found


def test_clients_that_leave_cost_nobody_an_answer() -> None:
    encoder = SlowEncoder()
    encoder.gate.clear()
    with running(count_reward(encoder), Limits(max_batch=1, max_wait_ms=0.0)) as url, ThreadPoolExecutor(8) as pool:
        first = pool.submit(httpx.post, f"{url}/score", json={"prompts": ["p"], "responses": ["a"]}, timeout=60)
        encoder.entered.wait(30)
        body = json.dumps({"prompts": ["p"] * 5, "responses": ["b"] * 5}).encode()
        waiting = _raw(url, f"Content-Length: {len(body)}", body)
        until(lambda: httpx.get(f"{url}/health").json()["waiting_texts"] == 5)
        half = _raw(url, f"Content-Length: {len(body)}", body[:20])
        last = pool.submit(httpx.post, f"{url}/score", json={"prompts": ["p"], "responses": ["aa"]}, timeout=60)
        until(lambda: httpx.get(f"{url}/health").json()["waiting_texts"] == 6)
        waiting.close()
        half.close()
        until(lambda: 'status="499"} 2' in httpx.get(f"{url}/metrics").text)
        encoder.gate.set()
        assert first.result().json() == {"scores": [expected("p", "a")]}
        assert last.result().json() == {"scores": [expected("p", "aa")]}
    assert encoder.sizes == [1, 1]  # nothing was scored for the client that left


def test_a_body_is_refused_while_it_is_read() -> None:
    with running(count_reward(), Limits(max_bytes=1000, body_seconds=0.2)) as url:
        declared = _raw(url, "Content-Length: 10000000000")
        assert declared.recv(100).startswith(b"HTTP/1.1 413")
        chunked = _raw(url, "Transfer-Encoding: chunked", b"400\r\n" + b" " * 1024 + b"\r\n")  # and more is promised
        assert chunked.recv(100).startswith(b"HTTP/1.1 413")
        slow = _raw(url, "Content-Length: 100", b"{")
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
        for one in (declared, chunked, slow):
            one.close()
        large = httpx.post(f"{url}/score", json={"prompts": ["p"], "responses": ["a" * 3_000_000]}, timeout=60)
        assert large.status_code == 413
        assert httpx.post(f"{url}/score", json={"prompts": ["p"], "responses": ["a"]}).status_code == 200


def test_bodies_together_are_limited() -> None:
    with running(count_reward(), Limits(max_bytes=1000, body_seconds=30)) as url:
        half = [_raw(url, "Content-Length: 999", b" " * 990) for _ in range(16)]
        until(lambda: httpx.post(f"{url}/score", content=b" " * 900, headers=JSON).status_code == 429)
        for one in half:
            one.close()
        until(lambda: httpx.post(f"{url}/score", json={"prompts": [], "responses": []}).status_code == 200)


_SERVER = """
import sys
sys.path.insert(0, {tests!r})
from text_stubs import SlowEncoder, count_reward
from rmspace.text.serve.limits import Limits
from rmspace.text.serve.server import serve
from rmspace.cli.main import _let_sigterm_interrupt
_let_sigterm_interrupt()
say = lambda line: print(line, flush=True)
serve(count_reward(SlowEncoder(0.5)), port=0, limits=Limits(max_batch=1, max_wait_ms=0), say=say)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process can handle")
def test_sigterm_finishes_what_was_taken() -> None:
    code = _SERVER.format(tests=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("serving at ").strip()
        with ThreadPoolExecutor(3) as pool:
            body = {"prompts": ["p"], "responses": ["a"]}
            taken = [pool.submit(httpx.post, f"{url}/score", json=body, timeout=60) for _ in range(3)]
            until(lambda: httpx.get(f"{url}/health").json()["waiting_texts"] >= 2)
            process.terminate()
            assert [one.result().status_code for one in taken] == [200] * 3
        assert process.wait(30) == 0
        assert process.stdout.read() == "stopped\n"


def test_the_command_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import rmspace.text
    from rmspace.cli.main import main
    from rmspace.text.serve import server
    from text_stubs import make_counts

    monkeypatch.setattr(rmspace.text, "encoder_from", make_counts, raising=False)
    seen: dict[str, Any] = {}
    monkeypatch.setattr(server, "serve", lambda reward, **options: seen.update(options, reward=reward))
    count_reward(temperature=2.0).save(tmp_path / "reward")
    assert main(["serve", str(tmp_path / "reward")]) == 0
    assert (seen["host"], seen["port"], seen["token"], seen["limits"]) == ("127.0.0.1", 8000, None, Limits())
    monkeypatch.setenv("RMSPACE_TEST_TOKEN", "x")
    numbers = ["--port", "1", "--max-batch", "2", "--max-wait-ms", "3", "--queue", "4", "--max-bytes", "5"]
    assert main(["serve", str(tmp_path / "reward"), *numbers, "--token-env", "RMSPACE_TEST_TOKEN"]) == 0
    assert (seen["port"], seen["token"], seen["limits"]) == (1, "x", Limits(2, 3.0, 4, 5))
    assert seen["reward"].temperature == 2.0
    assert main(["serve", str(tmp_path / "reward"), "--queue", "0"]) == 2
    assert main(["serve", str(tmp_path / "none")]) == 2


# --- a gold of a build ---


def test_a_running_server_is_a_gold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a socket, with a token, and several requests at once."""
    reward = count_reward(SlowEncoder())
    chat = (Message("user", "Hi."), Message("assistant", "Hello!"), Message("user", "Name a fruit."))
    groups = [items_of("Why?", ["a", "banana", ""]), [TextItem(chat, "An apple."), TextItem(chat, "\ud800 a")]]
    monkeypatch.setenv("RMSPACE_TEST_TOKEN", "secret")
    with running(reward, QUICK, token="secret") as url:
        gold = EndpointGold(url, "counts", batch_size=2, concurrency=6, api_key_env="RMSPACE_TEST_TOKEN")
        found = gold.rate(groups * 8)
        refused = EndpointGold(url, "counts", api_key_env="RMSPACE_NO_TOKEN")
        with pytest.raises(ValueError, match=r"refuses the key \(status 401\)"):
            refused.rate(groups)
    items = [clean_item(item)[0] for group in groups * 8 for item in group]
    np.testing.assert_allclose(found.columns[""], reward.score_items(items)[0])
    assert found.notes is not None
    assert found.notes.tolist() == [0, 0, 0, 0, int(Note.REPLACED)] * 8
    with pytest.raises(ConnectionError, match="failed 1 time; the last time: ConnectError"):
        EndpointGold(url, "counts", retries=0).rate(groups)


def test_a_build_with_a_running_server_as_gold(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{k} + 1?"}) + "\n" for k in range(6)), encoding="utf-8")
    reward = count_reward(SlowEncoder())
    with running(reward) as url:
        golds = {"served": EndpointGold(url, "counts"), "number": Rater()}
        banks = build_banks(stub_recipe(path, golds=golds), tmp_path / "out")
    lines = [json.loads(line) for line in next((tmp_path / "out").glob("steps/generate-*/responses.jsonl")).open()]
    for split, bank in zip(("train", "test"), banks, strict=True):
        own = [line for line in lines if line["split"] == split]
        scores = [[expected(line["prompt"][0]["content"], text) for text in line["responses"]] for line in own]
        np.testing.assert_allclose(bank.rewards, scores)
        assert bank.metadata["golds"]["served"]["model"] == "counts"


def test_an_address_that_is_taken_is_a_clear_error() -> None:
    from rmspace.text.serve.server import serve

    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1, port {port}, cannot be used"):
            serve(count_reward(), port=port)


@pytest.mark.slow
def test_nothing_is_lost_when_clients_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))
    from benchmarks.serve import measure

    row = measure("waiting", 4_000)
    assert row["note"].endswith("0 lost, 0 wrong")
    assert row["size"].startswith("4,000 requests")
