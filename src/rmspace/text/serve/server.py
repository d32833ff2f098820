"""The server: a socket, and uvicorn around the application."""

from __future__ import annotations

import gc
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from rmspace.text.reward import TextReward
from rmspace.text.serve.app import make_app
from rmspace.text.serve.limits import Limits

_CONNECTIONS = 1024


def serve(
    reward: TextReward,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    token: str | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> None:
    """Serve a reward model of text until SIGINT or SIGTERM; what was taken is then finished first.

    Args:
        reward: the reward model.
        host: the address to listen on; the default can be reached from this machine only.
        port: the port; 0 for a free one, which is printed.
        limits: how much is taken at once.
        token: what clients must send; see `make_app`.
        say: is told the address, and when the server has stopped.

    Raises:
        OSError: the address cannot be used.
    """
    listening = _listen(host, port)
    app = make_app(reward, limits, token=token)
    options: dict[str, Any] = {"access_log": False, "log_config": None, "log_level": "warning", "server_header": False}
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", limit_concurrency=_CONNECTIONS, **options))
    name = f"[{host}]" if ":" in host else host
    say(f"serving at http://{name}:{listening.getsockname()[1]}")
    if token is None and not _is_loopback(host):
        say("anybody who reaches this address can use the server: no token is set")
    gc.collect()
    gc.freeze()  # what was loaded stays; to go through it again and again costs each request time
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn raises the signal again when it has stopped
        say("stopped")
    finally:
        gc.unfreeze()


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server((host, port), family=found[0][0], backlog=_CONNECTIONS)
    except OSError as error:
        raise OSError(f"{host}, port {port}, cannot be used ({error}); choose another host or port") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
