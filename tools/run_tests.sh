#!/usr/bin/env bash
# Set-up if needed, lint, then the test suite (arguments go to pytest; `-m slow` runs the slow part).
exec "${PYTHON:-python3}" "$(dirname "$0")/start.py" tests "$@"
