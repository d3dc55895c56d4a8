#!/usr/bin/env bash
# Score checkpoints on several processes; each picture is scored once, and the result is that of one process.
#
#   tools/dist_test.sh CONFIG CHECKPOINT NGPUS [arguments of test.py]
#
# Several machines: as for dist_train.sh.
python=$(command -v "${PYTHON:-python}" || command -v python3) # outside an environment: it says what to activate
exec "$python" "$(dirname "$0")/start.py" test "$@"
