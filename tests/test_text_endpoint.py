"""A server of the OpenAI protocol that is slow, busy, broken or wrong: one clear message each, and nothing mixed up."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rmspace.text import EndpointEncoder, TextItem, _requests, embed, encoder_from
from rmspace.text.notes import Note
from rmspace.text.records import items_of

httpx = pytest.importorskip("httpx", reason="pip install 'reward-space[text]'")

ITEMS = [TextItem((), f"text {k}") for k in range(20)]
KEY = "sk-very-secret"
Fault = Callable[["Handler", dict[str, Any]], None]


class Server(ThreadingHTTPServer):
    """Answers with vectors of the texts, in any order; `faults` come first, one per request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.faults: list[Fault] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append({"path": self.path, **body})
            self.server.keys.append(self.headers["Authorization"])
            fault = self.server.faults.pop(0) if self.server.faults else None
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            (fault or good)(self, body)
        except OSError:  # the client has gone
            pass
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def answer(self, status: int, content: object, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content_Type": "application/json", "Content_Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


def vector(text: str) -> list[float]:
    return [float(len(text)), float(text.count(" ")), float(sum(map(ord, text)) % 97)]


def entries(body: dict[str, Any]) -> list[dict[str, Any]]:
    found = [{"index": k, "object": "embedding", "embedding": vector(text)} for k, text in enumerate(body["input"])]
    random.Random(0).shuffle(found)
    return found


def good(handler: Handler, body: dict[str, Any]) -> None:
    handler.answer(200, {"object": "list", "model": body["model"], "data": entries(body)})


def status(code: int, **headers: str) -> Fault:
    return lambda handler, body: handler.answer(
        code, {"error": f"said with {handler.headers['Authorization']}"}, **headers
    )


def changed(change: Callable[[list[dict[str, Any]]], object]) -> Fault:
    def fault(handler: Handler, body: dict[str, Any]) -> None:
        found = entries(body)
        handler.answer(200, {"data": change(found)})

    return fault


def hang(handler: Handler, body: dict[str, Any]) -> None:
    time.sleep(1.5)


def dribble(handler: Handler, body: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(20):
        handler.wfile.write(b" ")
        time.sleep(0.1)


def cut_off(handler: Handler, body: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = Server()
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def encoder(server: Server, **options: Any) -> EndpointEncoder:
    made = EndpointEncoder(server.url, "m", **{"timeout": 30, "retries": 2, **options})
    made.policy = made.policy._replace(backoff=0.01)
    return made


def test_the_vectors_are_those_of_the_texts(server: Server) -> None:
    items = [*ITEMS, *items_of("Hi.", ["Hello.", "", "\ud800"])]
    done: list[int] = []
    found, notes = encoder(server, batch_size=4, concurrency=3).encode_noted(items, done.append)
    texts = [item.response for item in ITEMS] + ["Hi.\n\nHello.", "Hi.\n\n", "Hi.\n\n\ufffd"]
    assert found.dtype == np.float32
    assert found.tolist() == [vector(text) for text in texts]
    assert notes.tolist() == [0] * 22 + [Note.REPLACED]
    assert sum(done) == 23
    assert sorted(len(request["input"]) for request in server.requests) == [3, 4, 4, 4, 4, 4]
    assert {request["path"] for request in server.requests} == {"/v1/embeddings"}
    assert encoder(server).encode([]).shape == (0, 0)


def test_requests_go_out_at_once_but_not_more_than_asked_for(server: Server) -> None:
    def wait(handler: Handler, body: dict[str, Any]) -> None:
        for _ in range(200):
            if handler.server.most_at_once == 3:
                break
            time.sleep(0.01)
        good(handler, body)

    server.faults = [wait] * 10
    encoder(server, batch_size=2, concurrency=3).encode(ITEMS)
    assert server.most_at_once == 3


@pytest.mark.parametrize(
    "fault",
    [status(429), status(500), status(503, Retry_After="0"), status(429, Retry_After="soon"), hang, dribble, cut_off],
)
def test_what_passes_is_tried_again(server: Server, fault: Fault) -> None:
    server.faults = [fault]
    made = encoder(server, timeout=0.4 if fault in (hang, dribble) else 30, retries=20)
    assert made.encode(ITEMS).tolist() == [vector(item.response) for item in ITEMS]
    assert len(server.requests) >= 2  # a busy machine may be late once more


def test_the_server_says_how_long_to_wait(server: Server) -> None:
    waits: list[float] = []

    class Hurried(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    policy = _requests.Policy(timeout=30, retries=3, backoff=2.0)
    server.faults = [status(500), status(500), status(429, Retry_After="7")]
    with httpx.Client() as client:
        body = {"model": "m", "input": ["a"]}
        _requests.post(client, server.url, body, {}, policy, Hurried())
    assert 1 <= waits[0] <= 2 <= waits[1] <= 4  # a half to the whole of 2, then of 4
    assert 7 <= waits[2] <= 9


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (None, None, None),
        ("2", 2, 2),
        ("1.5", 1.5, 1.5),
        ("-3", 0, 0),
        ("1e9", 600, 600),
        ("soon", None, None),
        ("nan", None, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2115 07:28:00 GMT", 600, 600),
    ],
)
def test_how_long_to_wait(value: str | None, low: float | None, high: float | None) -> None:
    found = _requests._wait(value)
    assert (found is None) if low is None or high is None else (found is not None and low <= found <= high)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(500), r"/v1/embeddings failed 3 times; the last time: status 500: .*said with"),
        (status(429), r"failed 3 times; the last time: status 429"),
        (hang, r"failed 3 times; the last time: no answer within 0.3 seconds; raise timeout, or lower batch_size"),
        (dribble, r"the last time: no whole answer within 0.3 seconds"),
        (cut_off, r"the last time: RemoteProtocolError.*is the server running"),
    ],
)
def test_what_does_not_pass_is_given_up(server: Server, fault: Fault, message: str) -> None:
    server.faults = [fault] * 3
    with pytest.raises(ConnectionError, match=message):
        encoder(server, timeout=0.3 if fault in (hang, dribble) else 30).encode(ITEMS)
    assert len(server.requests) == 3


