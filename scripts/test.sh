#!/usr/bin/env bash
# Everything that must hold: lint, format, imports, types, tests. Arguments go to pytest, e.g. -m slow.
# The tests run on every core; types and imports are checked beside them.
set -euo pipefail
EXTRAS="[dev]" source "$(dirname "$0")/venv.sh"
PATH="$PWD/.venv/bin:$PATH"
ruff check --quiet .
ruff format --check --quiet .
checks=$(mktemp)
{ lint-imports && mypy; } >"$checks" 2>&1 &
pytest --quiet --numprocesses logical --dist worksteal "$@" && passed=0 || passed=$?
wait $! && checked=0 || checked=$?
[ "$checked" = 0 ] || cat "$checks"
rm -f "$checks"
exit $((passed || checked))
