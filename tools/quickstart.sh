#!/usr/bin/env bash
# Sets srtoolbox up in .venv and runs the main job on built-in photographs: data set, training, test, upscaled picture.
# Arguments are config entries, e.g. `bash tools/quickstart.sh max_iters=500`. PYTHON chooses the Python (3.11 or newer).
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/setup_env.sh
exec python -m srtoolbox quickstart "$@"
