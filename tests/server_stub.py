"""A server of the OpenAI protocol, on this machine: it fails where it is told to, and counts what it answers."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Body = dict[str, Any]


class Server(ThreadingHTTPServer):
    """Answers with the seed and the prompt; some calls fail."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.bodies: list[Body] = []
        """What was answered."""
        self.failing = 0.0
        self.breaks: Callable[[Body], bool] = lambda body: False
        self.content: Any = None
        self.fingerprint: str | None = None
        self.rng = random.Random(0)
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = {"path": self.path, **json.loads(self.rfile.read(int(self.headers["Content-Length"])))}
        with self.server.lock:
            fails = self.server.rng.random() < self.server.failing or self.server.breaks(body)
            self.server.bodies += [] if fails else [body]
        if self.path == "/score":
            return self.answer(fails, {"scores": [len(text) for text in body["responses"]]})
        text = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        content = self.server.content or (lambda text, seed: f"{seed} {text}STOP more")
        made = content(text, body.get("seed"))
        choice = {"message": {"content": made}} if "messages" in body else {"text": made}
        answer = {"choices": [{**choice, "finish_reason": "length"}], "usage": {"completion_tokens": 3}}
        if self.server.fingerprint is not None:
            answer["system_fingerprint"] = self.server.fingerprint
        return self.answer(fails, answer)

    def answer(self, fails: bool, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(500 if fails else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Yield a server that runs, for a fixture."""
    pytest.importorskip("httpx", reason="pip install 'reward-space[text]'")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = Server()
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def hurried(made: Any) -> Any:
    """Let an endpoint wait a moment only before it tries again."""
    made.policy = made.policy._replace(backoff=0.001)
    return made


def response_in(text: str, tag: str = "response") -> str:
    """Return the response that a question to a judge shows."""
    return text.partition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0]
