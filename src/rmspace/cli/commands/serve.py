"""`rmspace serve`: answer HTTP requests with the scores of a saved reward model of text."""

from __future__ import annotations

import argparse
import os
import sys

from rmspace.cli.reward_folder import add_reward, load_reward

HELP = "serve a reward model of text over HTTP"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_reward(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="the port; 0 for a free one (8000)")
    parser.add_argument(
        "--max-batch", type=int, default=32, metavar="N", help="texts that the encoder gets at once (32)"
    )
    parser.add_argument(
        "--max-wait-ms", type=float, default=5.0, metavar="MS", help="how long a batch waits for more (5)"
    )
    parser.add_argument("--queue", type=int, default=4096, metavar="N", help="texts that may wait (4096)")
    parser.add_argument("--max-bytes", type=int, default=4 << 20, metavar="N", help="bytes of one request (4 MiB)")
    parser.add_argument(
        "--token-env", metavar="NAME", help="environment variable with the token that clients must send"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until the process is asked to stop."""
    from rmspace.text._extras import need

    for module in ("starlette", "uvicorn"):
        need(module, "serve")
    from rmspace.text.serve.limits import Limits
    from rmspace.text.serve.server import serve

    limits = Limits(options.max_batch, options.max_wait_ms, options.queue, options.max_bytes)
    token = _token(options.token_env)
    reward = load_reward(options)
    serve(reward, host=options.host, port=options.port, limits=limits, token=token, say=_say)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _token(name: str | None) -> str | None:
    """Return the token; one that is not set is an error, so that nobody serves without the check they asked for."""
    if name is None:
        return None
    token = os.environ.get(name, "")
    if not token or token != token.strip() or not token.isprintable():
        raise ValueError(
            f"the environment variable {name} must hold a token; it is not set, empty, or has spaces around"
        )
    return token
