#!/usr/bin/env bash
# Four reward models on synthetic data: one table, two figures.
set -euo pipefail
EXTRAS="" source "$(dirname "$0")/venv.sh"
.venv/bin/rmspace demo --out results/quickstart "$@"
