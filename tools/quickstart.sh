#!/usr/bin/env bash
# Sets srtoolbox up in .venv and runs the main job on built-in photographs: data set, training, test, upscaled picture.
# Arguments are config entries, e.g. `bash tools/quickstart.sh max_iters=500`. PYTHON chooses the Python (3.11 or newer).
exec "${PYTHON:-python3}" "$(dirname "$0")/start.py" quickstart "$@"