def drop(found: list[dict[str, Any]]) -> object:
    return found[:-1]


def set_all(**values: Any) -> Callable[[list[dict[str, Any]]], object]:
    return lambda found: [one | values for one in found]


def set_one(**values: Any) -> Callable[[list[dict[str, Any]]], object]:
    return lambda found: [found[0] | values, *found[1:]]


def raw(data: bytes) -> Fault:
    return lambda handler, body: handler.answer(200, data, Content_Type="text/html")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(401), "refuses the key .status 401.; is api_key_env the variable that holds it"),
        (status(404), "refuses the request: status 404"),
        (status(413), "refuses the request: status 413"),
        (status(301), "refuses the request: status 301"),
        (raw(b"<html>"), "must answer JSON; got 6 bytes of text/html that are not"),
        (raw(b"\xff\xfe{"), "must answer JSON"),
        (raw(b"[" * 100_000), "must answer JSON"),
        (raw(b"[]"), "must have a list 'data' of objects"),
        (raw(b'{"data": [1]}'), "must have a list 'data' of objects"),
        (changed(drop), "one vector per text, 20; got 19"),
        (changed(lambda found: [*found, found[0]]), "one vector per text, 20; got 21"),
        (changed(set_all(index=0)), "'index' must give each text once, 0 to 19"),
        (changed(set_one(index="0")), "'index' must give each text once"),
        (changed(set_one(index=1000)), "'index' must give each text once"),
        (changed(set_one(embedding="AACAPw==")), "'embedding' must be a list of numbers"),
        (changed(set_one(embedding=[1, "a", 2])), "'embedding' must be a list of numbers"),
        (changed(set_one(embedding=[1, None, 2])), "'embedding' must be a list of numbers"),
        (changed(set_one(embedding=[])), "'embedding' must be a list of numbers"),
        (changed(set_one(embedding=[[1], [2], [3]])), "'embedding' must be a list of numbers"),
        (changed(set_one(embedding=[1.0, 2.0])), "vectors must have one length; got 2, 3 numbers"),
        (changed(set_one(embedding=[1.0, float("nan"), 0.0])), "must be finite; the server sent NaN or infinity"),
        (changed(set_one(embedding=[1e300, 0.0, 0.0])), "must be finite"),
    ],
)
def test_wrong_answers_are_refused_at_once(server: Server, fault: Fault, message: str) -> None:
    server.faults = [fault]
    with pytest.raises(ValueError, match=message) as caught:
        encoder(server).encode(ITEMS)
    assert "/v1/embeddings" in str(caught.value)
    assert len(server.requests) == 1


def test_places_may_be_left_out(server: Server) -> None:
    server.faults = [lambda h, body: h.answer(200, {"data": [{"embedding": vector(text)} for text in body["input"]]})]
    assert encoder(server).encode(ITEMS).tolist() == [vector(item.response) for item in ITEMS]


