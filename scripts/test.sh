#!/usr/bin/env bash
# Everything that must hold: lint, format, types, tests. Arguments go to pytest, say -m slow.
set -euo pipefail
EXTRAS="[dev]" source "$(dirname "$0")/venv.sh"
.venv/bin/ruff check --quiet .
.venv/bin/ruff format --check --quiet .
.venv/bin/mypy
.venv/bin/pytest --quiet "$@"
