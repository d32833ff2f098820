#!/usr/bin/env bash
# The main job on a synthetic world: four reward models, one table, two figures.
set -euo pipefail
EXTRAS="" source "$(dirname "$0")/venv.sh"
.venv/bin/rmspace run configs/quickstart.yaml --out results/quickstart --overwrite "$@"