def test_another_dimension_halfway(server: Server) -> None:
    made = encoder(server, batch_size=10, concurrency=1)
    server.faults = [good, changed(set_all(embedding=[1.0, 2.0]))]
    with pytest.raises(ValueError, match="vectors of 3 numbers, as before; got 2; does it still serve the same model"):
        made.encode(ITEMS)
    server.faults = [changed(set_all(embedding=[1.0]))]
    with pytest.raises(ValueError, match="vectors of 3 numbers, as before; got 1"):
        made.encode(ITEMS[:1])


def test_shorter_vectors_are_asked_for(server: Server) -> None:
    made = encoder(server, dimensions=2)
    with pytest.raises(ValueError, match="vectors of 2 numbers, as dimensions asks; got 3"):
        made.encode(ITEMS)
    assert server.requests[0]["dimensions"] == 2


def test_the_first_error_ends_the_other_requests(server: Server) -> None:
    """The other requests wait long for their next try; the error does not wait for them."""
    server.faults = [status(429, Retry_After="600"), status(400)]
    with pytest.raises(ValueError, match="status 400"):
        encoder(server, batch_size=1, concurrency=2).encode(ITEMS)
    assert len(server.requests) < len(ITEMS)


def test_a_server_that_is_not_there() -> None:
    made = EndpointEncoder("http://127.0.0.1:9", "m", retries=1)
    made.policy = made.policy._replace(backoff=0.01)
    with pytest.raises(ConnectionError, match=r"failed 2 times; the last time: ConnectError: .*is the server running"):
        made.encode(ITEMS)


def test_the_key_is_sent_and_written_nowhere(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    made = encoder(server, api_key_env="MY_KEY")
    embed(ITEMS, made, out=tmp_path / "out", progress=False)
    assert server.keys == [f"Bearer {KEY}"]
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert KEY.encode() not in written
    assert KEY not in repr(made) + repr(vars(made)) + json.dumps(made.describe())
    assert (
        EndpointEncoder.from_description(made.describe()).api_key_env == "OPENAI_API_KEY"
    )  # never what a folder names
    for code in (401, 403, 400, 500):
        server.faults = [status(code)] * 3
        with pytest.raises((ValueError, ConnectionError)) as caught:
            made.encode(ITEMS)
        assert KEY not in str(caught.value)
        assert KEY not in str(caught.value.__cause__)
    monkeypatch.delenv("MY_KEY")
    made.encode(ITEMS)
    assert server.keys[-1] is None
    monkeypatch.setenv("MY_KEY", "a\nb")
    with pytest.raises(ValueError, match="the key in MY_KEY must be printable ASCII"):
        made.encode(ITEMS)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host:8000", "http://host:8000/v1/embeddings"),
        ("http://host:8000/", "http://host:8000/v1/embeddings"),
        ("http://host/v1", "http://host/v1/embeddings"),
        ("https://host/api/v1/embeddings/", "https://host/api/v1/embeddings"),
        ("https://host/openai/embeddings?api-version=2", "https://host/openai/embeddings?api-version=2"),
    ],
)
def test_addresses(url: str, expected: str) -> None:
    made = EndpointEncoder(url, "m")
    assert made.url == expected
    assert made.describe()["about"]["url"] == expected.partition("?")[0]
    assert "?" not in repr(made)


@pytest.mark.parametrize("url", ["host:8000", "ftp://host", "http://", "https://me:secret@host"])
def test_addresses_that_cannot_be(url: str) -> None:
    with pytest.raises(ValueError, match="url must") as caught:
        EndpointEncoder(url, "m")
    assert "secret" not in str(caught.value)


def test_a_description_makes_the_encoder_again(server: Server) -> None:
    made = encoder(server, template="hh", dimensions=3)
    again = encoder_from(json.loads(json.dumps(made.describe())))
    assert again.describe() == made.describe()
    moved = encoder_from(made.describe(), url="http://elsewhere")  # where it is served does not change the embeddings
    assert moved.describe()["about"]["url"] == "http://elsewhere/v1/embeddings"
    with pytest.raises(ValueError, match="model: 'm' -> 'other'"):
        encoder_from(made.describe(), model="other")


def test_a_run_that_the_server_broke_goes_on(server: Server, tmp_path: Path) -> None:
    made = encoder(server, batch_size=5, concurrency=1, retries=0)
    server.faults = [good, good, status(500)]
    with pytest.raises(ConnectionError, match="failed 1 time;"):
        embed(ITEMS, made, out=tmp_path, shard=5, progress=False)
    before = len(server.requests)
    found = embed(ITEMS, made, out=tmp_path, shard=5, progress=False)
    assert len(server.requests) - before == 2
    assert np.asarray(found).tolist() == [vector(item.response) for item in ITEMS]
