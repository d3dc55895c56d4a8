#!/usr/bin/env bash
# Set-up if needed, lint, then the test suite (arguments go to pytest; `-m slow` runs the slow part).
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/setup_env.sh test
ruff check .
ruff format --check .
# one BLAS thread per test process: two processes on two cores would otherwise fight over them
OMP_NUM_THREADS=1 python -m pytest -n auto --dist loadfile "$@"
